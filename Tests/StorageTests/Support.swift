// Helpers of the storage tests.

import Glibc
import Storage
import StorageSimulation
import Testing
import Wire

/// Multiplies the number of random histories.
let soak = getenv("MARTLET_SOAK").flatMap { Int(String(cString: $0)) } ?? 1

extension RevisionLog {
    func payload(at location: RecordLocation) throws(StorageError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: Int(location.length))
        let result: Result<Void, StorageError> = bytes.withUnsafeMutableBytes { buffer in
            do throws(StorageError) { return .success(try read(location, into: buffer)) } catch { return .failure(error) }
        }
        try result.get()
        return bytes
    }

    @discardableResult
    func append(kind: RecordKind = .put, main: Int64, sub: Int32 = 0, _ payload: [UInt8]) -> RecordLocation {
        append(kind: kind, main: main, sub: sub, payloadCapacity: payload.count) { $0.append(payload) }
    }

    /// One entry with one record.
    @discardableResult
    func put(_ index: UInt64, _ payload: [UInt8]) -> RecordLocation {
        beginFrame(raftIndex: index, term: 1)
        defer { endFrame() }
        return append(main: Int64(index), payload)
    }
}

extension CheckpointWriter {
    func write(_ block: [UInt8]) throws { try block.withUnsafeBytes { try write($0) } }
}

func payload(_ number: UInt64, size: Int) -> [UInt8] {
    var random = SplitMix64(seed: number)
    return (0..<size).map { _ in UInt8(truncatingIfNeeded: random.next()) }
}

/// A directory of the real disk that is removed at the end.
final class TemporaryDirectory {
    let path: String

    init() {
        var template = Array("/tmp/martlet-storage-XXXXXX".utf8CString)
        path = String(cString: mkdtemp(&template)!)
    }

    deinit { remove(path) }

    private func remove(_ path: String) {
        let system = PosixFileSystem()
        for name in (try? system.list(path)) ?? [] {
            let child = path + "/" + name
            if unlink(child) != 0 { remove(child) }
        }
        rmdir(path)
    }
}
