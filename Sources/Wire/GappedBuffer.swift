// Memory for a run of bytes with gaps at even distances: the payloads of HTTP/2 frames where they go out, with
// room between them for the frames' headers.

#if canImport(Glibc)
import Glibc
#endif

/// `count` bytes to be written, in blocks of `blockBytes` with `gapBytes` between two blocks that are not to be
/// touched. The first block may be filled already up to an offset. A plain buffer is one endless block.
public struct GappedBuffer {
    private let base: UnsafeMutableRawPointer
    private let blockBytes: Int
    private let gapBytes: Int
    /// Where byte 0 is: its distance from `base`, without gaps.
    private let start: Int
    public let count: Int

    /// - Parameters:
    ///   - base: the first block.
    ///   - start: bytes of the first block that are not part of the buffer.
    public init(base: UnsafeMutableRawPointer, blockBytes: Int, gapBytes: Int, start: Int, count: Int) {
        precondition(blockBytes > 0 && gapBytes >= 0 && start >= 0 && start <= blockBytes && count >= 0)
        self.base = base
        self.blockBytes = blockBytes
        self.gapBytes = gapBytes
        self.start = start
        self.count = count
    }

    public init(_ buffer: UnsafeMutableRawBufferPointer) {
        base = buffer.baseAddress ?? UnsafeMutableRawPointer(bitPattern: 16).unsafelyUnwrapped
        blockBytes = .max
        gapBytes = 0
        start = 0
        count = buffer.count
    }

    /// The bytes from `position` on.
    public func suffix(from position: Int) -> GappedBuffer { part(from: position, count: count - position) }

    /// `count` bytes from `position` on.
    public func part(from position: Int, count: Int) -> GappedBuffer {
        precondition(position >= 0 && count >= 0 && position + count <= self.count)
        let from = start + position
        let skipped = from / blockBytes
        // An endless block has no next one; its product would overflow.
        return GappedBuffer(
            base: skipped == 0 ? base : base + skipped * (blockBytes + gapBytes), blockBytes: blockBytes, gapBytes: gapBytes,
            start: from - skipped * blockBytes, count: count)
    }

    /// Visits the memory of `length` bytes from `position` on, piece by piece.
    @inline(__always)
    public func forEachPiece(_ position: Int, _ length: Int, _ body: (UnsafeMutableRawBufferPointer) -> Void) {
        precondition(position >= 0 && length >= 0 && length <= count - position)
        var block = (start + position) / blockBytes
        var offset = start + position - block * blockBytes
        var left = length
        while left > 0 {
            let size = min(left, blockBytes - offset)
            body(UnsafeMutableRawBufferPointer(start: base + (block == 0 ? 0 : block * (blockBytes + gapBytes)) + offset, count: size))
            left -= size
            block += 1
            offset = 0
        }
    }

    /// How many pieces `length` bytes from `position` on lie in.
    @inline(__always)
    public func pieceCount(_ position: Int, _ length: Int) -> Int {
        guard length > 0 else { return 0 }
        let first = start + position
        return (first + length - 1) / blockBytes - first / blockBytes + 1
    }

    /// Copies bytes to `position`.
    @inline(__always)
    public func copy(_ bytes: UnsafeRawBufferPointer, to position: Int) {
        var source = bytes.baseAddress
        forEachPiece(position, bytes.count) { piece in
            memcpy(piece.baseAddress.unsafelyUnwrapped, source.unsafelyUnwrapped, piece.count)
            source = source.unsafelyUnwrapped + piece.count
        }
    }
}
