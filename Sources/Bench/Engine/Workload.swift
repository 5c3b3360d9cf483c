// What a load consists of: the engine asks a workload for requests and tells it of the answers.

import Wire

/// Which call comes next, and what it counts as.
struct Step {
    /// Index in the workload's operations.
    var operation: Int
    /// Index in its methods.
    var method: Int
}

/// What an answer means for the operation that it belongs to.
enum Verdict {
    /// The operation is over.
    case done
    /// It is over, and was not what was hoped for (a lost compare-and-swap).
    case conflict
    /// It goes on with another call of the same client at once.
    case goesOn
    /// It failed with a text of its own.
    case failed(String)
}

/// One kind of load. Confined to the engine's loop while it runs; a client has one call at a time.
class Workload: @unchecked Sendable {
    /// Paths of the methods that it calls.
    let methods: [String]
    /// Names of what is measured apart.
    let operations: [String]

    init(methods: [String], operations: [String]) {
        self.methods = methods
        self.operations = operations
    }

    /// Clients that it can keep apart.
    var clientsMax: Int { .max }
    /// What there is to say of a run at its end.
    var notes: [String] { [] }

    /// Before the run: how many clients there are.
    func prepare(clients: Int) {}

    /// Chooses a client's next call.
    func choose(_ client: Int) -> Step { Step(operation: 0, method: 0) }
    /// Writes its message.
    func write(_ client: Int, to sink: ByteSink) { preconditionFailure("a workload writes requests") }
    /// An answer's message, valid during the call.
    func received(_ client: Int, _ message: UnsafeRawBufferPointer) {}
    /// The call has ended well.
    func ended(_ client: Int) -> Verdict { .done }
    /// The call failed; its operation with it.
    func failed(_ client: Int) {}
}

/// Paths of the methods in use.
enum Path {
    static let range = "/etcdserverpb.KV/Range"
    static let rangeStream = "/etcdserverpb.KV/RangeStream"
    static let put = "/etcdserverpb.KV/Put"
    static let txn = "/etcdserverpb.KV/Txn"
    static let watch = "/etcdserverpb.Watch/Watch"
    static let leaseGrant = "/etcdserverpb.Lease/LeaseGrant"
    static let leaseKeepAlive = "/etcdserverpb.Lease/LeaseKeepAlive"
    static let lock = "/v3lockpb.Lock/Lock"
    static let unlock = "/v3lockpb.Lock/Unlock"
}

/// What happens on a stream. Confined to the engine's loop.
protocol StreamHandler: AnyObject {
    func received(_ message: UnsafeRawBufferPointer)
    /// It ended, well or not; it is not opened again.
    func ended(_ reason: String)
}
