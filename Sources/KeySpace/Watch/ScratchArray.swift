// A growable array of plain values with the lifetime of its owner. An `Array` in a class property is checked for
// exclusive access at each use, which was half the cost of fanning an event out.

/// Elements must be trivial: nothing is retained, released or destroyed.
final class ScratchArray<Element> {
    private var base: UnsafeMutablePointer<Element>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int = 16) {
        base = .allocate(capacity: capacity)
        self.capacity = capacity
    }

    deinit { base.deallocate() }

    @inline(__always)
    var isEmpty: Bool { count == 0 }

    /// The address of an element; good until something is appended.
    @inline(__always)
    subscript(index: Int) -> UnsafeMutablePointer<Element> {
        assert(index >= 0 && index < count)
        return base + index
    }

    @inline(__always)
    func append(_ element: Element) {
        if count == capacity { grow() }
        (base + count).initialize(to: element)
        count += 1
    }

    @inline(never)
    private func grow() {
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
        larger.moveInitialize(from: base, count: count)
        base.deallocate()
        base = larger
        capacity *= 2
    }

    /// Forgets the elements; memory beyond `limit` elements is given back.
    func clear(keeping limit: Int) {
        count = 0
        guard capacity > limit else { return }
        base.deallocate()
        capacity = max(limit, 1)
        base = .allocate(capacity: capacity)
    }

    var elements: UnsafeBufferPointer<Element> { UnsafeBufferPointer(start: base, count: count) }
}
