// What all loggers of a process share: level, encoding, sampling and the writer.

import Synchronization

/// The shared part of loggers. Make one at start, close it last.
public final class LogCore: Sendable {
    @usableFromInline let threshold: Atomic<UInt8>
    private let format: LogFormat
    /// None when lines are not sampled.
    private let sampler: Mutex<Sampler?>
    /// The journal takes no stack traces.
    private let tracesStacks: Bool
    private let writer: LogWriter

    /// Opens the outputs and starts the thread that writes to them.
    public init(level: LogLevel = .info, format: LogFormat = .json, outputs: LogOutputs = .standardError)
        throws(LogOpenError)
    {
        var sinks: [any LogSink] = []
        for destination in outputs.destinations { sinks.append(try Self.open(destination)) }
        threshold = Atomic(level.rawValue)
        self.format = format
        sampler = Mutex(outputs.isSampled ? Sampler() : nil)
        tracesStacks = !outputs.destinations.contains(.journal)
        writer = LogWriter(sinks: sinks)
        writer.start()
    }

    /// For tests: the sinks as they are.
    init(level: LogLevel, format: LogFormat, sinks: [any LogSink], sampled: Bool) {
        threshold = Atomic(level.rawValue)
        self.format = format
        sampler = Mutex(sampled ? Sampler() : nil)
        tracesStacks = true
        writer = LogWriter(sinks: sinks)
        writer.start()
    }

    deinit { writer.close() }

    private static func open(_ destination: LogOutputs.Destination) throws(LogOpenError) -> any LogSink {
        switch destination {
        case .standardError: DescriptorSink(descriptor: 2)
        case .standardOutput: DescriptorSink(descriptor: 1)
        case .file(let path): try DescriptorSink(path: path)
        case .journal: try JournalSink()
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
    public var droppedLines: UInt64 { writer.dropped.load(ordering: .relaxed) }

    /// Returns when all lines so far are written.
    public func flush() { writer.flush() }

    /// Writes what is left and stops. Lines that come later are dropped.
    public func close() { writer.close() }

    /// The moment of a line that is to be written, nil for one that sampling leaves out. Asked before the
    /// fields are built.
    func admit(_ level: LogLevel, _ message: String) -> Int64? {
        let now = unixNanoseconds()
        return sampler.withLock { $0?.admits(level, message, now: now) ?? true } ? now : nil
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
        writer.write(
            encode(line, as: format), level: level, package: String(package), synchronously: level >= .error)
    }
}
