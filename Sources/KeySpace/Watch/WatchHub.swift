// The watch hub of one event loop: streams, watchers, and what they are told. It knows how far it has
// delivered (`revision`); a watcher is synced when it needs nothing up to there, or behind. docs/watch.md
// tells the whole story.

import Storage
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// Settings of a hub.
public struct WatchConfiguration: Sendable {
    /// `--watch-progress-notify-interval`; up to a tenth is added per stream, so that streams do not tick
    /// together.
    public var progressIntervalNanoseconds: UInt64 = 600_000_000_000
    /// Responses of this size are split for watchers that allow it: `--max-request-bytes` + 512 KiB.
    public var fragmentBytes = 1_572_864 + 524_288
    /// Seeds hashing, tree shapes and jitter.
    public var seed: UInt64

    public init(seed: UInt64 = .random(in: 1 ... .max)) { self.seed = seed }
}

/// Delivers changes to the watch streams of one event loop. Not thread-safe: everything happens on the loop.
///
/// The owner calls `published(through:)` when the store has published something, `writable` when a stream
/// drains, `tick` some ten times a second, and `runSlice` as long as `hasWork`.
public final class WatchHub {
    var source: any EventSource
    let headers: ResponseHeaderEncoder
    let term: () -> Term
    public let configuration: WatchConfiguration
    /// Counts what is watched by resource; names come from the store.
    public let traffic: ResourceTraffic
    private let resourceNames: ResourceNames
    /// Told about errors when records cannot be read; delivery is tried again.
    public var onReadFailure: ((any Error) -> Void)?

    let table = WatcherTable()
    /// Synced watchers.
    var index: IntervalIndex
    /// Watchers of the running catch-up slice, when they are too many to be tried one by one.
    var groupIndex: IntervalIndex
    let batch = DeliveryBatch()
    let head = ByteSink(capacity: 128)

    var streams: [WatchStream?] = []
    private var freeStreams: [UInt32] = []
    var streamCount = 0
    /// Queue bytes at which a stream counts as full; shrinks when very many streams are open.
    private(set) var queueBytesMax = WatchLimits.streamQueueBytesMax

    /// Everything up to here was delivered to (queued for) every synced watcher.
    public internal(set) var revision: Int64
    /// How far the store has published, as far as the hub was told.
    var target: Int64
    /// The history that synced watchers still need; held while there are any.
    var pinned: Int64?
    /// Streams whose turn in catch-up comes, in order.
    var catchUpQueue = StreamQueue()
    var group: [WatcherIndex] = []
    /// No catch-up before this time, after a read failure.
    var retryAt: UInt64 = 0
    var lastTick: UInt64 = 0
    var progressTimers = DeadlineHeap()
    var random: SplitMix

    /// While responses are being made, streams must not be torn down under them.
    var isDelivering = false
    var closedWhileDelivering: [WatchStream] = []

    public internal(set) var eventsSent: UInt64 = 0
    public internal(set) var responsesSent: UInt64 = 0
    public var hasWatchers: Bool { table.count > 0 }
    var behindCount = 0
    var compactedCount = 0

    /// - Parameter term: the member's current Raft term, for response headers.
    public init(
        source: any EventSource, headers: ResponseHeaderEncoder, configuration: WatchConfiguration = WatchConfiguration(),
        traffic: ResourceTraffic = ResourceTraffic(), resourceNames: ResourceNames = ResourceNames(),
        term: @escaping () -> Term
    ) {
        self.traffic = traffic
        self.resourceNames = resourceNames
        self.source = source
        self.headers = headers
        self.configuration = configuration
        self.term = term
        index = IntervalIndex(seed: configuration.seed)
        groupIndex = IntervalIndex(seed: configuration.seed ^ 0x5555)
        random = SplitMix(state: configuration.seed)
        revision = source.currentRevision
        target = revision
    }

    deinit {
        for stream in streams { if let stream { for watcher in stream.watchers.values { free(table[watcher].pointee.bytes) } } }
        index.deallocate()
        groupIndex.deallocate()
        if let pinned { source.unpin(pinned) }
    }

    // MARK: Streams

