// Appending and syncing.

import CShims
import Wire

extension WriteAheadLog {
    /// Appends entries, then the state if there is a new one. Nothing is durable before `sync()`; call that when there
    /// are entries, or when term or vote changed.
    ///
    /// After an error the log is as before the call: it may be repeated once a full disk has space again.
    public func append(hardState state: HardState?, entries: UnsafeBufferPointer<Entry>) throws(StorageError) {
        try checkHealth()
        try cutIfFull()
        try atomically { (log) throws(StorageError) in
            for index in entries.indices { log.encode(entries[index]) }
            if let state, !state.isEmpty {
                log.hardState = state
                log.encodeState()
            }
            try log.writePages()
        }
    }

    public func append(hardState state: HardState?, entries: [Entry]) throws(StorageError) {
        let result: Result<Void, StorageError> = entries.withUnsafeBufferPointer { view in
            do throws(StorageError) { return .success(try append(hardState: state, entries: view)) } catch { return .failure(error) }
        }
        try result.get()
    }

    /// Records that everything up to the snapshot is kept elsewhere, and syncs.
    public func saveSnapshot(_ snapshot: SnapshotMetadata) throws(StorageError) {
        try checkHealth()
        try cutIfFull()
        try atomically { (log) throws(StorageError) in
            let record = WALSnapshot(
                index: snapshot.index, term: snapshot.term, configuration: snapshot.index > 0 ? snapshot.configuration : nil)
            log.encode(.snapshot) { record.encode(to: $0) }
            log.lastIndex = max(log.lastIndex, snapshot.index)
            try log.writePages()
        }
        try sync()
    }

    /// Makes everything appended durable: one write of what is buffered, one fdatasync.
    ///
    /// A failed sync is final. What it left on the disk is not known, so the log refuses everything from then on.
    ///
    /// - Returns: nanoseconds that the fdatasync took.
    @discardableResult
    public func sync() throws(StorageError) -> UInt64 {
        try checkHealth()
        try write(buffer.count)
        guard isDirty, !options.skipsSync else { return 0 }
        let began = martlet_monotonic_ns()
        do throws(StorageError) {
            try active.file.sync()
        } catch {
            hasFailed = true
            throw error
        }
        isDirty = false
        return martlet_monotonic_ns() - began
    }

    func checkHealth() throws(StorageError) {
        if hasFailed { throw StorageError(.sync, directory, .failedEarlier) }
    }

    // MARK: Encoding

    /// Runs a change of the log that leaves no trace if it fails.
    func atomically(_ body: (WriteAheadLog) throws(StorageError) -> Void) throws(StorageError) {
        let before = (count: buffer.count, crc: crc, state: hardState, last: lastIndex)
        do throws(StorageError) {
            try body(self)
        } catch {
            buffer.truncate(to: before.count)
            crc = before.crc
            hardState = before.state
            lastIndex = before.last
            throw error
        }
    }

    func encode(_ entry: Entry) {
        scratch.clear()
        scratch.always(1, entry.kind.rawValue)
        scratch.always(2, entry.term)
        scratch.always(3, entry.index)
        if !entry.data.isEmpty {
            scratch.tag(4, .bytes)
            scratch.varint(UInt64(entry.data.count))
        }
        crc = entry.data.withUnsafeBytes {
            WALFormat.append(.entry, head: scratch.bytes, body: $0, crc: crc, to: buffer)
        }
        lastIndex = entry.index
    }

    func encodeState() {
        encode(.state) { hardState.encode(to: $0) }
    }

    func encode(_ type: WALFormat.RecordType, _ body: (ByteSink) -> Void) {
        scratch.clear()
        body(scratch)
        crc = WALFormat.append(type, head: scratch.bytes, body: UnsafeRawBufferPointer(start: nil, count: 0), crc: crc, to: buffer)
    }

    // MARK: Writing

    /// Hands whole pages to the kernel once enough is buffered.
    func writePages() throws(StorageError) {
        guard buffer.count >= WALFormat.bufferBytes else { return }
        let pageEnd = end / WALFormat.pageBytes * WALFormat.pageBytes
        if pageEnd > bufferStart { try write(Int(pageEnd - bufferStart)) }
    }

    /// Writes the first `count` buffered bytes.
    private func write(_ count: Int) throws(StorageError) {
        guard count > 0 || dirtyEnd > end else { return }
        let file = active.file
        preparer.waitForWriter(through: max(end, dirtyEnd))
        do throws(StorageError) {
            if count > 0 { try file.write(UnsafeRawBufferPointer(rebasing: buffer.bytes[..<count]), at: bufferStart) }
            if dirtyEnd > end, count == buffer.count { try zero(file, from: end, to: dirtyEnd) }
        } catch {
            dirtyEnd = max(dirtyEnd, bufferStart + UInt64(count))
            throw error
        }
        if count == buffer.count { dirtyEnd = 0 }
        isDirty = true
        bufferStart += UInt64(count)
        writtenBytes += UInt64(count)
        if count == buffer.count { buffer.clear(keeping: 4 * WALFormat.bufferBytes) } else { buffer.removeFirst(count) }
        if bufferStart > options.segmentBytes / 2 { preparer.prepareNext() }
    }

    private func zero(_ file: any File, from start: UInt64, to end: UInt64) throws(StorageError) {
        let zeros = [UInt8](repeating: 0, count: Int(min(end - start, 1 << 20)))
        var position = start
        while position < end {
            let count = Int(min(end - position, UInt64(zeros.count)))
            let failure: StorageError? = zeros.withUnsafeBytes {
                do throws(StorageError) {
                    try file.write(UnsafeRawBufferPointer(rebasing: $0[..<count]), at: position)
                    return nil
                } catch {
                    return error
                }
            }
            if let failure { throw failure }
            position += UInt64(count)
        }
    }
}
