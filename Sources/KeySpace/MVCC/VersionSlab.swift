// The memory of all versions: fixed structs in chunks, addressed by a 32-bit slot, with a free list.

/// Allocates version records. A record's address is stable; guarded by the store's lock.
final class VersionSlab {
    private static let chunkShift: UInt32 = 16
    private static let chunkSize = 1 << Int(chunkShift)
    private static let maximumChunks = 1 << 16

    private let chunks: UnsafeMutablePointer<UnsafeMutablePointer<VersionRecord>>
    private var chunkCount = 0
    /// Slots handed out at least once.
    private var used: UInt32 = 0
    private var firstFree = KeyEntry.noVersion
    /// Slots in use, dead ones included.
    private(set) var count = 0

    init() {
        // Only the pages that are written exist.
        chunks = .allocate(capacity: VersionSlab.maximumChunks)
    }

    deinit {
        for chunk in 0..<chunkCount { chunks[chunk].deallocate() }
        chunks.deallocate()
    }

    @inline(__always)
    subscript(slot: UInt32) -> UnsafeMutablePointer<VersionRecord> {
        chunks[Int(slot >> VersionSlab.chunkShift)] + Int(slot & UInt32(VersionSlab.chunkSize - 1))
    }

    func allocate() -> UInt32 {
        count += 1
        if firstFree != KeyEntry.noVersion {
            let slot = firstFree
            firstFree = self[slot].pointee.previous
            return slot
        }
        let slot = used
        precondition(slot < KeyEntry.noVersion, "more versions than 32-bit slots")
        if Int(slot) == chunkCount * VersionSlab.chunkSize {
            chunks[chunkCount] = .allocate(capacity: VersionSlab.chunkSize)
            chunkCount += 1
        }
        used += 1
        return slot
    }

    func free(_ slot: UInt32) {
        self[slot].pointee.version = VersionRecord.dead
        self[slot].pointee.previous = firstFree
        firstFree = slot
        count -= 1
    }

    /// The next older version of the same key that still exists.
    ///
    /// A link may outlive its target. A live target of the same key that is older is the right one: a re-used
    /// slot holds a later revision than the link's owner, and a key's address is not re-used while the owner lives.
    @inline(__always)
    func previous(of record: UnsafeMutablePointer<VersionRecord>) -> UInt32? {
        let slot = record.pointee.previous
        guard slot != KeyEntry.noVersion else { return nil }
        let target = self[slot]
        guard !target.pointee.isDead, target.pointee.key == record.pointee.key,
            target.pointee.revision < record.pointee.revision
        else { return nil }
        return slot
    }

    /// The newest version of `key` at or before main revision `main`, tombstones included.
    @inline(__always)
    func newest(of key: KeyEntry, at main: Int64) -> UInt32? {
        var slot = key.newest
        while true {
            let record = self[slot]
            if record.pointee.main <= main { return slot }
            guard let older = previous(of: record) else { return nil }
            slot = older
        }
    }
}
