// The files behind TLS: read whole, and looked at for changes without being read.

#if canImport(Glibc)
import Glibc
#endif

/// What tells one state of a file from another without reading it. Behind a symbolic link it is about the target,
/// so that a link that is pointed elsewhere counts as a change.
struct FileStamp: Equatable, Sendable {
    private let inode: UInt64
    private let size: Int64
    private let seconds: Int
    private let nanoseconds: Int

    /// Nil when there is no such file.
    init?(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        inode = UInt64(status.st_ino)
        size = Int64(status.st_size)
        seconds = status.st_mtim.tv_sec
        nanoseconds = status.st_mtim.tv_nsec
    }

    /// Written so recently that a further write might leave the stamp as it is: clocks of file systems are coarse.
    func isFresh(now: Int) -> Bool { seconds >= now - 2 }
}

enum TLSFile {
    /// Bound on what is read: a bundle of all public authorities has 0.25 MB, large revocation lists some MB.
    static let bytesMax = 64 << 20

    static func read(_ path: String) throws(TLSSetupError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw TLSSetupError("open \(path): \(systemText(errno))") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        let part = 64 << 10
        while true {
            let start = bytes.count
            guard start <= bytesMax else { throw TLSSetupError("read \(path): file too large") }
            bytes.append(contentsOf: repeatElement(0, count: part))
            let count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress! + start, part) }
            let failure = errno
            bytes.removeLast(part - max(0, count))
            if count == 0 { return bytes }
            if count < 0, failure != EINTR { throw TLSSetupError("read \(path): \(systemText(failure))") }
        }
    }

    /// Go begins these texts in lower case.
    static func systemText(_ number: Int32) -> String {
        let text = String(cString: strerror(number))
        return text.prefix(1).lowercased() + text.dropFirst()
    }
}
