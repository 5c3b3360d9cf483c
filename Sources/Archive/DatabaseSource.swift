// etcd's database, a bbolt file: in a data directory, in use or not, or a snapshot.

import Storage
import Wire

/// The bucket `key` of a bbolt file. Nothing is locked, so that a running server is not disturbed; whether it has written to the
/// file meanwhile is told afterwards.
final class DatabaseSource: RevisionSource {
    let path: String
    let kind = SourceKind.database
    let size: UInt64
    let compacted: Int64
    let revision: Int64
    var progress: ((UInt64) -> Void)?
    private let file: BoltFile
    /// Nil: the tree does not lead there, and all pages are searched for its leaves.
    private let keys: BoltBucket?
    private let isLenient: Bool
    private var noted = Notes()
    /// For reading single revisions.
    private lazy var cursor = keys?.cursor()

    init(_ path: String, in fileSystem: any FileSystem, isLenient: Bool) throws(ArchiveError) {
        self.path = path
        self.isLenient = isLenient
        var notes = Notes()
        do throws(BoltError) {
            file = try BoltFile(opening: path, in: fileSystem, toleratesTruncation: isLenient)
            size = file.meta.size
            if file.fileSize < size { notes.add("\(path): the file is truncated: \(file.fileSize) bytes of \(size)") }
        } catch {
            throw ArchiveError(error.problem == .noValidMeta ? "\(error): this is no database of etcd's" : error.description)
        }
        var bucket: BoltBucket?
        do throws(BoltError) { bucket = try file.root.bucket("key") } catch {
            guard isLenient else { throw ArchiveError("\(error)") }
            notes.add("\(error): all pages are searched for revisions, some may be outdated")
        }
        guard bucket != nil || !notes.all.isEmpty else {
            throw ArchiveError("\(path): there is no bucket \"key\": this is not a database of etcd's")
        }
        keys = bucket
        var compacted: Int64 = 0
        do throws(BoltError) {
            let meta = try file.root.bucket("meta")
            for name in ["scheduledCompactRev", "finishedCompactRev"] {
                guard let bytes = try meta?.value(of: Array(name.utf8)), bytes.count >= 8 else { continue }
                compacted = max(compacted, bytes.prefix(8).reduce(0) { $0 << 8 | Int64($1) })
            }
        } catch {
            guard isLenient else { throw ArchiveError("\(error)") }
            notes.add("\(error)")
        }
        self.compacted = compacted
        var last: Int64 = 1
        do throws(BoltError) {
            if let cursor = keys?.cursor(), try cursor.last(), cursor.key.count >= 17 { last = Int64(bigEndian: cursor.key.loadUnaligned(as: Int64.self)) }
        } catch {
            guard isLenient else { throw ArchiveError("\(error)") }
            notes.add("\(error)")
        }
        if keys == nil {
            // A file that cannot be read at all is told when it is read.
            try? file.salvageLeaves(Self.isRevision, { key, _, _ in
                if Self.isRevision(key) { last = max(last, Int64(bigEndian: key.loadUnaligned(as: Int64.self))) }
                return true
            }, damage: { _ in })
        }
        revision = max(last, compacted)
        noted = notes
    }

    var notes: [String] {
        var all = noted.all
        do throws(BoltError) {
            if let now = try file.currentMeta(), now != file.meta {
                all.append(
                    "\(path): a server wrote to the file while it was read (transaction \(file.meta.transaction), now \(now.transaction)): what is shown may be of several moments")
            }
        } catch {
            all.append("\(error)")
        }
        return all
    }

    // MARK: Records

    func forEach(_ scope: ReadScope, _ body: (StoredRevision) throws -> Bool) throws {
        guard !isLenient, let keys else { return try salvage(body) }
        var ticker = ProgressTicker()
        do {
            let cursor = keys.cursor()
            var found = try cursor.first()
            while found {
                let value = try cursor.value()
                guard try body(try revision(cursor.key, value)) else { return }
                ticker.add(value.count + 33, progress)
                found = try cursor.next()
            }
        } catch let error as BoltError {
            throw explained(error)
        }
    }

