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
        precondition(isReady, "an answer is read before its length is known")
        if let failure { throw failure }
        var written = 0
        while written < buffer.count {
            if stagedOffset < staged.count {
                let count = min(staged.count - stagedOffset, buffer.count - written)
                memcpy(buffer.baseAddress! + written, staged.base + stagedOffset, count)
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
            let count = try copyElements(into: UnsafeMutableRawBufferPointer(rebasing: buffer[written...]))
            written += count
            if count == 0 { try stageElement() }
        }
        return written
    }

    /// Copies the next whole elements that fit; returns their bytes.
    private func copyElements(into target: UnsafeMutableRawBufferPointer) throws(StorageError) -> Int {
        var position = 0
        let first = nextSlot
        // Garbage collection may move records between the look-up and the read; the pin keeps the old places.
        let pin = store.log.pinReads()
        batch.removeAll(keepingCapacity: true)
        locked {
            let slab = store.table.slab
            let stop = min(first + StoreLimits.keysPerLockHold, slots.count)
            while nextSlot < stop {
                let record = slab[slots[nextSlot]]
                let body = plan.bodyLength(record)
                let header = 1 + varintSize(UInt64(body))
                guard position + header + body <= target.count else { break }
                writeHeader(body, at: target.baseAddress! + position)
                position += header
                if case .stored = plan.content {
                    batch.append(BatchElement(location: record.pointee.location, offset: position))
                } else {
                    copyKeyHeader(record, to: target.baseAddress! + position)
                }
                position += body
                nextSlot += 1
            }
        }
        do {
            try readBatch(into: target)
        } catch {
            store.log.unpinReads(pin)
            nextSlot = first
            throw error
        }
        store.log.unpinReads(pin)
        elementsRead += nextSlot - first
        return position
    }

    private func writeHeader(_ length: Int, at pointer: UnsafeMutableRawPointer) {
        pointer.storeBytes(of: 2 << 3 | 2, as: UInt8.self)
        var value = UInt64(length)
        var offset = 1
        while value >= 0x80 {
            pointer.storeBytes(of: UInt8(truncatingIfNeeded: value) | 0x80, toByteOffset: offset, as: UInt8.self)
            value >>= 7
            offset += 1
        }
        pointer.storeBytes(of: UInt8(value), toByteOffset: offset, as: UInt8.self)
    }

    private func copyKeyHeader(_ record: UnsafeMutablePointer<VersionRecord>, to pointer: UnsafeMutableRawPointer) {
        staged.clear()
        stagedOffset = 0
        encodeKeyHeader(record)
        memcpy(pointer, staged.base, staged.count)
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

    private func readBatch(into target: UnsafeMutableRawBufferPointer) throws(StorageError) {
        guard batch.count > 1 else {
            if let only = batch.first { try store.log.read(only.location, into: only.slice(of: target)) }
            return
        }
        // In the order of the log: what was written together is read with one call, and a disk reads forwards.
        batch.sort { $0.location.segment != $1.location.segment ? $0.location.segment < $1.location.segment : $0.location.offset < $1.location.offset }
        var first = 0
        while first < batch.count {
            let start = batch[first].location
            var end = start.offset + UInt64(start.length)
            var next = first + 1
            while next < batch.count {
                let location = batch[next].location
                guard location.segment == start.segment, location.offset <= end + UInt64(StoreLimits.joinedReadGap),
                    location.offset + UInt64(location.length) - start.offset <= UInt64(StoreLimits.joinedReadBytes)
                else { break }
                end = location.offset + UInt64(location.length)
                next += 1
            }
            if next == first + 1 {
                try store.log.read(start, into: batch[first].slice(of: target))
            } else {
                try readRun(first..<next, length: Int(end - start.offset), into: target)
            }
            first = next
        }
    }

    /// Reads several records with what lies between them, and copies each to its place.
    private func readRun(_ run: Range<Int>, length: Int, into target: UnsafeMutableRawBufferPointer) throws(StorageError) {
        let start = batch[run.lowerBound].location
        scratch.clear()
        scratch.reserve(length)
        try store.log.read(
            segment: start.segment, offset: start.offset,
            into: UnsafeMutableRawBufferPointer(start: scratch.base, count: length))
        for element in batch[run] {
            memcpy(
                target.baseAddress! + element.offset, scratch.base + Int(element.location.offset - start.offset),
                Int(element.location.length))
        }
    }
}

/// A record to be read and its place in the caller's memory.
struct BatchElement {
    var location: RecordLocation
    var offset: Int

    func slice(of target: UnsafeMutableRawBufferPointer) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: target[offset..<offset + Int(location.length)])
    }
}
