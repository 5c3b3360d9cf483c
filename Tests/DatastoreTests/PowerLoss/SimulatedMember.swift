// A whole member without a network on a simulated disk: consensus, apply, store and maintenance with their own threads.

import Dispatch
import DatastoreTracing
import Glibc
import KeySpace
import Storage
import StorageSimulation
import Synchronization
import Testing
import Wire

@testable import Datastore

/// How many requests have been answered.
final class AnswerCount: Sendable {
    let value = Atomic<Int>(0)
}

final class SimulatedMember: Sendable {
    let node: Node
    private let member: OpenedMember
    private let consensus: ConsensusThread

    /// Opens what the disk holds and waits until the member serves.
    init(on fileSystem: SimulatedFileSystem) throws {
        let arguments = ["--data-dir=/var/lib/martlet", "--log-outputs=/dev/null", "--snapshot-count=40", "--compaction-batch-limit=10"]
        let configuration = try #require(Configuration.parse(arguments: arguments, environment: [:]) { nil }.configuration)
        let log = Log(core: try LogCore(outputs: try LogOutputs(["/dev/null"])))
        let metrics = NodeMetrics(extensive: false)
        var options = MemberOptions()
        // Small files, so that they are cut, sealed, collected and used again within a short life.
        options.log.segmentBytes = 16 << 10
        options.store.segmentBytes = 16 << 10
        options.store.preallocates = false
        member = try OpenedMember(configuration, on: fileSystem, options: options, signer: nil, log: log, metrics: metrics)
        node = Node(
            configuration: configuration, clusterID: member.clusterID, memberID: member.memberID, keySpace: member.keySpace,
            ids: RequestIDGenerator(member: member.memberID, nowMilliseconds: WallClock.milliseconds()), tokens: member.tokens,
            metrics: metrics, log: log, loops: [], serverLoops: [])
        consensus = ConsensusThread(
            ConsensusLoop(raft: member.raft, wal: member.wal, node: node, applied: member.appliedIndex, snapshotIndex: member.snapshotIndex))
        member.maintenance.start()
        consensus.start()
        while !node.consensus.servesLocally { usleep(200) }
    }

    func stop() {
        node.inbox.stop()
        consensus.join()
        member.close(node.log)
    }

    /// Hands steps in, some of them at a time, and checks each outcome against the model.
    ///
    /// - Returns: the state after each of them, `model` first.
    func run(
        _ count: Int, from model: MemberModel, counting answers: AnswerCount, _ random: inout SplitMix64
    ) -> [MemberModel] {
        var states = [model]
        let atATime = random.below(6) + 1
        let room = DispatchSemaphore(value: atATime)
        let done = DispatchGroup()
        let wrong = Mutex<[String]>([])
        for number in 1...count {
            let step = states.last!.randomStep(&random)
            var next = states.last!
            let isDone = next.apply(step)
            states.append(next)
            room.wait()
            done.enter()
            let (kind, body) = step.request
            withExtendedLifetime(body) {
                node.propose(kind, body.bytes) { error in
                    if (error == nil) != isDone { wrong.withLock { $0.append("step \(number), \(step): \(error?.message ?? "done")") } }
                    // Answers come in the order of the requests.
                    answers.value.store(number, ordering: .sequentiallyConsistent)
                    room.signal()
                    done.leave()
                }
            }
        }
        done.wait()
        // The server's own requests are answered before readers see what they did: one round more.
        let isVisible = DispatchSemaphore(value: 0)
        while !node.inbox.run({ _ in isVisible.signal() }) { usleep(200) }
        isVisible.wait()
        let differences = wrong.withLock { $0 }
        #expect(differences.isEmpty)
        return states
    }

    /// What the member holds now.
    func state() throws -> MemberModel.Seen {
        let store = node.store
        var seen = MemberModel.Seen(revision: store.currentRevision)
        seen.items = try items(at: 0)
        seen.leases = Set(node.keySpace.leases.list())
        seen.alarms = Set(node.keySpace.cluster.current.alarms.filter { $0.alarm == MemberModel.alarm }.map(\.member.rawValue))
        seen.compacted = max(0, store.compactRevision)
        return seen
    }

    /// All keys as of a revision; 0: now.
    func items(at revision: Int64) throws -> [String: MemberModel.Item] {
        try withUnsafeBytes(of: 0 as UInt8) { zero in
            var request = RangeRequest()
            request.key = zero
            request.rangeEnd = zero
            request.revision = revision
            let answer = try node.store.range(request)
            while !answer.isReady { answer.cursor?.step() }
            let sink = ByteSink()
            try answer.write(to: sink)
            var items: [String: MemberModel.Item] = [:]
            for bytes in try MessageView(decoding: sink.bytes).messages(2) {
                let view = try KeyValueView(decoding: bytes)
                let message = try MessageView(decoding: bytes)
                items[String(decoding: view.key, as: UTF8.self)] = MemberModel.Item(
                    value: String(decoding: view.value, as: UTF8.self), created: view.createRevision, modified: view.modRevision,
                    version: message.number(4), lease: message.number(6))
            }
            return withExtendedLifetime(sink) { items }
        }
    }
}

extension MemberModel {
    /// What can be seen of a member.
    struct Seen: Equatable {
        var revision: Int64
        var compacted: Int64 = 0
        var items: [String: Item] = [:]
        var leases: Set<Int64> = []
        var alarms: Set<UInt64> = []

        /// In words, for a failure.
        func difference(from other: Seen) -> String {
            var texts: [String] = []
            if revision != other.revision { texts.append("revision \(revision), not \(other.revision)") }
            if compacted != other.compacted { texts.append("compacted \(compacted), not \(other.compacted)") }
            if leases != other.leases { texts.append("leases \(leases.sorted()), not \(other.leases.sorted())") }
            if alarms != other.alarms { texts.append("alarms \(alarms.sorted()), not \(other.alarms.sorted())") }
            for key in Set(items.keys).union(other.items.keys).sorted() where items[key] != other.items[key] {
                func text(_ item: Item?) -> String {
                    item.map { "\($0.value.count) bytes \($0.created)/\($0.modified)/\($0.version) lease \($0.lease)" } ?? "nothing"
                }
                texts.append("\(key): \(text(items[key])), not \(text(other.items[key]))")
            }
            return texts.joined(separator: "; ")
        }
    }

    var seen: Seen { Seen(revision: revision, compacted: compacted, items: items, leases: leases, alarms: alarms) }
}
