// Counters that one thread moves without a locked instruction, for what happens several times in each call. What they have
// gathered is added to the counters that everybody sees before a scrape.

import Synchronization

/// The moving end: a trivial value, so that keeping and using one counts no references.
public struct LocalCells: @unchecked Sendable {
    // Unchecked: the pointer leads to atomic cells that are never freed.
    @usableFromInline let cells: UnsafeMutablePointer<Atomic<UInt64>>

    /// Only on the owning thread.
    ///
    /// - Parameter index: position of the counter among those that were given.
    @inlinable @inline(__always)
    public func add(_ amount: UInt64, to index: Int) {
        cells[index].store(cells[index].load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }
}

/// Counts of one thread on their way to counters that many threads share.
public final class LocalCounters: @unchecked Sendable {
    // Unchecked: cells are atomic, written by one thread; what was told is behind a lock.
    public let cells: LocalCells
    private let targets: [Counter]
    private let told: Mutex<[UInt64]>

    /// - Parameter targets: get what is gathered here, each from the cell at its position.
    public init(_ targets: [Counter]) {
        // Kept for as long as the process, as counters are. Whole cache lines: another thread's cells are on others.
        let stride = MemoryLayout<Atomic<UInt64>>.stride
        let bytes = (max(1, targets.count) * stride + 63) & ~63
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: 64)
        let cells = memory.bindMemory(to: Atomic<UInt64>.self, capacity: targets.count)
        for index in targets.indices { (cells + index).initialize(to: Atomic(0)) }
        self.cells = LocalCells(cells: cells)
        self.targets = targets
        told = Mutex([UInt64](repeating: 0, count: targets.count))
    }

    /// Adds what is new to the counters. Any thread.
    public func tell() {
        told.withLock { told in
            for index in targets.indices {
                let now = cells.cells[index].load(ordering: .relaxed)
                let news = now &- told[index]
                guard news > 0 else { continue }
                targets[index].add(news)
                told[index] = now
            }
        }
    }
}
