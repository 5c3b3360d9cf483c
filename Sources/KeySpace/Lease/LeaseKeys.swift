// The keys attached to one lease: packed bytes, and a hash table once there are more than a few. Most leases
// have one key or none, some have thousands, and there may be half a million leases.

#if canImport(Glibc)
import Glibc
#endif

/// A set of keys. Owns memory: `deallocate` ends it. Not copyable in spirit; it lives in one slot of the lease slab.
struct LeaseKeys: @unchecked Sendable {
    // Unchecked: the memory is reached only through the store's lock, or by the one who took the lease out.

    /// Records one behind the other: a header word (length << 1 | isDead) and the key.
    private var bytes: UnsafeMutableRawPointer?
    private var used = 0
    private var capacity = 0
    /// Bytes of dead records.
    private var dead = 0
    private(set) var count = 0
    /// Offsets of records, open addressing; nil while the keys are few.
    private var table: UnsafeMutablePointer<Int>?
    private var mask = 0
    /// Slots of the table that are not empty, deleted ones included.
    private var occupied = 0

    private static let empty = -1
    private static let deleted = -2
    private static let headerSize = 8

    func deallocate() {
        free(bytes)
        table?.deallocate()
    }

    /// Memory beyond the slot itself.
    var memory: Int { capacity + (table == nil ? 0 : (mask + 1) * MemoryLayout<Int>.stride) }

    // MARK: Changes

    /// Adds a key; false if it was there.
    mutating func insert(_ key: UnsafeRawBufferPointer) -> Bool {
        guard find(key) == nil else { return false }
        let offset = append(key)
        count += 1
        if table == nil {
            if count > LeaseLimits.linearKeys { rebuildTable() }
        } else if (occupied + 1) * 4 > (mask + 1) * 3 {
            rebuildTable()
        } else {
            addToTable(offset, hash: LeaseKeys.hash(key))
        }
        return true
    }

    /// Takes a key out; false if it was not there.
    mutating func remove(_ key: UnsafeRawBufferPointer) -> Bool {
        guard let found = find(key) else { return false }
        setHeader(found.offset, length: key.count, isDead: true)
        dead += LeaseKeys.headerSize + key.count
        count -= 1
        if let table { table[found.slot] = LeaseKeys.deleted }
        if count == 0 {
            deallocate()
            self = LeaseKeys()
        } else if dead * 2 > used {
            compact()
        }
        return true
    }

    func contains(_ key: UnsafeRawBufferPointer) -> Bool { find(key) != nil }

    func forEach(_ body: (UnsafeRawBufferPointer) -> Void) {
        var offset = 0
        while offset < used {
            let (length, isDead) = header(offset)
            if !isDead { body(key(at: offset, length)) }
            offset += LeaseKeys.headerSize + length
        }
    }

    /// Copies of the keys in byte order.
    func sorted() -> [[UInt8]] {
        var keys: [UnsafeRawBufferPointer] = []
        keys.reserveCapacity(count)
        forEach { keys.append($0) }
        keys.sort { compareKeys($0, $1) < 0 }
        return keys.map { [UInt8]($0) }
    }

    // MARK: Records

    @inline(__always)
    private func header(_ offset: Int) -> (length: Int, isDead: Bool) {
        let word = bytes.unsafelyUnwrapped.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
        return (Int(word >> 1), word & 1 != 0)
    }

    private func setHeader(_ offset: Int, length: Int, isDead: Bool) {
        bytes.unsafelyUnwrapped.storeBytes(of: UInt64(length) << 1 | (isDead ? 1 : 0), toByteOffset: offset, as: UInt64.self)
    }