    /// Opens a stream.
    ///
    /// - Parameter now: monotonic nanoseconds.
    public func openStream(_ output: any WatchOutput, now: UInt64) -> WatchStream {
        let slot = freeStreams.popLast() ?? UInt32(streams.count)
        let stream = WatchStream(output: output, slot: slot)
        if Int(slot) == streams.count { streams.append(stream) } else { streams[Int(slot)] = stream }
        streamCount += 1
        let interval = configuration.progressIntervalNanoseconds
        stream.progressDeadline = now &+ interval &+ (interval >= 10 ? random.next() % (interval / 10) : 0)
        adjustQueueLimit()
        return stream
    }

    /// Ends a stream with all its watchers; nothing is sent any more. Allowed at any time, more than once.
    public func closeStream(_ stream: WatchStream) {
        guard !stream.isClosed else { return }
        stream.isClosed = true
        if isDelivering { closedWhileDelivering.append(stream) } else { tearDown(stream) }
    }

    private func tearDown(_ stream: WatchStream) {
        for watcher in stream.watchers.values { discard(watcher, of: stream) }
        stream.watchers = [:]
        catchUpQueue.remove(stream)
        progressTimers.remove(stream.slot)
        streams[Int(stream.slot)] = nil
        freeStreams.append(stream.slot)
        streamCount -= 1
        adjustQueueLimit()
        releasePinIfIdle()
    }

    private func adjustQueueLimit() {
        let share = WatchLimits.allStreamsQueueBytes / max(streamCount, 1)
        queueBytesMax = min(max(share, WatchLimits.streamQueueBytesMin), WatchLimits.streamQueueBytesMax)
    }

    func finishDelivery() {
        isDelivering = false
        while let stream = closedWhileDelivering.popLast() { tearDown(stream) }
    }

    @inline(__always)
    func isFull(_ stream: WatchStream) -> Bool { stream.output.queuedBytes >= queueBytesMax }

    // MARK: Watchers

    /// Creates a watcher, or refuses it; either is answered on the stream. Permission is the caller's business:
    /// check it first, and `refuse` if it is missing.
    public func create(_ stream: WatchStream, _ request: WatchCreateRequest) {
        guard !stream.isClosed else { return }
        if request.startRevision < 0 { return refuse(stream, reason: CallError.compacted.message) }
        let endsOpen = request.rangeEnd.count == 1 && request.rangeEnd[0] == 0
        let isRange = !request.rangeEnd.isEmpty && !endsOpen
        let key = request.key.isEmpty ? WatchHub.lowestKey : request.key
        if isRange, compareKeys(key, request.rangeEnd) >= 0 { return refuse(stream, reason: "mvcc: watcher range is empty") }
        guard stream.watchers.count < WatchLimits.watchersPerStreamMax else {
            return refuse(stream, reason: CallError.tooManyRequests.message)
        }
        var id = request.watchID
        if id == 0 {
            while stream.watchers[stream.nextID] != nil { stream.nextID += 1 }
            id = stream.nextID
            stream.nextID += 1
        } else if stream.watchers[id] != nil {
            return refuse(stream, reason: "mvcc: duplicate watch ID provided on the WatchStream")
        }

        holdPin()
        let current = source.currentRevision
        let watcher = makeWatcher(stream, request, key: key, end: isRange ? request.rangeEnd : WatchHub.noKey, endsOpen: endsOpen)
        table[watcher].pointee.id = id
        table[watcher].pointee.next = request.startRevision == 0 ? current + 1 : request.startRevision
        stream.watchers[id] = watcher
        stream.highestStart = max(stream.highestStart, request.startRevision)
        if request.progressNotify {
            stream.notifyCount += 1
            if stream.notifyCount == 1 { startProgressTimer(stream) }
        }
        if table[watcher].pointee.next > revision {
            index.insert(watcher, table)
        } else {
            fallBehind(watcher, stream)
            releasePinIfIdle()
        }
        send(stream, revision: current) { WatchResponseEncoding.created($0, watchID: id) }
    }

    /// Answers a creation with a refusal, whose text clients turn back into an error.
    public func refuse(_ stream: WatchStream, reason: String) {
        guard !stream.isClosed else { return }
        send(stream, revision: source.currentRevision) { WatchResponseEncoding.refused($0, reason: reason) }
    }

