// Looking for bit rot: the frames of sealed segments are read again and compared with their checksums. Reads of
// records do not check anything, because a checksum covers a whole frame. Maintenance thread.

/// The verification of one segment, driven in slices.
public struct SegmentVerification {
    public let segmentID: UInt32
    private var scanner: FrameScanner
    fileprivate let end: UInt64
    fileprivate let path: String

    fileprivate init(_ segment: Segment, end: UInt64) {
        segmentID = segment.id
        path = segment.path
        self.end = end
        scanner = FrameScanner(segment.file!, segment: segment.id, from: UInt64(SegmentHeader.size), end: end)
    }

    /// Verifies about so many bytes. False at the end of the segment.
    fileprivate mutating func step(maxBytes: Int) throws(StorageError) -> (bytes: Int, hasMore: Bool) {
        let start = scanner.offset
        while scanner.offset - start < UInt64(maxBytes) {
            guard case .frame = try scanner.next() else {
                guard scanner.offset == end else {
                    throw StorageError(.read, path, .corrupt("the frame at \(scanner.offset) is damaged"))
                }
                return (Int(scanner.offset - start), false)
            }
        }
        return (Int(scanner.offset - start), true)
    }
}

extension RevisionLog {
    /// Starts to verify the first sealed segment behind a number; nil if there is none.
    public func beginVerification(after id: UInt32) -> SegmentVerification? {
        let segment = shared.withLock { shared in
            shared.segments.first { $0.id > id && $0.isSealed && $0.written > UInt64(SegmentHeader.size) }
        }
        return segment.map { SegmentVerification($0, end: $0.written) }
    }

    /// Verifies some more frames.
    ///
    /// - Returns: the bytes that were verified, and whether there are more. A segment that was collected meanwhile has none.
    /// - Throws: a corrupt error at the first frame whose checksum is wrong.
    public func step(
        _ verification: inout SegmentVerification, maxBytes: Int
    ) throws(StorageError) -> (bytes: Int, hasMore: Bool) {
        let id = verification.segmentID
        guard shared.withLock({ shared in shared.segments.contains { $0.id == id } }) else { return (0, false) }
        return try verification.step(maxBytes: maxBytes)
    }

    /// Verifies everything that is written, sealed or not. Before the log is used.
    public func verifyAll() throws(StorageError) {
        let segments = shared.withLock { $0.segments.filter { $0.written > UInt64(SegmentHeader.size) } }
        for segment in segments {
            var verification = SegmentVerification(segment, end: segment.written)
            while try verification.step(maxBytes: RevisionLogLimits.scanBuffer).hasMore {}
        }
    }
}
