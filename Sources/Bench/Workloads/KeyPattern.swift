// Keys as etcd's benchmark makes them: a number as a zigzag varint at the start of zeros.

#if canImport(Glibc)
import Glibc
#endif

/// One buffer that is written over for each key.
final class KeyPattern {
    private let buffer: UnsafeMutableRawBufferPointer
    private let prefixLength: Int

    /// - Parameter prefix: stands before the number's bytes and counts towards the size only where that is too small for it.
    init(size: Int, prefix: [UInt8] = []) {
        precondition(size > 0)
        prefixLength = prefix.count
        buffer = .allocate(byteCount: prefix.count + max(size, 1) + 10, alignment: 8)
        memset(buffer.baseAddress!, 0, buffer.count)
        for (index, byte) in prefix.enumerated() { buffer[index] = byte }
        self.size = prefix.count + size
    }

    deinit { buffer.deallocate() }

    let size: Int

    /// How large keys must be so that numbers below a bound fit.
    static func sizeNeeded(below bound: Int) -> Int {
        var value = UInt64(max(0, bound - 1)) << 1
        var size = 1
        while value >= 0x80 {
            value >>= 7
            size += 1
        }
        return size
    }

    /// Valid until the next one.
    @inline(__always)
    func key(_ number: Int) -> UnsafeRawBufferPointer {
        memset(buffer.baseAddress! + prefixLength, 0, 10)
        var value = UInt64(number) << 1
        var index = prefixLength
        while value >= 0x80 {
            buffer[index] = UInt8(truncatingIfNeeded: value) | 0x80
            index += 1
            value >>= 7
        }
        buffer[index] = UInt8(value)
        return UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<size])
    }

    /// A copy.
    func array(_ number: Int) -> [UInt8] { withExtendedLifetime(self) { Array(key(number)) } }
}

/// Bytes that last as long as a load.
final class FixedBytes {
    let bytes: UnsafeRawBufferPointer

    init(_ content: some Collection<UInt8>) {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: max(content.count, 1), alignment: 8)
        memory.copyBytes(from: content)
        bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<content.count])
    }

    static func random(_ count: Int, seed: UInt64) -> FixedBytes {
        var random = SplitMix(seed)
        return FixedBytes((0..<count).map { _ in UInt8(truncatingIfNeeded: random.next()) })
    }

    /// A copy.
    var array: [UInt8] { withExtendedLifetime(self) { Array(bytes) } }

    deinit { bytes.deallocate() }
}
