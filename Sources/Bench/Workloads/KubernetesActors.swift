// Who asks what of a Kubernetes cluster's store. The requests have the shapes that kube-apiserver sends, and no others.

import CShims
import Wire

/// One kind of traffic over its objects; an object has one call at a time. Confined to the engine's loop.
class KubernetesActor {
    let operations: [String]
    /// Of the operations, from where its own begin in the workload.
    var firstOperation = 0
    let objectCount: Int
    private var free: [Int]
    private var head = 0

    init(operations: [String], objects: Int) {
        self.operations = operations
        objectCount = objects
        free = Array(0..<objects)
    }

    /// The object that waits longest; nil: all have calls.
    func take() -> Int? {
        guard head < free.count else { return nil }
        defer {
            head += 1
            if head > 1024, head * 2 > free.count {
                free.removeFirst(head)
                head = 0
            }
        }
        return free[head]
    }

    func giveBack(_ object: Int) { free.append(object) }

    /// The operation and the path's index of the object's next call.
    func choose(_ object: Int) -> Step { preconditionFailure("an actor chooses") }
    func write(_ object: Int, to sink: ByteSink) { preconditionFailure("an actor writes") }
    func received(_ object: Int, _ message: UnsafeRawBufferPointer) {}
    func ended(_ object: Int) -> Verdict { .done }
    func failed(_ object: Int) {}
    /// What there is to say at the end.
    var notes: [String] { [] }
}

/// Indexes of the methods in `KubernetesWorkload.methods`.
enum KubernetesMethod {
    static let txn = 0
    static let range = 1
    static let leaseGrant = 2
}

/// Kubelets that renew the lease of their node: "if unchanged since I wrote it, put, else get".
final class NodeLeases: KubernetesActor {
    private var revisions: [Int64]
    private var hasLost: [Bool]
    private let key = NumberedKey("/registry/leases/kube-node-lease/node-")
    private let value: KubernetesObject

    init(nodes: Int, valueSize: Int) {
        revisions = Array(repeating: 0, count: nodes)
        hasLost = Array(repeating: false, count: nodes)
        value = KubernetesObject(apiVersion: "coordination.k8s.io/v1", kind: "Lease", name: "node", size: valueSize)
        super.init(operations: ["node-lease-renewal"], objects: nodes)
    }

    override func choose(_ object: Int) -> Step { Step(operation: 0, method: KubernetesMethod.txn) }

    override func write(_ object: Int, to sink: ByteSink) {
        let key = key.key(object)
        sink.compareUnchanged(key, since: revisions[object])
        sink.putOperation(key, value.stamped(martlet_monotonic_ns()))
        sink.rangeOperation(key, branch: 3)
    }

    override func received(_ object: Int, _ message: UnsafeRawBufferPointer) {
        let succeeded = Answers.succeeded(message)
        hasLost[object] = !succeeded
        revisions[object] = succeeded ? Answers.revision(message) : Answers.modRevisionInTransaction(message)
    }

    override func ended(_ object: Int) -> Verdict { hasLost[object] ? .conflict : .done }
}

/// Pods that come, change some times, and go.
final class Pods: KubernetesActor {
    private enum Phase { case absent, present(updates: Int), unknown }
    private enum Asked { case create, update, delete, get }

    static let prefix = "/registry/pods/default/bench-"
    private var phases: [Phase]
    private var revisions: [Int64]
    private var asked: [Asked]
    private var succeeded: [Bool]
    private let updates: Int
    private let key = NumberedKey(Pods.prefix)
    private let value: KubernetesObject

    /// - Parameter updates: between creation and deletion: bound, started, ready, and so on.
    init(pods: Int, valueSize: Int, updates: Int = 4) {
        phases = Array(repeating: .absent, count: pods)
        revisions = Array(repeating: 0, count: pods)
        asked = Array(repeating: .create, count: pods)
        succeeded = Array(repeating: false, count: pods)
        self.updates = updates
        value = KubernetesObject(apiVersion: "v1", kind: "Pod", name: "bench", size: valueSize)
        super.init(operations: ["pod-create", "pod-update", "pod-delete", "pod-get"], objects: pods)
    }

