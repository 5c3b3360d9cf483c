// Every bound of the decoder in one place.

enum DecoderLimits {
    /// Messages, JSON values and CBOR items may lie this deep in each other.
    static let depthMax = 128
    /// Bytes of one stored value, and of one document to encode.
    static let valueBytesMax = 64 << 20
    /// Bytes of text that one value may become: an empty message of two bytes can be a hundred in JSON.
    static let textBytesMax = 1 << 30
    /// Memory that a message may take: so many bytes for each of its own, and a mebibyte, but not more than a gibibyte.
    static let arenaBytesPerByte = 256
    static let arenaBytesMax = 1 << 30
    /// Kinds that a decoder finds again without the schema's tables.
    static let recentKindsMax = 16
    /// Bytes of unknown fields are taken for messages this deep.
    static let guessDepthMax = 32
    /// Stored objects inside raw fields of others.
    static let nestedObjectsMax = 4
    /// Memory that the arena keeps between two values.
    static let arenaBytesKept = 4 << 20
    /// Warnings about one value; further ones are counted only.
    static let warningsMax = 100
}
