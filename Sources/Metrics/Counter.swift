// A number that only grows.

import Synchronization

/// A monotonic counter. Copying the handle is free; an update is one relaxed atomic add.
public struct Counter: @unchecked Sendable {  // the pointer leads to an atomic cell that is never freed
    @usableFromInline let cell: UnsafeMutablePointer<Cell>

    init(cell: UnsafeMutablePointer<Cell>) { self.cell = cell }

    @inlinable @inline(__always)
    public func increment() { add(1) }

    @inlinable @inline(__always)
    public func add(_ amount: UInt64) {
        cell.pointee.wrappingAdd(amount, ordering: .relaxed)
    }

    @inlinable @inline(__always)
    public func add(_ amount: Int) {
        precondition(amount >= 0, "a counter cannot go down")
        add(UInt64(amount))
    }

    /// Begins anew at zero, as after a restart.
    public func reset() { cell.pointee.store(0, ordering: .relaxed) }

    /// The current count.
    @inlinable
    public var value: UInt64 { cell.pointee.load(ordering: .relaxed) }
}

extension Counter: Series {
    static let kind = MetricKind.counter
    static func cellCount(_ shape: NoShape) -> Int { 1 }
    init(cells: UnsafeMutablePointer<Cell>, shape: NoShape) { self.init(cell: cells) }
    var hasMoved: Bool { value != 0 }
    func write(_ writer: inout ExpositionWriter, name: String, labels: LabelText) {
        writer.sample(name, suffix: "", labels: labels, value: Double(value))
    }
}
