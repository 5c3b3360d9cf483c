// Every bound of the logging and tracing module in one place.

/// Bounds of logs and request spans.
public enum TracingLimits {
    /// Bytes of encoded lines that may wait for the writer thread; what comes on top is dropped and counted.
    public static let queuedBytesMaximum = 8 * 1_024 * 1_024
    /// Lines of one level and message per second that are written before sampling begins.
    public static let sampledFirst: UInt32 = 100
    /// Of those beyond, every so many-th is written.
    public static let sampledThereafter: UInt32 = 100
    /// Counters of the sampler per level; messages whose hashes meet share one.
    public static let samplerCountersPerLevel = 1_024
    /// Frames of a stack trace.
    public static let stackFramesMaximum = 48
    /// Milliseconds a write waits for a full pipe or terminal before its bytes are given up.
    public static let blockedWriteMilliseconds: Int32 = 2_000
    /// Bytes of one journal datagram; a longer line goes to stderr.
    public static let journalDatagramBytesMaximum = 128 * 1_024
}
