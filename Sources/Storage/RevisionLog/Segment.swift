// One file of the revision log, and the table in which readers find it.

import Synchronization
import Wire

/// Who wrote a segment.
public enum SegmentKind: UInt8, Sendable {
    /// The apply thread: frames in the order of the Raft log.
    case log = 0
    /// Garbage collection: records moved out of other segments.
    case collected = 1
}

final class Segment: @unchecked Sendable {
    // Unchecked: `file` is set once, before `written` becomes non-zero; the rest is atomic or immutable.
    let id: UInt32
    let kind: SegmentKind
    let path: String
    nonisolated(unsafe) private(set) var file: (any File)?
    /// Bytes that readers may read. 0: there is no file yet.
    private let writtenBytes = Atomic<UInt64>(0)
    /// Bytes of records of keys that are not released.
    private let liveBytes = Atomic<Int>(0)
    /// Bytes that garbage collection has left behind; no longer counted as the store's.
    private let collectedBytes = Atomic<UInt64>(0)
    private let isSealedFlag = Atomic<Bool>(false)

    init(id: UInt32, kind: SegmentKind, directory: String) {
        self.id = id
        self.kind = kind
        path = directory + "/" + SegmentName.name(id, kind)
    }

    @inline(__always) var written: UInt64 { writtenBytes.load(ordering: .acquiring) }
    func publish(written bytes: UInt64) { writtenBytes.store(bytes, ordering: .releasing) }

    var live: Int { liveBytes.load(ordering: .relaxed) }
    @inline(__always) func addLive(_ bytes: Int) { liveBytes.wrappingAdd(bytes, ordering: .relaxed) }

    var collected: UInt64 {
        get { collectedBytes.load(ordering: .relaxed) }
        set { collectedBytes.store(newValue, ordering: .relaxed) }
    }

    /// No more frames will come.
    var isSealed: Bool {
        get { isSealedFlag.load(ordering: .acquiring) }
        set { isSealedFlag.store(newValue, ordering: .releasing) }
    }

    func attach(_ file: any File) {
        precondition(self.file == nil, "a segment has one file")
        self.file = file
    }
}

enum SegmentName {
    static func name(_ id: UInt32, _ kind: SegmentKind) -> String {
        (kind == .log ? "log-" : "gc-") + hex(UInt64(id), digits: 8) + ".seg"
    }

    static func parse(_ name: String) -> (id: UInt32, kind: SegmentKind)? {
        for (prefix, kind) in [("log-", SegmentKind.log), ("gc-", .collected)] where name.hasPrefix(prefix) && name.hasSuffix(".seg") {
            let digits = name.dropFirst(prefix.utf8.count).dropLast(4)
            if digits.utf8.count == 8, let id = UInt32(digits, radix: 16) { return (id, kind) }
        }
        return nil
    }
}

/// Lower-case, padded with zeros on the left.
func hex(_ value: UInt64, digits: Int) -> String {
    let text = String(value, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.utf8.count)) + text
}

/// The first bytes of every segment.
struct SegmentHeader: Equatable {
    static let size = 40
    static let magic: UInt64 = 0x3147_4553_5452_414D  // "MARTSEG1"
    static let version: UInt32 = 1

    var id: UInt32
    var kind: SegmentKind
    /// The log segment before this one and where it ends: recovery goes on here only if it read all of that.
    var previous: UInt32
    var previousEnd: UInt64

    func append(to sink: ByteSink) {
        let start = sink.count
        sink.append(zeros: SegmentHeader.size)
        let base = sink.base + start
        base.storeBytes(of: SegmentHeader.magic.littleEndian, as: UInt64.self)
        base.storeBytes(of: SegmentHeader.version.littleEndian, toByteOffset: 8, as: UInt32.self)
        base.storeBytes(of: id.littleEndian, toByteOffset: 12, as: UInt32.self)
        base.storeBytes(of: kind.rawValue, toByteOffset: 16, as: UInt8.self)
        base.storeBytes(of: previous.littleEndian, toByteOffset: 20, as: UInt32.self)
        base.storeBytes(of: previousEnd.littleEndian, toByteOffset: 24, as: UInt64.self)
        let crc = CRC32C.update(0, UnsafeRawBufferPointer(start: base, count: SegmentHeader.size - 8))
        base.storeBytes(of: crc.littleEndian, toByteOffset: 32, as: UInt32.self)
    }

