// grpc.health.v1.Health: what load balancers and clients ask before they use a server.

import Synchronization
import Wire

/// Serving states by service name, and the calls that ask for them or watch them.
public final class HealthService: Sendable {
    public enum ServingStatus: UInt64, Sendable {
        case unknown = 0, serving = 1, notServing = 2, serviceUnknown = 3
    }

    private struct State {
        var statuses: [String: ServingStatus] = ["": .serving]
        /// Watching calls by id, with the service they watch and what they were told last.
        var watchers: [Call: (service: String, told: ServingStatus)] = [:]
        var isShutDown = false
    }

    private let state = Mutex(State())

    public init() {}

    /// Adds the service's methods to a table.
    public func register(in table: inout MethodTable) {
        table.add(service: "grpc.health.v1.Health", method: "Check", kind: .unary, Check(self))
        table.add(service: "grpc.health.v1.Health", method: "Watch", kind: .serverStreaming, Watch(self))
    }

    /// Sets the state of a service and tells its watchers. From any thread.
    public func set(_ status: ServingStatus, service: String = "") {
        let told: [Call] = state.withLock { state in
            guard !state.isShutDown else { return [] }
            state.statuses[service] = status
            return state.watchers.filter { $0.value.service == service && $0.value.told != status }.map(\.key)
        }
        for call in told { call.loop.execute { self.tell(call) } }
    }

    /// Everything is NOT_SERVING from now on.
    public func shutDown() {
        let names = state.withLock { Array($0.statuses.keys) }
        for name in names { set(.notServing, service: name) }
        state.withLock { $0.isShutDown = true }
    }

    private func status(of service: String) -> ServingStatus? { state.withLock { $0.statuses[service] } }

    /// On the call's loop: sends the present state if it differs from what was told.
    private func tell(_ call: Call) {
        let status: ServingStatus? = state.withLock { state in
            guard let watcher = state.watchers[call] else { return nil }
            let status = state.statuses[watcher.service] ?? .serviceUnknown
            guard status != watcher.told else { return nil }
            state.watchers[call] = (watcher.service, status)
            return status
        }
        if let status { call.send { $0.field(1, status.rawValue) } }
    }

    private func watch(_ call: Call, _ service: String) {
        let status = state.withLock { state in
            let status = state.statuses[service] ?? .serviceUnknown
            state.watchers[call] = (service, status)
            return status
        }
        call.send { $0.field(1, status.rawValue) }
    }

    private func unwatch(_ call: Call) { state.withLock { _ = $0.watchers.removeValue(forKey: call) } }

    /// HealthCheckRequest: the service name is field 1.
    private static func serviceName(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) -> String {
        var reader = ProtobufReader(bytes)
        var name = ""
        while let (field, type) = try reader.next() {
            if field == 1, type == .bytes { name = try reader.string(type) } else { try reader.skip(type, field: field) }
        }
        return name
    }

    private static func fail(_ call: Call, _ error: ProtobufError) {
        call.fail(.internal, "grpc: error unmarshalling request: \(error)")
    }

    private final class Check: MethodHandler {
        private let health: HealthService
        init(_ health: HealthService) { self.health = health }

        func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
            do {
                guard let status = health.status(of: try HealthService.serviceName(bytes)) else {
                    return call.fail(.notFound, "unknown service")
                }
                call.reply { $0.field(1, status.rawValue) }
            } catch {
                HealthService.fail(call, error)
            }
        }
    }

    private final class Watch: MethodHandler {
        private let health: HealthService
        init(_ health: HealthService) { self.health = health }

        func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
            do {
                health.watch(call, try HealthService.serviceName(bytes))
            } catch {
                HealthService.fail(call, error)
            }
        }

        func cancelled(_ call: Call, _ reason: CancelReason) { health.unwatch(call) }
    }
}
