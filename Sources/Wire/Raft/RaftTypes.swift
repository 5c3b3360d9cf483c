// The records that consensus works on, as raftpb (etcd's raft.proto) defines them.

/// Identifies a member of the cluster for good. 0 is nobody.
public struct MemberID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ value: UInt64) { rawValue = value }
    public static let none = MemberID(0)
    @inlinable public static func < (a: MemberID, b: MemberID) -> Bool { a.rawValue < b.rawValue }
    /// Lower-case hex without padding, as logs and labels show it.
    public var description: String { String(rawValue, radix: 16) }
}

public struct ClusterID: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    public init(_ value: UInt64) { rawValue = value }
    public var description: String { String(rawValue, radix: 16) }
}

/// An election term of Raft; 0 before the first.
public typealias Term = UInt64
/// A position in the Raft log; the first entry has 1.
public typealias LogIndex = UInt64

public enum EntryKind: UInt64, Sendable {
    case normal = 0, configurationChange = 1, configurationChangeV2 = 2
}

public struct Entry: Sendable, Equatable {
    public var kind: EntryKind
    public var term: Term
    public var index: LogIndex
    /// Empty for a new leader's no-op.
    public var data: [UInt8]

    public init(kind: EntryKind = .normal, term: Term, index: LogIndex, data: [UInt8] = []) {
        self.kind = kind
        self.term = term
        self.index = index
        self.data = data
    }
}

/// What a member must remember across restarts besides the log.
public struct HardState: Sendable, Equatable {
    public var term: Term
    public var vote: MemberID
    public var commit: LogIndex

    public init(term: Term = 0, vote: MemberID = .none, commit: LogIndex = 0) {
        self.term = term
        self.vote = vote
        self.commit = commit
    }

    public var isEmpty: Bool { self == HardState() }
}

/// The voters and learners in force, possibly in the middle of a joint change.
public struct ConfigurationState: Sendable, Equatable {
    public var voters: [MemberID]
    public var learners: [MemberID]
    public var votersOutgoing: [MemberID]
    public var learnersNext: [MemberID]
    public var autoLeave: Bool

    public init(
        voters: [MemberID] = [], learners: [MemberID] = [], votersOutgoing: [MemberID] = [],
        learnersNext: [MemberID] = [], autoLeave: Bool = false
    ) {
        self.voters = voters
        self.learners = learners
        self.votersOutgoing = votersOutgoing
        self.learnersNext = learnersNext
        self.autoLeave = autoLeave
    }
}

/// A point of the log that a copy of the applied state stands for.
public struct SnapshotMetadata: Sendable, Equatable {
    public var index: LogIndex
    public var term: Term
    public var configuration: ConfigurationState

    public init(index: LogIndex = 0, term: Term = 0, configuration: ConfigurationState = .init()) {
        self.index = index
        self.term = term
        self.configuration = configuration
    }
}

public struct Snapshot: Sendable, Equatable {
    public var metadata: SnapshotMetadata
    public var data: [UInt8]

    public init(metadata: SnapshotMetadata = .init(), data: [UInt8] = []) {
        self.metadata = metadata
        self.data = data
    }
}

public enum MessageKind: UInt64, Sendable {
    case hup = 0, beat, propose, append, appendResponse, vote, voteResponse, snapshot, heartbeat, heartbeatResponse
    case unreachable, snapshotStatus, checkQuorum, transferLeader, timeoutNow, readIndex, readIndexResponse
    case preVote, preVoteResponse, storageAppend, storageAppendResponse, storageApply, storageApplyResponse
    case forgetLeader
}

/// What members say to each other.
public struct Message: Sendable, Equatable {
    public var kind: MessageKind
    public var to: MemberID
    public var from: MemberID
    public var term: Term
    public var logTerm: Term
    public var index: LogIndex
    public var entries: [Entry]
    public var commit: LogIndex
    public var snapshot: Snapshot?
    public var reject: Bool
    public var rejectHint: LogIndex
    public var context: [UInt8]

    public init(
        kind: MessageKind, to: MemberID = .none, from: MemberID = .none, term: Term = 0, logTerm: Term = 0,
        index: LogIndex = 0, entries: [Entry] = [], commit: LogIndex = 0, snapshot: Snapshot? = nil,
        reject: Bool = false, rejectHint: LogIndex = 0, context: [UInt8] = []
    ) {
        self.kind = kind
        self.to = to
        self.from = from
        self.term = term
        self.logTerm = logTerm
        self.index = index
        self.entries = entries
        self.commit = commit
        self.snapshot = snapshot
        self.reject = reject
        self.rejectHint = rejectHint
        self.context = context
    }
}

public enum ConfigurationChangeKind: UInt64, Sendable {
    case addVoter = 0, remove = 1, update = 2, addLearner = 3
}

/// One membership change, the form that etcd proposes.
public struct ConfigurationChange: Sendable, Equatable {
    /// The request that waits for it.
    public var id: UInt64
    public var kind: ConfigurationChangeKind
    public var member: MemberID
    /// The member's description as JSON.
    public var context: [UInt8]

    public init(id: UInt64 = 0, kind: ConfigurationChangeKind, member: MemberID, context: [UInt8] = []) {
        self.id = id
        self.kind = kind
        self.member = member
        self.context = context
    }
}

public enum ConfigurationTransition: UInt64, Sendable {
    case auto = 0, jointImplicit = 1, jointExplicit = 2
}

/// Several changes made at once through a joint configuration; without changes it leaves one.
public struct ConfigurationChangeV2: Sendable, Equatable {
    public struct Single: Sendable, Equatable {
        public var kind: ConfigurationChangeKind
        public var member: MemberID
        public init(kind: ConfigurationChangeKind, member: MemberID) {
            self.kind = kind
            self.member = member
        }
    }

    public var transition: ConfigurationTransition
    public var changes: [Single]
    public var context: [UInt8]

    public init(transition: ConfigurationTransition = .auto, changes: [Single] = [], context: [UInt8] = []) {
        self.transition = transition
        self.changes = changes
        self.context = context
    }

    public init(_ change: ConfigurationChange) {
        self.init(changes: [Single(kind: change.kind, member: change.member)], context: change.context)
    }
}
