// SHA-256 of bytes that come in pieces.

import CShims

/// The SHA-256 digest (FIPS 180-4) of a stream.
public struct SHA256Stream {
    private var sum = martlet_sha256()

    /// - Parameter portable: without the CPU's instructions; for tests.
    public init(portable: Bool = false) { martlet_sha256_start(&sum, portable ? 1 : 0) }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        martlet_sha256_add(&sum, base, bytes.count)
    }

    /// The 32 bytes of the digest of what was added so far.
    public func digest() -> [UInt8] {
        var copy = sum
        return [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            martlet_sha256_finish(&copy, buffer.baseAddress!)
            count = 32
        }
    }
}