    override func choose(_ object: Int) -> Step {
        let (ask, operation): (Asked, Int) =
            switch phases[object] {
            case .absent: (.create, 0)
            case .present(let done): done < updates ? (.update, 1) : (.delete, 2)
            case .unknown: (.get, 3)
            }
        asked[object] = ask
        return Step(operation: operation, method: operation == 3 ? KubernetesMethod.range : KubernetesMethod.txn)
    }

    override func write(_ object: Int, to sink: ByteSink) {
        let key = key.key(object)
        switch asked[object] {
        case .get:
            sink.always(1, key)
            sink.field(3, 1 as UInt64)
        case .create:
            sink.compareUnchanged(key, since: 0)
            sink.putOperation(key, value.stamped(martlet_monotonic_ns()))
        case .update:
            sink.compareUnchanged(key, since: revisions[object])
            sink.putOperation(key, value.stamped(martlet_monotonic_ns()))
            sink.rangeOperation(key, branch: 3)
        case .delete:
            sink.compareUnchanged(key, since: revisions[object])
            sink.deleteOperation(key)
            sink.rangeOperation(key, branch: 3)
        }
    }

    override func received(_ object: Int, _ message: UnsafeRawBufferPointer) {
        if case .get = asked[object] {
            let kv = Answers.bytes(2, of: message)
            revisions[object] = kv.map { Int64(bitPattern: Answers.number(3, of: $0) ?? 0) } ?? 0
            succeeded[object] = true
            return
        }
        succeeded[object] = Answers.succeeded(message)
        revisions[object] = succeeded[object] ? Answers.revision(message) : Answers.modRevisionInTransaction(message)
    }

    override func ended(_ object: Int) -> Verdict {
        guard succeeded[object] else {
            if case .create = asked[object] { phases[object] = .unknown } else { phases[object] = revisions[object] == 0 ? .absent : .present(updates: 0) }
            return .conflict
        }
        switch (asked[object], phases[object]) {
        case (.create, _): phases[object] = .present(updates: 0)
        case (.update, .present(let done)): phases[object] = .present(updates: done + 1)
        case (.delete, _): phases[object] = .absent
        case (.get, _): phases[object] = revisions[object] == 0 ? .absent : .present(updates: 0)
        default: break
        }
        return .done
    }

    /// What became of it nobody knows.
    override func failed(_ object: Int) { phases[object] = .unknown }
}

/// Events: created once, on leases that are shared by a thousand of them or a minute, and never touched again.
final class Events: KubernetesActor {
    private let key: NumberedKey
    private let value: KubernetesObject
    private let ttl: Int64
    private var next = 0
    private var lease: Int64 = 0
    private var leaseUses = 0
    private var leaseFrom: UInt64 = 0
    private var isGranting: [Bool]
    private var grantsInFlight = 0
    private var hasLost: [Bool]

    static let usesMax = 1_000
    static let ageMax: UInt64 = 60_000_000_000

    init(writers: Int, valueSize: Int, ttl: Int64, seed: UInt64) {
        self.ttl = ttl
        var random = SplitMix(seed)
        // Keys of this run alone.
        key = NumberedKey("/registry/events/default/bench." + String(random.next() | 1 << 63, radix: 16) + "-")
        value = KubernetesObject(apiVersion: "v1", kind: "Event", name: "bench", size: valueSize)
        isGranting = Array(repeating: false, count: writers)
        hasLost = Array(repeating: false, count: writers)
        super.init(operations: ["event-create", "event-lease-grant"], objects: writers)
    }

