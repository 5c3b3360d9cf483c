// One Snapshot stream on its way: a thread makes the database file of a pinned state, its call's event loop sends it.
//
// Between the two is a queue of a megabyte: a client that reads slowly holds the thread back, and nothing else. Writes
// go on; compaction purges nothing that the pinned state needs until the stream ends.

import DatastoreTracing
import KeySpace
import Storage
import Synchronization
import Transport
import Wire

final class SnapshotJob: @unchecked Sendable {
    // Unchecked: `shared` is a lock and `control` has one; `walk` goes to the thread, `call` is used on its loop only.

    private struct Chunk {
        let bytes: SharedBytes
        let remaining: UInt64
    }

    private struct Shared {
        var chunks: [Chunk] = []
        var bytes = 0
        /// Behind the last chunk: the end, or an error.
        var ending: Ending?
        var isDeliveryScheduled = false
        var isCancelled = false
    }

    private enum Ending {
        case complete
        case failed(CallError)
    }

    private let node: Node
    private let call: Call
    private let walk: RecordWalk
    /// Empty while there is none.
    private let storageVersion: String
    private let began = monotonicNow()
    private let shared = Mutex(Shared())
    /// The loop has taken something since the thread last waited.
    private let space = WorkSignal(false)
    /// Used on the event loop only.
    private var hasBegun = false
    /// Field 4 of every message.
    private let versionField: [UInt8]

    init(_ call: Call, _ walk: RecordWalk, node: Node) {
        self.node = node
        self.call = call
        self.walk = walk
        storageVersion = node.storageVersion.current ?? ""
        let sink = ByteSink(capacity: 32)
        sink.field(4, storageVersion)
        versionField = sink.array()
    }

    // MARK: Event loop

    /// Sends what is there, as far as the client takes it.
    func deliver() {
        var taken: [Chunk] = []
        var ending: Ending?
        let room = ServerLimits.snapshotQueuedBytes - call.queuedBytes
        shared.withLock { state in
            state.isDeliveryScheduled = false
            var bytes = 0
            let count = state.chunks.prefix { chunk in
                defer { bytes += chunk.bytes.count }
                return bytes < room
            }.count
            taken = Array(state.chunks[..<count])
            state.chunks.removeFirst(count)
            state.bytes -= taken.reduce(0) { $0 + $1.bytes.count }
            if state.chunks.isEmpty { ending = state.ending }
        }
        guard call.isAlive else { return cancel() }
        if !hasBegun, !taken.isEmpty {
            hasBegun = true
            let now = monotonicNow()
            call.withRecord { record in
                record.markEncoded(at: now)
                record.revision = walk.revision
            }
        }
        let head = ByteSink(capacity: 64)
        for chunk in taken {
            head.clear()
            head.field(2, chunk.remaining)
            head.append(versionField)
            // The blob's tag and length; its bytes are the shared ones.
            head.append(byte: 3 << 3 | 2)
            head.varint(UInt64(chunk.bytes.count))
            call.send(head: head.bytes, shared: chunk.bytes)
        }
        if !taken.isEmpty { signalSpace() }
        switch ending {
        case .complete: call.finish()
        case .failed(let error): call.fail(error)
        case nil: break
        }
    }

    /// The client is gone.
    func cancel() {
        shared.withLock { state in
            state.isCancelled = true
            state.chunks = []
            state.bytes = 0
        }
        signalSpace()
    }

    // MARK: Thread

    private enum Stop: Error {
        case cancelled
        case stalled
    }

    private struct Progress {
        var sent: UInt64 = 0
        var digest = SHA256Stream()
        var nextWarning: UInt64 = .max
        var warningInterval: UInt64 = 0
    }

    /// Makes and hands over the whole file.
    func run() {
        let metrics = node.metrics.backend
        var size: UInt64 = 0
        do {
            size = try stream()
            node.log.info(
                "successfully sent database snapshot to client",
                [
                    .uint64("total-bytes", size), .string("size", humanBytes(size)), .duration("took", monotonicNow() - began),
                    .string("storage-version", storageVersion),
                ])
        } catch Stop.cancelled {
            node.log.warn("failed to send database snapshot to client", .error("the client is gone"))
        } catch Stop.stalled {
            node.log.warn("failed to send database snapshot to client", .error("the client takes nothing"))
            hand(.failed(CallError(.aborted, "etcdserver: snapshot aborted: the client takes nothing")))
        } catch {
            hand(.failed(node.readFailed(error)))
        }
        metrics.snapshotDuration.observe(nanoseconds: monotonicNow() - began)
    }

