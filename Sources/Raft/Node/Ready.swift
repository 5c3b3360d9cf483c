// What the driver has to do, in this order:
//
// 1. write `snapshot`, `entriesToAppend` and `hardState`; sync if `mustSync`;
//    `messages` may be sent before that, while it runs, or after
// 2. `didPersist(ready.persistence)`, then send `messagesAfterAppend`
// 3. apply `snapshot`, then `committedEntries`, in order; `didApply(through:)`
// 4. answer `readStates`: each read may run once its index is applied
//
// Several Readies may be under way at once, if each stage keeps their order.

import Wire

/// What is worth showing and need not survive.
public struct SoftState: Equatable, Sendable {
    public var leader: MemberID
    public var role: RaftNode.Role
}

/// A read that may run once `index` is applied.
public struct ReadState: Equatable, Sendable {
    public var index: LogIndex
    public var context: [UInt8]
}

/// Names what a `Ready` asked to be made durable.
public struct PersistenceToken: Equatable, Sendable {
    let number: UInt64
    let epoch: UInt64
    let through: LogIndex
}

public struct Ready: Sendable {
    /// Set when leader or role changed.
    public var softState: SoftState?
    /// Set when it changed.
    public var hardState: HardState?
    /// To install before the entries; the log begins anew behind it.
    public var snapshot: Snapshot?
    /// Read them with `withEntries(_:_:)` before the next `step`. They replace whatever was written with the
    /// same or higher indexes.
    public var entriesToAppend: Range<LogIndex>
    /// To send at once.
    public var messages: [Message]
    /// To send when all that was handed out so far is durable.
    public var messagesAfterAppend: [Message]
    /// To apply; durable here and committed by a quorum. Read them with `withEntries(_:_:)`.
    public var committedEntries: Range<LogIndex>
    public var readStates: [ReadState]
    /// Entries, vote or term must reach the disk; a commit index alone need not.
    public var mustSync: Bool
    public var logLines: [LogLine]
    public var persistence: PersistenceToken
}
