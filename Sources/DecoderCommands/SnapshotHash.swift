// The SHA-256 that a snapshot file ends with.

import CommandLineTools
import Storage
import Wire

enum SnapshotHash {
    private static let bytes: UInt64 = 32
    private static let pieceBytes = 1 << 20

    /// Reads the whole file once.
    ///
    /// - Throws: if the hash is not that of what stands before it, or there is none.
    static func check(_ path: String) throws(CommandFailure) {
        do throws(StorageError) {
            let file = try PosixFileSystem().open(path, .readOnly)
            defer { file.close() }
            let size = try file.size()
            // Pages are multiples of 512 bytes, so that what is left over tells.
            guard size > bytes, size % 512 == bytes else { throw StorageError(.read, path, .corrupt("sha256 checksum not found [bytes: \(size)]")) }
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: pieceBytes, alignment: 16)
            defer { buffer.deallocate() }
            var hash = SHA256Stream()
            var at: UInt64 = 0
            while at < size - bytes {
                let piece = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(min(UInt64(pieceBytes), size - bytes - at))])
                guard try file.read(into: piece, at: at) == piece.count else { throw StorageError(.read, path, .unexpectedEnd("the file shrinks")) }
                hash.update(UnsafeRawBufferPointer(piece))
                at += UInt64(piece.count)
            }
            let stored = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(bytes)])
            guard try file.read(into: stored, at: size - bytes) == stored.count, hash.digest().elementsEqual(stored) else {
                throw StorageError(.read, path, .corrupt("the SHA-256 at its end is not that of its content"))
            }
        } catch {
            throw CommandFailure(error.description)
        }
    }
}