    @inline(__always)
    private func key(at offset: Int, _ length: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: bytes.unsafelyUnwrapped + offset + LeaseKeys.headerSize, count: length)
    }

    private mutating func append(_ key: UnsafeRawBufferPointer) -> Int {
        let size = LeaseKeys.headerSize + key.count
        if capacity - used < size {
            // The first record gets exactly what it needs: most leases have only one.
            let wanted = capacity == 0 ? size : max(used + size, capacity + capacity / 2)
            guard let moved = realloc(bytes, wanted) else { fatalError("out of memory: the keys of a lease") }
            bytes = moved
            capacity = wanted
        }
        let offset = used
        setHeader(offset, length: key.count, isDead: false)
        if let source = key.baseAddress { memcpy(bytes.unsafelyUnwrapped + offset + LeaseKeys.headerSize, source, key.count) }
        used += size
        return offset
    }

    /// Squeezes dead records out.
    private mutating func compact() {
        guard let base = bytes else { return }
        var from = 0
        var to = 0
        while from < used {
            let (length, isDead) = header(from)
            let size = LeaseKeys.headerSize + length
            if !isDead {
                if to != from { memmove(base + to, base + from, size) }
                to += size
            }
            from += size
        }
        used = to
        dead = 0
        if let smaller = realloc(base, max(used, 1)) {
            bytes = smaller
            capacity = used
        }
        if count <= LeaseLimits.linearKeys / 2 {
            table?.deallocate()
            table = nil
            mask = 0
            occupied = 0
        } else if table != nil {
            rebuildTable()
        }
    }

    // MARK: Lookup

    private func find(_ wanted: UnsafeRawBufferPointer) -> (offset: Int, slot: Int)? {
        guard count > 0 else { return nil }
        guard let table else {
            var offset = 0
            while offset < used {
                let (length, isDead) = header(offset)
                if !isDead, length == wanted.count, compareKeys(key(at: offset, length), wanted) == 0 { return (offset, 0) }
                offset += LeaseKeys.headerSize + length
            }
            return nil
        }
        var slot = LeaseKeys.hash(wanted) & mask
        while table[slot] != LeaseKeys.empty {
            let offset = table[slot]
            if offset >= 0 {
                let (length, _) = header(offset)
                if length == wanted.count, compareKeys(key(at: offset, length), wanted) == 0 { return (offset, slot) }
            }
            slot = (slot + 1) & mask
        }
        return nil
    }

    private mutating func addToTable(_ offset: Int, hash: Int) {
        let table = table.unsafelyUnwrapped
        var slot = hash & mask
        while table[slot] >= 0 { slot = (slot + 1) & mask }
        if table[slot] == LeaseKeys.empty { occupied += 1 }
        table[slot] = offset
    }

    private mutating func rebuildTable() {
        table?.deallocate()
        var size = 32
        while size < count * 2 { size *= 2 }
        let new = UnsafeMutablePointer<Int>.allocate(capacity: size)
        new.initialize(repeating: LeaseKeys.empty, count: size)
        table = new
        mask = size - 1
        occupied = 0
        var offset = 0
        while offset < used {
            let (length, isDead) = header(offset)
            if !isDead { addToTable(offset, hash: LeaseKeys.hash(key(at: offset, length))) }
            offset += LeaseKeys.headerSize + length
        }
    }

    /// Seeded for the process: clients choose keys, so they must not know the collisions.
    private static let seed = UInt64.random(in: 1 ... .max)

    @inline(__always)
    private static func hash(_ key: UnsafeRawBufferPointer) -> Int { Int(truncatingIfNeeded: hashKey(key, seed: seed)) & .max }

    // MARK: Invariants

    func checkInvariants() {
        var live = 0
        var deadBytes = 0
        var offset = 0
        while offset < used {
            let (length, isDead) = header(offset)
            if isDead {
                deadBytes += LeaseKeys.headerSize + length
            } else {
                live += 1
                precondition(find(key(at: offset, length))?.offset == offset, "a key of a lease is not found")
            }
            offset += LeaseKeys.headerSize + length
        }
        precondition(offset == used && used <= capacity && live == count && deadBytes == dead)
        precondition(table != nil || count <= LeaseLimits.linearKeys)
        precondition(count > 0 || (bytes == nil && table == nil), "no keys, but memory")
    }
}
