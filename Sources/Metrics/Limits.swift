// Every bound of the metrics module in one place.

/// Bounds of registries and their families.
public enum MetricsLimits {
    /// Families one registry holds; more is a programming error.
    public static let familiesMaximum = 1_024
    /// Series a vector holds unless it was declared with another bound; further label sets share `other`.
    public static let seriesPerVectorDefault = 128
    /// Buckets of one histogram, `+Inf` not counted.
    public static let bucketsMaximum = 64
    /// Label value of the series that takes what did not fit.
    public static let overflowLabelValue = "other"
    /// Bytes of a label value that are kept: a longer one comes from outside and carries no meaning.
    public static let labelValueBytesMaximum = 256
}
