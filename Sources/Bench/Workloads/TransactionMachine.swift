// Software transactional memory as clientv3 does it: read keys, write some of them, commit if nothing read has changed, else again.

/// How much a transaction is kept apart from others.
public enum Isolation: String, Sendable, CaseIterable {
    /// Commits whatever happened meanwhile.
    case readCommitted = "c"
    /// What was read must not have changed.
    case repeatableReads = "r"
    /// Besides, all reads are of one revision.
    case serializable = "s"
    /// Besides, what is written must not have changed either since the first read.
    case serializableSnapshot = "ss"
}

/// One transaction as a value: says which call comes next and takes the answers. No clock, no I/O.
public struct TransactionMachine: Sendable {
    public enum Call: Equatable, Sendable {
        /// Reads the key of that index; 0: the newest revision, which the cluster agrees on; else a past one, from any member.
        case read(Int, revision: Int64)
        case commit
        case done
        /// It lost too often.
        case failed
    }

    private let isolation: Isolation
    public let keyCount: Int
    /// Keys 0 ..< writes are written.
    public let writes: Int
    /// Mod revisions of what was read.
    public private(set) var read: [Int64] = []
    /// Of the first read.
    public private(set) var firstRevision: Int64 = 0
    public private(set) var attempts = 1
    private var isCommitted = false
    private let attemptsMax: Int

    public init(isolation: Isolation, keys: Int, writes: Int, attemptsMax: Int = 10_000) {
        precondition(writes <= keys && writes >= 0)
        self.isolation = isolation
        keyCount = keys
        self.writes = writes
        self.attemptsMax = attemptsMax
    }

    public var next: Call {
        if isCommitted { return .done }
        if attempts > attemptsMax { return .failed }
        if read.count < keyCount {
            let isPinned = (isolation == .serializable || isolation == .serializableSnapshot) && !read.isEmpty
            return .read(read.count, revision: isPinned ? firstRevision : 0)
        }
        return .commit
    }

    /// Took a read's answer: the key's mod revision (0: there is no such key) and the header's.
    public mutating func took(modRevision: Int64, headerRevision: Int64) {
        if read.isEmpty { firstRevision = headerRevision }
        read.append(modRevision)
    }

    /// Took a commit's answer.
    public mutating func took(commit succeeded: Bool) {
        if succeeded {
            isCommitted = true
        } else {
            attempts += 1
            read = []
        }
    }

    /// What must hold at the commit: keys by index that must be at these mod revisions.
    public var conditions: [(key: Int, revision: Int64)] {
        isolation == .readCommitted ? [] : read.enumerated().map { ($0.offset, $0.element) }
    }

    /// Keys by index whose mod revision must be below this; nil: no such condition.
    public var writtenBelow: Int64? { isolation == .serializableSnapshot ? firstRevision + 1 : nil }
}
