// The logger that our own code calls.
//
//     log.info("ready to serve client requests")
//     log.warn("slow fdatasync", .duration("took", nanoseconds), .duration("expected-duration", limit))
//     log.debug("applying", [.uint64("index", index)])
//
// Message and fields are closures in disguise: they are not evaluated when the level is off. The form with
// separate fields is for lines that are written rarely; on busy paths use the array form, which builds
// nothing before the level is known.

import Glibc

/// A named logger. Sendable and cheap to share: all state is in its core.
public final class Log: Sendable {
    public let core: LogCore
    /// The value of the `logger` key; none when empty.
    public let name: String

    public init(core: LogCore, name: String = "") {
        self.core = core
        self.name = name
    }

    /// A logger of the same core with a name of its own, such as `raft`.
    public func named(_ name: String) -> Log { Log(core: core, name: name) }

    /// Whether lines of this level are written; ask before preparing expensive fields.
    @inlinable
    public func isEnabled(_ level: LogLevel) -> Bool { core.isEnabled(level) }

    /// Writes a line if its level is on.
    @inlinable @inline(__always)
    public func log(
        _ level: LogLevel, _ message: @autoclosure () -> String, _ fields: @autoclosure () -> [LogField] = [],
        function: String = #function, file: String = #fileID, line: UInt = #line
    ) {
        guard core.isEnabled(level) else { return }
        write(level, message(), fields, function, file, line)
    }

    /// Writes a line if its level is on, however often the same message comes: for lines that are bounded elsewhere.
    public func logUnsampled(
        _ level: LogLevel, _ message: String, _ fields: [LogField], function: String = #function, file: String = #fileID,
        line: UInt = #line
    ) {
        guard core.isEnabled(level) else { return }
        core.write(
            level, at: unixNanoseconds(), logger: name, message: message, fields: fields, caller: Self.caller(file, line),
            function: function)
    }

    @usableFromInline
    func write(
        _ level: LogLevel, _ message: String, _ fields: () -> [LogField], _ function: String, _ file: String,
        _ line: UInt
    ) {
        guard let now = core.admit(level, message) else { return }
        core.write(
            level, at: now, logger: name, message: message, fields: fields(), caller: Self.caller(file, line),
            function: function)
    }

    /// `Datastore/Server.swift:12` from a file ID, which may have folders between.
    static func caller(_ file: String, _ line: UInt) -> String {
        var slashes = 0
        var start = file.utf8.endIndex
        while start > file.utf8.startIndex {
            let before = file.utf8.index(before: start)
            if file.utf8[before] == UInt8(ascii: "/") { slashes += 1 }
            if slashes == 2 { break }
            start = before
        }
        return "\(file[start...]):\(line)"
    }
}

extension Log {
    @inlinable @inline(__always)
    public func debug(
        _ message: @autoclosure () -> String, _ fields: @autoclosure () -> [LogField] = [],
        function: String = #function, file: String = #fileID, line: UInt = #line
    ) {
        log(.debug, message(), fields(), function: function, file: file, line: line)
    }

    @inlinable @inline(__always)
    public func info(
        _ message: @autoclosure () -> String, _ fields: @autoclosure () -> [LogField] = [],
        function: String = #function, file: String = #fileID, line: UInt = #line
    ) {
        log(.info, message(), fields(), function: function, file: file, line: line)
    }

    public func info(
        _ message: String, _ fields: LogField..., function: String = #function, file: String = #fileID,
        line: UInt = #line
    ) {
        log(.info, message, fields, function: function, file: file, line: line)
    }

    @inlinable @inline(__always)
    public func warn(
        _ message: @autoclosure () -> String, _ fields: @autoclosure () -> [LogField] = [],
        function: String = #function, file: String = #fileID, line: UInt = #line
    ) {
        log(.warn, message(), fields(), function: function, file: file, line: line)
    }

    public func warn(
        _ message: String, _ fields: LogField..., function: String = #function, file: String = #fileID,
        line: UInt = #line
    ) {
        log(.warn, message, fields, function: function, file: file, line: line)
    }

    /// Returns when the line is written. It carries a stack trace.
    public func error(
        _ message: @autoclosure () -> String, _ fields: @autoclosure () -> [LogField] = [],
        function: String = #function, file: String = #fileID, line: UInt = #line
    ) {
        log(.error, message(), fields(), function: function, file: file, line: line)
    }

    /// Returns when the line is written. It carries a stack trace.
    public func error(
        _ message: String, _ fields: LogField..., function: String = #function, file: String = #fileID,
        line: UInt = #line
    ) {
        log(.error, message, fields, function: function, file: file, line: line)
    }

    /// Writes the line and everything before it, then ends the process with status 1.
    public func fatal(
        _ message: String, _ fields: LogField..., function: String = #function, file: String = #fileID,
        line: UInt = #line
    ) -> Never {
        log(.fatal, message, fields, function: function, file: file, line: line)
        core.close()
        exit(1)
    }

    /// Writes the line and everything before it, then traps: for broken invariants only.
    public func panic(
        _ message: String, _ fields: LogField..., function: String = #function, file: String = #fileID,
        line: UInt = #line
    ) -> Never {
        log(.panic, message, fields, function: function, file: file, line: line)
        core.close()
        fatalError(message)
    }
}
