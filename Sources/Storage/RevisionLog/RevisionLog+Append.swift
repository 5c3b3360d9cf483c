// Writing: the apply thread's side of the log.

import Synchronization
import Wire

extension RevisionLog {
    /// Starts the frame of an applied entry.
    @inline(__always)
    public func beginFrame(raftIndex: LogIndex, term: Term) {
        precondition(!frame.isInside, "a frame inside a frame")
        precondition(raftIndex >= lastApplied.index, "entry \(raftIndex) is applied after entry \(lastApplied.index)")
        frame.isInside = true
        frame.index = raftIndex
        frame.term = term
    }

    /// Appends a record to the running frame.
    ///
    /// - Parameter payloadCapacity: bytes to make room for; a longer payload is no error.
    /// - Parameter body: appends the payload, and nothing else, to the sink.
    @discardableResult
    @inline(__always)
    public func append(
        kind: RecordKind, main: Int64, sub: Int32, payloadCapacity: Int, _ body: (ByteSink) -> Void
    ) -> RecordLocation {
        let start = beginRecord(kind: kind, main: main, sub: sub, capacity: payloadCapacity)
        body(pending)
        return endRecord(start, kind)
    }

    /// Writes the record's header; returns where the payload begins in the buffer.
    @usableFromInline
    func beginRecord(kind: RecordKind, main: Int64, sub: Int32, capacity: Int) -> Int {
        precondition(frame.isInside, "a record outside a frame")
        if !frame.isOpen { openFrame() }
        pending.append(uninitializedCapacity: RecordFormat.recordHeader) {
            let base = $0.baseAddress!
            base.storeBytes(of: kind.rawValue, as: UInt8.self)
            base.storeBytes(of: main.littleEndian, toByteOffset: 1, as: Int64.self)
            base.storeBytes(of: sub.littleEndian, toByteOffset: 9, as: Int32.self)
            return RecordFormat.recordHeader
        }
        pending.reserve(capacity)
        return pending.count
    }

    @usableFromInline
    func endRecord(_ start: Int, _ kind: RecordKind) -> RecordLocation {
        let length = pending.count - start
        precondition(length >= 0 && length <= RevisionLogLimits.frameBytes, "a record of \(length) bytes")
        (pending.base + start - 4).storeBytes(of: UInt32(length).littleEndian, as: UInt32.self)
        if kind.isKeyRecord { frame.live += RecordFormat.recordHeader + length }
        return RecordLocation(segment: active.id, length: UInt32(length), offset: UInt64(pendingOrigin + Int64(start)))
    }

    /// Ends the frame. One without records leaves no trace but the applied index.
    public func endFrame() {
        precondition(frame.isInside, "the end of a frame that has not begun")
        frame.isInside = false
        lastApplied = (frame.index, frame.term)
        guard frame.isOpen else {
            // Nothing to flush: the entry counts as written at once, for it has nothing that could be lost.
            if blocks.isEmpty { publishPosition() }
            return
        }
        frame.isOpen = false
        let length = pending.count - frame.start - (RecordFormat.frameHeader - RecordFormat.frameFixed)
        precondition(length <= RevisionLogLimits.frameBytes, "entry \(frame.index) makes a frame of \(length) bytes")
        let base = pending.base + frame.start
        base.storeBytes(of: UInt32(length).littleEndian, as: UInt32.self)
        base.storeBytes(of: frame.index.littleEndian, toByteOffset: 8, as: UInt64.self)
        base.storeBytes(of: frame.term.littleEndian, toByteOffset: 16, as: UInt64.self)
        let checksum = RecordFormat.checksum(
            length: UInt32(length), body: UnsafeRawBufferPointer(start: base + 8, count: length))
        base.storeBytes(of: checksum.littleEndian, toByteOffset: 4, as: UInt32.self)
        activeEnd = UInt64(pendingOrigin + Int64(pending.count))
        active.addLive(frame.live)
        frame.live = 0
    }

    private func openFrame() {
        if activeEnd >= options.segmentBytes { roll() }
        if blocks.last?.segment !== active {
            blocks.append(PendingBlock(segment: active, fileOffset: activeEnd, start: pending.count))
            pendingOrigin = Int64(activeEnd) - Int64(pending.count)
            if activeEnd == 0 {
                let tail = previousTail
                SegmentHeader(id: active.id, kind: .log, previous: tail.segment, previousEnd: tail.end).append(to: pending)
            }
        }
        frame.isOpen = true
        frame.start = pending.count
        pending.append(zeros: RecordFormat.frameHeader)
    }

