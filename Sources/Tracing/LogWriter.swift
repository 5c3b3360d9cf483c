// The thread that writes lines to one output, and the bounded queue before it.
//
// Callers encode their line themselves and leave it here; a slow disk, a full disk or a reader that does not read
// therefore stops nobody: the queue fills, and then lines are dropped and counted. Each output has a writer of its own,
// so that one that hangs does not hold up the others. Lines of level error and above wait until they are written, but not
// for long and not for an output that takes nothing.

import CShims
import Glibc
import Synchronization

/// Owns a sink and the thread that feeds it.
final class LogWriter: @unchecked Sendable {  // all mutable state is guarded by `mutex`
    /// What the writer has to say about itself.
    enum Event {
        /// The output has begun to fail or to hang.
        case trouble(reason: String)
        /// It works again.
        case recovered
    }

    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let arrived: UnsafeMutablePointer<pthread_cond_t>
    private let written: UnsafeMutablePointer<pthread_cond_t>

    private var pending = LogBatch()
    /// Numbers of the last line left here and of the last one written.
    private var lastQueued: UInt64 = 0
    private var lastWritten: UInt64 = 0
    /// Lines lost that the output itself does not tell of yet.
    private var untold: UInt64 = 0
    private var reason: String?
    private var wantsReopen = false
    private var closing = false
    private var thread: pthread_t?
    private let sink: any LogSink
    private var patience: LogPatience!
    private let threadName: StaticString
    /// Encodes the line that tells of lost ones.
    private let notice: @Sendable (_ lost: UInt64, _ reason: String) -> [UInt8]
    /// Called on the writer's thread.
    private let onEvent: @Sendable (LogWriter, Event) -> Void
    let dropped = Atomic<UInt64>(0)
    let queuedBytes = Atomic<Int>(0)

    init(
        sink: any LogSink, threadName: StaticString = "log-writer",
        notice: @escaping @Sendable (_ lost: UInt64, _ reason: String) -> [UInt8],
        onEvent: @escaping @Sendable (LogWriter, Event) -> Void = { _, _ in }
    ) {
        self.sink = sink
        self.threadName = threadName
        self.notice = notice
        self.onEvent = onEvent
        mutex = .allocate(capacity: 1)
        arrived = .allocate(capacity: 1)
        written = .allocate(capacity: 1)
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_mutex_init(mutex, nil)
        pthread_cond_init(arrived, &attributes)
        pthread_cond_init(written, &attributes)
        pthread_condattr_destroy(&attributes)
        patience = LogPatience { [unowned self] in
            onEvent(self, .trouble(reason: "write \(self.name): nobody takes what is written"))
        }
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(arrived)
        pthread_cond_destroy(written)
        mutex.deallocate()
        arrived.deallocate()
        written.deallocate()
    }

    var name: String { sink.name }

    /// Starts the thread. It keeps the writer alive until `close`.
    func start() {
        let context = Unmanaged.passRetained(self).toOpaque()
        var thread = pthread_t()
        let status = pthread_create(&thread, nil, { context in
            // A broken pipe is an error of the write, not the end of the process.
            var signals = sigset_t()
            sigfillset(&signals)
            pthread_sigmask(SIG_BLOCK, &signals, nil)
            let writer = Unmanaged<LogWriter>.fromOpaque(context!).takeRetainedValue()
            martlet_name_thread(UnsafeRawPointer(writer.threadName.utf8Start).assumingMemoryBound(to: CChar.self))
            writer.run()
            return nil
        }, context)
        precondition(status == 0, "the log thread could not be started: errno \(status)")
        self.thread = thread
    }

    /// Leaves a line for the thread; with `synchronously` returns when it is written, or when that takes too long.
    func write(_ line: [UInt8], level: LogLevel, package: String, synchronously: Bool) {
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        let limit = TracingLimits.queuedBytesMaximum + (synchronously ? TracingLimits.queuedBytesReserved : 0)
        if closing || pending.bytes.count + line.count > limit {
            lose(1, closing ? "the log is closed" : "the queue of \(sink.name) is full")
            return
        }
        let wasEmpty = pending.lines.isEmpty
        pending.append(line, level: level, package: package)
        queuedBytes.store(pending.bytes.count, ordering: .relaxed)
        lastQueued += 1
        if wasEmpty { pthread_cond_signal(arrived) }
        if synchronously { waitUntilWritten(lastQueued, milliseconds: TracingLimits.synchronousWaitMilliseconds) }
    }

