// Every bound of reading and writing bbolt files in one place.

enum BoltLimits {
    /// Page sizes that a file may have. bbolt takes the system's; readers of a damaged first page look this far.
    static let pageBytes = 512...(16 << 20)
    /// Page sizes that are written: an element's number on its page is 16 bits.
    static let writtenPageBytes = 1024...(64 << 10)
    /// bbolt's own bound of a key.
    static let keyBytesMax = 32_768
    /// bbolt's own bound of a value.
    static let valueBytesMax = (1 << 31) - 2
    /// Pages from a bucket's root to a leaf. Sixteen are enough for any file that fits on a disk.
    static let depthMax = 32
    /// Buckets within buckets.
    static let nestingMax = 32
    /// A page up to this size, overflow included, is read at once; of a larger one its elements' table, and keys and
    /// values one by one.
    static let wholePageBytes = 256 << 10
    /// Buffers above this are given back after their use.
    static let scratchBytesKept = 1 << 20
    /// A freelist is read in pieces of this size.
    static let freelistPieceBytes = 64 << 10
    /// Problems that a consistency check lists before it gives up.
    static let problemsMax = 100
    /// A leaf that would waste much of its last page grows up to this many pages.
    static let leafPagesWanted = 8
}
