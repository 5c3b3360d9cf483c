// What the JSON gateway counts of its own; the calls behind it count like all others.

import DatastoreMetrics

struct GatewayMetrics: Sendable {
    /// What a request asked for: a bounded set, whatever clients send.
    enum RouteClass: String {
        case unary
        /// The answer, or both sides, are streams.
        case stream
        /// No route, or not by this method.
        case none
    }

    private let requests: Vector<Counter>
    /// Calls in the queue for a place, those that have given up meanwhile among them.
    let waiting: Gauge

    init(_ registry: Registry) {
        requests = registry.counters(
            "martlet_gateway_requests_total",
            help: "Requests to the JSON gateway by class of route and HTTP status; status 0: the client left before the answer began.",
            labels: ["class", "code"])
        waiting = registry.gauge(
            "martlet_gateway_calls_waiting", help: "Calls of the JSON gateway that wait until fewer than the limit of streams are open.")
    }

    func answered(_ route: RouteClass, status: Int) { requests.series(route.rawValue, String(status)).increment() }
}
