// Garbage collection: moves what is alive out of sealed segments that are mostly dead. Maintenance thread.
//
// A collected segment stays until a checkpoint that was begun after the move is durable: only then does nothing that
// survives a crash point into it. Records that are not of keys are not moved, for every checkpoint contains their effect.

import Synchronization
import Wire

/// What to collect.
public struct CollectionPolicy: Sendable {
    /// A sealed segment is worth collecting if less than this part of it is alive.
    public var liveBelow = 0.5
    /// Sealed segments below a quarter of the segment size are joined once there are this many of them.
    public var smallSegments = RevisionLogLimits.smallSegments

    public init() {}

    /// For `Defragment`: whatever is noticeably dead.
    public static var thorough: CollectionPolicy {
        var policy = CollectionPolicy()
        policy.liveBelow = 0.95
        policy.smallSegments = 2
        return policy
    }
}

/// A record that garbage collection is about to move.
public struct MovableRecord: Sendable {
    public let kind: RecordKind
    public let main: Int64
    public let sub: Int32
    public let from: RecordLocation
    /// Set to false by the owner of the index if nothing refers to the record any more.
    public var isLive = true
}

/// A record that has been moved: readable at both places for now.
public struct Relocation: Sendable {
    public let main: Int64
    public let sub: Int32
    public let from: RecordLocation
    public let to: RecordLocation
    /// Set to false by the owner of the index if it did not take the new place, because the version has been purged.
    public var isTaken = true
}

/// The collection of one segment, driven in slices.
public final class SegmentCollection {
    let segment: Segment
    var scanner: FrameScanner
    /// Payloads of the batch, copied behind each other.
    let staging = ByteSink(capacity: 64 * 1024)
    /// The frame of moved records that is being made.
    let output = ByteSink(capacity: 64 * 1024)
    var isFinished = false

    init(_ segment: Segment) {
        self.segment = segment
        scanner = FrameScanner(
            segment.file!, segment: segment.id, from: UInt64(SegmentHeader.size), end: segment.written)
    }

    public var segmentID: UInt32 { segment.id }
}

extension RevisionLog {
    /// Segments worth collecting, the deadest first.
    public func victims(_ policy: CollectionPolicy = .init()) -> [UInt32] {
        let busy = maintenance.withLock { state in Set(state.drained.map { $0.id } + (state.output.map { [$0.id] } ?? [])) }
        return shared.withLock { shared in
            let sealed = shared.segments.filter { $0.isSealed && $0.written > 0 && !busy.contains($0.id) }
            func share(_ segment: Segment) -> Double { Double(max(segment.live, 0)) / Double(segment.written) }
            var chosen = sealed.filter { share($0) < policy.liveBelow }
            let small = sealed.filter { $0.written < options.segmentBytes / 4 && share($0) >= policy.liveBelow }
            if small.count >= policy.smallSegments { chosen += small }
            return chosen.sorted { share($0) < share($1) }.map { $0.id }
        }
    }

    /// Starts to collect a sealed segment; nil if it is gone or not sealed. One collection at a time.
    public func beginCollection(of id: UInt32) -> SegmentCollection? {
        let segment = shared.withLock { shared in shared.segments.first { $0.id == id } }
        guard let segment, segment.isSealed, segment.written > 0 else { return nil }
        return SegmentCollection(segment)
    }

    /// Moves some more records; call it until it answers false.
    ///
    /// After an error (a full disk, say) the collection is over and its segment stays; a new one may be begun later,
    /// and finds what was moved before dead.
    ///
    /// - Parameter maxBytes: about how much of the segment to pass.
    /// - Parameter select: marks records of a batch that are dead.
    /// - Parameter relocate: points the index to the new places, which are readable already, and marks those that it
    ///   did not take.
    public func step(
        _ collection: SegmentCollection, maxBytes: Int, select: (inout [MovableRecord]) -> Void,
        relocate: (inout [Relocation]) -> Void
    ) throws(StorageError) -> Bool {
        precondition(!collection.isFinished, "the collection of segment \(collection.segmentID) is finished")
        do throws(StorageError) {
            return try slice(collection, maxBytes, select, relocate)
        } catch {
            // Records of the failed batch were passed and not moved: this walk must not reach its end.
            collection.isFinished = true
            pass(collection.segment, to: 0)
            throw error
        }
    }

    private func slice(
        _ collection: SegmentCollection, _ maxBytes: Int, _ select: (inout [MovableRecord]) -> Void,
        _ relocate: (inout [Relocation]) -> Void
    ) throws(StorageError) -> Bool {
        try checkHealth(.write)
        let start = collection.scanner.offset
        var batch: [MovableRecord] = []
        var isAtEnd = false
        while collection.scanner.offset - start < UInt64(maxBytes) {
            guard case .frame(let frame) = try collection.scanner.next() else {
                guard collection.scanner.offset == collection.segment.written else {
                    throw StorageError(.read, collection.segment.path, .corrupt("the frame at \(collection.scanner.offset) is damaged"))
                }
                isAtEnd = true
                break
            }
            for record in frame.records where record.kind.isKeyRecord {
                batch.append(MovableRecord(kind: record.kind, main: record.main, sub: record.sub, from: record.location))
                collection.staging.append(record.payload)
                if batch.count >= RevisionLogLimits.collectionBatch {
                    try move(&batch, collection, select, relocate)
                }
            }
        }
        try move(&batch, collection, select, relocate)
        pass(collection.segment, to: collection.scanner.offset)
        if isAtEnd {
            collection.isFinished = true
            maintenance.withLock { $0.drained.append(collection.segment) }
        }
        return !isAtEnd
    }

