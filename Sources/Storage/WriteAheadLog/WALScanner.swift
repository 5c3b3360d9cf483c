// The records of a log one after the other, for tools: memory does not grow with the log, and nothing is locked, repaired or
// changed.

import Wire

/// A log's files in the order of their sequence.
public struct WALScanner {
    public enum Record {
        case metadata(WALMetadata)
        case entry(Entry)
        case state(HardState)
        case checksum(UInt32)
        case snapshot(WALSnapshot)
        /// Of a type that etcd does not have.
        case unknown(UInt64)
    }

    /// Where a record lies.
    public struct Place {
        public let path: String
        public let offset: UInt64
        /// What is wrong with its checksum; only where that is tolerated.
        public let mismatch: String?
    }

    public enum Ending: Equatable, Sendable {
        /// Everything was read.
        case clean
        /// The body wanted no more.
        case stopped
        /// The last file ends in the middle of a record, as a power loss leaves it; whoever opens the log cuts that off.
        case torn(path: String, offset: UInt64, String)
        case damaged(path: String, offset: UInt64, String)
    }

    public struct LogFile: Equatable, Sendable {
        public let path: String
        public let sequence: UInt64
        /// The first entry that may be in it.
        public let index: LogIndex
    }

    public private(set) var files: [LogFile] = []
    /// Names that are no log files.
    public private(set) var ignored: [String] = []
    private let fileSystem: any FileSystem

    /// - Throws: if the directory cannot be read, or holds no log.
    public init(_ directory: String, in fileSystem: any FileSystem) throws(StorageError) {
        self.fileSystem = fileSystem
        for name in try fileSystem.list(directory) {
            if let (sequence, index) = WALFormat.parse(name) {
                files.append(LogFile(path: directory + "/" + name, sequence: sequence, index: index))
            } else if !name.hasSuffix(".tmp") {
                ignored.append(name)
            }
        }
        files.sort { $0.sequence < $1.sequence }
        guard !files.isEmpty else { throw StorageError(.recover, directory, .refused("there is no log")) }
    }

    /// Leaves out what lies before a gap in the sequence, as an opening does: those files were released, and a power loss has
    /// brought them back.
    ///
    /// - Returns: the files left out.
    @discardableResult
    public mutating func dropReleased() -> [LogFile] {
        var first = files.count - 1
        while first > 0, files[first - 1].sequence + 1 == files[first].sequence { first -= 1 }
        defer { files.removeFirst(first) }
        return Array(files[..<first])
    }

    /// Leaves out files that only hold entries up to `index`.
    ///
    /// - Throws: if no file holds the entry behind it.
    public mutating func begin(behind index: LogIndex, _ directory: String) throws(StorageError) {
        guard let start = files.lastIndex(where: { $0.index <= index }) else {
            throw StorageError(.recover, directory, .refused("no file holds the entry behind \(index); the log begins with entry \(files[0].index)"))
        }
        files.removeFirst(start)
    }

    /// Visits all records.
    ///
    /// - Parameter toleratesMismatch: a wrong checksum is told with its record, and does not end the walk.
    /// - Parameter body: answers whether to go on.
    /// - Throws: `StorageError` of the disk, or what the body throws.
    public func forEach(toleratesMismatch: Bool = false, _ body: (Record, Place) throws -> Bool) throws -> Ending {
        var crc: UInt32 = 0
        for (number, file) in files.enumerated() {
            let handle = try fileSystem.open(file.path, .readOnly)
            defer { handle.close() }
            var decoder = try WALDecoder(handle, isLast: number == files.count - 1, crc: crc)
            decoder.toleratesMismatch = toleratesMismatch
            walk: while true {
                let offset = decoder.offset
                switch try decoder.next() {
                case .record(let record):
                    let decoded: Record
                    do throws(ProtobufError) { decoded = try Self.decode(record) } catch {
                        return .damaged(path: file.path, offset: offset, "a record of type \(record.type) cannot be decoded: \(error)")
                    }
                    guard try body(decoded, Place(path: file.path, offset: offset, mismatch: decoder.mismatch)) else { return .stopped }
                case .end: break walk
                case .torn(let text):
                    return number == files.count - 1
                        ? .torn(path: file.path, offset: offset, text) : .damaged(path: file.path, offset: offset, "\(text); it is not the last file")
                case .corrupt(let text): return .damaged(path: file.path, offset: offset, text)
                }
            }
            crc = decoder.crc
        }
        return .clean
    }

    private static func decode(_ record: WALDecoder.Record) throws(ProtobufError) -> Record {
        switch WALFormat.RecordType(rawValue: record.type) {
        case .metadata: .metadata(try WALMetadata(decoding: record.data))
        case .entry: .entry(try Entry(decoding: record.data))
        case .state: .state(try HardState(decoding: record.data))
        case .checksum: .checksum(record.crc)
        case .snapshot: .snapshot(try WALSnapshot(decoding: record.data))
        case nil: .unknown(record.type)
        }
    }
}
