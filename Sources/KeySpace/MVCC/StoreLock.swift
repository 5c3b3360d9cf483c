// The lock of the store. Unlike `Mutex` it is taken and given back in different calls: the apply thread holds it
// from the first change of a chunk to its publication.

import CShims
import DatastoreMetrics

#if canImport(Glibc)
import Glibc
#endif

struct StoreLock: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    /// Gets the times of those who had to wait. Set before the store is shared.
    let waits: UnsafeMutablePointer<Histogram?>

    init() {
        mutex = .allocate(capacity: 1)
        waits = .allocate(capacity: 1)
        waits.initialize(to: nil)
        var attributes = pthread_mutexattr_t()
        pthread_mutexattr_init(&attributes)
        // Critical sections are short: a waiter spins a little before it sleeps.
        pthread_mutexattr_settype(&attributes, Int32(PTHREAD_MUTEX_ADAPTIVE_NP))
        let result = pthread_mutex_init(mutex, &attributes)
        precondition(result == 0, "pthread_mutex_init: \(result)")
        pthread_mutexattr_destroy(&attributes)
    }

    func deallocate() {
        pthread_mutex_destroy(mutex)
        mutex.deallocate()
        waits.deallocate()
    }

    @inline(__always)
    func lock() {
        // Nobody who finds it free pays for a look at the clock.
        if pthread_mutex_trylock(mutex) != 0 { waitAndLock() }
    }

    private func waitAndLock() {
        let began = martlet_monotonic_ns()
        let result = pthread_mutex_lock(mutex)
        precondition(result == 0, "pthread_mutex_lock: \(result)")
        waits.pointee?.observe(nanoseconds: martlet_monotonic_ns() &- began)
    }

    @inline(__always)
    func unlock() {
        let result = pthread_mutex_unlock(mutex)
        precondition(result == 0, "pthread_mutex_unlock: \(result)")
    }

    @inline(__always)
    func withLock<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        lock()
        defer { unlock() }
        return try body()
    }
}
