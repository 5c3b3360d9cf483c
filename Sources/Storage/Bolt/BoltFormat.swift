// The layout of a bbolt file, format version 2. Little-endian, as all supported machines write it.

/// The meta page that is in force: what the file consists of.
public struct BoltMeta: Equatable, Sendable {
    public var pageSize: Int
    /// Page of the root bucket, which holds the named buckets.
    public var root: UInt64
    public var rootSequence: UInt64 = 0
    /// Page of the freelist; nil if it was not written, as etcd has it.
    public var freelist: UInt64?
    /// The first page that was never allocated.
    public var highWater: UInt64
    /// Transaction that wrote it.
    public var transaction: UInt64

    public init(pageSize: Int, root: UInt64, freelist: UInt64?, highWater: UInt64, transaction: UInt64) {
        self.pageSize = pageSize
        self.root = root
        self.freelist = freelist
        self.highWater = highWater
        self.transaction = transaction
    }

    /// Bytes of all pages: what etcd calls the database's size. The file may be longer.
    public var size: UInt64 { highWater * UInt64(pageSize) }
}

enum BoltFormat {
    static let magic: UInt32 = 0xED0C_DAED
    static let version: UInt32 = 2
    /// id u64, flags u16, count u16, overflow u32.
    static let pageHeader = 16
    static let metaBytes = 64
    /// Branch: pos u32, ksize u32, pgid u64. Leaf: flags u32, pos u32, ksize u32, vsize u32.
    static let element = 16
    /// root u64, sequence u64.
    static let bucketHeader = 16
    static let branchFlag: UInt16 = 0x01
    static let leafFlag: UInt16 = 0x02
    static let metaFlag: UInt16 = 0x04
    static let freelistFlag: UInt16 = 0x10
    static let bucketElement: UInt32 = 0x01
    static let noFreelist = UInt64.max
    /// A freelist with this count has the real one in its first entry.
    static let longCount: UInt16 = 0xFFFF

    /// FNV-1a, 64 bits.
    static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return hash
    }
}

extension UnsafeRawPointer {
    @inline(__always) func u16(_ offset: Int) -> UInt16 { UInt16(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self)) }
    @inline(__always) func u32(_ offset: Int) -> UInt32 { UInt32(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
    @inline(__always) func u64(_ offset: Int) -> UInt64 { UInt64(littleEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
}

extension BoltMeta {
    /// Reads the 64 bytes behind a meta page's header; nil if magic, version, checksum or a number is wrong.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= BoltFormat.metaBytes, let base = bytes.baseAddress, base.u32(0) == BoltFormat.magic,
            base.u32(4) == BoltFormat.version,
            base.u64(56) == BoltFormat.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<56]))
        else { return nil }
        let size = Int(base.u32(8))
        let highWater = base.u64(40)
        guard BoltLimits.pageBytes.contains(size), size & (size - 1) == 0, highWater <= UInt64(Int.max) / UInt64(size) else {
            return nil
        }
        let freelist = base.u64(32)
        self.init(
            pageSize: size, root: base.u64(16), freelist: freelist == BoltFormat.noFreelist ? nil : freelist,
            highWater: highWater, transaction: base.u64(48))
        rootSequence = base.u64(24)
    }

    /// Writes a whole meta page.
    func write(page number: UInt64, to page: UnsafeMutableRawPointer) {
        page.storeBytes(of: number.littleEndian, as: UInt64.self)
        page.storeBytes(of: BoltFormat.metaFlag.littleEndian, toByteOffset: 8, as: UInt16.self)
        let meta = page + BoltFormat.pageHeader
        meta.storeBytes(of: BoltFormat.magic.littleEndian, as: UInt32.self)
        meta.storeBytes(of: BoltFormat.version.littleEndian, toByteOffset: 4, as: UInt32.self)
        meta.storeBytes(of: UInt32(pageSize).littleEndian, toByteOffset: 8, as: UInt32.self)
        meta.storeBytes(of: UInt32(0), toByteOffset: 12, as: UInt32.self)
        meta.storeBytes(of: root.littleEndian, toByteOffset: 16, as: UInt64.self)
        meta.storeBytes(of: rootSequence.littleEndian, toByteOffset: 24, as: UInt64.self)
        meta.storeBytes(of: (freelist ?? BoltFormat.noFreelist).littleEndian, toByteOffset: 32, as: UInt64.self)
        meta.storeBytes(of: highWater.littleEndian, toByteOffset: 40, as: UInt64.self)
        meta.storeBytes(of: transaction.littleEndian, toByteOffset: 48, as: UInt64.self)
        let sum = BoltFormat.checksum(UnsafeRawBufferPointer(start: meta, count: 56))
        meta.storeBytes(of: sum.littleEndian, toByteOffset: 56, as: UInt64.self)
    }
}
