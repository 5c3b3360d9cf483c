// The traffic of several actors in proportion.

import Wire

final class KubernetesWorkload: Workload, @unchecked Sendable {
    private let actors: [KubernetesActor]
    /// Ascending to 1.
    private let shares: [Double]
    private var current: [(actor: Int, object: Int)] = []
    private var random: SplitMix

    /// - Parameter weights: how often an actor's turn comes beside the others'.
    init(_ actors: [(actor: KubernetesActor, weight: Double)], seed: UInt64) {
        precondition(!actors.isEmpty)
        self.actors = actors.map(\.actor)
        let total = actors.reduce(0) { $0 + $1.weight }
        var sum = 0.0
        shares = actors.map { part in
            sum += part.weight / total
            return sum
        }
        random = SplitMix(seed)
        var operations: [String] = []
        for (actor, _) in actors {
            actor.firstOperation = operations.count
            operations += actor.operations
        }
        super.init(methods: [Path.txn, Path.range, Path.leaseGrant], operations: operations)
    }

    override var clientsMax: Int { actors.reduce(0) { $0 + $1.objectCount } }
    override var notes: [String] { actors.flatMap(\.notes) }

    override func prepare(clients: Int) { current = Array(repeating: (0, -1), count: clients) }

    override func choose(_ client: Int) -> Step {
        let place = random.fraction()
        var index = shares.firstIndex { place < $0 } ?? actors.count - 1
        var object = actors[index].take()
        // All objects of an actor can have calls; then it is another's turn.
        for _ in 1..<max(2, actors.count) where object == nil {
            index = (index + 1) % actors.count
            object = actors[index].take()
        }
        guard let object else { preconditionFailure("more clients than objects") }
        current[client] = (index, object)
        let step = actors[index].choose(object)
        return Step(operation: actors[index].firstOperation + step.operation, method: step.method)
    }

    override func write(_ client: Int, to sink: ByteSink) { actors[current[client].actor].write(current[client].object, to: sink) }

    override func received(_ client: Int, _ message: UnsafeRawBufferPointer) {
        actors[current[client].actor].received(current[client].object, message)
    }

    override func ended(_ client: Int) -> Verdict {
        let (index, object) = current[client]
        let verdict = actors[index].ended(object)
        actors[index].giveBack(object)
        return verdict
    }

    override func failed(_ client: Int) {
        let (index, object) = current[client]
        actors[index].failed(object)
        actors[index].giveBack(object)
    }
}
