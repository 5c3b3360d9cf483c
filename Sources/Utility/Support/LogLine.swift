// Lines on standard error in the shape of etcdutl's: time, level, caller, message and fields, with tabs between.

import CommandLineTools
import Wire

#if canImport(Glibc)
import Glibc
#endif

enum LogValue {
    case text(String)
    case number(Int64)
    case count(UInt64)
    case flag(Bool)
    case list([String])
}

struct LogLines {
    let console: Console

    func info(_ message: String, _ fields: [(String, LogValue)] = []) { line("info", message, fields) }
    func warn(_ message: String, _ fields: [(String, LogValue)] = []) { line("warn", message, fields) }
    func error(_ message: String, _ fields: [(String, LogValue)] = []) { line("error", message, fields) }

    private func line(_ level: String, _ message: String, _ fields: [(String, LogValue)]) {
        let sink = ByteSink(capacity: 256)
        sink.append("\(timestamp())\t\(level)\tmartletutl\t\(message)")
        for (index, (name, value)) in fields.enumerated() {
            sink.append(index == 0 ? "\t{" as StaticString : ", ")
            sink.json(name)
            sink.append(": " as StaticString)
            switch value {
            case .text(let text): sink.json(text)
            case .number(let number): sink.append(String(number))
            case .count(let number): sink.append(String(number))
            case .flag(let flag): sink.append(flag ? "true" as StaticString : "false")
            case .list(let texts): sink.json(texts)
            }
        }
        sink.append(fields.isEmpty ? "\n" as StaticString : "}\n")
        console.write(sink.bytes, to: .error)
    }

    /// `2026-11-21T10:00:00Z`
    private func timestamp() -> String {
        var seconds = time(nil)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T\(two(parts.tm_hour)):\(two(parts.tm_min)):\(two(parts.tm_sec))Z"
    }
}
