// Bytes that are made once and sent to many: an encoded watch event, a batch of responses.

#if canImport(Glibc)
import Glibc
#endif

/// Immutable bytes shared between threads by reference.
public final class SharedBytes: @unchecked Sendable {
    // Unchecked: written only in the initialiser.
    private let base: UnsafeMutableRawPointer
    public let count: Int

    public init(copying bytes: UnsafeRawBufferPointer) {
        count = bytes.count
        base = .allocate(byteCount: max(bytes.count, 1), alignment: 16)
        if let source = bytes.baseAddress { memcpy(base, source, bytes.count) }
    }

    /// Makes `count` bytes in place.
    public init(count: Int, _ fill: (UnsafeMutableRawBufferPointer) throws -> Void) rethrows {
        self.count = count
        base = .allocate(byteCount: max(count, 1), alignment: 16)
        do { try fill(UnsafeMutableRawBufferPointer(start: base, count: count)) } catch { free(base); throw error }
    }

    deinit { free(base) }

    @inline(__always)
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
}
