// Lets libraries that log through swift-log write into our log.

import Logging

/// A swift-log backend: `LoggingSystem.bootstrap { DatastoreLogHandler(log: log.named($0)) }`.
public struct DatastoreLogHandler: LogHandler {
    private let log: Log
    public var metadata: Logger.Metadata = [:]
    public var metadataProvider: Logger.MetadataProvider?

    public init(log: Log) { self.log = log }

    /// The level of the core; setting it here is a filter of this handler only.
    public var logLevel: Logger.Level {
        get { max(own, Self.shared(log.core.level)) }
        set { own = newValue }
    }
    private var own = Logger.Level.trace

    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    public func log(event: LogEvent) {
        let level = Self.ours(event.level)
        guard log.isEnabled(level) else { return }
        let message = "\(event.message)"
        guard let now = log.core.admit(level, message) else { return }
        var merged = metadataProvider?.get() ?? [:]
        merged.merge(metadata) { $1 }
        if let metadata = event.metadata { merged.merge(metadata) { $1 } }
        var fields = merged.sorted { $0.key < $1.key }.map { LogField.string($0.key, "\($0.value)") }
        if let error = event.error { fields.append(.error(error)) }
        log.core.write(
            level, at: now, logger: log.name, message: message, fields: fields,
            caller: Log.caller(event.file, event.line), function: event.function)
    }

    private static func ours(_ level: Logger.Level) -> LogLevel {
        switch level {
        case .trace, .debug: .debug
        case .info, .notice: .info
        case .warning: .warn
        case .error, .critical: .error
        }
    }

    private static func shared(_ level: LogLevel) -> Logger.Level {
        switch level {
        case .debug: .trace
        case .info: .info
        case .warn: .warning
        case .error, .dpanic, .panic, .fatal: .error
        }
    }
}
