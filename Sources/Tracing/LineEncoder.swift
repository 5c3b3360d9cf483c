// Encodes a line: JSON by default, or the tab-separated console form.

/// The encoding of lines, as `--log-format` names it.
public enum LogFormat: String, Sendable {
    case json, console
}

/// What a line consists of, in the order in which it is written.
struct LogLine {
    var level: LogLevel
    var unixNanoseconds: Int64
    var logger: String
    var caller: String
    var message: String
    var fields: [LogField]
    var stackTrace: String?
}

/// Encodes `line` with its line feed.
func encode(_ line: LogLine, as format: LogFormat) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(192 + 48 * line.fields.count + (line.stackTrace?.utf8.count ?? 0))
    switch format {
    case .json: encodeJSON(line, to: &bytes)
    case .console: encodeConsole(line, to: &bytes)
    }
    bytes.append(UInt8(ascii: "\n"))
    return bytes
}

private func encodeJSON(_ line: LogLine, to bytes: inout [UInt8]) {
    bytes.append(contentsOf: "{\"level\":\"".utf8)
    bytes.append(contentsOf: line.level.name.utf8)
    bytes.append(contentsOf: "\",\"ts\":\"".utf8)
    appendTimestamp(line.unixNanoseconds, to: &bytes)
    bytes.append(UInt8(ascii: "\""))
    if !line.logger.isEmpty { appendPair("logger", line.logger, to: &bytes) }
    appendPair("caller", line.caller, to: &bytes)
    appendPair("msg", line.message, to: &bytes)
    for field in line.fields {
        bytes.append(UInt8(ascii: ","))
        appendField(field, spaced: false, to: &bytes)
    }
    if let stackTrace = line.stackTrace { appendPair("stacktrace", stackTrace, to: &bytes) }
    bytes.append(UInt8(ascii: "}"))
}

private func appendPair(_ name: StaticString, _ value: String, to bytes: inout [UInt8]) {
    bytes.append(contentsOf: ",\"".utf8)
    name.withUTF8Buffer { bytes.append(contentsOf: $0) }
    bytes.append(contentsOf: "\":".utf8)
    appendJSONString(value, to: &bytes)
}

private func encodeConsole(_ line: LogLine, to bytes: inout [UInt8]) {
    let tab = UInt8(ascii: "\t")
    appendTimestamp(line.unixNanoseconds, to: &bytes)
    bytes.append(tab)
    bytes.append(contentsOf: line.level.name.utf8)
    if !line.logger.isEmpty {
        bytes.append(tab)
        bytes.append(contentsOf: line.logger.utf8)
    }
    bytes.append(tab)
    bytes.append(contentsOf: line.caller.utf8)
    bytes.append(tab)
    bytes.append(contentsOf: line.message.utf8)
    if !line.fields.isEmpty {
        bytes.append(tab)
        bytes.append(UInt8(ascii: "{"))
        for (index, field) in line.fields.enumerated() {
            if index > 0 { bytes.append(contentsOf: ", ".utf8) }
            appendField(field, spaced: true, to: &bytes)
        }
        bytes.append(UInt8(ascii: "}"))
    }
    if let stackTrace = line.stackTrace {
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: stackTrace.utf8)
    }
}

private func appendField(_ field: LogField, spaced: Bool, to bytes: inout [UInt8]) {
    appendJSONString(field.name, to: &bytes)
    bytes.append(UInt8(ascii: ":"))
    if spaced { bytes.append(UInt8(ascii: " ")) }
    let quote = UInt8(ascii: "\"")
    switch field.value {
    case .string(let text):
        appendJSONString(text, to: &bytes)
    case .strings(let texts):
        bytes.append(UInt8(ascii: "["))
        for (index, text) in texts.enumerated() {
            if index > 0 { bytes.append(contentsOf: spaced ? ", ".utf8 : ",".utf8) }
            appendJSONString(text, to: &bytes)
        }
        bytes.append(UInt8(ascii: "]"))
    case .integer(let number):
        if number < 0 { bytes.append(UInt8(ascii: "-")) }
        appendDecimal(number.magnitude, to: &bytes)
    case .unsigned(let number):
        appendDecimal(number, to: &bytes)
    case .hexadecimal(let number):
        bytes.append(quote)
        bytes.append(contentsOf: String(number, radix: 16).utf8)
        bytes.append(quote)
    case .boolean(let value):
        bytes.append(contentsOf: value ? "true".utf8 : "false".utf8)
    case .double(let value):
        appendJSONNumber(value, to: &bytes)
    case .duration(let nanoseconds):
        bytes.append(quote)
        appendDuration(nanoseconds, to: &bytes)
        bytes.append(quote)
    case .time(let unixNanoseconds):
        bytes.append(quote)
        appendTimestamp(unixNanoseconds, to: &bytes)
        bytes.append(quote)
    }
}

/// A Double as JSON; what JSON has no number for is a string.
private func appendJSONNumber(_ value: Double, to bytes: inout [UInt8]) {
    guard value.isFinite else {
        bytes.append(contentsOf: value.isNaN ? "\"NaN\"".utf8 : value > 0 ? "\"+Inf\"".utf8 : "\"-Inf\"".utf8)
        return
    }
    if let whole = Int64(exactly: value), whole.magnitude < 1 << 53 {
        bytes.append(contentsOf: String(whole).utf8)
    } else {
        bytes.append(contentsOf: value.description.utf8)
    }
}

/// A JSON string: quotes, backslashes and control characters are escaped, all else stands as it is.
func appendJSONString(_ text: String, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            bytes.append(UInt8(ascii: "\\"))
            bytes.append(byte)
        case UInt8(ascii: "\n"): bytes.append(contentsOf: "\\n".utf8)
        case UInt8(ascii: "\r"): bytes.append(contentsOf: "\\r".utf8)
        case UInt8(ascii: "\t"): bytes.append(contentsOf: "\\t".utf8)
        case 0..<0x20:
            let digits = Array("0123456789abcdef".utf8)
            bytes.append(contentsOf: "\\u00".utf8)
            bytes.append(digits[Int(byte >> 4)])
            bytes.append(digits[Int(byte & 15)])
        default: bytes.append(byte)
        }
    }
    bytes.append(UInt8(ascii: "\""))
}
