// The lock that bbolt takes on its file, and waiting for it.

import CommandLineTools
import Storage

#if canImport(Glibc)
import Glibc
#endif

/// How long a lock is waited for, and who is told.
struct LockPatience {
    /// Zero: for ever.
    let limit: Duration
    let console: Console

    /// Tries until it works.
    ///
    /// - Parameter notice: what the user is told after a second.
    /// - Throws: a failure that says what is in use.
    func wait(for path: String, notice: String? = nil, _ attempt: () throws -> Bool) throws {
        let clock = ContinuousClock()
        let start = clock.now
        var isTold = false
        while try !attempt() {
            let waited = clock.now - start
            if limit > .zero, waited >= limit { throw CommandFailure("\(path) is in use: another process, such as a running server, holds its lock") }
            if waited >= UtilityLimits.lockNotice, !isTold {
                isTold = true
                if let notice { console.print(notice, to: .error) }
            }
            usleep(UtilityLimits.lockRetryMicroseconds)
        }
    }
}

/// Held for as long as the object lives.
final class FileLock {
    private let descriptor: Int32

    /// - Parameter isShared: others may read too.
    init(_ path: String, isShared: Bool, _ patience: LockPatience, notice: String? = nil) throws {
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw CommandFailure("open \(path): \(systemText(errno))") }
        let descriptor = descriptor
        do {
            try patience.wait(for: path, notice: notice) {
                if flock(descriptor, (isShared ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0 { return true }
                guard errno == EWOULDBLOCK || errno == EINTR else { throw CommandFailure("lock \(path): \(systemText(errno))") }
                return false
            }
        } catch {
            close(descriptor)
            throw error
        }
    }

    deinit { close(descriptor) }
}

/// The kernel's text for an error as Go's programs write it: without a capital.
func systemText(_ code: Int32) -> String {
    let text = String(cString: strerror(code))
    return text.prefix(1).lowercased() + text.dropFirst()
}
