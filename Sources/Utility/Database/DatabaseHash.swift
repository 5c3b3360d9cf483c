// HashKV of a database file, as a server that opens it would answer.

import Archive
import CommandLineTools
import KeySpace
import Storage
import Wire

struct DatabaseHash {
    let hash: UInt32
    let revision: Int64
    let compactRevision: Int64

    /// - Parameter wanted: the revision up to which it is hashed; 0: the last one.
    init(_ database: DatabaseFile, revision wanted: Int64, _ console: Console) throws {
        let compacted = Compactions(try database.meta()).last
        let current = max(try database.lastRevision(), compacted, 1)
        if wanted > 0, wanted < compacted { throw CommandFailure("mvcc: required revision has been compacted") }
        if wanted > current { throw CommandFailure("mvcc: required revision is a future revision") }
        let revision = wanted == 0 ? current : wanted
        let kept = compacted > 0 && revision > 0 ? try KeptRecords(database, compacted: compacted, at: revision) : nil
        let progress = Progress(console, "hashing", total: database.bolt.meta.size)
        var sum = CRC32C.update(0, Array(BackendKeys.keyBucket.utf8))
        var ordinal = 0
        try database.forEachRecord { place, key, record in
            guard place.main <= revision else { return false }
            defer { ordinal += 1 }
            if place.main <= compacted, let kept, kept.isAny, !kept.contains(ordinal) { return true }
            if place.main == compacted, place.isTombstone { return true }
            progress.add(key.count + record.count)
            sum = CRC32C.update(CRC32C.update(sum, key), record)
            return true
        }
        hash = sum
        self.revision = revision
        compactRevision = compacted
    }
}

/// Which of the records up to a compaction are their key's last at a revision: one bit for each, found in passes over windows
/// of keys.
private struct KeptRecords {
    /// Any key lives at the revision; if none does, compacted records count as they lie.
    private(set) var isAny = false
    private var words: [UInt64] = []

    private struct Latest {
        var ordinal = 0
        var isTombstone = false
    }

    init(_ database: DatabaseFile, compacted: Int64, at revision: Int64) throws {
        var low: [UInt8] = []
        while true {
            let table = KeyTable<Latest>(
                KeySpan(low: low), keysMax: UtilityLimits.keysPerPass, bytesMax: UtilityLimits.keyBytesPerPass)
            var ordinal = 0
            var last = -1
            try database.forEachRecord { place, _, record in
                guard place.main <= revision else { return false }
                if place.main <= compacted { last = ordinal }
                // The mark that a restore leaves for revisions that it skips is the record of an empty key.
                table.update(try database.decode(place, record).key, initial: Latest()) { $0 = Latest(ordinal: ordinal, isTombstone: place.isTombstone) }
                ordinal += 1
                return true
            }
            if words.isEmpty { words = Array(repeating: 0, count: (last + 64) / 64) }
            table.forEachSorted { _, latest in
                guard !latest.isTombstone else { return }
                isAny = true
                if latest.ordinal <= last { words[latest.ordinal / 64] |= 1 << UInt64(latest.ordinal % 64) }
            }
            guard let high = table.range.high else { return }
            low = high
        }
    }

    func contains(_ ordinal: Int) -> Bool { ordinal / 64 < words.count && words[ordinal / 64] & 1 << UInt64(ordinal % 64) != 0 }
}

extension CRC32C {
    static func update(_ crc: UInt32, _ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { update(crc, $0) } }
}
