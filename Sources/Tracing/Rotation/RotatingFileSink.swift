// A log file that is put away when it is full: renamed to a backup, and a new one begun under its name.

import CShims
import Glibc

/// The file and its size. Rotation is a rename and an open on the writer's thread; all else about backups happens
/// on the keeper's.
final class RotatingFileSink: LogSink {
    let name: String
    private let backup: BackupName
    private let rotation: FileRotation
    private let counts: RotationCounts
    private let keeper: BackupKeeper
    private let clock: () -> Int64
    private var descriptor: Int32 = -1
    private var size: Int64 = 0
    private var file = LogFileEnd()
    private var nextRotation: UInt64 = 0

    /// - Parameter clock: nanoseconds since 1970, for the names of backups.
    init(
        path: String, _ rotation: FileRotation, _ counts: RotationCounts = RotationCounts(),
        clock: @escaping () -> Int64 = unixNanoseconds
    ) throws(LogOpenError) {
        name = path
        backup = BackupName(path: path)
        self.rotation = rotation
        self.counts = counts
        self.clock = clock
        keeper = BackupKeeper(backup, rotation, counts)
        Self.makeDirectories(backup.directory)
        let code = openFile()
        guard code == 0 else { throw LogOpenError(path: path, errno: code) }
        if rotation.tends { keeper.tend() }
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
        keeper.close()
    }

    func write(_ batch: LogBatch, _ patience: LogPatience) -> LogWriteOutcome {
        var outcome = LogWriteOutcome()
        func lose(_ lines: Int, _ reason: String?) {
            guard lines > 0 else { return }
            outcome.lost += lines
            outcome.reason = reason
        }
        if descriptor < 0 {
            let code = openFile()
            guard code == 0 else {
                lose(batch.lines.count, "open \(name): \(systemText(code))")
                return outcome
            }
        }
        // Lines that go into the same file are written at once.
        var start = 0
        var pending = 0..<0
        var pendingLines = 0
        func writePending() {
            guard pendingLines > 0 else { return }
            let (written, reason) = file.write(batch.bytes[pending], to: descriptor, name, patience)
            size += Int64(written)
            if written < pending.count {
                lose(batch.lines.lazy.filter { $0.end > pending.lowerBound + written && $0.end <= pending.upperBound }.count, reason)
            }
            pendingLines = 0
            pending = pending.upperBound..<pending.upperBound
        }
        for line in batch.lines {
            defer { start = line.end }
            let length = Int64(line.end - start)
            guard length <= rotation.bytesMaximum else {
                writePending()
                pending = line.end..<line.end
                lose(1, "write length \(length) exceeds maximum file size \(rotation.bytesMaximum)")
                continue
            }
            if size + Int64(pending.count) + length > rotation.bytesMaximum {
                writePending()
                rotate()
                guard descriptor >= 0 else {
                    lose(batch.lines.lazy.filter { $0.end >= line.end }.count, "open \(name): \(systemText(errno))")
                    return outcome
                }
            }
            if pendingLines == 0 { pending = start..<start }
            pending = pending.lowerBound..<line.end
            pendingLines += 1
        }
        writePending()
        return outcome
    }

    func reopen() throws(LogOpenError) {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
        let code = openFile()
        guard code == 0 else { throw LogOpenError(path: name, errno: code) }
    }

    // MARK: Files

    /// Returns 0 or an error number.
    private func openFile(mode: mode_t = 0o600) -> Int32 {
        descriptor = open(name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, mode)
        guard descriptor >= 0 else { return errno }
        var status = stat()
        size = fstat(descriptor, &status) == 0 ? Int64(status.st_size) : 0
        file = LogFileEnd()
        return 0
    }

    /// Puts the file away. If that fails, lines go on into it, and it is tried again after a while.
    private func rotate() {
        let now = martlet_monotonic_ns()
        guard now >= nextRotation else { return }
        var status = stat()
        let known = fstat(descriptor, &status) == 0
        guard let free = freeName(), rename(name, backup.path(free)) == 0 || errno == ENOENT else {
            counts.failed.wrappingAdd(1, ordering: .relaxed)
            nextRotation = now + TracingLimits.rotationRetryMilliseconds * 1_000_000
            return
        }
        close(descriptor)
        descriptor = -1
        Self.makeDirectories(backup.directory)
        guard openFile(mode: known ? status.st_mode & 0o777 : 0o600) == 0 else { return }
        if known {
            // The umask had no say in the old file's mode, nor has it in the new one's.
            _ = fchmod(descriptor, status.st_mode & 0o777)
            _ = fchown(descriptor, status.st_uid, status.st_gid)
        }
        counts.rotated.wrappingAdd(1, ordering: .relaxed)
        if rotation.tends { keeper.tend() }
    }

    /// A backup's name that nobody has: the clock may have been set back to where there are some.
    private func freeName() -> String? {
        var milliseconds = clock() / 1_000_000
        for _ in 0..<TracingLimits.backupNamesTried {
            let name = backup.name(milliseconds: milliseconds, local: rotation.usesLocalTime)
            let path = backup.path(name)
            if access(path, F_OK) != 0, access(path + BackupName.compressedSuffix, F_OK) != 0 { return name }
            milliseconds += 1
        }
        return nil
    }

    /// As far as possible; what is missing is told by the open that follows.
    private static func makeDirectories(_ path: String) {
        guard access(path, F_OK) != 0, let slash = path.lastIndex(of: "/"), slash > path.startIndex else {
            if access(path, F_OK) != 0 { mkdir(path, 0o755) }
            return
        }
        makeDirectories(String(path[..<slash]))
        mkdir(path, 0o755)
    }
}
