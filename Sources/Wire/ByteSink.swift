// The output buffer that every encoder of the server writes to: growable, reusable, uninitialised.

#if canImport(Glibc)
import Glibc
#endif

/// A growable byte buffer owned by one thread or event loop at a time.
///
/// A class, so that it is handed down a call chain without copies; its memory is kept by `clear()`, so a
/// sink that lives as long as its connection or log allocates only while it grows.
public final class ByteSink {
    // Run-time exclusivity checks of these three cost 7 % of a small call, and cannot fail: nothing is inout.
    // Other modules append byte by byte as well: what they inline sees the fields themselves.
    @exclusivity(unchecked) @usableFromInline var memory: UnsafeMutableRawPointer
    @exclusivity(unchecked) @usableFromInline var used = 0
    @exclusivity(unchecked) @usableFromInline var size: Int

    @inlinable
    public var base: UnsafeMutableRawPointer { memory }
    @inlinable
    public var count: Int { used }
    @inlinable
    public var capacity: Int { size }

    public init(capacity: Int = 256) {
        precondition(capacity > 0)
        memory = .allocate(byteCount: capacity, alignment: 16)
        size = capacity
    }

    deinit { free(memory) }

    /// Makes room for `extra` more bytes.
    @inlinable
    @inline(__always)
    public func reserve(_ extra: Int) {
        if size - used < extra { grow(extra) }
    }

    @inline(never)
    @usableFromInline
    func grow(_ extra: Int) {
        var wanted = size * 2
        while wanted - used < extra { wanted *= 2 }
        guard let moved = realloc(memory, wanted) else { fatalError("out of memory: a buffer of \(wanted) bytes") }
        memory = moved
        size = wanted
    }

    @inlinable
    @inline(__always)
    public func append(byte: UInt8) {
        reserve(1)
        memory.storeBytes(of: byte, toByteOffset: used, as: UInt8.self)
        used += 1
    }

    @inlinable
    @inline(__always)
    public func append(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count)
        (memory + used).copyMemory(from: source, byteCount: bytes.count)
        used += bytes.count
    }

    @inline(__always)
    public func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { append($0) }
    }

    public func append(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    public func append(_ text: String) {
        var text = text
        text.withUTF8 { append(UnsafeRawBufferPointer($0)) }
    }

    /// Hands out `length` uninitialised bytes at the end; the body says how many it wrote.
    @inline(__always)
    public func append(uninitializedCapacity length: Int, _ body: (UnsafeMutableRawBufferPointer) throws -> Int) rethrows {
        reserve(length)
        let written = try body(UnsafeMutableRawBufferPointer(start: memory + used, count: length))
        precondition(written >= 0 && written <= length)
        used += written
    }

    /// Appends zero bytes.
    public func append(zeros length: Int) {
        reserve(length)
        memset(memory + used, 0, length)
        used += length
    }

    /// Forgets the content and keeps the memory; memory beyond `keeping` is given back, so that one large
    /// message does not stay allocated for good.
    public func clear(keeping limit: Int = .max) {
        used = 0
        if size > limit {
            free(memory)
            size = max(limit, 16)
            memory = .allocate(byteCount: size, alignment: 16)
        }
    }

    /// Cuts the content to its first `length` bytes.
    public func truncate(to length: Int) {
        precondition(length >= 0 && length <= used)
        used = length
    }

    /// For encoders that write through `base` after `reserve`.
    @inline(__always)
    func setCount(_ value: Int) {
        assert(value <= size)
        used = value
    }

    /// Puts bytes in front of what begins at `offset`. They must not be this sink's own.
    public func insert(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        precondition(offset >= 0 && offset <= count)
        guard let source = bytes.baseAddress, bytes.count > 0 else { return }
        reserve(bytes.count)
        memmove(base + offset + bytes.count, base + offset, count - offset)
        memcpy(base + offset, source, bytes.count)
        used += bytes.count
    }

    /// Drops the first `length` bytes by moving the rest to the front.
    public func removeFirst(_ length: Int) {
        precondition(length >= 0 && length <= count)
        memmove(base, base + length, count - length)
        used -= length
    }

    /// The content; valid until the next mutation.
    @inline(__always)
    public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    @inline(__always)
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R { try body(bytes) }

    public func array() -> [UInt8] { [UInt8](bytes) }
}
