// CRC-32C, the checksum of the WAL, of the store's frames and of HashKV.

import CShims

public enum CRC32C {
    /// The checksum of `bytes` continued from `crc`, with the standard initial and final inversion.
    @inline(__always)
    public static func update(_ crc: UInt32 = 0, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        guard let base = bytes.baseAddress else { return crc }
        return martlet_crc32c(crc, base, bytes.count)
    }
}
