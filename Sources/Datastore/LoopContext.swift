// What the server keeps for each event loop: the proposals and reads of the turn that is running, the
// hub of the loop's watches, and counters that need a per-loop memory.

import DatastoreMetrics
import KeySpace
import Transport
import Wire

/// Confined to its event loop but for `index`.
final class LoopContext: @unchecked Sendable {
    // Unchecked: every stored variable is used on the event loop only.
    let index: Int
    let metrics: NodeMetrics
    /// What its clients read and watch.
    let traffic = ResourceTraffic()
    let readings: UnsafeMutablePointer<LoopReadings>
    /// For answers that must be whole before they are sent.
    let scratch = ByteSink(capacity: 4096)
    private var proposals: [Proposal] = []
    private var reads: [PendingRead] = []
    private var isFlushScheduled = false
    /// When the next request is shown to operators, fast or not. Kept as long as the process, so that asking counts no references.
    let nextShownRequest: UnsafeMutablePointer<UInt64>
    /// Of calls that are recorded, and of reads that are described, because they were slow.
    var slowRequests = SlowRequestBudget(perSecond: 0)
    var slowReads = SlowRequestBudget(perSecond: 0)
    /// State of `random`.
    private var randomState = UInt64.random(in: 0 ... .max)
    /// The client version that called last, and its counters: nearly always the next one's too.
    private var lastVersion: [UInt8] = Array("unknown".utf8)
    private var lastUnary: Counter
    private var lastStream: Counter
    /// The watches of this loop's connections. Set when the loop is known.
    private(set) var watches: WatchLoop!

    init(index: Int, metrics: NodeMetrics) {
        self.index = index
        self.metrics = metrics
        nextShownRequest = .allocate(capacity: 1)
        nextShownRequest.initialize(to: 0)
        readings = .allocate(capacity: 1)
        readings.initialize(to: LoopReadings(traffic, metrics))
        lastUnary = metrics.server.clientRequests.series("unary", "unknown")
        lastStream = metrics.server.clientRequests.series("stream", "unknown")
    }

    func setWatches(_ watches: WatchLoop) {
        precondition(self.watches == nil)
        self.watches = watches
    }

    /// For identifiers: fast, and nobody's secret.
    func random() -> UInt64 {
        randomState &+= 0x9e37_79b9_7f4a_7c15
        var value = randomState
        value = (value ^ (value >> 30)) &* 0xbf58_476d_1ce4_e5b9
        value = (value ^ (value >> 27)) &* 0x94d0_49bb_1331_11eb
        return value ^ (value >> 31)
    }

    // MARK: Batches to consensus

    func add(_ proposal: Proposal, node: Node) {
        proposals.append(proposal)
        metrics.server.proposalsPending.increment()
        scheduleFlush(node)
    }

    func add(_ read: PendingRead, node: Node) {
        reads.append(read)
        scheduleFlush(node)
    }

    /// Tasks run after all connections that were ready have been read, so one hand-over serves them all.
    private func scheduleFlush(_ node: Node) {
        guard !isFlushScheduled else { return }
        isFlushScheduled = true
        node.serverLoop(index).execute { [self] in
            isFlushScheduled = false
            flush(node)
        }
    }

    private func flush(_ node: Node) {
        if !proposals.isEmpty {
            let refused = node.inbox.submit(proposals)
            proposals.removeAll(keepingCapacity: true)
            for proposal in refused {
                metrics.server.proposalsPending.decrement()
                metrics.server.proposalsFailed.increment()
                let error = node.consensus.isStopping ? CallError.stopped : .tooManyRequests
                switch proposal.target {
                case .call(let call): call.fail(error)
                case .loop(let reply): reply.completion(.failure(error))
                case .server(let completion): completion(error)
                }
            }
        }
        if !reads.isEmpty {
            let refused = node.inbox.submit(reads)
            reads.removeAll(keepingCapacity: true)
            for read in refused { read.call.fail(node.consensus.isStopping ? .stopped : .tooManyRequests) }
        }
    }

    // MARK: Client versions

    /// Counts the call by the client's API version; false if the version is not valid UTF-8.
    @inline(__always)
    func countClient(_ call: Call, isStream: Bool) -> Bool {
        let known = call.withMetadata(.clientAPIVersion) { bytes in
            lastVersion.withUnsafeBytes { last in
                if let bytes { return equalBytes(bytes, last) }
                return equalBytes(Self.unknown, last)
            }
        }
        if !known {
            guard let version = call.withMetadata(.clientAPIVersion, Self.versionText) else { return false }
            lastVersion = Array(version.utf8)
            lastUnary = metrics.server.clientRequests.series("unary", version)
            lastStream = metrics.server.clientRequests.series("stream", version)
        }
        if isStream { lastStream.increment() } else { lastUnary.increment() }
        return true
    }

    private static let unknownText: StaticString = "unknown"
    private static var unknown: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: unknownText.utf8Start, count: unknownText.utf8CodeUnitCount)
    }

    private static func versionText(_ bytes: UnsafeRawBufferPointer?) -> String? {
        guard let bytes else { return "unknown" }
        return String(validating: bytes, as: UTF8.self)
    }
}
