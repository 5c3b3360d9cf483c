// Every bound of the tool in one place.

enum UtilityLimits {
    /// Bytes that a copy keeps before it writes them.
    static let pieceBytes = 1 << 20
    /// Keys, and bytes of keys, that one pass for a HashKV or a count remembers: more keys take more passes.
    static let keysPerPass = 1_000_000
    static let keyBytesPerPass = 96 << 20
    /// Entries of a log that are moved at once.
    static let entriesPerBatch = 1_000
    static let entryBytesPerBatch = 4 << 20
    /// Entries whose replacement of earlier ones is remembered; a log with more is refused.
    static let replacementsMax = 1 << 20
    /// Problems that a verification lists of one part.
    static let problemsPerPart = 20
    /// A file below this is read without a bar.
    static let bytesWorthABar: UInt64 = 32 << 20
    /// How often a lock is tried, and after what time the user is told.
    static let lockRetryMicroseconds: UInt32 = 50_000
    static let lockNotice: Duration = .seconds(1)
    /// A line of a stream decoder.
    static let decoderLineBytes = 64 << 20
    /// What is kept of a stream decoder's errors.
    static let decoderErrorBytes = 1 << 20
}
