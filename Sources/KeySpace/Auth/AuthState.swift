// The rules of access in force: replaced by the apply thread, asked by every request while authentication is on.

import Synchronization
import Wire

/// Who asks, as a token or a certificate has shown.
public struct AuthInfo: Sendable, Equatable {
    public let username: String
    /// The auth revision at which it was shown; 0: nobody is known.
    public let revision: UInt64

    public init(username: String, revision: UInt64) {
        self.username = username
        self.revision = revision
    }

    /// A caller without credentials.
    public static let nobody = AuthInfo(username: "", revision: 0)
}

/// One state of the rules. Merged permissions are made when a user is first asked for.
public final class AuthSnapshot: Sendable {
    public let view: AuthView
    private let merged = Mutex<[String: PermissionSet]>([:])

    init(_ view: AuthView) { self.view = view }

    fileprivate func permissions(of user: AuthUser) -> PermissionSet {
        merged.withLock { cache in
            if let known = cache[user.name] { return known }
            let permissions = view.permissions(of: user)
            cache[user.name] = permissions
            return permissions
        }
    }
}

public enum AccessKind: Sendable { case read, write }

/// Authentication and authorization as every thread may ask for it.
public final class AuthState: Sendable {
    private let snapshot: Mutex<AuthSnapshot>
    private let enabled: Atomic<Bool>
    private let revisionCell: Atomic<UInt64>

    public init(_ view: AuthView = AuthView()) {
        snapshot = Mutex(AuthSnapshot(view))
        enabled = Atomic(view.isEnabled)
        revisionCell = Atomic(view.revision)
    }

    /// Read on every request, hence without the lock.
    @inline(__always)
    public var isEnabled: Bool { enabled.load(ordering: .acquiring) }
    public var revision: UInt64 { revisionCell.load(ordering: .relaxed) }
    public var current: AuthSnapshot { snapshot.withLock { $0 } }

    /// Changes the rules; an error leaves them as they were. On the apply thread only.
    func update<R>(_ change: (inout AuthView) throws(CallError) -> R) throws(CallError) -> R {
        var copy = current.view
        let result = try change(&copy)
        let next = AuthSnapshot(copy)
        snapshot.withLock { $0 = next }
        revisionCell.store(copy.revision, ordering: .relaxed)
        enabled.store(copy.isEnabled, ordering: .releasing)
        return result
    }

    // MARK: Checks

    /// May `who` do this with these keys?
    ///
    /// - Parameter rangeEnd: as in a range request.
    /// - Throws: `userEmpty` without credentials, `authOldRevision` when they are older than the rules,
    ///   `permissionDenied`.
    public func check(
        _ who: AuthInfo, _ access: AccessKind, key: UnsafeRawBufferPointer,
        rangeEnd: UnsafeRawBufferPointer = UnsafeRawBufferPointer(start: nil, count: 0)
    ) throws(CallError) {
        guard isEnabled else { return }
        guard who.revision != 0 else { throw .userEmpty }
        let snapshot = current
        guard who.revision >= snapshot.view.revision else { throw .authOldRevision }
        guard let user = snapshot.view.users[who.username] else { throw .permissionDenied }
        if user.isRoot { return }
        let permissions = snapshot.permissions(of: user)
        let intervals = access == .read ? permissions.read : permissions.write
        guard intervals.covers(key: key, rangeEnd: rangeEnd) else { throw .permissionDenied }
    }

    /// Is `who` somebody?
    public func checkUser(_ who: AuthInfo) throws(CallError) {
        guard isEnabled else { return }
        guard !who.username.isEmpty else { throw .userEmpty }
    }

    /// Does `who` hold the role root?
    public func checkAdmin(_ who: AuthInfo) throws(CallError) {
        guard isEnabled else { return }
        guard !who.username.isEmpty else { throw .userEmpty }
        guard let user = current.view.users[who.username] else { throw .userNotFound }
        guard user.isRoot else { throw .permissionDenied }
    }

    func isAdmin(_ who: AuthInfo) -> Bool {
        (try? checkAdmin(who)) != nil
    }

    // MARK: Checks of whole requests

    /// Reading the keys of leases: all of them, or be root.
    public func checkLeaseKeys(_ who: AuthInfo, _ access: AccessKind, _ keys: [[UInt8]]) throws(CallError) {
        guard isEnabled, !isAdmin(who) else { return }
        for key in keys { try check(who, access, key: key) }
    }

    private func check(_ who: AuthInfo, _ access: AccessKind, key: [UInt8]) throws(CallError) {
        let result = key.withUnsafeBytes { bytes -> CallError? in
            do throws(CallError) { try check(who, access, key: bytes) } catch { return error }
            return nil
        }
        if let result { throw result }
    }

    public func check(_ who: AuthInfo, _ request: RangeRequest) throws(CallError) {
        try check(who, .read, key: request.key, rangeEnd: request.rangeEnd)
    }

    /// Keys that hang on the request's lease must be writable too, or its holder could have them removed by
    /// letting it expire.
    public func check(_ who: AuthInfo, _ request: PutRequest, _ leases: LeaseStore) throws(CallError) {
        guard isEnabled else { return }
        try check(who, .write, key: request.key)
        if request.lease != 0, let keys = leases.keys(of: request.lease) { try checkLeaseKeys(who, .write, keys) }
        if request.wantsPrevious { try check(who, .read, key: request.key) }
    }

    public func check(_ who: AuthInfo, _ request: DeleteRangeRequest) throws(CallError) {
        try check(who, .write, key: request.key, rangeEnd: request.rangeEnd)
        if request.wantsPrevious { try check(who, .read, key: request.key, rangeEnd: request.rangeEnd) }
    }

    /// All compares, then all operations of both branches, whichever will be executed.
    public func check(_ who: AuthInfo, _ request: TxnRequest, _ leases: LeaseStore) throws(CallError) {
        guard isEnabled else { return }
        try request.compares.forEach { (bytes) throws(CallError) in
            guard let compare = try? Compare(decoding: bytes) else { return }
            try check(who, .read, key: compare.key, rangeEnd: compare.rangeEnd)
        }
        for branch in [request.success, request.failure] {
            try branch.forEach { (bytes) throws(CallError) in
                switch try? RequestOperation(decoding: bytes) {
                case .range(let range): try check(who, range)
                case .put(let put): try check(who, put, leases)
                case .deleteRange(let delete): try check(who, delete)
                case .txn(let txn): try check(who, txn, leases)
                case nil, .some(.none): break
                }
            }
        }
    }
}
