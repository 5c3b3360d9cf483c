// Every bound of the export of traces in one place.

/// Bounds of a `TraceExporter`.
public enum TraceExportLimits {
    /// Items that wait for export (OpenTelemetry's number). Beyond: dropped and counted.
    public static let queuedMax = 2_048
    /// Of these in one export.
    public static let perExportMax = 512
    /// So long the first item of a batch waits for others.
    static let delayMilliseconds: Int64 = 1_000
    /// Limit of one export; and how long a batch is tried again before it is dropped.
    static let exportNanoseconds: UInt64 = 10_000_000_000
    static let retryNanoseconds: UInt64 = 60_000_000_000
    /// So long the end waits for the last batch.
    static let closeMilliseconds = 2_000
}
