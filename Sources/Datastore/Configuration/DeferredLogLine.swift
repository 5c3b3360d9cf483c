// Lines that come up while the configuration is read, before there is a logger.

import DatastoreTracing

/// A line to be logged later.
public struct DeferredLogLine: Sendable, Equatable {
    public let level: LogLevel
    public let message: String
    public let fields: [LogField]
    /// Early lines go to standard error as JSON whatever the log flags say; the others to the configured log.
    public let isEarly: Bool

    static func early(_ level: LogLevel, _ message: String, _ fields: [LogField] = []) -> DeferredLogLine {
        DeferredLogLine(level: level, message: message, fields: fields, isEarly: true)
    }

    static func later(_ level: LogLevel, _ message: String, _ fields: [LogField] = []) -> DeferredLogLine {
        DeferredLogLine(level: level, message: message, fields: fields, isEarly: false)
    }

    /// Writes the line.
    public func write(to log: Log) { log.log(level, message, fields) }
}
