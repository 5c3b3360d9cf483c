// Every bound of the logging and tracing module in one place.

/// Bounds of logs and request spans.
public enum TracingLimits {
    /// Bytes of encoded lines that may wait for the writer thread; what comes on top is dropped and counted.
    public static let queuedBytesMaximum = 8 * 1_024 * 1_024
    /// More of them for lines of level error and above.
    public static let queuedBytesReserved = 1_024 * 1_024
    /// Milliseconds that the writer of a line of level error waits for it to be written.
    public static let synchronousWaitMilliseconds = 1_000
    /// Milliseconds between two lines that tell of lost ones.
    public static let noticeIntervalMilliseconds = 1_000
    /// Milliseconds between two looks whether a full pipe has room.
    static let outputPollMilliseconds: Int32 = 100
    /// Bytes written to a pipe at once: what one with any room takes without blocking.
    static let pipePieceBytes = 4_096
    /// Bytes that a backup is read and compressed in.
    static let compressionPieceBytes = 64 * 1_024
    /// Names tried for a backup when the clock has gone back to where there is one.
    static let backupNamesTried = 10_000
    /// Milliseconds before a rotation that failed is tried again; lines go on into the file that is there.
    static let rotationRetryMilliseconds: UInt64 = 1_000
    /// Lines of one level and message per second that are written before sampling begins.
    public static let sampledFirst: UInt32 = 100
    /// Of those beyond, every so many-th is written.
    public static let sampledThereafter: UInt32 = 100
    /// Counters of the sampler per level; messages whose hashes meet share one.
    public static let samplerCountersPerLevel = 1_024
    /// Frames of a stack trace.
    public static let stackFramesMaximum = 48
    /// Milliseconds without progress after which an output counts as hanging: nobody waits for its lines any more.
    public static let blockedWriteMilliseconds: Int32 = 2_000
    /// Bytes of one journal datagram; a longer line goes to stderr.
    public static let journalDatagramBytesMaximum = 128 * 1_024
}
