// One change of one key, as a store keeps it.

import Wire

/// A put or a delete. Its views are valid during the call that hands it out.
public struct StoredRevision {
    public let place: RecordPlace
    public let key: UnsafeRawBufferPointer
    /// Empty for a delete.
    public let value: UnsafeRawBufferPointer
    /// The revision that created the key; 0 for a delete.
    public let created: Int64
    /// Puts since then, this one included; 0 for a delete.
    public let version: Int64
    public let lease: Int64
    /// Bytes that the store needs for it, without its own overhead.
    public let bytes: Int

    /// A put as a server tells it; its key and value must live as long as it.
    public init(
        key: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer, created: Int64, modified: Int64, version: Int64, lease: Int64, isDelete: Bool
    ) {
        place = RecordPlace(main: modified, sub: 0, isTombstone: isDelete)
        self.key = key
        self.value = value
        self.created = created
        self.version = version
        self.lease = lease
        bytes = key.count + value.count
    }

    /// Main revision.
    public var main: Int64 { place.main }
    public var isTombstone: Bool { place.isTombstone }
}

/// Where a revision is found again.
public struct RecordPlace: Equatable, Sendable {
    public var main: Int64
    public var sub: Int32
    public var isTombstone: Bool
    /// Of a revision log only.
    var segment: UInt32 = 0
    var length: UInt32 = 0
    /// Of a revision log; of a database whose tree is lost the page.
    var offset: UInt64 = 0

    public init(main: Int64, sub: Int32, isTombstone: Bool) {
        self.main = main
        self.sub = sub
        self.isTombstone = isTombstone
    }
}

extension RecordPlace: CustomStringConvertible {
    public var description: String { sub == 0 ? "\(main)" : "\(main)/\(sub)" }
}

/// Why a store cannot be read: one line.
public struct ArchiveError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ text: String) { description = text }
}

extension StoredRevision {
    /// Reads a record: an encoded `mvccpb.KeyValue`.
    ///
    /// - Throws: what is wrong with it, without saying where.
    init(_ record: UnsafeRawBufferPointer, _ place: RecordPlace, overhead: Int) throws(ArchiveError) {
        var key = UnsafeRawBufferPointer(start: nil, count: 0)
        var value = UnsafeRawBufferPointer(start: nil, count: 0)
        var (created, modified, version, lease): (Int64, Int64, Int64, Int64) = (0, 0, 0, 0)
        do throws(ProtobufError) {
            var reader = ProtobufReader(record)
            while let (field, type) = try reader.next() {
                switch field {
                case 1: key = try reader.bytes(type)
                case 2: created = try reader.int64(type)
                case 3: modified = try reader.int64(type)
                case 4: version = try reader.int64(type)
                case 5: value = try reader.bytes(type)
                case 6: lease = try reader.int64(type)
                default: try reader.skip(type, field: field)
                }
            }
        } catch {
            throw ArchiveError("the record of \(record.count) bytes is no key-value pair (\(error))")
        }
        guard !key.isEmpty else { throw ArchiveError("the record of \(record.count) bytes has no key") }
        if !place.isTombstone {
            guard modified == place.main, created > 0, created <= modified, version > 0 else {
                throw ArchiveError("the record says that it was created at \(created), modified at \(modified) and is version \(version)")
            }
        }
        self.place = place
        self.key = key
        self.value = value
        self.created = created
        self.version = version
        self.lease = lease
        bytes = record.count + overhead
    }
}
