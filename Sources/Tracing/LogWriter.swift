// The thread that writes lines, and the bounded queue before it.
//
// Callers encode their line themselves and leave it here; a slow disk or terminal therefore stops nobody
// until the queue is full, and then lines are dropped and counted. Lines of level error and above wait
// until they are written.

import CShims
import Glibc
import Synchronization

/// Owns the sinks and the thread that feeds them.
final class LogWriter: @unchecked Sendable {  // all mutable state is guarded by `mutex`
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let arrived: UnsafeMutablePointer<pthread_cond_t>
    private let written: UnsafeMutablePointer<pthread_cond_t>

    private var pending = LogBatch()
    /// Numbers of the last line left here and of the last one written.
    private var lastQueued: UInt64 = 0
    private var lastWritten: UInt64 = 0
    private var closing = false
    private var thread: pthread_t?
    private let sinks: [any LogSink]
    let dropped = Atomic<UInt64>(0)

    init(sinks: [any LogSink]) {
        self.sinks = sinks
        mutex = .allocate(capacity: 1)
        arrived = .allocate(capacity: 1)
        written = .allocate(capacity: 1)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(arrived, nil)
        pthread_cond_init(written, nil)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(arrived)
        pthread_cond_destroy(written)
        mutex.deallocate()
        arrived.deallocate()
        written.deallocate()
    }

    /// Starts the thread. It keeps the writer alive until `close`.
    func start() {
        let context = Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let status = pthread_create(&thread, nil, { context in
            martlet_name_thread("log-writer")
            // A broken pipe is an error of the write, not the end of the process.
            var signals = sigset_t()
            sigfillset(&signals)
            pthread_sigmask(SIG_BLOCK, &signals, nil)
            Unmanaged<LogWriter>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }, context)
        precondition(status == 0, "the log thread could not be started: errno \(status)")
        self.thread = thread
    }

    /// Leaves a line for the thread; with `synchronously` returns only when it is written.
    func write(_ line: [UInt8], level: LogLevel, package: String, synchronously: Bool) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        if closing || (pending.bytes.count + line.count > TracingLimits.queuedBytesMaximum && !synchronously) {
            dropped.wrappingAdd(1, ordering: .relaxed)
            return
        }
        let wasEmpty = pending.lines.isEmpty
        pending.append(line, level: level, package: package)
        lastQueued += 1
        if wasEmpty { pthread_cond_signal(arrived) }
        if synchronously { waitUntilWritten(lastQueued) }
    }

    /// Returns when every line left here so far is written.
    func flush() {
        pthread_mutex_lock(mutex)
        waitUntilWritten(lastQueued)
        pthread_mutex_unlock(mutex)
    }

    /// Writes what is left and ends the thread. Later lines are dropped.
    func close() {
        pthread_mutex_lock(mutex)
        let wasClosing = closing
        closing = true
        pthread_cond_signal(arrived)
        let thread = self.thread
        self.thread = nil
        pthread_mutex_unlock(mutex)
        if !wasClosing, let thread { pthread_join(thread, nil) }
    }

    /// The mutex is held.
    private func waitUntilWritten(_ number: UInt64) {
        while lastWritten < number { pthread_cond_wait(written, mutex) }
    }

    private func run() {
        var batch = LogBatch()
        pthread_mutex_lock(mutex)
        while true {
            while pending.lines.isEmpty && !closing { pthread_cond_wait(arrived, mutex) }
            if pending.lines.isEmpty { break }
            swap(&batch, &pending)
            let upTo = lastQueued
            pthread_mutex_unlock(mutex)
            for sink in sinks {
                let lost = sink.write(batch)
                if lost > 0 { dropped.wrappingAdd(UInt64(lost), ordering: .relaxed) }
            }
            batch.removeAll()
            pthread_mutex_lock(mutex)
            lastWritten = upTo
            pthread_cond_broadcast(written)
        }
        pthread_mutex_unlock(mutex)
    }
}
