// How many calls the gateway may have at a time. etcd's gateway is a client of its own server with one connection, so the limit of
// streams on a connection holds for all of its calls together: those beyond it wait for one to end.

import DatastoreMetrics
import Synchronization
import Transport

/// Hands out as many places as a connection has streams.
final class GatewayStreams: Sendable {
    private struct State {
        var free: UInt32
        /// In the order in which they came. Who has gone meanwhile passes its place on when its turn comes.
        var waiting: [GatewayExchange] = []
        var first = 0
    }

    private let state: Mutex<State>
    private let waiting: Gauge

    /// - Parameter waiting: moves with the queue.
    /// - Returns: nil where there is no limit.
    init?(limit: UInt32, waiting: Gauge) {
        guard limit != .max else { return nil }
        self.waiting = waiting
        state = Mutex(State(free: limit))
    }

    enum Entry { case entered, waits, refused }

    /// A place for an exchange, or the promise of `admitted()` on its loop.
    func enter(_ exchange: GatewayExchange) -> Entry {
        state.withLock { state in
            if state.free > 0 {
                state.free -= 1
                return .entered
            }
            guard state.waiting.count - state.first < ServerLimits.gatewayCallsWaitingMax else { return .refused }
            state.waiting.append(exchange)
            waiting.increment()
            return .waits
        }
    }

    /// A place is free again: the next one's.
    func leave() {
        let next: GatewayExchange? = state.withLock { state in
            guard state.first < state.waiting.count else {
                state.free += 1
                return nil
            }
            let next = state.waiting[state.first]
            state.first += 1
            waiting.decrement()
            if state.first == state.waiting.count || state.first > 64 && state.first > state.waiting.count / 2 {
                state.waiting.removeFirst(state.first)
                state.first = 0
            }
            return next
        }
        if let next { next.loop.execute { next.admitted() } }
    }
}
