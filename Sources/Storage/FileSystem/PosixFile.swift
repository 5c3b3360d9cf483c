// A file of the kernel.

#if canImport(Glibc)
import Glibc
#endif
import CShims
import Synchronization

/// Calls until the kernel no longer answers EINTR; returns the answer or the errno.
@inline(__always)
func retryingInterrupts<T: SignedInteger>(_ body: () -> T) -> Result<T, SystemErrno> {
    while true {
        let answer = body()
        if answer != -1 { return .success(answer) }
        let code = errno
        if code != EINTR { return .failure(SystemErrno(code: code)) }
    }
}

struct SystemErrno: Error { let code: Int32 }

final class PosixFile: File {
    let path: String
    private let descriptor: Atomic<Int32>

    init(path: String, descriptor: Int32) {
        self.path = path
        self.descriptor = Atomic(descriptor)
    }

    deinit { close() }

    @inline(__always)
    private var fd: Int32 { descriptor.load(ordering: .relaxed) }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) -> Int {
        var done = 0
        while done < buffer.count {
            switch retryingInterrupts({ pread(fd, buffer.baseAddress! + done, buffer.count - done, off_t(offset) + off_t(done)) }) {
            case .success(0): return done
            case .success(let count): done += count
            case .failure(let error): throw StorageError(.read, path, errno: error.code)
            }
        }
        return done
    }

    func read(scattered places: UnsafeMutableBufferPointer<iovec>, at offset: UInt64) throws(StorageError) -> Int {
        precondition(places.count <= FileLimits.vectorsMax)
        var done = 0
        var first = 0
        while first < places.count {
            let answer = retryingInterrupts {
                preadv(fd, places.baseAddress! + first, Int32(places.count - first), off_t(offset) + off_t(done))
            }
            switch answer {
            case .success(0): return done
            case .success(let count):
                done += count
                // Nearly always everything; otherwise it goes on in the middle of a place.
                var left = count
                while first < places.count, left >= places[first].iov_len {
                    left -= places[first].iov_len
                    first += 1
                }
                if left > 0 {
                    places[first].iov_base += left
                    places[first].iov_len -= left
                }
            case .failure(let error): throw StorageError(.read, path, errno: error.code)
            }
        }
        return done
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
        var done = 0
        while done < bytes.count {
            switch retryingInterrupts({ pwrite(fd, bytes.baseAddress! + done, bytes.count - done, off_t(offset) + off_t(done)) }) {
            // A disk that takes nothing and says nothing is full.
            case .success(0): throw StorageError(.write, path, errno: ENOSPC)
            case .success(let count): done += count
            case .failure(let error): throw StorageError(.write, path, errno: error.code)
            }
        }
    }

    func sync() throws(StorageError) { try check(.sync) { fdatasync(fd) } }

    func truncate(to length: UInt64) throws(StorageError) { try check(.truncate) { ftruncate(fd, off_t(length)) } }

    func preallocate(_ length: UInt64, extending: Bool) throws(StorageError) {
        switch retryingInterrupts({ martlet_fallocate(fd, extending ? 0 : 1, Int64(length)) }) {
        case .success: return
        case .failure(let error) where error.code == EOPNOTSUPP || error.code == ENOSYS:
            // The file system cannot reserve; then appends may meet a full disk earlier, that is all.
            if extending, try size() < length { try truncate(to: length) }
        case .failure(let error): throw StorageError(.preallocate, path, errno: error.code)
        }
    }

    func size() throws(StorageError) -> UInt64 {
        var status = stat()
        try check(.stat) { fstat(fd, &status) }
        return UInt64(status.st_size)
    }

    func lock() throws(StorageError) {
        // Open-file-description locks, as etcd takes them on WAL files: the two then keep out of each other's way.
        switch retryingInterrupts({ martlet_lock_file(fd) }) {
        case .success: return
        case .failure(let error) where error.code == EAGAIN || error.code == EACCES: throw StorageError(.lock, path, .locked)
        case .failure(let error): throw StorageError(.lock, path, errno: error.code)
        }
    }

    func close() {
        let old = descriptor.exchange(-1, ordering: .relaxed)
        if old >= 0 { _ = Glibc.close(old) }
    }

    private func check(_ operation: StorageError.Operation, _ body: () -> Int32) throws(StorageError) {
        if case .failure(let error) = retryingInterrupts(body) { throw StorageError(operation, path, errno: error.code) }
    }
}
