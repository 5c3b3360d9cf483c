// How other threads reach the maintenance thread: wake, stop, requests. A condition variable on the monotonic clock.

import CShims
import Storage

#if canImport(Glibc)
import Glibc
#endif

final class WaitableControl: @unchecked Sendable {
    // Unchecked: everything below is guarded by `mutex`.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var stopping = false
    private var awake = false
    private var requests: [@Sendable (StorageError?) -> Void] = []

    init() {
        pthread_mutex_init(mutex, nil)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(condition, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_cond_destroy(condition)
        pthread_mutex_destroy(mutex)
        condition.deallocate()
        mutex.deallocate()
    }

    private func locked<R>(_ body: () -> R) -> R {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        return body()
    }

    var isStopping: Bool { locked { stopping } }

    func stop() {
        locked {
            stopping = true
            pthread_cond_signal(condition)
        }
    }

    func wake() {
        locked {
            awake = true
            pthread_cond_signal(condition)
        }
    }

    func request(_ completion: @escaping @Sendable (StorageError?) -> Void) {
        locked {
            requests.append(completion)
            awake = true
            pthread_cond_signal(condition)
        }
    }

    func takeRequests() -> [@Sendable (StorageError?) -> Void] {
        locked {
            defer { requests = [] }
            return requests
        }
    }

    /// Sleeps until there is a reason not to, at most this long.
    func wait(nanoseconds: UInt64) {
        locked {
            sleep(nanoseconds) { stopping || awake }
            awake = false
        }
    }

    /// Sleeps in the middle of work: only stopping cuts it short.
    func rest(nanoseconds: UInt64) {
        locked { sleep(nanoseconds) { stopping } }
    }

    private func sleep(_ nanoseconds: UInt64, until isOver: () -> Bool) {
        let deadline = martlet_monotonic_ns() + nanoseconds
        var time = timespec(tv_sec: Int(deadline / 1_000_000_000), tv_nsec: Int(deadline % 1_000_000_000))
        while !isOver() {
            if pthread_cond_timedwait(condition, mutex, &time) == ETIMEDOUT { return }
        }
    }
}
