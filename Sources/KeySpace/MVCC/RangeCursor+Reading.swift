// The reading pass of a range answer: whole elements go straight into the caller's memory; one that does not fit is
// staged and handed out in pieces.

import Storage
import Wire

#if canImport(Glibc)
import Glibc
#endif

extension RangeCursor {
    /// Whether everything was handed out.
    public var isExhausted: Bool { wroteTrailer && stagedOffset == staged.count }

    /// Bytes behind the elements: `more` and `count`.
    public var trailerLength: Int { encodedLength - elementsLength }

    /// What the next elements take that together have at least `wanted` bytes: all of them, or as many as are known
    /// without another walk. To be asked when what was measured before has been read.
    ///
    /// - Returns: their bytes, and whether no others follow.
    public func nextElements(reaching wanted: Int) -> (bytes: Int, isLast: Bool) {
        precondition(isReady && stagedOffset == staged.count, "elements are measured while others are being read")
        guard elementsRead < keyValueCount else { return (0, true) }
        if nextSlot == slots.count { refill() }
        var bytes = 0
        var slot = nextSlot
        while slot < slots.count, bytes < wanted {
            let stop = min(slot + StoreLimits.keysPerLockHold, slots.count)
            locked {
                while slot < stop, bytes < wanted {
                    bytes += plan.elementLength(store.table.slab[slots[slot]])
                    slot += 1
                }
            }
        }
        return (bytes, elementsRead + slot - nextSlot == keyValueCount)
    }

    /// Writes the whole answer behind what the sink holds.
    func write(to sink: ByteSink) throws(StorageError) {
        precondition(isReady, "an answer is written before its length is known")
        let length = encodedLength
        sink.reserve(length)
        let target = UnsafeMutableRawBufferPointer(start: sink.base + sink.count, count: length)
        var written = 0
        while written < length {
            let count = try read(into: UnsafeMutableRawBufferPointer(rebasing: target[written...]))
            precondition(count > 0, "an answer of \(length) bytes ended after \(written)")
            written += count
        }
        sink.append(uninitializedCapacity: length) { _ in length }
    }

    /// Appends up to `limit` bytes of the answer; fewer only at its end.
    public func read(into sink: ByteSink, upTo limit: Int) throws(StorageError) -> Int {
        sink.reserve(limit)
        let count = try read(into: UnsafeMutableRawBufferPointer(start: sink.base + sink.count, count: limit))
        sink.append(uninitializedCapacity: count) { _ in count }
        return count
    }

