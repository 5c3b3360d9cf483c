// Writing the store's memory into a checkpoint, in slices, while entries go on being applied.
//
// What is written is the state at one position of the log. Later versions have higher revisions and are left out;
// nothing is purged or moved meanwhile, for that is done by the same thread. Keys come first, in key order, and get
// their number; versions follow in revision order and name their key by it. So loading needs no search and no sort.
// docs/mvcc.md describes the format.

import Storage
import Wire

enum CheckpointFormat {
    static let magic: [UInt8] = Array("MVCC".utf8)
    static let version: UInt8 = 1
}

/// Encodes one checkpoint, a slice at a time.
struct CheckpointEncoder {
    private enum Phase {
        case header
        case meta(MetaBucket.AllCases.Index)
        case keys(after: [UInt8]?)
        case versions(next: Revision)
        case done
    }

    private let store: MVCCStore
    /// The newest revision that the checkpoint contains.
    let revision: Int64
    private let compaction: CompactionState
    var compactRevision: Int64 { compaction.scheduled }
    private let meta: MetaState
    private var phase = Phase.header
    private var keyCount: UInt32 = 0
    private var lastMain: Int64 = 0
    private var previousKey: [UInt8] = []

    /// Called with the lock held and no unpublished change; the state of this moment is what is written.
    init(store: MVCCStore) {
        precondition(!store.hasUnpublished)
        self.store = store
        revision = store.currentRevision
        compaction = store.compaction
        meta = store.meta
    }

    /// Appends some more of the checkpoint; false when it is complete.
    mutating func step(into sink: ByteSink) -> Bool {
        switch phase {
        case .header:
            sink.append(CheckpointFormat.magic)
            sink.append(byte: CheckpointFormat.version)
            sink.varint(UInt64(bitPattern: revision))
            sink.varint(UInt64(bitPattern: compaction.scheduled))
            sink.varint(UInt64(bitPattern: compaction.finished))
            phase = .meta(0)
        case .meta(let number):
            let bucket = MetaBucket.allCases[number]
            for (key, value) in meta[bucket] {
                sink.append(byte: bucket.rawValue + 1)
                sink.varint(UInt64(key.count))
                sink.append(key)
                sink.varint(UInt64(value.count))
                sink.append(value)
            }
            if number + 1 < MetaBucket.allCases.count {
                phase = .meta(number + 1)
            } else {
                sink.append(byte: 0)
                phase = .keys(after: nil)
            }
        case .keys(let after): keysSlice(after, sink)
        case .versions(let next): versionsSlice(next, sink)
        case .done: return false
        }
        return true
    }

    private mutating func keysSlice(_ after: [UInt8]?, _ sink: ByteSink) {
        store.lock.lock()
        defer { store.lock.unlock() }
        let table = store.table
        var cursor = table.index.cursor(KeyRange(key: .zeroByte, rangeEnd: .zeroByte), after: after)
        for _ in 0..<StoreLimits.keysPerLockHold {
            guard let (entry, _) = cursor.next() else {
                // No key is empty, so an empty rest is the end.
                sink.varint(0)
                sink.varint(0)
                phase = .versions(next: Revision(main: 0))
                return
            }
            phase = .keys(after: nil)
            // A key whose first version is younger than the checkpoint is none of its business.
            if table.slab.newest(of: entry, at: revision) != nil {
                precondition(keyCount < .max, "more keys than a checkpoint can number")
                entry.ordinal = keyCount
                keyCount += 1
                let key = entry.bytes
                let shared = previousKey.withUnsafeBytes { commonPrefixLength($0, key) }
                sink.varint(UInt64(shared))
                sink.varint(UInt64(key.count - shared))
                sink.append(UnsafeRawBufferPointer(rebasing: key[shared...]))
                previousKey.removeAll(keepingCapacity: true)
                previousKey.append(contentsOf: key)
            }
            resume.removeAll(keepingCapacity: true)
            resume.append(contentsOf: entry.bytes)
        }
        phase = .keys(after: resume)
    }

    private var resume: [UInt8] = []

    private mutating func versionsSlice(_ next: Revision, _ sink: ByteSink) {
        store.lock.lock()
        defer { store.lock.unlock() }
        let table = store.table
        var position = table.order.lowerBound(next, in: table.slab)
        var left = StoreLimits.keysPerLockHold
        while position < table.order.end {
            let record = table.slab[table.order[position]]
            guard record.pointee.main <= revision else { break }
            guard left > 0 else {
                phase = .versions(next: record.pointee.revision)
                return
            }
            left -= 1
            position = table.order.position(after: position)
            if record.pointee.isDead { continue }
            let version = record.pointee
            sink.varint(UInt64(version.main - lastMain + 1))
            sink.varint(UInt64(version.sub))
            sink.varint(UInt64(version.key.ordinal))
            sink.varint(UInt64(version.main - version.created))
            sink.varint(UInt64(version.version))
            sink.varint(UInt64(bitPattern: version.lease))
            sink.varint(UInt64(version.location.segment))
            sink.varint(version.location.offset)
            sink.varint(UInt64(version.location.length))
            lastMain = version.main
        }
        sink.varint(0)
        phase = .done
    }
}
