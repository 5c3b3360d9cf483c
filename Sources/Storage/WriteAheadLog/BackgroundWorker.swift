// One thread that runs jobs in order. It is started by the first job and ends with `stop()`.

import CShims

#if canImport(Glibc)
import Glibc
#endif

final class BackgroundWorker: @unchecked Sendable {
    // Unchecked: everything mutable is guarded by `mutex`.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var jobs: [@Sendable () -> Void] = []
    private var thread: pthread_t?
    private var isStopping = false
    private let name: StaticString

    init(name: StaticString) {
        self.name = name
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(condition, nil)
    }

    deinit {
        precondition(thread == nil, "a worker is stopped before it is dropped")
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(condition)
        mutex.deallocate()
        condition.deallocate()
    }

    /// Queues a job; its owner keeps the number of jobs small. After `stop()` it is not run.
    func run(_ job: @escaping @Sendable () -> Void) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        guard !isStopping else { return }
        jobs.append(job)
        if thread == nil { start() }
        pthread_cond_signal(condition)
    }

    private func start() {
        var created = pthread_t()
        // The thread keeps the worker alive until it ends.
        let this = Unmanaged.passRetained(self).toOpaque()
        let code = pthread_create(&created, nil, { argument in
            let worker = Unmanaged<BackgroundWorker>.fromOpaque(argument!).takeRetainedValue()
            worker.loop()
            return nil
        }, this)
        precondition(code == 0, "no thread can be started: \(String(cString: strerror(code)))")
        thread = created
    }

    private func loop() {
        name.withUTF8Buffer { _ in martlet_name_thread(UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self)) }
        pthread_mutex_lock(mutex)
        while true {
            while jobs.isEmpty, !isStopping { pthread_cond_wait(condition, mutex) }
            if isStopping { break }
            let job = jobs.removeFirst()
            pthread_mutex_unlock(mutex)
            job()
            pthread_mutex_lock(mutex)
        }
        pthread_mutex_unlock(mutex)
    }

    /// Drops jobs that have not begun and waits for the one that has.
    func stop() {
        pthread_mutex_lock(mutex)
        isStopping = true
        jobs.removeAll()
        let running = thread
        thread = nil
        pthread_cond_signal(condition)
        pthread_mutex_unlock(mutex)
        if let running { pthread_join(running, nil) }
    }
}
