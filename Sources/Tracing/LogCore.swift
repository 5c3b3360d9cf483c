// What all loggers of a process share: level, encoding, sampling and the writers.

import Glibc
import Synchronization

/// The shared part of loggers. Make one at start, close it last.
public final class LogCore: Sendable {
    @usableFromInline let threshold: Atomic<UInt8>
    private let format: LogFormat
    /// None when lines are not sampled.
    private let sampler: Mutex<Sampler?>
    /// The journal takes no stack traces.
    private let tracesStacks: Bool
    private let writers: [LogWriter]
    /// Lines that sampling left out.
    private let sampledOut = Atomic<UInt64>(0)
    let rotations: RotationCounts

    /// Opens the outputs and starts a thread for each.
    ///
    /// - Parameter rotation: when the files among the outputs are rotated; nil for never.
    public convenience init(
        level: LogLevel = .info, format: LogFormat = .json, outputs: LogOutputs = .standardError, rotation: FileRotation? = nil
    ) throws(LogOpenError) {
        let counts = RotationCounts()
        var sinks: [any LogSink] = []
        for destination in outputs.destinations { sinks.append(try Self.open(destination, rotation, counts)) }
        self.init(
            level: level, format: format, sinks: sinks, sampled: outputs.isSampled,
            tracesStacks: !outputs.destinations.contains(.journal), rotations: counts)
    }

    /// With the sinks as they are.
    init(
        level: LogLevel, format: LogFormat, sinks: [any LogSink], sampled: Bool, tracesStacks: Bool = true,
        rotations: RotationCounts = RotationCounts()
    ) {
        threshold = Atomic(level.rawValue)
        self.format = format
        sampler = Mutex(sampled ? Sampler() : nil)
        self.tracesStacks = tracesStacks
        self.rotations = rotations
        let siblings = Siblings()
        writers = sinks.map { sink in
            LogWriter(
                sink: sink, notice: { Self.notice(lost: $0, reason: $1, format) },
                onEvent: { siblings.tell(of: $1, at: $0, format) })
        }
        siblings.writers.withLock { $0 = writers.map(Siblings.Reference.init) }
        for writer in writers { writer.start() }
    }

    deinit { close() }

    /// The writers of a log, for what one of them has to say to the others.
    private final class Siblings: Sendable {
        struct Reference: Sendable { weak let writer: LogWriter? }
        let writers = Mutex<[Reference]>([])

        /// An output that fails cannot say so itself: the others do, or standard error where there is no other.
        func tell(of event: LogWriter.Event, at writer: LogWriter, _ format: LogFormat) {
            let line: [UInt8] =
                switch event {
                case .trouble(let reason):
                    encode(
                        LogCore.line("log output fails; lines for it are counted and dropped when its queue is full",
                            [.string("output", writer.name), .error(reason)]), as: format)
                case .recovered:
                    encode(LogCore.line("log output works again", [.string("output", writer.name)]), as: format)
                }
            let others = writers.withLock { $0.compactMap(\.writer) }.filter { $0 !== writer }
            for other in others { other.write(line, level: .warn, package: "Tracing", synchronously: false) }
            guard others.isEmpty, writer.name != DescriptorSink.standardErrorName else { return }
            // Best effort, and never longer than a moment.
            var wait = pollfd(fd: 2, events: Int16(POLLOUT), revents: 0)
            if poll(&wait, 1, 0) == 1 { _ = line.withUnsafeBytes { Glibc.write(2, $0.baseAddress, min($0.count, TracingLimits.pipePieceBytes)) } }
        }
    }

    private static func line(_ message: String, _ fields: [LogField]) -> LogLine {
        LogLine(
            level: .warn, unixNanoseconds: unixNanoseconds(), logger: "", caller: "Tracing/LogWriter.swift:1", message: message,
            fields: fields, stackTrace: nil)
    }

    private static func notice(lost: UInt64, reason: String, _ format: LogFormat) -> [UInt8] {
        encode(line("log lines were dropped", [.uint64("lines", lost), .string("reason", reason)]), as: format)
    }

    private static func open(
        _ destination: LogOutputs.Destination, _ rotation: FileRotation?, _ counts: RotationCounts
    ) throws(LogOpenError) -> any LogSink {
        switch destination {
        case .standardError: return DescriptorSink(descriptor: 2, name: DescriptorSink.standardErrorName)
        case .standardOutput: return DescriptorSink(descriptor: 1, name: "stdout")
        case .file(let path):
            guard let rotation else { return try DescriptorSink(path: path) }
            return try RotatingFileSink(path: path, rotation, counts)
        case .journal: return try JournalSink()
        }
    }

    /// The lowest level that is written; may be changed at any time.
    public var level: LogLevel {
        get { LogLevel(rawValue: threshold.load(ordering: .relaxed))! }
        set { threshold.store(newValue.rawValue, ordering: .relaxed) }
    }

    /// Whether lines of this level are written.
    @inlinable @inline(__always)
    public func isEnabled(_ level: LogLevel) -> Bool { level.rawValue >= threshold.load(ordering: .relaxed) }

    /// Lines that were lost because the queue was full or an output failed.
    public var droppedLines: UInt64 { writers.reduce(0) { $0 + $1.dropped.load(ordering: .relaxed) } }

    /// Lines that sampling left out: the same message more than a hundred times in a second.
    public var sampledOutLines: UInt64 { sampledOut.load(ordering: .relaxed) }

    /// Bytes of lines that wait to be written, of all outputs.
    public var queuedBytes: Int { writers.reduce(0) { $0 + $1.queuedBytes.load(ordering: .relaxed) } }

    /// Returns when all lines so far are written.
    public func flush() { for writer in writers { writer.flush() } }

    /// Opens files anew under their names, because somebody moved them away.
    public func reopen() { for writer in writers { writer.reopen() } }

    /// Writes what is left and stops. Lines that come later are dropped.
    public func close() { for writer in writers { writer.close() } }

    /// The moment of a line that is to be written, nil for one that sampling leaves out. Asked before the
    /// fields are built.
    func admit(_ level: LogLevel, _ message: String) -> Int64? {
        let now = unixNanoseconds()
        if sampler.withLock({ $0?.admits(level, message, now: now) ?? true }) { return now }
        sampledOut.wrappingAdd(1, ordering: .relaxed)
        return nil
    }

    func write(
        _ level: LogLevel, at now: Int64, logger: String, message: String, fields: [LogField], caller: String,
        function: String
    ) {
        let withTrace = level >= .error && tracesStacks
        let line = LogLine(
            level: level, unixNanoseconds: now, logger: logger, caller: caller, message: message, fields: fields,
            stackTrace: withTrace ? StackTrace.current(function: function, caller: caller) : nil)
        let package = caller.prefix { $0 != "/" }
        let bytes = encode(line, as: format)
        for writer in writers { writer.write(bytes, level: level, package: String(package), synchronously: level >= .error) }
    }
}
