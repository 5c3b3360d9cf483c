// Reading: any thread, without locks. What keeps a file open under a reader is explained in ReaderEpochs.swift.

import Wire

#if canImport(Glibc)
import Glibc
#endif

extension RevisionLog {
    /// Reads a record's payload. On the apply thread this also works for records that are still pending.
    @inline(__always)
    public func read(_ location: RecordLocation, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
        precondition(buffer.count >= Int(location.length), "a record of \(location.length) bytes into \(buffer.count)")
        try read(
            segment: location.segment, offset: location.offset,
            into: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: Int(location.length)))
    }

    /// Reads a range of a segment: several records that lie close together, with what is between them.
    public func read(segment id: UInt32, offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
        guard buffer.count > 0 else { return }
        let pin = epochs.enter()
        do throws(StorageError) {
            try readPinned(id, offset, buffer)
        } catch {
            epochs.leave(pin)
            throw error
        }
        epochs.leave(pin)
    }

    /// Reads `length` bytes of a segment, all of them written, into several places one after the other.
    ///
    /// - Parameter places: `FileLimits.vectorsMax` at most; their content is used up.
    public func read(
        segment id: UInt32, offset: UInt64, length: Int, scattered places: UnsafeMutableBufferPointer<iovec>
    ) throws(StorageError) {
        let pin = epochs.enter()
        let failure: StorageError?
        if let found = table.find(id) {
            failure = found._withUnsafeGuaranteedRef { segment in
                do throws(StorageError) {
                    guard offset + UInt64(length) <= segment.written else {
                        throw StorageError(.read, segment.path, .refused("\(length) bytes at \(offset) are not written"))
                    }
                    let count = try segment.file!.read(scattered: places, at: offset)
                    if count != length { throw endsEarly(segment, at: offset + UInt64(count)) }
                    return nil
                } catch {
                    return error
                }
            }
        } else {
            failure = StorageError(.read, directory, .stale)
        }
        epochs.leave(pin)
        if let failure { throw failure }
    }

    private func endsEarly(_ segment: Segment, at end: UInt64) -> StorageError {
        StorageError(.read, segment.path, .corrupt("the file ends at \(end), \(segment.written) bytes were written"))
    }

    @inline(__always)
    private func readPinned(_ id: UInt32, _ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
        guard let found = table.find(id) else { throw StorageError(.read, directory, .stale) }
        // A result instead of a throw: Unmanaged forwards untyped errors only.
        let failure: StorageError? = found._withUnsafeGuaranteedRef { segment in
            do throws(StorageError) {
                try readFrom(segment, offset, buffer)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    private func readFrom(_ segment: Segment, _ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
        let written = segment.written
        guard offset + UInt64(buffer.count) <= written else {
            guard offset < written else { return try copyPending(segment, offset, buffer) }
            // Records read together may lie on both sides of what is written so far.
            let head = Int(written - offset)
            try readFrom(segment, offset, UnsafeMutableRawBufferPointer(rebasing: buffer[..<head]))
            return try copyPending(segment, written, UnsafeMutableRawBufferPointer(rebasing: buffer[head...]))
        }
        let count = try segment.file!.read(into: buffer, at: offset)
        if count != buffer.count { throw endsEarly(segment, at: offset + UInt64(count)) }
    }

    private func copyPending(_ segment: Segment, _ offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer) throws(StorageError) {
        for index in blocks.indices where blocks[index].segment === segment && offset >= blocks[index].fileOffset {
            let start = blocks[index].start + Int(offset - blocks[index].fileOffset)
            let end = index + 1 < blocks.count ? blocks[index + 1].start : pending.count
            guard start + buffer.count <= end else { break }
            memcpy(buffer.baseAddress!, pending.base + start, buffer.count)
            return
        }
        throw StorageError(.read, segment.path, .refused("\(buffer.count) bytes at \(offset) are not written"))
    }

    /// Keeps every location readable that is valid now or becomes valid while the pin is held, even if garbage
    /// collection moves the record. Take it before looking locations up, hold it for the length of a read, not longer:
    /// it holds back the removal of collected files.
    public func pinReads() -> ReadPin { epochs.enter() }

    public func unpinReads(_ pin: consuming ReadPin) { epochs.leave(pin) }

    /// Says that a version's record is no longer needed.
    @inline(__always)
    public func release(_ location: RecordLocation) {
        let pin = epochs.enter()
        if let segment = table.find(location.segment) {
            segment._withUnsafeGuaranteedRef { $0.addLive(-(RecordFormat.recordHeader + Int(location.length))) }
        }
        epochs.leave(pin)
    }
}