    /// What can be read, in the order of the tree; revisions that do not ascend are left out.
    private func salvage(_ body: (StoredRevision) throws -> Bool) throws {
        var ticker = ProgressTicker()
        var last: (Int64, Int32) = (0, -1)
        func visit(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ page: UInt64) throws -> Bool {
            let revision: StoredRevision
            do throws(ArchiveError) { revision = try self.revision(key, value, page: page) } catch {
                noted.add("\(error)")
                return true
            }
            guard (revision.place.main, revision.place.sub) > last else {
                // Of searched pages some are older copies of others.
                if keys != nil { noted.add("\(path): revision \(revision.place) comes behind \(last.0)/\(last.1)") }
                return true
            }
            last = (revision.place.main, revision.place.sub)
            ticker.add(value.count + 33, progress)
            return try body(revision)
        }
        if let keys {
            try keys.salvage { key, value, _ in try visit(key, value, 0) } damage: { noted.add("\($0)") }
        } else {
            try file.salvageLeaves(Self.isRevision, visit) { noted.add("\($0)") }
        }
    }

    func read(_ place: RecordPlace, of _: UnsafeRawBufferPointer, at _: Int64, _ body: (StoredRevision) throws -> Void) throws {
        var key = [UInt8](repeating: UInt8(ascii: "_"), count: place.isTombstone ? 18 : 17)
        key.withUnsafeMutableBytes {
            $0.storeBytes(of: place.main.bigEndian, as: Int64.self)
            $0.storeBytes(of: Int64(place.sub).bigEndian, toByteOffset: 9, as: Int64.self)
            if place.isTombstone { $0[17] = UInt8(ascii: "t") }
        }
        do {
            guard let cursor else {
                return try file.salvageLeaf(place.offset) { found, value in
                    guard found.elementsEqual(key) else { return true }
                    try body(try revision(found, value, page: place.offset))
                    return false
                }
            }
            guard try key.withUnsafeBytes({ try cursor.seek($0) }), cursor.key.elementsEqual(key) else {
                throw ArchiveError("\(path): revision \(place) is not there any more: a server writes to the file")
            }
            try body(try revision(cursor.key, try cursor.value()))
        } catch let error as BoltError {
            throw explained(error)
        }
    }

    /// Whether a key may be one of the bucket `key`.
    private static func isRevision(_ key: UnsafeRawBufferPointer) -> Bool {
        (key.count == 17 || key.count == 18) && key[8] == UInt8(ascii: "_")
    }

    private func revision(_ key: UnsafeRawBufferPointer, _ record: UnsafeRawBufferPointer, page: UInt64 = 0) throws(ArchiveError) -> StoredRevision {
        let isTombstone = key.count == 18 && key[17] == UInt8(ascii: "t")
        guard key.count == 17 || isTombstone, key[8] == UInt8(ascii: "_") else {
            throw ArchiveError("\(path): a key of \(key.count) bytes in the bucket \"key\" is no revision")
        }
        let main = Int64(bigEndian: key.loadUnaligned(as: Int64.self))
        let sub = Int64(bigEndian: key.loadUnaligned(fromByteOffset: 9, as: Int64.self))
        guard main > 0, sub >= 0, sub < Int64(Int32.max) else { throw ArchiveError("\(path): revision \(main)/\(sub) is impossible") }
        var place = RecordPlace(main: main, sub: Int32(sub), isTombstone: isTombstone)
        place.offset = page
        do throws(ArchiveError) { return try StoredRevision(record, place, overhead: key.count) } catch {
            throw ArchiveError("\(path), revision \(place): \(error)")
        }
    }

    /// A page that makes no sense may be one that a running server has used again.
    private func explained(_ error: BoltError) -> ArchiveError {
        guard let now = try? file.currentMeta(), now != file.meta else { return ArchiveError("\(error)") }
        return ArchiveError("\(error) (a server writes to the file; try again, or take a snapshot)")
    }
}
