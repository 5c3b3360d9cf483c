// Puts the records of a log's files together: metadata, state, entries behind a snapshot.

import Wire

struct WALReader {
    /// Where `base` comes from.
    private enum BaseOrigin {
        case unknown
        /// The first entry read: the log's first files are gone.
        case firstEntry
        /// A snapshot: entries up to it are of no interest.
        case snapshot
    }

    enum End {
        case clean
        case torn
    }

    private let wanted: WALSnapshot?
    private let directory: String
    private(set) var metadataBytes: [UInt8]?
    private var hardState = HardState()
    private var snapshots: [WALSnapshot] = []
    private var entries: [Entry] = []
    /// `entries` begin behind this index.
    private var base: LogIndex
    private var baseOrigin: BaseOrigin
    private var isWantedFound = false
    private(set) var crc: UInt32 = 0
    /// End of the last valid record of the file read last.
    private(set) var end: UInt64 = 0

    init(wanted: WALSnapshot?, directory: String) {
        self.wanted = wanted
        self.directory = directory
        base = wanted?.index ?? 0
        baseOrigin = wanted != nil ? .snapshot : .unknown
    }

    mutating func read(_ file: any File, isLast: Bool) throws(StorageError) -> End {
        var decoder = try WALDecoder(file, isLast: isLast, crc: crc)
        defer {
            crc = decoder.crc
            end = decoder.offset
        }
        while true {
            switch try decoder.next() {
            case .record(let record):
                if let problem = take(record) { throw StorageError(.recover, file.path, .corrupt(problem)) }
            case .end:
                return .clean
            case .torn(let text):
                guard isLast else { throw StorageError(.recover, file.path, .corrupt("\(text); it is not the last file")) }
                return .torn
            case .corrupt(let text):
                throw StorageError(.recover, file.path, .corrupt(text))
            }
        }
    }

    /// Takes a record in; says what is wrong with it.
    private mutating func take(_ record: WALDecoder.Record) -> String? {
        do throws(ProtobufError) {
            switch WALFormat.RecordType(rawValue: record.type) {
            case .metadata:
                let bytes = [UInt8](record.data)
                if let metadataBytes, metadataBytes != bytes { return "conflicting metadata" }
                _ = try WALMetadata(decoding: record.data)
                metadataBytes = bytes
            case .entry:
                return take(try Entry(decoding: record.data))
            case .state:
                hardState = try HardState(decoding: record.data)
                dropCovered()
            case .checksum:
                break
            case .snapshot:
                let snapshot = try WALSnapshot(decoding: record.data)
                if let wanted, snapshot.index == wanted.index {
                    guard snapshot.term == wanted.term else { return "snapshot mismatch: term \(snapshot.term), \(wanted.term) expected" }
                    isWantedFound = true
                }
                snapshots.append(snapshot)
                dropCovered()
            case nil:
                return "unexpected block type \(record.type)"
            }
            return nil
        } catch {
            return "a record of type \(record.type) cannot be decoded: \(error)"
        }
    }

    /// An entry replaces what was there from its index on: those were never committed.
    private mutating func take(_ entry: Entry) -> String? {
        if baseOrigin == .unknown || (baseOrigin == .firstEntry && entry.index <= base) {
            // It may also replace what was written before the first entry that is still there.
            baseOrigin = .firstEntry
            base = max(entry.index, 1) - 1
            entries.removeAll()
        }
        guard entry.index > base else { return nil }
        let position = entry.index - base - 1
        guard position <= UInt64(entries.count) else {
            return "entry \(entry.index) follows entry \(base + UInt64(entries.count)): slice bounds out of range"
        }
        entries.removeSubrange(Int(position)...)
        entries.append(entry)
        return nil
    }

    /// Forgets entries that a committed snapshot covers, so that a long log does not fill the memory.
    private mutating func dropCovered() {
        // Before the first entry there is nothing to forget, and a snapshot record says nothing of where the log begins:
        // files that held the entries behind it may be gone, because of a later snapshot.
        guard wanted == nil, baseOrigin != .unknown, let last = snapshots.last(where: { $0.index <= hardState.commit }), last.index > base
        else { return }
        let covered = last.index - base
        // A snapshot that came from the leader lies beyond all entries; they begin anew behind it.
        entries.removeFirst(Int(min(covered, UInt64(entries.count))))
        base = last.index
        baseOrigin = .snapshot
    }

    /// - Parameter lowestIndex: the lowest index in the names of the files that were read.
    func finish(lowestIndex: LogIndex) throws(StorageError) -> WALContents {
        guard let metadataBytes, let metadata = metadataBytes.withUnsafeBytes({ try? WALMetadata(decoding: $0) }) else {
            throw StorageError(.recover, directory, .corrupt("no metadata record"))
        }
        let usable = snapshots.filter { $0.index <= hardState.commit }.sorted { $0.index < $1.index }
        var contents = WALContents(metadata: metadata)
        contents.hardState = hardState
        contents.snapshots = usable
        if let wanted {
            guard isWantedFound else { throw StorageError(.recover, directory, .corrupt("snapshot not found: index \(wanted.index)")) }
            contents.snapshot = snapshots.last { $0.index == wanted.index } ?? wanted
        } else if let last = usable.last {
            contents.snapshot = last
        }
        // The first file has a snapshot record of index 0. If it is gone, a later one must stand for what it held: entries
        // written before the file named `lowestIndex` was begun are below that index.
        guard wanted != nil || !usable.isEmpty, contents.snapshot.index + 1 >= lowestIndex else {
            throw StorageError(
                .recover, directory,
                .corrupt("the files go back to entry \(lowestIndex), the last committed snapshot is at \(contents.snapshot.index): files are missing"))
        }
        guard contents.snapshot.index >= base else {
            throw StorageError(
                .recover, directory,
                .corrupt("the log begins behind entry \(base), its last committed snapshot is at \(contents.snapshot.index)"))
        }
        let covered = Int(min(contents.snapshot.index - base, UInt64(entries.count)))
        contents.entries = Array(entries[covered...])
        return contents
    }
}
