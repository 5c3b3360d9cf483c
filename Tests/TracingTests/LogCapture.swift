// A sink that keeps lines for a test to look at.

import Glibc
import Synchronization

@testable import DatastoreTracing

final class CapturingSink: LogSink, @unchecked Sendable {  // lines are guarded; the rest is the writer thread's
    private let captured = Mutex<[String]>([])
    /// While set, writes wait: the queue before the sink fills.
    let gate = Mutex(())
    var name: String { "memory" }
    func write(_ batch: LogBatch, _ patience: LogPatience) -> LogWriteOutcome {
        gate.withLock { _ in }
        var start = 0
        var lines: [String] = []
        for line in batch.lines {
            lines.append(String(decoding: batch.bytes[start..<line.end], as: UTF8.self))
            start = line.end
        }
        captured.withLock { $0.append(contentsOf: lines) }
        return LogWriteOutcome()
    }
    var lines: [String] { captured.withLock { $0 } }
}

/// A log into memory.
struct LogCapture {
    let sink = CapturingSink()
    let core: LogCore
    let log: Log

    init(level: LogLevel = .info, format: LogFormat = .json, sampled: Bool = false) {
        core = LogCore(level: level, format: format, sinks: [sink], sampled: sampled)
        log = Log(core: core)
    }

    /// What was written, without line feeds at the ends.
    var lines: [String] {
        core.flush()
        return sink.lines.map { String($0.dropLast()) }
    }
}
