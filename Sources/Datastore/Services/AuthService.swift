// etcdserverpb.Auth: every call but Authenticate is one proposal, answered at apply.

import KeySpace
import Transport
import Wire

/// A call of the Auth service whose message goes through the log as it came.
final class AuthProposalMethod: MethodHandler {
    private let node: Node
    private let kind: InternalRequestKind

    init(_ node: Node, _ kind: InternalRequestKind) {
        self.node = node
        self.kind = kind
    }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            try check(bytes)
            node.propose(kind, bytes, for: call)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    /// What cannot be decoded must not reach the log.
    private func check(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        switch kind {
        case .authRoleGrantPermission: _ = try RoleGrantPermissionRequest(decoding: bytes)
        case .authRoleRevokePermission: _ = try RoleRevokePermissionRequest(decoding: bytes)
        case .authEnable, .authDisable, .authStatus, .authUserList, .authRoleList: try FieldlessMethod.check(bytes)
        default: _ = try NamesRequest(decoding: bytes)
        }
    }
}

/// Auth/UserAdd and Auth/UserChangePassword: only the password's hash is proposed.
final class PasswordMethod: MethodHandler {
    private let node: Node
    private let kind: InternalRequestKind

    init(_ node: Node, _ kind: InternalRequestKind) {
        precondition(kind == .authUserAdd || kind == .authUserChangePassword)
        self.node = node
        self.kind = kind
    }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        let message: PasswordRequest.Message = kind == .authUserAdd ? .add : .change
        do {
            let request = try PasswordRequest(message, decoding: bytes)
            guard kind == .authUserAdd ? !request.hasNoPassword : !request.password.isEmpty else {
                return propose(request, message, call)
            }
            let cost = node.tokens.bcryptCost
            let isTaken = node.tokens.compute { [self] in
                let hash: Result<String, CallError>
                do throws(CallError) { hash = .success(try PasswordHash.make(request.password, cost: cost)) } catch { hash = .failure(error) }
                call.loop.execute { [self] in
                    guard call.isAlive else { return }
                    switch hash {
                    case .success(let text):
                        var hashed = request
                        hashed.password = ""
                        hashed.hashedPassword = Base64.encode(text.utf8)
                        propose(hashed, message, call)
                    case .failure(let error): call.fail(error)
                    }
                }
            }
            if !isTaken { call.fail(.tooManyRequests) }
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    private func propose(_ request: PasswordRequest, _ message: PasswordRequest.Message, _ call: Call) {
        let sink = ByteSink(capacity: 256)
        request.encode(message, to: sink)
        node.propose(kind, sink.bytes, for: call)
    }
}

/// Auth/Authenticate: the password is judged here against what is applied, then every member makes the token.
final class AuthenticateMethod: MethodHandler, LinearizableHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard node.admit(call, isStream: false) else { return }
        do {
            _ = try PasswordRequest(.authenticate, decoding: bytes)
            node.linearize(call, bytes, self)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func serve(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        guard let request = try? PasswordRequest(.authenticate, decoding: bytes) else { return }
        judge(call, request, until: monotonicNow() &+ node.requestTimeoutNanoseconds)
    }

    /// On the call's loop.
    private func judge(_ call: Call, _ request: PasswordRequest, until deadline: UInt64) {
        guard call.isAlive else { return }
        guard monotonicNow() < deadline else { return call.fail(.timeout) }
        guard node.keySpace.auth.isEnabled else { return call.fail(.authNotEnabled) }
        let view = node.keySpace.auth.current.view
        guard let user = view.users[request.name] else { return refuse(call, request.name, .authFailed) }
        guard !user.hasNoPassword else { return refuse(call, request.name, .noPasswordUser) }
        let isTaken = node.tokens.compute { [self] in
            let isRight = PasswordHash.matches(request.password, user.password)
            call.loop.execute { [self] in
                guard call.isAlive else { return }
                guard isRight else { return refuse(call, request.name, .authFailed) }
                issue(call, request, checkedAt: view.revision, until: deadline)
            }
        }
        if !isTaken { call.fail(.tooManyRequests) }
    }

    private func refuse(_ call: Call, _ name: String, _ error: CallError) {
        node.log.warn("invalid authentication was requested", .string("user", name), .error(error.message))
        call.fail(error)
    }

    private func issue(_ call: Call, _ request: PasswordRequest, checkedAt revision: UInt64, until deadline: UInt64) {
        let prefix = node.tokens.expectToken()
        let sink = ByteSink(capacity: 64)
        InternalAuthenticateRequest(name: request.name, simpleToken: prefix).encode(to: sink)
        node.propose(.authenticate, sink.bytes, privileged: false) { [self] error in
            let token = node.tokens.takeToken(prefix)
            call.loop.execute { [self] in
                guard call.isAlive else { return }
                if let error { return call.fail(error) }
                guard node.keySpace.auth.revision == revision else {
                    node.log.info("revision when password checked became stale; retrying")
                    return judge(call, request, until: deadline)
                }
                guard let token else { return call.fail(.cannotSignToken) }
                call.reply { sink in
                    node.appendHeader(to: sink)
                    sink.field(2, token)
                }
            }
        }
    }
}

extension CallError {
    static let cannotSignToken = CallError(.unknown, "auth: token signing attempted with verify-only key")
}
