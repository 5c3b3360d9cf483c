// Beginning a new file, and letting go of old ones.

import Wire

extension WriteAheadLog {
    /// Goes on in a new file once the active one has reached its size.
    func cutIfFull() throws(StorageError) {
        if end >= options.segmentBytes { try cut() }
    }

    /// Ends the active file and begins the next one. After an error the log is as before, and the next append tries
    /// again.
    public func cut() throws(StorageError) {
        try sync()
        let old = active
        preparer.stopZeroing()
        // The old file gets its true length before the new one exists: from then on an incomplete record in it is damage.
        try old.file.truncate(to: bufferStart)
        try makeDurable { () throws(StorageError) in try old.file.sync() }

        let sequence = old.sequence + 1
        let index = lastIndex + 1
        let prepared = try preparer.take()
        let path = directory + "/" + WALFormat.name(sequence: sequence, index: index)
        let head = ByteSink(capacity: 512)
        var running = crc
        do throws(StorageError) {
            try prepared.file.lock()
            encodeHead(to: head, crc: &running)
            try prepared.file.write(head.bytes, at: 0)
            try makeDurable { () throws(StorageError) in try prepared.file.sync() }
            try fileSystem.rename(prepared.path, to: path)
        } catch {
            preparer.discard(prepared.path, prepared.file)
            throw error
        }
        segments.append(SegmentFile(sequence: sequence, index: index, path: path, file: prepared.file))
        bufferStart = UInt64(head.count)
        crc = running
        preparer.adopt(prepared, from: bufferStart)
        try makeDurable { () throws(StorageError) in try fileSystem.syncDirectory(directory) }
        purge()
    }

    /// What every file but the first begins with.
    func encodeHead(to sink: ByteSink, crc: inout UInt32) {
        WALFormat.appendChecksum(crc, to: sink)
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        metadataBytes.withUnsafeBytes { crc = WALFormat.append(.metadata, head: $0, body: nothing, crc: crc, to: sink) }
        guard !hardState.isEmpty else { return }
        scratch.clear()
        hardState.encode(to: scratch)
        crc = WALFormat.append(.state, head: scratch.bytes, body: nothing, crc: crc, to: sink)
    }

    func makeDurable(_ body: () throws(StorageError) -> Void) throws(StorageError) {
        if options.skipsSync { return }
        do throws(StorageError) {
            try body()
        } catch {
            hasFailed = true
            throw error
        }
    }

    /// Says that entries up to `index` are not needed for a restart. The file that contains the index stays, and
    /// everything behind it; so do the newest `maximumFiles` files.
    public func release(through index: LogIndex) throws(StorageError) {
        try checkHealth()
        // The active file is always needed.
        guard let needed = segments.lastIndex(where: { $0.index <= index }) else { return }
        releasedCount = max(releasedCount, min(needed, segments.count - 1))
        purge()
    }

    /// Removes released files above the number that is kept; one of them becomes the next segment. A removal that fails
    /// is tried again with the next cut or release.
    private func purge() {
        while releasedCount > 0, segments.count > max(options.maximumFiles, 1) {
            let oldest = segments[0]
            if !preparer.recycle(path: oldest.path, file: oldest.file) {
                guard (try? fileSystem.remove(oldest.path)) != nil else { return }
                oldest.file.close()
            }
            segments.removeFirst()
            releasedCount -= 1
        }
    }
}
