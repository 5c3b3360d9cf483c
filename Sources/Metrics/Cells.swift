// The memory behind series: 64-bit atomic cells that are never freed.
//
// A handle (Counter, Gauge, Histogram) is a trivial struct around a pointer into this memory, so that
// keeping and using one costs no reference counting. That is sound because series are declared at start
// and live as long as the process; the label bounds of vectors bound what can ever be allocated.

import Synchronization

@usableFromInline
typealias Cell = Atomic<UInt64>

/// Hands out zeroed cells of one family. Families start on a cache line of their own, so that a counter
/// of one thread does not slow another thread's counter of another family.
struct CellAllocator: @unchecked Sendable {
    private static let cacheLineBytes = 64
    private static let cellsPerLine = cacheLineBytes / MemoryLayout<Cell>.stride
    private static let chunkCells = 8 * cellsPerLine

    private var next: UnsafeMutablePointer<Cell>?
    private var left = 0

    /// `count` zeroed cells; `single` families get exactly what they need, vectors fill chunks.
    mutating func allocate(_ count: Int, single: Bool) -> UnsafeMutablePointer<Cell> {
        precondition(count > 0 && count <= MetricsLimits.bucketsMaximum + 2, "cells of one series: \(count)")
        if left < count {
            let wanted = single ? count : max(count, Self.chunkCells)
            let lines = (wanted + Self.cellsPerLine - 1) / Self.cellsPerLine
            let raw = UnsafeMutableRawPointer.allocate(
                byteCount: lines * Self.cacheLineBytes, alignment: Self.cacheLineBytes)
            next = raw.bindMemory(to: Cell.self, capacity: lines * Self.cellsPerLine)
            left = lines * Self.cellsPerLine
        }
        let cells = next!
        for index in 0..<count { (cells + index).initialize(to: Cell(0)) }
        next = cells + count
        left -= count
        return cells
    }
}
