// etcd's `.snap` files: a point of the Raft log and who was a member there. Written by etcd up to 3.7
// and by tools that make data directories for it; the server only reads them.

import Wire

public enum SnapFile {
    static let bytesMax = 256 << 20

    /// `TERM-INDEX.snap`, both 16 hexadecimal digits.
    public static func parse(_ name: String) -> (term: Term, index: LogIndex)? {
        let bytes = Array(name.utf8)
        guard bytes.count == 38, name.hasSuffix(".snap"), bytes[16] == UInt8(ascii: "-"),
            let term = UInt64(name.prefix(16), radix: 16), let index = UInt64(name.dropFirst(17).prefix(16), radix: 16)
        else { return nil }
        return (term, index)
    }

    /// `INDEX.snap.db`: the database that a leader sent for this point.
    public static func databaseName(index: LogIndex) -> String { hex(index, digits: 16) + ".snap.db" }

    /// Name of the file of a point.
    public static func name(term: Term, index: LogIndex) -> String { hex(term, digits: 16) + "-" + hex(index, digits: 16) + ".snap" }

    /// A file's bytes.
    public static func encode(_ snapshot: Snapshot) -> [UInt8] {
        let inner = ByteSink(capacity: snapshot.data.count + 128)
        snapshot.encode(to: inner)
        let sink = ByteSink(capacity: inner.count + 16)
        sink.field(1, UInt64(CRC32C.update(0, inner.bytes)))
        sink.always(2, inner.bytes)
        return sink.array()
    }

    /// Reads a file.
    ///
    /// - Throws: `corrupt` if it is empty, or its checksum or encoding is wrong.
    public static func read(_ path: String, in fileSystem: any FileSystem) throws(StorageError) -> Snapshot {
        let bytes = try fileSystem.contents(of: path, limit: bytesMax)
        func corrupt(_ text: String) -> StorageError { StorageError(.decode, path, .corrupt(text)) }
        let result: Result<Snapshot, StorageError> = bytes.withUnsafeBytes { bytes in
            do throws(ProtobufError) {
                var crc: UInt32 = 0
                var data = UnsafeRawBufferPointer(start: nil, count: 0)
                var reader = ProtobufReader(bytes)
                while let (field, type) = try reader.next() {
                    switch field {
                    case 1: crc = UInt32(truncatingIfNeeded: try reader.uint64(type))
                    case 2: data = try reader.bytes(type)
                    default: try reader.skip(type, field: field)
                    }
                }
                guard crc != 0, !data.isEmpty else { return .failure(corrupt("empty snapshot")) }
                guard CRC32C.update(0, data) == crc else { return .failure(corrupt("crc mismatch")) }
                return .success(try Snapshot(decoding: data))
            } catch {
                return .failure(corrupt("\(error)"))
            }
        }
        return try result.get()
    }
}