    override func choose(_ object: Int) -> Step {
        let isDue = lease == 0 || leaseUses >= Self.usesMax || martlet_monotonic_ns() > leaseFrom + Self.ageMax
        isGranting[object] = isDue && (lease == 0 || grantsInFlight == 0)
        if isGranting[object] { grantsInFlight += 1 } else { leaseUses += 1 }
        return isGranting[object]
            ? Step(operation: 1, method: KubernetesMethod.leaseGrant) : Step(operation: 0, method: KubernetesMethod.txn)
    }

    override func write(_ object: Int, to sink: ByteSink) {
        if isGranting[object] { return sink.field(1, ttl) }
        let key = key.key(next)
        next += 1
        sink.compareUnchanged(key, since: 0)
        sink.putOperation(key, value.stamped(martlet_monotonic_ns()), lease: lease)
    }

    override func received(_ object: Int, _ message: UnsafeRawBufferPointer) {
        if isGranting[object] {
            lease = Int64(bitPattern: Answers.number(2, of: message) ?? 0)
            leaseUses = 0
            leaseFrom = martlet_monotonic_ns()
        } else {
            hasLost[object] = !Answers.succeeded(message)
        }
    }

    override func ended(_ object: Int) -> Verdict {
        guard isGranting[object] else { return hasLost[object] ? .conflict : .done }
        grantsInFlight -= 1
        return .done
    }

    override func failed(_ object: Int) {
        if isGranting[object] { grantsInFlight -= 1 } else { lease = 0 }
    }
}

/// Readers that list all pods by pages of one revision; each page is a call.
final class PodLists: KubernetesActor {
    private struct Reader {
        var next: [UInt8] = []
        var revision: Int64 = 0
        /// Between two pages.
        var hasMore = false
    }

    private var readers: [Reader]
    private let limit: Int
    private let key: [UInt8]
    private let end: [UInt8]
    /// Whole lists.
    private(set) var lists = 0

    init(readers: Int, limit: Int, prefix: String = "/registry/pods/") {
        self.readers = Array(repeating: Reader(), count: readers)
        self.limit = limit
        key = Array(prefix.utf8)
        end = Array(prefix.utf8.dropLast()) + [prefix.utf8.last! + 1]
        super.init(operations: ["list-page"], objects: readers)
    }

    override var notes: [String] { ["\(lists) whole lists were read."] }

    override func choose(_ object: Int) -> Step { Step(operation: 0, method: KubernetesMethod.range) }

    override func write(_ object: Int, to sink: ByteSink) {
        let reader = readers[object]
        sink.field(1, reader.hasMore ? reader.next : key)
        sink.field(2, end)
        sink.field(3, UInt64(limit))
        sink.field(4, reader.hasMore ? reader.revision : 0)
    }

    override func received(_ object: Int, _ message: UnsafeRawBufferPointer) {
        if !readers[object].hasMore { readers[object].revision = Answers.revision(message) }
        readers[object].hasMore = Answers.number(3, of: message) == 1
        guard readers[object].hasMore else {
            lists += 1
            return
        }
        var last: UnsafeRawBufferPointer?
        Answers.forEach(2, of: message) { last = $0 }
        if let last, let key = Answers.bytes(1, of: last) { readers[object].next = Array(key) + [0] }
    }

    /// Its revision may have been compacted.
    override func failed(_ object: Int) { readers[object].hasMore = false }
}

/// Single objects read by key.
final class ObjectGets: KubernetesActor {
    private let key = NumberedKey(Pods.prefix)
    private var random: SplitMix
    private let objects: Int

    init(readers: Int, objects: Int, seed: UInt64) {
        self.objects = objects
        random = SplitMix(seed)
        super.init(operations: ["get"], objects: readers)
    }

    override func choose(_ object: Int) -> Step { Step(operation: 0, method: KubernetesMethod.range) }
    override func write(_ object: Int, to sink: ByteSink) {
        sink.always(1, key.key(random.below(objects)))
        sink.field(3, 1 as UInt64)
    }
}