    /// Fills `buffer` with the next bytes of the answer; fewer only at its end, 0 when all is read.
    ///
    /// Holds the lock for some hundreds of locations at a time and reads the records without it. The bytes of
    /// one call are bounded by the buffer, so the caller decides how long a slice is.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(StorageError) -> Int {
        try read(into: GappedBuffer(buffer))
    }

    /// The same into memory with gaps: records go from the disk's cache straight to where they are sent from.
    public func read(into buffer: GappedBuffer) throws(StorageError) -> Int {
        precondition(isReady, "an answer is read before its length is known")
        if let failure { throw failure }
        var written = 0
        while written < buffer.count {
            if stagedOffset < staged.count {
                let count = min(staged.count - stagedOffset, buffer.count - written)
                buffer.copy(UnsafeRawBufferPointer(start: staged.base + stagedOffset, count: count), to: written)
                stagedOffset += count
                written += count
                continue
            }
            if elementsRead == keyValueCount {
                guard !wroteTrailer else { break }
                staged.clear(keeping: StoreLimits.stagedBytesKept)
                stagedOffset = 0
                staged.field(3, more)
                staged.field(4, count)
                wroteTrailer = true
                continue
            }
            if nextSlot == slots.count { refill() }
            precondition(nextSlot < slots.count, "an answer lost keys of its pinned revision")
            let count = try copyElements(into: buffer.suffix(from: written))
            written += count
            if count == 0 { try stageElement() }
        }
        return written
    }

    /// Copies the next whole elements that fit; returns their bytes.
    private func copyElements(into target: GappedBuffer) throws(StorageError) -> Int {
        var position = 0
        let first = nextSlot
        // Garbage collection may move records between the look-up and the read; the pin keeps the old places.
        let pin = store.log.pinReads()
        batch.removeAll(keepingCapacity: true)
        batch.reserveCapacity(min(StoreLimits.keysPerLockHold, slots.count - first))
        locked {
            let slab = store.table.slab
            let stop = min(first + StoreLimits.keysPerLockHold, slots.count)
            while nextSlot < stop {
                let record = slab[slots[nextSlot]]
                let body = plan.bodyLength(record)
                let header = 1 + varintSize(UInt64(body))
                guard position + header + body <= target.count else { break }
                writeHeader(body, header, at: position, of: target)
                position += header
                if case .stored = plan.content {
                    batch.append(BatchElement(location: record.pointee.location, offset: position))
                } else {
                    copyKeyHeader(record, to: position, of: target)
                }
                position += body
                nextSlot += 1
            }
        }
        do {
            try readBatch(position, into: target)
        } catch {
            store.log.unpinReads(pin)
            nextSlot = first
            throw error
        }
        store.log.unpinReads(pin)
        elementsRead += nextSlot - first
        return position
    }

    @inline(__always)
    private func writeHeader(_ length: Int, _ size: Int, at position: Int, of target: GappedBuffer) {
        // Tag and length as one little-endian number: six bytes at most, lengths are 32-bit numbers.
        var bytes = UInt64(2 << 3 | 2)
        var value = UInt64(length)
        var shift: UInt64 = 8
        while value >= 0x80 {
            bytes |= (value & 0x7F | 0x80) << shift
            value >>= 7
            shift += 8
        }
        bytes |= value << shift
        bytes = bytes.littleEndian
        withUnsafeBytes(of: &bytes) { target.copy(UnsafeRawBufferPointer(rebasing: $0[..<size]), to: position) }
    }

    private func copyKeyHeader(_ record: UnsafeMutablePointer<VersionRecord>, to position: Int, of target: GappedBuffer) {
        staged.clear()
        stagedOffset = 0
        encodeKeyHeader(record)
        target.copy(staged.bytes, to: position)
        staged.clear()
    }

    private func encodeKeyHeader(_ record: UnsafeMutablePointer<VersionRecord>) {
        var lease: Int64 = 0
        if case .keysAndLease = plan.content { lease = record.pointee.lease }
        KeyHeader.encode(record, lease: lease, into: staged)
    }

    /// Reads the next element, which the caller's memory has no room for as a whole.
    private func stageElement() throws(StorageError) {
        staged.clear(keeping: StoreLimits.stagedBytesKept)
        stagedOffset = 0
        var location: RecordLocation?
        let pin = store.log.pinReads()
        locked {
            let record = store.table.slab[slots[nextSlot]]
            staged.tag(2, .bytes)
            staged.varint(UInt64(plan.bodyLength(record)))
            if case .stored = plan.content {
                location = record.pointee.location
            } else {
                encodeKeyHeader(record)
            }
        }
        if let location {
            do {
                try store.log.append(location, to: staged)
            } catch {
                store.log.unpinReads(pin)
                staged.clear()
                throw error
            }
        }
        store.log.unpinReads(pin)
        nextSlot += 1
        elementsRead += 1
    }

    /// - Parameter bytes: what the batch's elements take in the answer.
    private func readBatch(_ bytes: Int, into target: GappedBuffer) throws(StorageError) {
        guard batch.count > 0 else { return }
        // In the order of the log: what was written together is read with one call, and a disk reads forwards.
        if !isInLogOrder { batch.sort { $0.location.isBefore($1.location) } }
        // Records that are being written lie in memory; only an entry's own answer meets them.
        let isScattered = !inEntry && bytes >= batch.count * StoreLimits.scatteredRecordBytesMin
        let joinedBytes = isScattered ? StoreLimits.scatteredReadBytes : StoreLimits.joinedReadBytes
        var first = 0
        while first < batch.count {
            let start = batch[first].location
            var end = start.offset + UInt64(start.length)
            var next = first + 1
            while next < batch.count {
                let location = batch[next].location
                guard location.segment == start.segment, location.offset <= end + UInt64(StoreLimits.joinedReadGap),
                    location.offset + UInt64(location.length) - start.offset <= UInt64(joinedBytes)
                else { break }
                end = location.offset + UInt64(location.length)
                next += 1
            }
            let length = Int(end - start.offset)
            if isScattered {
                try readScattered(first..<next, into: target)
            } else {
                try readRun(first..<next, length: length, into: target)
            }
            first = next
        }
    }

    private var isInLogOrder: Bool {
        var index = 1
        while index < batch.count {
            guard batch[index - 1].location.isBefore(batch[index].location) else { return false }
            index += 1
        }
        return true
    }

    /// Reads several small records with what lies between them, and copies each to its place.
    private func readRun(_ run: Range<Int>, length: Int, into target: GappedBuffer) throws(StorageError) {
        let start = batch[run.lowerBound].location
        scratch.clear()
        scratch.reserve(length)
        try store.log.read(
            segment: start.segment, offset: start.offset,
            into: UnsafeMutableRawBufferPointer(start: scratch.base, count: length))
        for element in batch[run] {
            let distance = Int(element.location.offset - start.offset)
            target.copy(
                UnsafeRawBufferPointer(start: scratch.base + distance, count: Int(element.location.length)), to: element.offset)
        }
    }

    /// Has the kernel put each record of a run in its place, and what lies between them where nobody looks.
    private func readScattered(_ run: Range<Int>, into target: GappedBuffer) throws(StorageError) {
        scratch.clear()
        scratch.reserve(StoreLimits.joinedReadGap)
        var index = run.lowerBound
        while index < run.upperBound {
            let start = batch[index].location
            var end = start.offset
            places.removeAll(keepingCapacity: true)
            places.reserveCapacity(min(FileLimits.vectorsMax, 3 * (run.upperBound - index)))
            while index < run.upperBound {
                let element = batch[index]
                let pieces = target.pieceCount(element.offset, Int(element.location.length))
                // One more for what lies in front of it.
                guard places.count + 1 + pieces <= FileLimits.vectorsMax else { break }
                if element.location.offset > end {
                    places.append(iovec(iov_base: scratch.base, iov_len: Int(element.location.offset - end)))
                }
                target.forEachPiece(element.offset, Int(element.location.length)) {
                    places.append(iovec(iov_base: $0.baseAddress, iov_len: $0.count))
                }
                end = element.location.offset + UInt64(element.location.length)
                index += 1
            }
            guard !places.isEmpty else {
                // Cut into more pieces than one call takes: blocks of a few bytes.
                try readRun(index..<index + 1, length: Int(batch[index].location.length), into: target)
                index += 1
                continue
            }
            let failure: StorageError? = places.withUnsafeMutableBufferPointer {
                do throws(StorageError) {
                    try store.log.read(
                        segment: start.segment, offset: start.offset, length: Int(end - start.offset), scattered: $0)
                    return nil
                } catch {
                    return error
                }
            }
            if let failure { throw failure }
        }
    }
}

/// A record to be read and its place in the caller's memory.
struct BatchElement {
    var location: RecordLocation
    var offset: Int
}

extension RecordLocation {
    @inline(__always)
    func isBefore(_ other: RecordLocation) -> Bool {
        segment != other.segment ? segment < other.segment : offset < other.offset
    }
}
