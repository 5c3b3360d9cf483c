// Tokens of logged-in users. A simple token is known to the members that applied its making; a signed one tells
// by itself whose it is.

import CShims
import Dispatch
import KeySpace
import Synchronization
import Wire

/// Makes and judges tokens, and computes password hashes away from the threads that serve.
final class AuthTokens: AuthSecrets {
    fileprivate struct State {
        /// By the whole token: whose it is, and until when.
        var simple: [String: (user: String, deadline: UInt64)] = [:]
        /// Prefixes of tokens that a call of this member waits for, and the token once it is made.
        var expected: [String: String?] = [:]
    }

    private let state = Mutex(State())
    private let ttlNanoseconds: UInt64
    private let signer: TokenSigner?
    let bcryptCost: Int
    /// bcrypt keeps a core busy for a tenth of a second, so few run at a time.
    private let workers: [DispatchQueue]
    private let jobs = Atomic<Int>(0)

    init(_ settings: AuthenticationSettings, signer: TokenSigner?) {
        ttlNanoseconds = UInt64(settings.simpleTokenTTLSeconds) &* 1_000_000_000
        bcryptCost = settings.bcryptCost
        self.signer = signer
        workers = (0..<2).map { DispatchQueue(label: "passwords-\($0)") }
    }

    // MARK: Making

    /// A new prefix of sixteen letters; `taken` must be called for it in the end.
    func expectToken() -> String {
        let letters = Array("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ".utf8)
        var generator = SystemRandomNumberGenerator()
        let prefix = String(decoding: (0..<16).map { _ in letters.randomElement(using: &generator)! }, as: UTF8.self)
        state.withLock { $0.expected[prefix] = .some(nil) }
        return prefix
    }

    /// The token that was made for a prefix, if it was.
    func takeToken(_ prefix: String) -> String? {
        state.withLock { $0.expected.removeValue(forKey: prefix) ?? nil }
    }

    func issueToken(user: String, prefix: String, index: UInt64, revision: UInt64) {
        if let signer {
            // A signed token is only worth making where somebody waits for it.
            guard state.withLock({ $0.expected[prefix] != nil }) else { return }
            let token = signer.sign(user: user, revision: revision)
            return state.withLock { if $0.expected[prefix] != nil { $0.expected[prefix] = token } }
        }
        let token = "\(prefix).\(index)"
        let deadline = martlet_monotonic_ns() &+ ttlNanoseconds
        state.withLock {
            // Every member keeps each token, so the number is what all clients of the cluster log in within a TTL.
            if $0.simple.count >= ServerLimits.simpleTokensMax { $0.dropEarliest() }
            $0.simple[token] = (user, deadline)
            if $0.expected[prefix] != nil { $0.expected[prefix] = token }
        }
    }

    func dropTokens(of user: String?) {
        state.withLock { state in
            if let user { state.simple = state.simple.filter { $0.value.user != user } } else { state.simple = [:] }
        }
    }

    // MARK: Judging

    /// Whose token it is; nil if it is nobody's or no longer good. Using a simple token keeps it alive.
    ///
    /// - Parameter revision: the auth revision of now, which simple tokens count as shown at.
    func info(_ token: String, revision: UInt64) -> AuthInfo? {
        if let signer { return signer.verify(token) }
        let now = martlet_monotonic_ns()
        return state.withLock {
            guard let found = $0.simple[token], found.deadline > now else { return nil }
            $0.simple[token]!.deadline = now &+ ttlNanoseconds
            return AuthInfo(username: found.user, revision: revision)
        }
    }

    /// Forgets tokens whose time is up; called every second.
    func sweep() {
        let now = martlet_monotonic_ns()
        state.withLock { state in
            guard state.simple.contains(where: { $0.value.deadline <= now }) else { return }
            state.simple = state.simple.filter { $0.value.deadline > now }
        }
    }

    var count: Int { state.withLock { $0.simple.count } }

    // MARK: Passwords

    func hash(password: String) -> [UInt8] {
        (try? PasswordHash.make(password, cost: bcryptCost)).map { Array($0.utf8) } ?? []
    }

    /// Runs work that computes a hash on a thread of its own; false when too much of it waits.
    func compute(_ work: @escaping @Sendable () -> Void) -> Bool {
        let number = jobs.wrappingAdd(1, ordering: .relaxed).newValue
        guard number <= ServerLimits.passwordJobsMax else {
            jobs.wrappingSubtract(1, ordering: .relaxed)
            return false
        }
        workers[number % workers.count].async {
            work()
            self.jobs.wrappingSubtract(1, ordering: .relaxed)
        }
        return true
    }
}

extension AuthTokens.State {
    fileprivate mutating func dropEarliest() {
        guard let earliest = simple.min(by: { $0.value.deadline < $1.value.deadline }) else { return }
        simple[earliest.key] = nil
    }
}

/// Makes and checks signed tokens.
protocol TokenSigner: Sendable {
    /// Nil when this member has no private key.
    func sign(user: String, revision: UInt64) -> String?
    func verify(_ token: String) -> AuthInfo?
}
