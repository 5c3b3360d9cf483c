// The token of a user: asked for once, shared by all calls, renewed when a server does not know it any longer.

import Wire

actor TokenKeeper {
    private enum State {
        case none
        case asking(Task<Result<String?, ClientError>, Never>)
        /// Nil: the servers have no authentication.
        case known(String?)
    }

    private let pool: ConnectionPool
    private let name: String
    private let password: String
    private let timeout: Duration
    private var state = State.none

    init(pool: ConnectionPool, name: String, password: String, timeout: Duration) {
        self.pool = pool
        self.name = name
        self.password = password
        self.timeout = timeout
    }

    func current() async throws(ClientError) -> String? {
        if case .known(let token) = state { return token }
        return try await ask()
    }

    /// - Parameter stale: the token that was refused; another one that is here by now is good.
    func renew(_ stale: String?) async throws(ClientError) {
        if case .known(let token) = state {
            guard token == stale else { return }
            state = .none
        }
        _ = try await ask()
    }

    private func ask() async throws(ClientError) -> String? {
        let task: Task<Result<String?, ClientError>, Never>
        if case .asking(let running) = state {
            task = running
        } else {
            task = Task { [pool, name, password, timeout] in await Self.authenticate(pool, name, password, timeout) }
            state = .asking(task)
        }
        let result = await task.value
        if case .asking(let running) = state, running == task {
            if case .success(let token) = result { state = .known(token) } else { state = .none }
        }
        return try result.get()
    }

    private static func authenticate(
        _ pool: ConnectionPool, _ name: String, _ password: String, _ timeout: Duration
    ) async -> Result<String?, ClientError> {
        let request = encoded {
            $0.field(1, name)
            $0.field(2, password)
        }
        let deadline = monotonicNanoseconds() + timeout.nanoseconds
        while true {
            let result = await pool.unary(.authenticate, request, token: nil, metadata: [], deadline: deadline)
            switch result {
            case .success(let bytes):
                do throws(ProtobufError) { return .success(try AuthenticateResponse(bytes: bytes).token) } catch {
                    return .failure(.malformed(error))
                }
            case .failure(let error):
                if error.matches(.authNotEnabled) { return .success(nil) }
                // The user store changed while the password was being checked, or the connection went.
                guard error.matches(.authOldRevision) || error.code == .unavailable, monotonicNanoseconds() < deadline else {
                    return .failure(error)
                }
                try? await Task.sleep(nanoseconds: UInt64(ClientLimits.retryMilliseconds) * 1_000_000)
            }
        }
    }
}
