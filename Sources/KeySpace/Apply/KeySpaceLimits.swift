// Every bound of the key space in one place.

public enum KeySpaceLimits {
    /// Entries applied under one hold of the store's lock, before readers see them: bounds how long a
    /// reader waits (some 150 µs) and how far a page-cache write is shared.
    public static let entriesPerPublication = 64
    /// Scratch memory kept between requests; larger ones give it back.
    static let scratchBytesKept = 1 << 20
    /// Levels of nested transactions, each of which is a recursion at every pass over the tree. Above what
    /// the default of `--max-txn-ops` allows; beyond: `too many operations in txn request`.
    static let transactionDepthMax = 256
    /// Stored records in the answer to a write (the ranges of a transaction, previous values), which is made in memory.
    /// Beyond: the write is done and its caller gets ResourceExhausted.
    static let answerBytesMax = 64 << 20
    /// Learners of a cluster unless `--max-learners` says otherwise.
    public static let learnersMaxDefault = 1
    /// Longest TTL of a lease, in seconds.
    public static let leaseTTLMax: Int64 = 9_000_000_000
}
