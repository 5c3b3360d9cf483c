// The slab of calls of one event loop.

/// Slots in chunks, so that a slot never moves: a pointer to it stays good while the table grows.
struct CallTable {
    static let none = UInt32.max
    private static let chunkBits = 8
    private static let chunkSize = 1 << chunkBits

    private var chunks: [UnsafeMutablePointer<CallSlot>] = []
    private var firstFree = CallTable.none
    private(set) var takenCount = 0

    var capacity: Int { chunks.count << Self.chunkBits }

    @inline(__always)
    subscript(index: UInt32) -> UnsafeMutablePointer<CallSlot> {
        chunks[Int(index) >> Self.chunkBits] + (Int(index) & (Self.chunkSize - 1))
    }

    /// The slot of a handle, if the handle is not stale. Dead calls are found until they are released.
    @inline(__always)
    func find(_ index: UInt32, _ generation: UInt32) -> UnsafeMutablePointer<CallSlot>? {
        guard Int(index) >> Self.chunkBits < chunks.count else { return nil }
        let slot = self[index]
        return slot.pointee.generation == generation && slot.pointee.flags.contains(.taken) ? slot : nil
    }

    mutating func take() -> UInt32 {
        if firstFree == Self.none { addChunk() }
        let index = firstFree
        let slot = self[index]
        firstFree = slot.pointee.next
        assert(!slot.pointee.flags.contains(.taken))
        slot.pointee.flags = .taken
        slot.pointee.next = Self.none
        slot.pointee.previous = Self.none
        takenCount += 1
        return index
    }

    /// Gives a slot back. Its resources must be released already; the generation makes old handles stale.
    mutating func release(_ index: UInt32) {
        let slot = self[index]
        precondition(slot.pointee.flags.contains(.taken), "a call slot was released twice")
        slot.pointee.flags = []
        slot.pointee.generation &+= 1
        slot.pointee.previous = Self.none
        slot.pointee.next = firstFree
        firstFree = index
        takenCount -= 1
    }

    private mutating func addChunk() {
        let chunk = UnsafeMutablePointer<CallSlot>.allocate(capacity: Self.chunkSize)
        chunk.initialize(repeating: CallSlot(), count: Self.chunkSize)
        let start = chunks.count << Self.chunkBits
        chunks.append(chunk)
        for offset in stride(from: Self.chunkSize - 1, through: 0, by: -1) {
            (chunk + offset).pointee.next = firstFree
            firstFree = UInt32(start + offset)
        }
    }

    /// Walks everything that must hold; for tests.
    func checkInvariants() {
        var free = 0
        var index = firstFree
        while index != Self.none {
            precondition(!self[index].pointee.flags.contains(.taken), "a taken slot is in the free list")
            free += 1
            precondition(free <= capacity, "the free list has a cycle")
            index = self[index].pointee.next
        }
        precondition(free + takenCount == capacity, "slots are lost: \(free) free, \(takenCount) taken of \(capacity)")
    }

    /// Frees the memory. No slot may be taken.
    mutating func destroy() {
        precondition(takenCount == 0)
        for chunk in chunks {
            for offset in 0..<Self.chunkSize { (chunk + offset).pointee.output.destroy() }
            chunk.deinitialize(count: Self.chunkSize)
            chunk.deallocate()
        }
        chunks = []
        firstFree = Self.none
    }
}
