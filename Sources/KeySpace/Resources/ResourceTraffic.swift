// What clients of one event loop read and watch of each resource. One thread writes, any thread reads: plain loads and
// stores, no locked instruction.

import Synchronization

#if canImport(Glibc)
import Glibc
#endif

/// The reads and watches of one event loop by resource. Changed on that loop only. A trivial value, so that using one counts no
/// references: the cells are kept as long as the process.
public struct ResourceTraffic: @unchecked Sendable {
    // Unchecked: cells are atomic.
    public enum Field: Int, CaseIterable, Sendable {
        case gets, getBytes, lists, listKeys, listBytes, watchers, watchesMade, watchEvents, watchBytes
    }

    private static let stride = 16
    private let cells: UnsafeMutablePointer<Atomic<Int>>

    public init() {
        // Zeroes are what cells begin with; pages of resources that do not exist are never touched.
        let count = ResourceNames.countMax * Self.stride
        guard let memory = calloc(count, MemoryLayout<Atomic<Int>>.stride) else { fatalError("out of memory: traffic cells") }
        cells = memory.bindMemory(to: Atomic<Int>.self, capacity: count)
    }

    @inline(__always)
    public func add(_ amount: Int, _ field: Field, of resource: ResourceID) {
        let cell = cells + Int(resource.rawValue) * Self.stride + field.rawValue
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    /// A single key was asked for and answered with so many bytes.
    @inline(__always)
    public func countGet(bytes: Int, of resource: ResourceID) {
        add(1, .gets, of: resource)
        add(bytes, .getBytes, of: resource)
    }

    /// A range that is ready was answered.
    public func countList(_ cursor: RangeCursor) {
        add(1, .lists, of: cursor.resource)
        add(cursor.encodedLength, .listBytes, of: cursor.resource)
        add(cursor.keyValueCount, .listKeys, of: cursor.resource)
    }

    /// A range that is ready was answered; `resource` counts for a single key.
    func count(_ answer: borrowing RangeAnswer, of resource: @autoclosure () -> ResourceID) {
        if let cursor = answer.cursor { countList(cursor) } else { countGet(bytes: answer.encodedLength, of: resource()) }
    }

    public func value(_ field: Field, of resource: ResourceID) -> Int {
        cells[Int(resource.rawValue) * Self.stride + field.rawValue].load(ordering: .relaxed)
    }
}