    /// Cancels a watcher; an ID that is not known is ignored.
    public func cancel(_ stream: WatchStream, id: Int64) {
        guard !stream.isClosed, let watcher = stream.watchers.removeValue(forKey: id) else { return }
        discard(watcher, of: stream)
        releasePinIfIdle()
        send(stream, revision: source.currentRevision) { WatchResponseEncoding.canceled($0, watchID: id) }
    }

    private static let zeroByte: StaticString = "\0"
    /// What an empty key stands for.
    private static var lowestKey: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: zeroByte.utf8Start, count: 1) }
    private static var noKey: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    private func makeWatcher(
        _ stream: WatchStream, _ request: WatchCreateRequest, key: UnsafeRawBufferPointer, end: UnsafeRawBufferPointer,
        endsOpen: Bool
    ) -> WatcherIndex {
        guard let bytes = malloc(key.count + end.count) else { fatalError("out of memory: a watcher's key") }
        memcpy(bytes, key.baseAddress!, key.count)
        if let source = end.baseAddress { memcpy(bytes + key.count, source, end.count) }
        var flags: Watcher.Flags = .idle
        if request.progressNotify { flags.insert(.progressNotify) }
        if request.wantsPrevious { flags.insert(.wantsPrevious) }
        if request.fragment { flags.insert(.fragment) }
        if request.dropsPuts { flags.insert(.dropsPuts) }
        if request.dropsDeletes { flags.insert(.dropsDeletes) }
        let resource = resourceNames.resource(of: key)
        traffic.add(1, .watchers, of: resource)
        traffic.add(1, .watchesMade, of: resource)
        return table.insert(
            Watcher(
                stream: Unmanaged.passUnretained(stream), id: 0, start: request.startRevision, next: 0, bytes: bytes,
                startCount: UInt32(key.count), endCount: UInt32(end.count),
                interval: endsOpen ? .fromKey : end.isEmpty ? .key : .range, state: .synced, flags: flags,
                resource: resource))
    }

    /// Takes a watcher out of everything but its stream's table of IDs, and frees it.
    private func discard(_ watcher: WatcherIndex, of stream: WatchStream) {
        precondition(!isDelivering)
        switch table[watcher].pointee.state {
        case .synced: index.remove(watcher, table)
        case .behind: removeFromBehind(watcher, stream)
        case .compacted:
            stream.compactedCount -= 1
            compactedCount -= 1
        }
        if table[watcher].pointee.flags.contains(.progressNotify) {
            stream.notifyCount -= 1
            if stream.notifyCount == 0 { progressTimers.remove(stream.slot) }
        }
        traffic.add(-1, .watchers, of: table[watcher].pointee.resource)
        table.remove(watcher)
    }

    // MARK: Control responses

    /// Queues a response without events. Revision 0 leaves it out of the header.
    func send(_ stream: WatchStream, revision: Int64, _ body: (ByteSink) -> Void) {
        let term = term()
        responsesSent += 1
        let isInside = isDelivering
        isDelivering = true
        stream.output.send { sink in
            headers.append(to: sink, revision: revision, term: term)
            body(sink)
        }
        if !isInside { finishDelivery() }
    }

    // MARK: The pin

    /// Makes sure that what synced watchers need next cannot be purged.
    func holdPin() {
        guard pinned == nil else { return }
        while true {
            // Nobody is synced, so there is nothing that the hub could skip by moving on.
            revision = max(revision, source.currentRevision)
            target = max(target, revision)
            if case .pinned(let held) = source.pin(from: revision + 1) {
                pinned = held
                return
            }
        }
    }

    func releasePinIfIdle() {
        guard index.isEmpty, let held = pinned else { return }
        source.unpin(held)
        pinned = nil
    }

    /// Work that `runSlice` would do now.
    public var hasWork: Bool { lastTick >= retryAt && (revision < target || !catchUpQueue.isEmpty) }

    /// One bounded piece of outstanding work: live delivery first, then catch-up.
    public func runSlice() {
        guard hasWork else { return }
        if revision < target { deliverPublished(batches: 1) } else { catchUpSlice() }
    }
}

/// A small generator of random numbers for jitter.
struct SplitMix {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