    /// Bytes that a collection has passed no longer count as the store's.
    private func pass(_ segment: Segment, to offset: UInt64) {
        uncollectedBytes.wrappingSubtract(Int(offset) - Int(segment.collected), ordering: .relaxed)
        segment.collected = offset
    }

    private func move(
        _ batch: inout [MovableRecord], _ collection: SegmentCollection, _ select: (inout [MovableRecord]) -> Void,
        _ relocate: (inout [Relocation]) -> Void
    ) throws(StorageError) {
        defer {
            batch.removeAll(keepingCapacity: true)
            collection.staging.clear(keeping: RevisionLogLimits.pendingBytesKept)
        }
        guard !batch.isEmpty else { return }
        select(&batch)
        guard batch.contains(where: { $0.isLive }) else { return }
        let target = try outputSegment()
        let sink = collection.output
        sink.clear(keeping: RevisionLogLimits.pendingBytesKept)
        let base = target.written
        if base == 0 { SegmentHeader(id: target.id, kind: .collected, previous: 0, previousEnd: 0).append(to: sink) }
        var moved = encode(batch, collection, target.id, base)
        try target.file!.write(sink.bytes, at: base)
        target.publish(written: base + UInt64(sink.count))
        uncollectedBytes.wrappingAdd(sink.count, ordering: .relaxed)
        let bytes = moved.map { RecordFormat.recordHeader + Int($0.to.length) }
        // Counted as live before the index may release them.
        target.addLive(bytes.reduce(0, +))
        relocate(&moved)
        for (relocation, size) in zip(moved, bytes) {
            if relocation.isTaken { collection.segment.addLive(-size) } else { target.addLive(-size) }
        }
    }

    /// Makes one frame of the live records of a batch.
    private func encode(
        _ batch: [MovableRecord], _ collection: SegmentCollection, _ target: UInt32, _ base: UInt64
    ) -> [Relocation] {
        let sink = collection.output
        let start = sink.count
        sink.append(zeros: RecordFormat.frameHeader)
        var moved: [Relocation] = []
        var taken = 0
        for record in batch {
            let length = Int(record.from.length)
            defer { taken += length }
            guard record.isLive else { continue }
            sink.append(uninitializedCapacity: RecordFormat.recordHeader) {
                let header = $0.baseAddress!
                header.storeBytes(of: record.kind.rawValue, as: UInt8.self)
                header.storeBytes(of: record.main.littleEndian, toByteOffset: 1, as: Int64.self)
                header.storeBytes(of: record.sub.littleEndian, toByteOffset: 9, as: Int32.self)
                header.storeBytes(of: record.from.length.littleEndian, toByteOffset: 13, as: UInt32.self)
                return RecordFormat.recordHeader
            }
            let to = RecordLocation(segment: target, length: record.from.length, offset: base + UInt64(sink.count))
            sink.append(UnsafeRawBufferPointer(rebasing: collection.staging.bytes[taken..<(taken + length)]))
            moved.append(Relocation(main: record.main, sub: record.sub, from: record.from, to: to))
        }
        // Raft index and term stay 0: a frame of moved records belongs to no entry.
        let length = UInt32(sink.count - start - (RecordFormat.frameHeader - RecordFormat.frameFixed))
        let frame = sink.base + start
        frame.storeBytes(of: length.littleEndian, as: UInt32.self)
        let checksum = RecordFormat.checksum(
            length: length, body: UnsafeRawBufferPointer(start: frame + 8, count: Int(length)))
        frame.storeBytes(of: checksum.littleEndian, toByteOffset: 4, as: UInt32.self)
        return moved
    }

    /// Where moved records go: one segment until it is full.
    private func outputSegment() throws(StorageError) -> Segment {
        try locked { (state) throws(StorageError) in
            if let output = state.output, output.written < options.segmentBytes { return output }
            // The file comes first: without it there must be no segment.
            let id = shared.withLock { shared in
                shared.nextSegment += 1
                return shared.nextSegment - 1
            }
            let segment = Segment(id: id, kind: .collected, directory: directory)
            segment.attach(try fileSystem.open(segment.path, .create))
            shared.withLock { shared in
                shared.segments.append(segment)
                shared.segments.sort { $0.id < $1.id }
                shared.hasNewFiles = true
                table.insert(segment)
            }
            state.output?.isSealed = true
            state.output = segment
            return segment
        }
    }
}
