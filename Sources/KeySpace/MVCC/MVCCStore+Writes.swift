// Applying entries: the apply thread's side of the store.

import Storage
import Wire

extension MVCCStore {
    // MARK: Entries and chunks

    /// Starts an entry of the replicated log; its changes become one frame, so all or none survive a crash.
    public func beginEntry(raftIndex: UInt64, term: UInt64) {
        precondition(!isInEntry, "an entry inside an entry")
        holdLock()
        isInEntry = true
        entryChanges = 0
        appliedIndex = raftIndex
        appliedTerm = term
        log.beginFrame(raftIndex: raftIndex, term: term)
    }

    /// Ends the entry. The store's revision advances by one if a key changed.
    public func endEntry() {
        precondition(isInEntry)
        if entryChanges > 0 { workingRevision += 1 }
        isInEntry = false
        entryChanges = 0
        log.endFrame()
    }

    /// The revision that a response of the running entry reports: the new one once something has changed.
    public var entryRevision: Int64 { entryChanges > 0 ? workingRevision + 1 : workingRevision }

    /// The last compaction's revision, as the apply thread sees it.
    public var entryCompactRevision: Int64 { workingCompacted }

    /// Writes the chunk's frames to the log and shows its changes to readers. Called once per chunk of entries.
    ///
    /// On an error nothing is lost and nothing is shown: readers go on at the old revision. The apply thread must
    /// not answer the chunk's callers; it retries `publish()` (for a full disk: until space is there) before it
    /// applies anything else, or stops the server.
    public func publish() throws(StorageError) {
        precondition(!isInEntry, "publishing in the middle of an entry")
        holdLock()
        do {
            if log.hasPending { try log.flush() }
        } catch {
            hasUnpublished = true
            releaseLock()
            throw error
        }
        hasUnpublished = false
        makeVisible()
        let mustWake = scheduledCompaction
        scheduledCompaction = false
        releaseLock()
        if mustWake { wakeMaintenance?() }
    }

    // MARK: Keys

    /// Puts a key and returns the version that it replaced, if the key existed.
    @discardableResult
    public func put(key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, lease: Int64) -> KeyVersion? {
        precondition(isInEntry)
        let located = table.index.locate(key)
        var previous: KeyVersion?
        if let located {
            let newest = table.version(located.newest)
            if !newest.isTombstone { previous = newest }
        }
        let modified = nextRevision()
        let created = previous?.created ?? modified.main
        let version = (previous?.version ?? 0) + 1
        let location = log.append(
            kind: .put, main: modified.main, sub: modified.sub, payloadCapacity: key.count + value.count + 64
        ) { sink in
            sink.field(1, key)
            sink.field(2, created)
            sink.field(3, modified.main)
            sink.field(4, version)
            sink.field(5, value)
            sink.field(6, lease)
        }
        countAppended(Int(location.length))
        let entry = table.append(
            key: key, located: located, modified: modified, created: created, version: version, lease: lease,
            location: location)
        let account = table.accounts[entry.resource]
        account.pointee.puts += 1
        account.pointee.putBytes += Int64(key.count + value.count)
        return previous
    }

    /// Deletes the keys of a range in key order and returns how many there were.
    ///
    /// - Parameter each: called with every version that is about to be replaced by a tombstone.
    @discardableResult
    public func deleteRange(
        key: UnsafeRawBufferPointer, rangeEnd: UnsafeRawBufferPointer, each: (KeyVersion) -> Void = { _ in }
    ) -> Int64 {
        precondition(isInEntry)
        let range = KeyRange(key: key, rangeEnd: rangeEnd)
        if range.isSingle {
            guard let entry = table.index.find(key), !table.slab[entry.newest].pointee.isTombstone else { return 0 }
            each(table.version(entry.newest))
            appendTombstone(entry)
            return 1
        }
        var deleted: Int64 = 0
        // A tombstone clears a bit and adds a version; the tree keeps its shape and the cursor its place.
        var cursor = table.index.cursor(range)
        while let entry = cursor.nextLive() {
            each(table.version(entry.newest))
            appendTombstone(entry)
            deleted += 1
        }
        return deleted
    }

    private func appendTombstone(_ entry: KeyEntry) {
        let modified = nextRevision()
        let location = log.append(
            kind: .tombstone, main: modified.main, sub: modified.sub, payloadCapacity: entry.length + 8
        ) { sink in
            sink.field(1, entry.bytes)
        }
        countAppended(Int(location.length))
        guard table.index.locate(entry.bytes) == entry else { preconditionFailure("a live key is not in the index") }
        table.append(
            key: entry.bytes, located: entry, modified: modified, created: 0, version: 0, lease: 0, location: location)
        table.accounts[entry.resource].pointee.deletes += 1
    }

    private func nextRevision() -> Revision {
        defer { entryChanges += 1 }
        return Revision(main: workingRevision + 1, sub: entryChanges)
    }

    /// The live version of a key as the running entry sees it, its own changes included.
    public func lookup(_ key: UnsafeRawBufferPointer) -> KeyVersion? {
        precondition(holdsLock)
        guard let entry = table.index.find(key), !table.slab[entry.newest].pointee.isTombstone else { return nil }
        return table.version(entry.newest)
    }

    // MARK: Everything else that is replicated

    public func metaPut(_ bucket: MetaBucket, key: [UInt8], value: [UInt8]) {
        precondition(isInEntry)
        log.append(kind: .metaPut, main: 0, sub: 0, payloadCapacity: key.count + value.count + 16) { sink in
            MetaRecord.encode(bucket, key: key, value: value, into: sink)
        }
        countAppended(key.count + value.count)
        meta.put(bucket, key, value)
    }

    public func metaDelete(_ bucket: MetaBucket, key: [UInt8]) {
        precondition(isInEntry)
        log.append(kind: .metaDelete, main: 0, sub: 0, payloadCapacity: key.count + 16) { sink in
            MetaRecord.encode(bucket, key: key, value: [], into: sink)
        }
        countAppended(key.count)
        meta.delete(bucket, key)
    }

    @inline(__always)
    private func countAppended(_ payload: Int) {
        tailBytes += payload + StoreLimits.recordOverhead
        appendedBytes += payload + StoreLimits.recordOverhead
    }
}

/// Payload of a meta record: bucket number, length of the key, key, value.
enum MetaRecord {
    static func encode(_ bucket: MetaBucket, key: [UInt8], value: [UInt8], into sink: ByteSink) {
        sink.append(byte: bucket.rawValue)
        sink.varint(UInt64(key.count))
        sink.append(key)
        sink.append(value)
    }

    static func decode(_ payload: UnsafeRawBufferPointer) throws(ProtobufError) -> (MetaBucket, key: [UInt8], value: [UInt8]) {
        guard payload.count > 0, let bucket = MetaBucket(rawValue: payload[0]) else { throw .invalidTag }
        var reader = ProtobufReader(UnsafeRawBufferPointer(rebasing: payload[1...]))
        let key = try reader.bytes()
        let valueStart = key.baseAddress.map { $0 + key.count } ?? payload.baseAddress! + 2
        let value = UnsafeRawBufferPointer(start: valueStart, count: payload.baseAddress! + payload.count - valueStart)
        return (bucket, Array(key), Array(value))
    }
}
