// `--auth-token=jwt`: tokens that tell by themselves whose they are (RFC 7519), with the claims that etcd puts into them.

import DatastoreTracing
import KeySpace
import Synchronization
import Transport
import Wire

/// Makes and checks tokens with one key and one algorithm. From any thread.
final class SignedTokens: TokenSigner {
    private let method: String
    private let key: SignatureKey
    private let ttlSeconds: Int64
    private let log: Log?
    /// Seconds since 1970.
    private let now: @Sendable () -> Int64
    /// `{"alg":…,"typ":"JWT"}`, encoded.
    private let header: String
    /// Tokens whose signature was found good: a public-key operation costs more than the rest of a small read.
    private let known = Mutex<[String: Claims]>([:])

    /// - Parameters:
    ///   - log: tells why a token was not taken; nil says nothing.
    ///   - now: seconds since 1970.
    init(
        _ options: JWTOptions, readFile: (String) throws(FileReadError) -> [UInt8], log: Log? = nil,
        now: @escaping @Sendable () -> Int64 = { Int64(WallClock.milliseconds() / 1000) }
    ) throws(StartError) {
        guard let algorithm = JWTOptions.algorithms[options.signMethod] else { preconditionFailure("unchecked method \(options.signMethod)") }
        method = options.signMethod
        ttlSeconds = options.ttl.count / 1_000_000_000
        self.log = log
        self.now = now
        header = Base64.encode("{\"alg\":\"\(options.signMethod)\",\"typ\":\"JWT\"}".utf8, .url)
        func read(_ path: String) throws(StartError) -> [UInt8]? {
            guard !path.isEmpty else { return nil }
            do throws(FileReadError) { return try readFile(path) } catch {
                log?.error("problem loading JWT options", .error(error.reason))
                throw StartError("auth: invalid auth options")
            }
        }
        let (publicKey, privateKey) = (try read(options.publicKeyPath), try read(options.privateKeyPath))
        do throws(SignatureKeyError) {
            key = try SignatureKey(algorithm, privateKey: privateKey, publicKey: publicKey)
        } catch {
            throw StartError(error.description)
        }
    }

    /// What a token says; times in seconds since 1970.
    private struct Claims {
        let info: AuthInfo
        let expires: Double?
        let begins: Double?

        func holds(at now: Int64) -> Bool {
            if let expires, Double(now) >= expires { return false }
            if let begins, Double(now) < begins { return false }
            return true
        }
    }

    // MARK: Making

    func sign(user: String, revision: UInt64) -> String? {
        let claims = ByteSink(capacity: 128)
        claims.append("{\"exp\":" as StaticString)
        claims.append(String(now() + ttlSeconds))
        claims.append(",\"revision\":" as StaticString)
        claims.append(String(revision))
        claims.append(",\"username\":" as StaticString)
        claims.json(user)
        claims.append("}" as StaticString)
        let signed = header + "." + Base64.encode(claims.array(), .url)
        return key.sign(Array(signed.utf8)).map { signed + "." + Base64.encode($0, .url) }
    }

    // MARK: Checking

    func verify(_ token: String) -> AuthInfo? {
        let claims: Claims
        if let found = known.withLock({ $0[token] }) {
            claims = found
        } else {
            do throws(Refusal) { claims = try read(token) } catch {
                log?.warn("failed to parse a JWT token", .error(error.reason))
                return nil
            }
            known.withLock {
                // All at once: whoever is still there pays for one signature.
                if $0.count >= ServerLimits.signedTokensKnownMax { $0.removeAll(keepingCapacity: true) }
                $0[token] = claims
            }
        }
        guard claims.holds(at: now()) else {
            known.withLock { _ = $0.removeValue(forKey: token) }
            log?.warn("failed to parse a JWT token", .error("token has invalid claims: token is expired or not yet valid"))
            return nil
        }
        return claims.info
    }

    private struct Refusal: Error {
        let reason: String
    }

    /// What a token says whose signature is good.
    private func read(_ token: String) throws(Refusal) -> Claims {
        let parts = token.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 3 else { throw Refusal(reason: "token is malformed: token contains an invalid number of segments") }
        guard let header = Self.object(parts[0]) else { throw Refusal(reason: "token is malformed: could not decode the header") }
        // A token that chooses its own algorithm could choose one that proves nothing.
        guard header["alg"]?.string == method else { throw Refusal(reason: "token is unverifiable: invalid signing method") }
        guard let claims = Self.object(parts[1]) else { throw Refusal(reason: "token is malformed: could not decode the claims") }
        guard let signature = Base64.decode(parts[2], .url) else {
            throw Refusal(reason: "token is malformed: could not decode the signature")
        }
        let signed = Array(token.utf8.prefix(parts[0].count + 1 + parts[1].count))
        guard key.verify(signed, signature) else { throw Refusal(reason: "token signature is invalid") }
        guard let username = claims["username"]?.string else { throw Refusal(reason: "failed to obtain user claims from jwt token") }
        guard let revision = Self.number(claims["revision"]), revision >= 0 else {
            throw Refusal(reason: "failed to obtain revision claims from jwt token")
        }
        return Claims(
            info: AuthInfo(username: username, revision: revision < 0x1p64 ? UInt64(revision) : .max),
            expires: try Self.time("exp", claims), begins: try Self.time("nbf", claims))
    }

    private static func object(_ part: Substring.UTF8View) -> JSONValue? {
        guard let bytes = Base64.decode(part, .url), let value = try? JSONValue(parsing: bytes), case .object = value else { return nil }
        return value
    }

    private static func number(_ value: JSONValue?) -> Double? {
        guard case .number(let text)? = value, let number = Double(text), number.isFinite else { return nil }
        return number
    }

    /// A time that is not named, or zero, is none; fractions of a second do not count.
    private static func time(_ name: String, _ claims: JSONValue) throws(Refusal) -> Double? {
        guard let value = claims[name] else { return nil }
        guard let seconds = number(value) else { throw Refusal(reason: "token has invalid claims: \(name) is invalid") }
        return seconds == 0 ? nil : seconds.rounded(.down)
    }
}

extension JWTOptions {
    static let algorithms: [String: SignatureAlgorithm] = [
        "RS256": .rsa(.sha256), "RS384": .rsa(.sha384), "RS512": .rsa(.sha512),
        "PS256": .rsaPSS(.sha256), "PS384": .rsaPSS(.sha384), "PS512": .rsaPSS(.sha512),
        "ES256": .ecdsa(.sha256), "ES384": .ecdsa(.sha384), "ES512": .ecdsa(.sha512),
        "HS256": .hmac(.sha256), "HS384": .hmac(.sha384), "HS512": .hmac(.sha512),
        "EdDSA": .ed25519,
    ]
}
