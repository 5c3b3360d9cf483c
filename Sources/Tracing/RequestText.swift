// Requests as the slow-request lines show them: protobuf text with values and secrets left out.
//
//     var text = RequestText()
//     text.header(id: 5)
//     text.message("put") { $0.bytes("key", key); $0.number("value_size", 3) }
//     → header:<ID:5 > put:<key:"foo" value_size:3 >

/// Builds the text of a request field by field. Zero numbers, empty bytes and empty texts are left out, as
/// protobuf text does.
public struct RequestText: Sendable {
    private var buffer: [UInt8] = []

    public init() {}

    /// The text so far.
    public var text: String { String(decoding: buffer, as: UTF8.self) }

    /// The header every replicated request has; name and revision only when the caller was authenticated.
    public mutating func header(id: UInt64, username: String = "", authRevision: UInt64 = 0) {
        message("header") {
            $0.unsigned("ID", id)
            $0.string("username", username)
            $0.unsigned("auth_revision", authRevision)
        }
    }

    /// A field that is a message.
    public mutating func message(_ name: StaticString, _ body: (inout RequestText) -> Void) {
        append(name)
        append(":<")
        body(&self)
        append("> ")
    }

    /// A field that is a message of which no blank follows.
    public mutating func closed(_ name: StaticString, _ body: (inout RequestText) -> Void) {
        append(name)
        append(":<")
        body(&self)
        append(">")
    }

    /// A repeated field as one list; `body` calls what it is given before each element.
    public mutating func list(
        _ name: StaticString, _ count: Int, _ body: (inout RequestText, (inout RequestText) -> Void) -> Void
    ) {
        append(name)
        append(":<")
        var isFirst = true
        body(&self) { text in
            if !isFirst { text.append(" ") }
            isFirst = false
        }
        append(">")
    }

    public mutating func blank() { append(" ") }

    /// Takes the blank behind the last field away.
    public mutating func dropBlank() {
        if buffer.last == UInt8(ascii: " ") { buffer.removeLast() }
    }

    /// A text as it is, without quotes.
    public mutating func bare(_ name: StaticString, _ value: String) {
        append(name)
        append(":")
        buffer.append(contentsOf: value.utf8)
    }

    public mutating func number(_ name: StaticString, _ value: Int64) {
        guard value != 0 else { return }
        always(name, value)
    }

    /// A number that is shown even if it is zero.
    public mutating func always(_ name: StaticString, _ value: Int64) {
        append(name)
        append(value < 0 ? ":-" : ":")
        appendDecimal(value.magnitude, to: &buffer)
        append(" ")
    }

    /// A time to live, as `ttl:100-second`.
    public mutating func seconds(_ name: StaticString, _ value: Int64) {
        append(name)
        append(value < 0 ? ":-" : ":")
        appendDecimal(value.magnitude, to: &buffer)
        append("-second ")
    }

    public mutating func unsigned(_ name: StaticString, _ value: UInt64) {
        guard value != 0 else { return }
        append(name)
        append(":")
        appendDecimal(value, to: &buffer)
        append(" ")
    }

    /// A boolean (`true`) or an enum's name (`VERSION`); empty for the default, which is left out.
    public mutating func word(_ name: StaticString, _ value: StaticString) {
        guard value.utf8CodeUnitCount > 0 else { return }
        append(name)
        append(":")
        append(value)
        append(" ")
    }

    /// A lease's ID in the 16 digits that lease requests show.
    public mutating func leaseID(_ name: StaticString, _ id: Int64) {
        let digits = String(UInt64(bitPattern: id), radix: 16)
        append(name)
        append(":")
        buffer.append(contentsOf: repeatElement(UInt8(ascii: "0"), count: 16 - digits.utf8.count))
        buffer.append(contentsOf: digits.utf8)
        append(" ")
    }

    public mutating func string(_ name: StaticString, _ value: String) {
        var value = value
        value.withUTF8 { bytes(name, UnsafeRawBufferPointer($0)) }
    }

    public mutating func bytes(_ name: StaticString, _ value: UnsafeRawBufferPointer) {
        guard !value.isEmpty else { return }
        append(name)
        append(":\"")
        for byte in value { appendEscaped(byte) }
        append("\" ")
    }

    private mutating func appendEscaped(_ byte: UInt8) {
        switch byte {
        case UInt8(ascii: "\n"): append("\\n")
        case UInt8(ascii: "\r"): append("\\r")
        case UInt8(ascii: "\t"): append("\\t")
        case UInt8(ascii: "\""), UInt8(ascii: "\\"):
            append("\\")
            buffer.append(byte)
        case 0x20..<0x7f:
            buffer.append(byte)
        default:
            // Three octal digits.
            append("\\")
            for shift in [6, 3, 0] as [UInt8] { buffer.append(UInt8(ascii: "0") + (byte >> shift & 7)) }
        }
    }

    private mutating func append(_ text: StaticString) {
        text.withUTF8Buffer { buffer.append(contentsOf: $0) }
    }
}
