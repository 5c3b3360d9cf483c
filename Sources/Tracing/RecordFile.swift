// A file of records beside the log: a bounded queue, a thread, rotation. What is lost is counted, and said in the file and in the log.

import Synchronization

/// Lines that are not log lines, such as those of an audit log.
public final class RecordFile: Sendable {
    private let writer: LogWriter

    /// - Parameters:
    ///   - name: what the log calls it.
    ///   - log: is told when the file fails, and when it works again.
    public init(path: String, rotation: FileRotation, name: String, log: Log) throws(LogOpenError) {
        writer = LogWriter(
            sink: try RotatingFileSink(path: path, rotation), threadName: "audit-writer",
            notice: { lost, reason in
                var line: [UInt8] = Array("{\"ts\":\"".utf8)
                appendTimestamp(unixNanoseconds(), to: &line)
                line += Array("\",\"lines-lost\":\(lost),\"reason\":".utf8)
                appendJSONString(reason, to: &line)
                return line + Array("}\n".utf8)
            },
            onEvent: { _, event in
                switch event {
                case .trouble(let reason):
                    log.warn("\(name) fails; lines for it are counted and dropped when its queue is full", .string("path", path), .error(reason))
                case .recovered: log.info("\(name) works again", .string("path", path))
                }
            })
        writer.start()
    }

    deinit { writer.close() }

    /// Leaves a line with its line feed to be written.
    public func write(_ line: [UInt8]) { writer.write(line, level: .info, package: "", synchronously: false) }

    public var dropped: UInt64 { writer.dropped.load(ordering: .relaxed) }
    public var queuedBytes: Int { writer.queuedBytes.load(ordering: .relaxed) }
    public func reopen() { writer.reopen() }

    /// Writes what is left.
    public func close() { writer.close() }
}

/// A moment in the layout of log lines.
public func timestampText(_ unixNanoseconds: Int64) -> String {
    var bytes: [UInt8] = []
    appendTimestamp(unixNanoseconds, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
}