    private func stream() throws -> UInt64 {
        let content = BackendContent(walk, storageVersion: storageVersion.isEmpty ? nil : storageVersion)
        let measuring = BoltWriter(measuring: ServerLimits.snapshotPageBytes)
        while content.measure(into: measuring) { try checkCancelled() }
        let layout = try measuring.finish()
        node.log.info(
            "sending database snapshot to client", .uint64("total-bytes", layout.size), .string("size", humanBytes(layout.size)),
            .string("storage-version", storageVersion))
        var progress = Progress()
        // Said again and again while it takes longer than at 100 MiB a second.
        progress.warningInterval = max(30_000_000_000, layout.size * 1_000_000_000 / (100 << 20))
        progress.nextWarning = began + progress.warningInterval

        let sink = ByteSink(capacity: 512 << 10)
        let writer = BoltWriter(layout, transaction: transaction(content), output: sink)
        content.rewind()
        while try content.step(into: writer) { try hand(sink, layout, &progress) }
        try writer.finish()
        try hand(sink, layout, &progress, isLast: true)
        node.log.info(
            "sending database sha256 checksum to client", .uint64("total-bytes", layout.size), .int("checksum-size", 32))
        let digest = progress.digest.digest()
        digest.withUnsafeBytes { hand([Chunk(bytes: SharedBytes(copying: $0), remaining: 0)], .complete) }
        return layout.size
    }

    /// The newer meta page is the first one, whose transactions are even.
    private func transaction(_ content: BackendContent) -> UInt64 { max(2, (content.appliedIndex + 1) & ~1) }

    /// Cuts what was made into chunks and hands them over; waits while the client has enough to read.
    private func hand(_ sink: ByteSink, _ layout: BoltLayout, _ progress: inout Progress, isLast: Bool = false) throws {
        var chunks: [Chunk] = []
        var start = 0
        while sink.count - start >= ServerLimits.snapshotChunkBytes || (isLast && start < sink.count) {
            let end = min(start + ServerLimits.snapshotChunkBytes, sink.count)
            let piece = UnsafeRawBufferPointer(rebasing: sink.bytes[start..<end])
            progress.digest.update(piece)
            progress.sent += UInt64(piece.count)
            // More than was measured is an error that the writer's end tells.
            chunks.append(Chunk(bytes: SharedBytes(copying: piece), remaining: layout.size - min(progress.sent, layout.size)))
            start = end
        }
        sink.removeFirst(start)
        if !chunks.isEmpty { hand(chunks, nil) }
        try waitForSpace(layout, &progress)
    }

    private func hand(_ ending: Ending) { hand([], ending) }

    private func hand(_ chunks: [Chunk], _ ending: Ending?) {
        let mustSchedule = shared.withLock { state in
            guard !state.isCancelled else { return false }
            state.chunks += chunks
            state.bytes += chunks.reduce(0) { $0 + $1.bytes.count }
            if let ending { state.ending = ending }
            defer { state.isDeliveryScheduled = true }
            return !state.isDeliveryScheduled
        }
        if mustSchedule { call.loop.execute { self.deliver() } }
    }

    private func checkCancelled() throws {
        if shared.withLock({ $0.isCancelled }) { throw Stop.cancelled }
    }

    private func waitForSpace(_ layout: BoltLayout, _ progress: inout Progress) throws {
        var waitingSince: UInt64?
        while true {
            let (bytes, isCancelled) = shared.withLock { ($0.bytes, $0.isCancelled) }
            if isCancelled || node.snapshots.isStopping { throw Stop.cancelled }
            let now = monotonicNow()
            if now >= progress.nextWarning {
                progress.nextWarning = now + progress.warningInterval
                node.log.warn(
                    "snapshotting taking too long to transfer", .duration("taking", now - began), .uint64("bytes", layout.size),
                    .string("size", humanBytes(layout.size)))
            }
            guard bytes >= ServerLimits.snapshotAheadBytes else { return }
            if let waitingSince {
                guard now - waitingSince < ServerLimits.snapshotStallNanoseconds else { throw Stop.stalled }
            } else {
                waitingSince = now
            }
            let hasSpace = space.wait(until: now + 500_000_000, isReady: { $0 }) { isTaken in
                defer { isTaken = false }
                return isTaken
            }
            if hasSpace { waitingSince = nil }
        }
    }

    private func signalSpace() {
        space.signal { isTaken in
            isTaken = true
            return true
        }
    }
}
