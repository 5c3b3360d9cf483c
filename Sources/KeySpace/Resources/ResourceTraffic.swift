// What clients of one event loop read and watch of each resource. One thread writes, any thread reads: plain loads and
// stores, no locked instruction.

import Synchronization

#if canImport(Glibc)
import Glibc
#endif

/// The reads and watches of one event loop by resource. Changed on that loop only.
public final class ResourceTraffic: @unchecked Sendable {
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

    deinit { free(cells) }

    @inline(__always)
    public func add(_ amount: Int, _ field: Field, of resource: ResourceID) {
        let cell = cells + Int(resource.rawValue) * Self.stride + field.rawValue
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    /// A range that is ready was answered.
    public func count(_ answer: RangeAnswer, of resource: ResourceID) {
        add(1, answer.cursor == nil ? .gets : .lists, of: resource)
        add(answer.encodedLength, answer.cursor == nil ? .getBytes : .listBytes, of: resource)
        if let cursor = answer.cursor { add(cursor.keyValueCount, .listKeys, of: resource) }
    }

    public func value(_ field: Field, of resource: ResourceID) -> Int {
        cells[Int(resource.rawValue) * Self.stride + field.rawValue].load(ordering: .relaxed)
    }
}
