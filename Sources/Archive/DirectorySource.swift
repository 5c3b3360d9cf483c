// martlet's data directory: the revision log in it.

import Storage
import Wire

/// A revision log, opened without disturbing the server that may be running on it.
final class DirectorySource: RevisionSource {
    let path: String
    let kind = SourceKind.directory
    var progress: ((UInt64) -> Void)?
    private let reader: RevisionLogReader
    private let isLenient: Bool
    private let sink = ByteSink(capacity: 4096)
    private var noted = Notes()

    init(_ path: String, in fileSystem: any FileSystem, isLenient: Bool) throws(ArchiveError) {
        self.path = path
        self.isLenient = isLenient
        do throws(StorageError) { reader = try RevisionLogReader(path, in: fileSystem, isLenient: isLenient) } catch {
            throw ArchiveError("\(error)")
        }
    }

    var size: UInt64 { reader.size }
    var compacted: Int64 { max(reader.compactedRevision, 0) }
    var revision: Int64 { max(reader.revision, checkpointRevision, compacted, 1) }

    /// A checkpoint begins with `MVCC`, its format, and the revision it shows (docs/mvcc.md).
    private var checkpointRevision: Int64 {
        guard reader.checkpointHead.starts(with: "MVCC".utf8) else { return 0 }
        return reader.checkpointHead.withUnsafeBytes { bytes in
            var fields = ProtobufReader(UnsafeRawBufferPointer(rebasing: bytes[4...]))
            guard (try? fields.varint()) != nil, let revision = try? fields.varint() else { return 0 }
            return Int64(bitPattern: revision)
        }
    }

    var notes: [String] { reader.problems.map(\.description) + noted.all }

    func forEach(_ scope: ReadScope, _ body: (StoredRevision) throws -> Bool) throws {
        var ticker = ProgressTicker()
        do {
            try reader.forEach { record in
                ticker.add(record.payload.count + 17, progress)
                var place = RecordPlace(main: record.main, sub: record.sub, isTombstone: record.kind == .tombstone)
                place.segment = record.location.segment
                place.length = record.location.length
                place.offset = record.location.offset
                let revision: StoredRevision
                do throws(ArchiveError) { revision = try self.revision(record.payload, place) } catch {
                    guard isLenient else { throw error }
                    noted.add("\(error)")
                    return true
                }
                return try body(revision)
            }
        } catch let error as StorageError {
            throw ArchiveError("\(error)")
        }
    }

    func read(_ place: RecordPlace, of _: UnsafeRawBufferPointer, at _: Int64, _ body: (StoredRevision) throws -> Void) throws {
        sink.clear(keeping: ArchiveLimits.bytesKept)
        do throws(StorageError) {
            try reader.append(RecordLocation(segment: place.segment, length: place.length, offset: place.offset), to: sink)
        } catch {
            throw ArchiveError("\(error)")
        }
        try body(try revision(sink.bytes, place))
    }

    private func revision(_ payload: UnsafeRawBufferPointer, _ place: RecordPlace) throws(ArchiveError) -> StoredRevision {
        do throws(ArchiveError) { return try StoredRevision(payload, place, overhead: 17) } catch {
            throw ArchiveError("\(path), segment \(place.segment), offset \(place.offset), revision \(place): \(error)")
        }
    }
}