    /// Where the log segment before the active one ends. Pending blocks know better than what is written.
    private var previousTail: LogTail {
        // The block of the active segment was appended just now.
        if blocks.count >= 2 {
            let block = blocks[blocks.count - 2]
            let length = blocks[blocks.count - 1].start - block.start
            return LogTail(segment: block.segment.id, end: block.fileOffset + UInt64(length))
        }
        return shared.withLock { $0.tail }
    }

    /// Makes a new segment the active one. Its file is created when it is first written.
    private func roll() {
        let segment = addSegment(.log)
        active = segment
        activeEnd = 0
        reserved = 0
    }

    func addSegment(_ kind: SegmentKind) -> Segment {
        shared.withLock { shared in
            let segment = Segment(id: shared.nextSegment, kind: kind, directory: directory)
            shared.nextSegment += 1
            shared.segments.append(segment)
            table.insert(segment)
            return segment
        }
    }

    /// Seals the active segment, so that it can be collected. The apply thread must be kept out meanwhile.
    ///
    /// - Returns: false if frames are pending, because a flush failed.
    @discardableResult
    public func rotate() -> Bool {
        precondition(!frame.isInside, "rotation inside a frame")
        guard blocks.isEmpty else { return false }
        guard activeEnd > UInt64(SegmentHeader.size) else { return true }
        let sealed = active
        roll()
        sealed.isSealed = true
        publishPosition()
        return true
    }

    /// Whether frames wait for `flush()`.
    @inline(__always)
    public var hasPending: Bool { !blocks.isEmpty }

    /// Writes all pending frames; then every thread can read them. One write, but where a segment ends.
    ///
    /// After an error nothing is lost: the frames stay pending, and a repetition writes the same bytes to the same
    /// place.
    public func flush() throws(StorageError) {
        precondition(!frame.isInside, "a flush inside a frame")
        guard !blocks.isEmpty else { return }
        try checkHealth(.write)
        for index in blocks.indices {
            let block = blocks[index]
            let end = index + 1 < blocks.count ? blocks[index + 1].start : pending.count
            try write(block, UnsafeRawBufferPointer(rebasing: pending.bytes[block.start..<end]))
        }
        shared.withLock { shared in
            for index in blocks.indices {
                let block = blocks[index]
                let isLast = index + 1 == blocks.count
                let end = block.fileOffset + UInt64((isLast ? pending.count : blocks[index + 1].start) - block.start)
                block.segment.publish(written: end)
                if !isLast { block.segment.isSealed = true }
                shared.tail = LogTail(segment: block.segment.id, end: end)
            }
        }
        uncollectedBytes.wrappingAdd(pending.count, ordering: .relaxed)
        // A segment that was full before these frames came has no block of its own.
        sealPredecessors(of: blocks[0].segment)
        pending.clear(keeping: RevisionLogLimits.pendingBytesKept)
        blocks.removeAll(keepingCapacity: true)
        publishPosition()
    }

    private func sealPredecessors(of segment: Segment) {
        guard segment.id != lastSealedBefore else { return }
        lastSealedBefore = segment.id
        shared.withLock { shared in
            for other in shared.segments where other.kind == .log && other.id < segment.id && !other.isSealed {
                other.isSealed = true
            }
        }
    }

    private func publishPosition() {
        shared.withLock {
            $0.flushed = LogPosition(
                segment: active.id, offset: active.written, appliedIndex: lastApplied.index, appliedTerm: lastApplied.term)
        }
    }

    private func write(_ block: PendingBlock, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        let segment = block.segment
        let file: any File
        if let existing = segment.file {
            file = existing
        } else {
            file = try fileSystem.open(segment.path, .create)
            segment.attach(file)
            shared.withLock { $0.hasNewFiles = true }
        }
        if segment === active { try reserve(block.fileOffset + UInt64(bytes.count), in: file) }
        try file.write(bytes, at: block.fileOffset)
    }

    /// Reserves space ahead. A disk that has no room for the reserve may still have room for the frames.
    private func reserve(_ end: UInt64, in file: any File) throws(StorageError) {
        guard options.preallocates, end > reserved else { return }
        let step = RevisionLogLimits.preallocationStep
        let target = max(end, min((end / step + 1) * step, options.segmentBytes))
        do throws(StorageError) {
            try file.preallocate(target, extending: false)
            reserved = target
        } catch {
            guard error.isNoSpace else { throw error }
            reserved = end
        }
    }
}
