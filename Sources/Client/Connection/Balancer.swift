// Which endpoint serves the next call, and when those that failed are tried again. A value without sockets or clock.

/// States of the endpoints. Calls go round those that are ready.
struct Balancer {
    enum State: Equatable {
        case idle
        case connecting
        case ready
        /// Not before this moment, in nanoseconds.
        case resting(until: UInt64)
    }

    struct Endpoint {
        var state = State.idle
        /// Failures since the last success.
        var failures = 0
    }

    private(set) var endpoints: [Endpoint]
    private var next = 0
    /// What the last failed connection said.
    private(set) var lastFailure: String?

    init(count: Int, first: Int = 0) {
        precondition(count > 0)
        endpoints = Array(repeating: Endpoint(), count: count)
        next = first % count
    }

    /// The endpoint of the next call; nil when none is ready.
    mutating func pick() -> Int? {
        for step in endpoints.indices {
            let index = (next + step) % endpoints.count
            if endpoints[index].state == .ready {
                next = (index + 1) % endpoints.count
                return index
            }
        }
        return nil
    }

    /// Endpoints that should be connected to now; they count as connecting.
    mutating func due(at now: UInt64) -> [Int] {
        var result: [Int] = []
        for index in endpoints.indices {
            switch endpoints[index].state {
            case .idle: result.append(index)
            case .resting(let until) where until <= now: result.append(index)
            default: continue
            }
            endpoints[index].state = .connecting
        }
        return result
    }

    /// When `due` will have something; nil when nothing rests.
    var nextMoment: UInt64? {
        var moment: UInt64?
        for endpoint in endpoints {
            if case .resting(let until) = endpoint.state { moment = min(moment ?? until, until) }
        }
        return moment
    }

    mutating func connected(_ index: Int) {
        endpoints[index].state = .ready
        endpoints[index].failures = 0
    }

    /// A connection could not be made, or was lost before it served. `spread`: 0 ... 1, random.
    mutating func failed(_ index: Int, _ reason: String, at now: UInt64, spread: Double) {
        lastFailure = reason
        var pause = Double(ClientLimits.reconnectMilliseconds) * 1_000_000
        for _ in 0..<min(endpoints[index].failures, 32) { pause *= 1.6 }
        pause = min(pause, Double(ClientLimits.reconnectMillisecondsMax) * 1_000_000) * (0.8 + 0.4 * spread)
        endpoints[index].failures += 1
        endpoints[index].state = .resting(until: now + UInt64(pause))
    }

    /// A connection that served is gone: it is made again at once.
    mutating func lost(_ index: Int) { endpoints[index].state = .idle }

    /// Every invariant that the state must keep.
    func check() {
        precondition(next < endpoints.count)
        for endpoint in endpoints where endpoint.state == .ready { precondition(endpoint.failures == 0) }
    }
}
