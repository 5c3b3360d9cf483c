// stm: each operation is a transaction of several calls, by itself or inside a lock of the server.

import Wire

final class TransactionWorkload: Workload, @unchecked Sendable {
    struct Shape: Sendable {
        var isolation = Isolation.repeatableReads
        var keys = 1
        var keysPerTransaction = 1
        var writePercent = 50
        var valueSize = 8
    }

    private enum Phase { case idle, locking, working, unlocking }

    private struct Client {
        var phase = Phase.idle
        var machine = TransactionMachine(isolation: .readCommitted, keys: 0, writes: 0)
        var keys: [Int] = []
        var revision: Int64 = 0
        var modRevision: Int64 = 0
        var succeeded = false
        var lock: [UInt8] = []
        var hasFailed = false
    }

    private let shape: Shape
    private let pattern = KeyPattern(size: 16)
    private let value: FixedBytes
    /// Leases to lock with, one for each client; none: no locks.
    private let leases: [Int64]
    private var clients: [Client] = []
    private var random: SplitMix
    /// Attempts beyond the first.
    private(set) var retries = 0

    init(_ shape: Shape, leases: [Int64], seed: UInt64) {
        self.shape = shape
        self.leases = leases
        value = .random(shape.valueSize, seed: seed)
        random = SplitMix(seed &+ 1)
        super.init(methods: [Path.range, Path.txn, Path.lock, Path.unlock], operations: ["stm"])
    }

    override var clientsMax: Int { leases.isEmpty ? .max : leases.count }

    override func prepare(clients: Int) { self.clients = Array(repeating: Client(), count: clients) }

    private func begin(_ client: Int) {
        clients[client].keys.removeAll(keepingCapacity: true)
        while clients[client].keys.count < shape.keysPerTransaction {
            let key = random.below(shape.keys)
            if !clients[client].keys.contains(key) { clients[client].keys.append(key) }
        }
        clients[client].machine = TransactionMachine(
            isolation: shape.isolation, keys: shape.keysPerTransaction, writes: shape.keysPerTransaction * shape.writePercent / 100,
            attemptsMax: BenchLimits.transactionAttemptsMax)
        clients[client].phase = leases.isEmpty ? .working : .locking
    }

    override func choose(_ client: Int) -> Step {
        if clients[client].phase == .idle { begin(client) }
        switch clients[client].phase {
        case .locking: return Step(operation: 0, method: 2)
        case .unlocking: return Step(operation: 0, method: 3)
        default:
            if case .read = clients[client].machine.next { return Step(operation: 0, method: 0) }
            return Step(operation: 0, method: 1)
        }
    }

    override func write(_ client: Int, to sink: ByteSink) {
        switch clients[client].phase {
        case .locking:
            sink.field(1, "stmlock")
            sink.field(2, leases[client % leases.count])
        case .unlocking: sink.field(1, clients[client].lock)
        default:
            let machine = clients[client].machine
            if case .read(let index, let revision) = machine.next {
                sink.always(1, pattern.key(clients[client].keys[index]))
                sink.field(4, revision)
                // What is past can be read anywhere.
                sink.field(7, revision != 0)
            } else {
                commit(client, machine, to: sink)
            }
        }
    }

    private func commit(_ client: Int, _ machine: TransactionMachine, to sink: ByteSink) {
        let keys = clients[client].keys
        for (key, revision) in machine.conditions { sink.compareUnchanged(pattern.key(keys[key]), since: revision) }
        if let bound = machine.writtenBelow {
            for index in 0..<machine.writes {
                let key = pattern.key(keys[index])
                sink.message(1) {
                    // LESS, MOD
                    $0.field(1, 2 as UInt64)
                    $0.field(2, 2 as UInt64)
                    $0.always(3, key)
                    $0.always(6, UInt64(bitPattern: bound))
                }
            }
        }
        for index in 0..<machine.writes { sink.putOperation(pattern.key(keys[index]), value.bytes) }
    }

    override func received(_ client: Int, _ message: UnsafeRawBufferPointer) {
        switch clients[client].phase {
        case .locking: clients[client].lock = Answers.bytes(2, of: message).map { Array($0) } ?? []
        case .working:
            clients[client].revision = Answers.revision(message)
            clients[client].succeeded = Answers.succeeded(message)
            let kv = Answers.bytes(2, of: message)
            clients[client].modRevision = kv.map { Int64(bitPattern: Answers.number(3, of: $0) ?? 0) } ?? 0
        default: break
        }
    }

    override func ended(_ client: Int) -> Verdict {
        switch clients[client].phase {
        case .locking:
            clients[client].phase = .working
            return .goesOn
        case .unlocking:
            clients[client].phase = .idle
            return clients[client].hasFailed ? .failed("the transaction lost too often") : .done
        default:
            if case .read = clients[client].machine.next {
                clients[client].machine.took(modRevision: clients[client].modRevision, headerRevision: clients[client].revision)
                return .goesOn
            }
            clients[client].machine.took(commit: clients[client].succeeded)
            switch clients[client].machine.next {
            case .done: clients[client].hasFailed = false
            case .failed: clients[client].hasFailed = true
            default:
                retries += 1
                return .goesOn
            }
            guard !leases.isEmpty else {
                clients[client].phase = .idle
                return clients[client].hasFailed ? .failed("the transaction lost too often") : .done
            }
            clients[client].phase = .unlocking
            return .goesOn
        }
    }

    override func failed(_ client: Int) { clients[client].phase = .idle }
}
