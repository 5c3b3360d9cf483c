// Who a call comes from, and whether that is enough. With authentication off each check is one atomic load.

import KeySpace
import Transport
import Wire

extension Node {
    /// Who asks; nil while authentication is off.
    ///
    /// - Throws: `invalidAuthToken` for a token that is not good. A token wins over a certificate.
    func credentials(_ call: Call) throws(CallError) -> AuthInfo? {
        guard keySpace.auth.isEnabled else { return nil }
        let revision = keySpace.auth.revision
        if let given = call.metadata(.token) ?? call.metadata(.authorization) {
            let bearer = "Bearer "
            let token = given.hasPrefix(bearer) ? String(given.dropFirst(bearer.count)) : given
            guard let info = tokens.info(token, revision: revision) else { throw .invalidAuthToken }
            return info
        }
        // Behind the gateway the certificate is the gateway's own. One that is only asked for because there is an
        // authority to check it by names nobody.
        if let name = call.peerCommonName, configuration.clientTLS.requiresCertificate, call.metadata(.gatewayAccept) == nil {
            return AuthInfo(username: name, revision: revision)
        }
        return .nobody
    }

    /// Refuses everybody who is not root.
    @inline(__always)
    func authorizeAdmin(_ call: Call) throws(CallError) {
        guard let who = try credentials(call) else { return }
        try keySpace.auth.checkAdmin(who)
    }

    /// Refuses callers without credentials.
    @inline(__always)
    func authorizeUser(_ call: Call) throws(CallError) {
        guard let who = try credentials(call) else { return }
        try keySpace.auth.checkUser(who)
    }

    /// Runs a read for which `check` must pass, and refuses its result when the rules have changed meanwhile.
    @inline(__always)
    func authorizedRead<R>(
        _ call: Call, _ check: (AuthState, AuthInfo) throws(CallError) -> Void, _ read: () throws(CallError) -> R
    ) throws(CallError) -> R {
        guard let who = try credentials(call) else { return try read() }
        try check(keySpace.auth, who)
        let result = try read()
        // Nobody has no revision: what needs no permission, as a transaction without operations, is theirs too.
        guard who.revision == 0 || who.revision == keySpace.auth.revision else { throw .authOldRevision }
        return result
    }

    /// What a watch of these keys is refused with; nil if it may be.
    func watchRefusal(_ call: Call, _ request: WatchCreateRequest) -> String? {
        guard keySpace.auth.isEnabled else { return nil }
        do throws(CallError) {
            guard let who = try credentials(call) else { return nil }
            // No key at all means the lowest one.
            try withUnsafeBytes(of: 0 as UInt8) { (lowest) throws(CallError) in
                try keySpace.auth.check(
                    who, .read, key: request.key.isEmpty ? lowest : request.key, rangeEnd: request.rangeEnd)
            }
            return nil
        } catch {
            return "rpc error: code = \(error.code.name) desc = \(error.message)"
        }
    }
}
