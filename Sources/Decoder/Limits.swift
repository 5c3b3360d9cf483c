// Every bound of the decoder in one place.

enum DecoderLimits {
    /// Messages, JSON values and CBOR items may lie this deep in each other.
    static let depthMax = 128
    /// Bytes of one stored value, and of one document to encode.
    static let valueBytesMax = 64 << 20
    /// Memory that the arena keeps between two values.
    static let arenaBytesKept = 4 << 20
    /// Warnings about one value; further ones are counted only.
    static let warningsMax = 100
}
