// A whole number that goes up and down.

import Synchronization

/// A gauge of whole numbers (counts, bytes, indexes, flags). Fractions come from callbacks instead, so
/// that an update stays one relaxed atomic operation.
public struct Gauge: @unchecked Sendable {  // the pointer leads to an atomic cell that is never freed
    @usableFromInline let cell: UnsafeMutablePointer<Cell>

    init(cell: UnsafeMutablePointer<Cell>) { self.cell = cell }

    @inlinable @inline(__always)
    public func set(_ value: Int64) {
        cell.pointee.store(UInt64(bitPattern: value), ordering: .relaxed)
    }

    @inlinable @inline(__always)
    public func set(_ value: Int) { set(Int64(value)) }

    /// For Raft indexes and revisions, which never reach the sign bit.
    @inlinable @inline(__always)
    public func set(_ value: UInt64) { set(Int64(bitPattern: value)) }

    @inlinable @inline(__always)
    public func set(_ on: Bool) { set(on ? Int64(1) : 0) }

    @inlinable @inline(__always)
    public func add(_ amount: Int64) {
        cell.pointee.wrappingAdd(UInt64(bitPattern: amount), ordering: .relaxed)
    }

    @inlinable @inline(__always)
    public func add(_ amount: Int) { add(Int64(amount)) }

    @inlinable @inline(__always)
    public func increment() { add(Int64(1)) }

    @inlinable @inline(__always)
    public func decrement() { add(Int64(-1)) }

    @inlinable
    public var value: Int64 { Int64(bitPattern: cell.pointee.load(ordering: .relaxed)) }
}

extension Gauge: Series {
    static let kind = MetricKind.gauge
    static func cellCount(_ shape: NoShape) -> Int { 1 }
    init(cells: UnsafeMutablePointer<Cell>, shape: NoShape) { self.init(cell: cells) }
    var hasMoved: Bool { value != 0 }
    func write(_ writer: inout ExpositionWriter, name: String, labels: LabelText) {
        writer.sample(name, suffix: "", labels: labels, value: Double(value))
    }
}
