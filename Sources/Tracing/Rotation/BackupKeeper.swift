// Tends the backups of a rotated file on a thread of its own: removes what is too old or too many, compresses the rest.
// A compressed backup is written aside, synced and renamed before its source goes, so that a crash or a full disk at any
// moment leaves the one or the other whole.

import CShims
import CZlib
import Glibc
import Synchronization

/// The thread that tends backups. It sleeps until there may be something to do.
final class BackupKeeper: @unchecked Sendable {
    // Unchecked: `state` is guarded by `mutex`.
    private struct State {
        var isDue = true
        var isClosing = false
        var thread: pthread_t?
    }

    private let file: BackupName
    private let rotation: FileRotation
    private let counts: RotationCounts
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let due: UnsafeMutablePointer<pthread_cond_t>
    private var state = State()
    private let abandons = Atomic<Bool>(false)

    init(_ file: BackupName, _ rotation: FileRotation, _ counts: RotationCounts) {
        self.file = file
        self.rotation = rotation
        self.counts = counts
        mutex = .allocate(capacity: 1)
        due = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(due, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(due)
        mutex.deallocate()
        due.deallocate()
    }

    /// Looks after the backups soon; the first time also after what a former process left.
    func tend() {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        state.isDue = true
        guard !state.isClosing else { return }
        if state.thread == nil { start() } else { pthread_cond_signal(due) }
    }

    private func start() {
        let context = Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let status = pthread_create(&thread, nil, { context in
            martlet_name_thread("log-backups")
            var signals = sigset_t()
            sigfillset(&signals)
            pthread_sigmask(SIG_BLOCK, &signals, nil)
            Unmanaged<BackupKeeper>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }, context)
        // Without the thread the backups stay as they are; the next rotation tries again.
        if status == 0 { state.thread = thread } else { Unmanaged<BackupKeeper>.fromOpaque(context).release() }
    }

    /// Ends the thread. What it is compressing is given up; the next start does it again.
    func close() {
        pthread_mutex_lock(mutex)
        state.isClosing = true
        abandons.store(true, ordering: .relaxed)
        pthread_cond_signal(due)
        let thread = state.thread
        state.thread = nil
        pthread_mutex_unlock(mutex)
        if let thread { pthread_join(thread, nil) }
    }

    private func run() {
        var isFirst = true
        pthread_mutex_lock(mutex)
        while !state.isClosing {
            guard state.isDue else {
                pthread_cond_wait(due, mutex)
                continue
            }
            state.isDue = false
            pthread_mutex_unlock(mutex)
            tendNow(leftovers: isFirst)
            isFirst = false
            pthread_mutex_lock(mutex)
        }
        pthread_mutex_unlock(mutex)
    }

    /// On the calling thread; for tests too.
    func tendNow(leftovers: Bool) {
        let plan = BackupPlan(
            names: directoryNames(file.directory), of: file, rotation, nowMilliseconds: unixNanoseconds() / 1_000_000, leftovers: leftovers)
        for name in plan.remove where unlink(file.path(name)) != 0 && errno != ENOENT { counts.failed.wrappingAdd(1, ordering: .relaxed) }
        for name in plan.compress {
            guard !abandons.load(ordering: .relaxed) else { return }
            if !compress(file.path(name)) { counts.failed.wrappingAdd(1, ordering: .relaxed) }
        }
    }

    // MARK: Compression

    /// Puts a compressed file in the place of a plain one; false, and everything as before, when that fails.
    private func compress(_ path: String) -> Bool {
        let source = open(path, O_RDONLY | O_CLOEXEC)
        guard source >= 0 else { return errno == ENOENT }
        defer { Glibc.close(source) }
        var status = stat()
        guard fstat(source, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return false }
        let aside = path + BackupName.unfinishedSuffix
        let target = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, status.st_mode & 0o777)
        guard target >= 0 else { return false }
        // As far as the system lets us, the file is whose the log is.
        _ = fchown(target, status.st_uid, status.st_gid)
        let isWhole = deflate(from: source, to: target) && fsync(target) == 0
        let isClosed = Glibc.close(target) == 0
        guard isWhole, isClosed, rename(aside, path + BackupName.compressedSuffix) == 0 else {
            unlink(aside)
            return abandons.load(ordering: .relaxed)
        }
        syncDirectory()
        return unlink(path) == 0
    }

    private func deflate(from source: Int32, to target: Int32) -> Bool {
        var stream = z_stream()
        let gzipWindowBits: Int32 = 16 + 15
        guard
            deflateInit2_(
                &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzipWindowBits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                Int32(MemoryLayout<z_stream>.size)) == Z_OK
        else { return false }
        defer { deflateEnd(&stream) }
        let size = TracingLimits.compressionPieceBytes
        let input = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
        let output = UnsafeMutablePointer<UInt8>.allocate(capacity: size)
        defer {
            input.deallocate()
            output.deallocate()
        }
        while true {
            guard !abandons.load(ordering: .relaxed) else { return false }
            let count = read(source, input, size)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return false }
            stream.next_in = input
            stream.avail_in = UInt32(count)
            let flush = count == 0 ? Z_FINISH : Z_NO_FLUSH
            var result: Int32
            repeat {
                stream.next_out = output
                stream.avail_out = UInt32(size)
                result = CZlib.deflate(&stream, flush)
                let made = size - Int(stream.avail_out)
                let piece = UnsafeRawBufferPointer(start: output, count: made)
                guard result != Z_STREAM_ERROR, Self.write(piece, to: target) else { return false }
            } while stream.avail_out == 0
            if result == Z_STREAM_END { return true }
            guard count > 0 else { return false }
        }
    }

    private static func write(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32) -> Bool {
        var written = 0
        while written < bytes.count {
            let count = Glibc.write(descriptor, bytes.baseAddress! + written, bytes.count - written)
            if count > 0 { written += count } else if count == 0 || errno != EINTR { return false }
        }
        return true
    }

    private func syncDirectory() {
        let descriptor = open(file.directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        fsync(descriptor)
        Glibc.close(descriptor)
    }
}

/// The names of a directory's entries; none when it cannot be read.
func directoryNames(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) {
            $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: entry.pointee.d_name)) { String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names
}