    /// Returns when every line left here so far is written, or lost.
    func flush() {
        pthread_mutex_lock(mutex)
        waitUntilWritten(lastQueued, milliseconds: nil)
        pthread_mutex_unlock(mutex)
    }

    /// Lets the output open its file anew, before it writes what comes from now on.
    func reopen() {
        pthread_mutex_lock(mutex)
        wantsReopen = true
        pthread_cond_signal(arrived)
        pthread_mutex_unlock(mutex)
    }

    /// Writes what is left and ends the thread. Later lines are dropped.
    func close() {
        pthread_mutex_lock(mutex)
        let wasClosing = closing
        closing = true
        patience.close()
        pthread_cond_signal(arrived)
        let thread = self.thread
        self.thread = nil
        pthread_mutex_unlock(mutex)
        if !wasClosing, let thread { pthread_join(thread, nil) }
    }

    /// The mutex is held.
    private func lose(_ lines: Int, _ reason: String) {
        dropped.wrappingAdd(UInt64(lines), ordering: .relaxed)
        untold += UInt64(lines)
        self.reason = reason
    }

    /// The mutex is held. Nobody waits for an output that hangs.
    private func waitUntilWritten(_ number: UInt64, milliseconds: Int?) {
        var left = milliseconds ?? .max
        while lastWritten < number, left > 0, !patience.isStalled {
            var until = Self.deadline(milliseconds: 50)
            if pthread_cond_timedwait(written, mutex, &until) == ETIMEDOUT, milliseconds != nil { left -= 50 }
        }
    }

    private static func deadline(milliseconds: Int) -> timespec {
        let time = martlet_monotonic_ns() + UInt64(milliseconds) * 1_000_000
        return timespec(tv_sec: Int(time / 1_000_000_000), tv_nsec: Int(time % 1_000_000_000))
    }

    private func run() {
        var batch = LogBatch()
        var isFailing = false
        var nextNotice: UInt64 = 0
        pthread_mutex_lock(mutex)
        while true {
            while pending.lines.isEmpty, !closing, !wantsReopen {
                if untold > 0 {
                    // What was lost is said when there has been time for more of it.
                    var until = Self.deadline(milliseconds: TracingLimits.noticeIntervalMilliseconds)
                    if pthread_cond_timedwait(arrived, mutex, &until) == ETIMEDOUT { break }
                } else {
                    pthread_cond_wait(arrived, mutex)
                }
            }
            if closing, pending.lines.isEmpty, untold == 0 { break }
            let isLast = closing && pending.lines.isEmpty
            let reopens = wantsReopen
            wantsReopen = false
            swap(&batch, &pending)
            queuedBytes.store(0, ordering: .relaxed)
            let upTo = lastQueued
            let now = martlet_monotonic_ns()
            var told: UInt64 = 0
            if untold > 0, now >= nextNotice || isLast {
                told = untold
                nextNotice = now + UInt64(TracingLimits.noticeIntervalMilliseconds) * 1_000_000
                batch.append(notice(told, reason ?? "unknown"), level: .warn, package: "Tracing")
            }
            pthread_mutex_unlock(mutex)
            var outcome = LogWriteOutcome()
            if reopens {
                do { try sink.reopen() } catch { outcome.reason = error.description }
            }
            if !batch.lines.isEmpty {
                let failure = outcome.reason
                outcome = sink.write(batch, patience)
                if let failure, outcome.reason == nil { onEvent(self, .trouble(reason: failure)) }
            }
            batch.removeAll()
            if outcome.lost > 0 {
                if !isFailing { onEvent(self, .trouble(reason: outcome.reason ?? "unknown")) }
                isFailing = true
            } else if isFailing {
                isFailing = false
                onEvent(self, .recovered)
            }
            pthread_mutex_lock(mutex)
            if outcome.lost > 0 {
                // The line that tells is the last one, so it is among the lost.
                lose(told > 0 ? outcome.lost - 1 : outcome.lost, outcome.reason ?? "unknown")
                if isLast { untold = 0 }
            } else {
                untold -= told
            }
            lastWritten = upTo
            pthread_cond_broadcast(written)
        }
        pthread_mutex_unlock(mutex)
    }
}
