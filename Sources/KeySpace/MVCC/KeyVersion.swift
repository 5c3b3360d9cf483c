// One version of a key: what the index knows of it without reading its record.

import Storage

/// A put or a deletion of a key.
public struct KeyVersion: Sendable {
    /// The key; usable while the store's lock is held, or on the apply thread, or while a pin holds the version.
    public let key: KeyEntry
    public let modified: Revision
    /// Revision of the first put since the key was last deleted; 0 for a tombstone.
    public let created: Int64
    /// Puts since the key was last deleted; 0 for a tombstone.
    public let version: Int64
    public let lease: Int64
    /// Where the encoded `KeyValue` lies.
    public let location: RecordLocation
    let slot: UInt32

    @inline(__always) public var isTombstone: Bool { version == 0 }

    @inline(__always)
    init(_ record: UnsafePointer<VersionRecord>, slot: UInt32) {
        key = record.pointee.key
        modified = record.pointee.revision
        created = record.pointee.created
        version = record.pointee.version
        lease = record.pointee.lease
        location = record.pointee.location
        self.slot = slot
    }
}

/// A version in the slab: 64 bytes, one cache line.
struct VersionRecord {
    var main: Int64
    var created: Int64
    /// 0: tombstone; `dead`: purged, kept only until the revision order has forgotten it.
    var version: Int64
    var lease: Int64
    var location: RecordLocation
    var key: KeyEntry
    var sub: Int32
    /// The next older version of the key, or `noVersion`. May point at a purged and re-used slot: follow it
    /// with `VersionSlab.previous(of:)` only. In a free slot: the next free one.
    var previous: UInt32

    static let dead: Int64 = -1

    @inline(__always) var revision: Revision { Revision(main: main, sub: sub) }
    @inline(__always) var isDead: Bool { version == VersionRecord.dead }
    @inline(__always) var isTombstone: Bool { version == 0 }
}
