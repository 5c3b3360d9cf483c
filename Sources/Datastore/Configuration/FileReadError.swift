// Reading a whole small file, with errors in the words that etcd's operators know.

import Glibc

/// Why a file cannot be read: `open /x: no such file or directory`.
public struct FileReadError: Error, Equatable, Sendable {
    public let reason: String

    public init(reason: String) { self.reason = reason }

    private init(_ operation: String, _ path: String, _ code: Int32) {
        let text = String(cString: strerror(code))
        reason = "\(operation) \(path): \(text.prefix(1).lowercased())\(text.dropFirst())"
    }

    /// The bytes of a file, one more than `YAMLLimits.bytesMax` at most, so that a device without an end is no harm.
    @Sendable
    public static func read(_ path: String) throws(FileReadError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileReadError("open", path, errno) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var block = [UInt8](repeating: 0, count: 64 << 10)
        while bytes.count <= YAMLLimits.bytesMax {
            let count = block.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                throw FileReadError("read", path, errno)
            }
            if count == 0 { break }
            bytes += block[..<count]
        }
        return bytes
    }
}

extension ConfigurationFile {
    init(path: String, _ read: (String) throws(FileReadError) -> [UInt8]) throws(Refusal) {
        let bytes: [UInt8]
        do { bytes = try read(path) } catch { throw .invalid(error.reason) }
        try self.init(bytes)
    }
}
