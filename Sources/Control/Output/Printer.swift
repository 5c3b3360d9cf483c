// How answers are shown: the formats of `--write-out`.

import Client
import CommandLineTools
import Wire

/// Values of `--write-out`.
enum Format: String {
    case simple, fields, json, protobuf, table
}

/// Shows answers in one format. What a format does not have ends the command with status 4 after it was executed, as
/// etcdctl does it.
struct Printer {
    let format: Format
    let isHex: Bool
    let console: Console
    /// Keys are not shown, `--print-value-only`.
    var valuesOnly = false

    func line(_ text: String) { console.print(text) }

    func unsupported() -> CommandFailure { CommandFailure("\(format.rawValue) not supported as output format", status: Status.badFeature) }

    // MARK: Building blocks

    func raw(_ bytes: [UInt8]) { bytes.withUnsafeBytes { console.write($0) } }

    /// A line of bytes as they are, or as `\xNN`.
    func bytes(_ bytes: [UInt8]) {
        if isHex { return line(bytes.map { "\\x" + hex(UInt64($0), 2) }.joined()) }
        raw(bytes)
        console.write("\n")
    }

    func keyValue(_ kv: KeyValue) {
        if !valuesOnly { bytes(kv.key) }
        bytes(kv.value)
    }

    func field(_ name: String, _ value: String) { line("\"\(name)\" : \(value)") }
    func field(_ name: String, quoted text: String) { field(name, GoText.quoted(text)) }
    func field(_ name: String, _ number: some BinaryInteger) { field(name, String(number)) }
    func field(_ name: String, _ flag: Bool) { field(name, flag ? "true" : "false") }
    func field(_ name: String, identity: UInt64) { field(name, isHex ? String(identity, radix: 16) : String(identity)) }
    func field(_ name: String, lease: Int64) {
        field(name, isHex ? hex(UInt64(bitPattern: lease), 16) : String(lease))
    }

    func header(_ header: Header) {
        field("ClusterID", identity: header.clusterID)
        field("MemberID", identity: header.memberID)
        if header.revision > 0 { field("Revision", header.revision) }
        field("RaftTerm", header.raftTerm)
    }

    func keyValueFields(_ kv: KeyValue, prefix: String = "") {
        field(prefix + "Key", GoText.quoted(kv.key))
        field(prefix + "CreateRevision", kv.createRevision)
        field(prefix + "ModRevision", kv.modRevision)
        field(prefix + "Version", kv.version)
        field(prefix + "Value", GoText.quoted(kv.value))
        field(prefix + "Lease", lease: kv.lease)
    }

    /// The message as Go prints its struct.
    func json(_ bytes: [UInt8], _ type: String, isHex: Bool = false) throws {
        line(try GoStructJSON(isHex: isHex).text(bytes, "etcdserverpb." + type))
    }

    /// For answers whose every format is one of: simple lines, fields, JSON and protobuf of the message.
    func show<Message>(
        _ answer: Answer<Message>, _ type: String, isHexJSON: Bool = false, fields: ((Message) -> Void)?, simple: (Message) -> Void
    ) throws {
        switch format {
        case .simple: simple(answer.message)
        case .fields:
            guard let fields else { throw unsupported() }
            fields(answer.message)
        case .json: try json(answer.bytes, type, isHex: isHexJSON)
        case .protobuf: raw(answer.bytes)
        case .table: throw unsupported()
        }
    }
}

/// Lower-case hexadecimal with at least so many digits.
func hex(_ number: UInt64, _ digits: Int) -> String {
    let text = String(number, radix: 16)
    return String(repeating: "0", count: max(0, digits - text.count)) + text
}

/// Blank-padded on the left.
func padded(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