    init(id: UInt32, kind: SegmentKind, previous: UInt32, previousEnd: UInt64) {
        self.id = id
        self.kind = kind
        self.previous = previous
        self.previousEnd = previousEnd
    }

    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count >= SegmentHeader.size,
            UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self)) == SegmentHeader.magic,
            UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)) == SegmentHeader.version,
            CRC32C.update(0, UnsafeRawBufferPointer(rebasing: bytes[..<(SegmentHeader.size - 8)]))
                == UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 32, as: UInt32.self)),
            let kind = SegmentKind(rawValue: bytes[16])
        else { return nil }
        id = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self))
        self.kind = kind
        previous = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 20, as: UInt32.self))
        previousEnd = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
    }
}

/// Segments by number, readable without a lock. Slots are set and cleared by whoever holds the log's lock.
final class SegmentTable: @unchecked Sendable {
    // Unchecked: raw memory of atomics.
    private typealias Slot = Atomic<UInt>
    private let chunks: UnsafeMutablePointer<Slot>
    private static let shift = RevisionLogLimits.segmentChunkShift
    private static let mask = (1 << RevisionLogLimits.segmentChunkShift) - 1

    init() {
        chunks = SegmentTable.makeChunk(RevisionLogLimits.segmentChunks)
    }

    deinit {
        for index in 0..<RevisionLogLimits.segmentChunks {
            if let chunk = UnsafeMutablePointer<Slot>(bitPattern: chunks[index].load(ordering: .relaxed)) {
                for slot in 0...SegmentTable.mask {
                    if let segment = UnsafeRawPointer(bitPattern: chunk[slot].load(ordering: .relaxed)) {
                        Unmanaged<Segment>.fromOpaque(segment).release()
                    }
                }
                chunk.deallocate()
            }
        }
        chunks.deallocate()
    }

    private static func makeChunk(_ count: Int) -> UnsafeMutablePointer<Slot> {
        let chunk = UnsafeMutablePointer<Slot>.allocate(capacity: count)
        for index in 0..<count { (chunk + index).initialize(to: Slot(0)) }
        return chunk
    }

    /// Valid while the caller holds a read pin, or keeps the segment from being removed otherwise.
    @inline(__always)
    func find(_ id: UInt32) -> Unmanaged<Segment>? {
        let high = Int(id) >> SegmentTable.shift
        guard high < RevisionLogLimits.segmentChunks,
            let chunk = UnsafeMutablePointer<Slot>(bitPattern: chunks[high].load(ordering: .sequentiallyConsistent)),
            let segment = UnsafeRawPointer(bitPattern: chunk[Int(id) & SegmentTable.mask].load(ordering: .sequentiallyConsistent))
        else { return nil }
        return Unmanaged.fromOpaque(segment)
    }

    func insert(_ segment: Segment) {
        let high = Int(segment.id) >> SegmentTable.shift
        precondition(high < RevisionLogLimits.segmentChunks, "segment numbers are used up at \(segment.id)")
        var chunk = UnsafeMutablePointer<Slot>(bitPattern: chunks[high].load(ordering: .relaxed))
        if chunk == nil {
            let fresh = SegmentTable.makeChunk(SegmentTable.mask + 1)
            chunks[high].store(UInt(bitPattern: fresh), ordering: .sequentiallyConsistent)
            chunk = fresh
        }
        let old = chunk![Int(segment.id) & SegmentTable.mask].exchange(
            UInt(bitPattern: Unmanaged.passRetained(segment).toOpaque()), ordering: .sequentiallyConsistent)
        precondition(old == 0, "segment \(segment.id) exists twice")
    }

    /// Readers that come later no longer find it; those that are counted may still use it.
    func remove(_ id: UInt32) -> Segment? {
        guard find(id) != nil, let chunk = UnsafeMutablePointer<Slot>(bitPattern: chunks[Int(id) >> SegmentTable.shift].load(ordering: .relaxed))
        else { return nil }
        let old = chunk[Int(id) & SegmentTable.mask].exchange(0, ordering: .sequentiallyConsistent)
        return UnsafeRawPointer(bitPattern: old).map { Unmanaged<Segment>.fromOpaque($0).takeRetainedValue() }
    }
}
