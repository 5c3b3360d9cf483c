// Every bound of the consensus value in one place: what may grow, how far, and what happens then.

public enum Limits {
    /// Bytes of entries in one append message; a single larger entry still travels alone.
    public static let defaultMaxSizePerMessage = 1 << 20
    /// Append messages sent to one follower and not yet answered; then the follower waits.
    public static let defaultMaxInflightMessages = 512
    /// Bytes of entries in those messages; then the follower waits.
    public static let defaultMaxInflightBytes = 64 << 20
    /// Bytes of committed entries handed out and not yet applied; then no more are handed out.
    public static let defaultMaxApplyingBytes = 8 << 20
    /// Read-index rounds waiting for a quorum or for the term's first commit; then a new one is dropped.
    public static let maxPendingReads = 4096
    /// Log lines kept until the next `ready()`; later ones are counted, not kept.
    public static let maxPendingLogLines = 512
    /// Messages kept until the next `ready()`; later ones are lost, as on a network. Raft sends them again.
    public static let maxPendingMessages = 65_536
    /// Members of one configuration; a larger change is refused.
    public static let maxMembers = 256
    /// What an entry is taken to cost besides its payload where sizes are summed.
    static let entryOverheadBytes = 24
    /// Compacted slots at the front of the log's storage before it is moved together.
    static let minSlotsToTrim = 1024
}
