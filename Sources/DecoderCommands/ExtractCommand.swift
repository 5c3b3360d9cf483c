// `extract`: objects and what is known of them, by key, version, revision, prefix, fields, template or filter.

import Archive
import CommandLineTools
import Decoder
import Wire

enum ExtractCommand {
    static func command(_ endpoints: EndpointFlags, _ encryption: EncryptionFlag) -> Command {
        let command = Command(
            "extract", "Extracts objects from a store",
            long: """
                Extracts objects from a database, snapshot or data directory. With --key it prints one object, without it one
                line for each key that lives.

                A template or filter sees Key, Version, Value, TypeMeta and Stats; Value is the whole object.
                """)
        command.example = """
              # An object by its key
              martlet-decoder extract -f db -k /registry/pods/default/web

              # As it was at a revision, or at a version of its own count
              martlet-decoder extract -f db -k /registry/pods/default/web --revision 1234
              martlet-decoder extract -f db -k /registry/pods/default/web --version 3

              # Keys with the sizes of their values
              martlet-decoder extract -f db --fields=key,value-size

              # A field of each object, and only some objects
              martlet-decoder extract -f db --template="{{.Value.metadata.creationTimestamp}}" --filter=".Value.metadata.namespace=kube-system"

              # All pods as YAML documents
              martlet-decoder extract -f db --keys-by-prefix /registry/pods/ --documents
            """
        let work = ExtractWork(command, endpoints, encryption)
        command.arguments = .atMost(1)
        command.run = { try work.run($0) }
        return command
    }
}

private struct ExtractWork {
    let encryption: EncryptionFlag
    let source: SourceFlags
    let output: TypedFlag<String>
    let key: TypedFlag<String>
    let version: TypedFlag<String>
    let revision: TypedFlag<Int64>
    let prefix: TypedFlag<String>
    let listsVersions: TypedFlag<Bool>
    let isLeafItem: TypedFlag<Bool>
    let printsKey: TypedFlag<Bool>
    let isMetaSummary: TypedFlag<Bool>
    let isRaw: TypedFlag<Bool>
    let fields: TypedFlag<String>
    let template: TypedFlag<String>
    let filter: TypedFlag<String>
    let printsDocuments: TypedFlag<Bool>

    init(_ command: Command, _ endpoints: EndpointFlags, _ encryption: EncryptionFlag) {
        self.encryption = encryption
        source = SourceFlags(command, endpoints)
        let flags = command.flags
        output = flags.add("output", short: "o", "yaml", "output format. One of: \(OutputFormat.list)")
        output.proposedValues = OutputFormat.allCases.map(\.rawValue)
        key = flags.add("key", short: "k", "", "key of the object")
        version = flags.add("version", short: "v", "", "version of the key, the newest unless given")
        revision = flags.add("revision", short: "r", 0, "revision at which to read; 0: the newest")
        prefix = flags.add("keys-by-prefix", "", "only keys with this prefix")
        listsVersions = flags.add("list-versions", false, "list the versions of the key, requires --key")
        isLeafItem = flags.add("leaf-item", false, "read the input as an item of a bbolt leaf page")
        printsKey = flags.add("print-key", false, "with --leaf-item: print the key")
        isMetaSummary = flags.add("meta-summary", false, "with --leaf-item: print key, version, revisions and lease")
        isRaw = flags.add("raw", false, "print the stored value as it is")
        fields = flags.add("fields", "key", "comma separated `list` of what to print of each key: \(Field.allCases.map(\.rawValue).joined(separator: ", "))")
        template = flags.add("template", "", "Go `template` to print for each key; knows Key, Version, Value, TypeMeta, Stats")
        filter = flags.add("filter", "", "comma separated `list` of <field>=<value> that a key must match, fields as in --template: .Value.metadata.namespace=default")
        printsDocuments = flags.add("documents", false, "print all objects, each with its key before it")
    }

    enum Field: String, CaseIterable {
        case key
        case valueSize = "value-size"
        case allVersionsValueSize = "all-versions-value-size"
        case versionCount = "version-count"
        case value
    }

    func run(_ invocation: Invocation) throws {
        let console = invocation.console
        let format = try OutputFormat(flag: output.value)
        if isLeafItem.value { return try leafItem(Input.read(invocation.arguments.first ?? source.file.value, console), format, console) }
        let path = invocation.arguments.first
        if !key.value.isEmpty {
            guard prefix.value.isEmpty else { throw CommandFailure("--keys-by-prefix and --key may not be used together") }
            return try source.withSource(console, path: path) { source in
                if listsVersions.value { try self.listVersions(source, console) } else { try self.one(source, format, console) }
            }
        }
        if listsVersions.value { throw CommandFailure("--list-versions may only be used with --key") }
        if !version.value.isEmpty { throw CommandFailure("--version may only be used with --key") }
        if !template.value.isEmpty, fields.isGiven { throw CommandFailure("--template and --fields may not be used together") }
        let fields = try self.fields.value.split(separator: ",").map { name in
            guard let field = Field(rawValue: String(name)) else { throw CommandFailure("unrecognized field: \(name)") }
            return field
        }
        let template = self.template.value.isEmpty ? nil : try Template(self.template.value)
        let filters = try Filters(filter.value)
        try source.withSource(console, path: path) { source in
            try self.list(source, fields, template, filters, format, console)
        }
    }

    // MARK: One key

    private func wanted(_ change: StoredRevision, _ key: [UInt8]) -> Bool { change.key.elementsEqual(key) }

    private func listVersions(_ source: any RevisionSource, _ console: Console) throws {
        let key = Array(key.value.utf8)
        try source.forEach(ReadScope(KeySpan(key: key), at: source.revision)) { change in
            if wanted(change, key) { console.print(String(change.version)) }
            return true
        }
    }

    private func one(_ source: any RevisionSource, _ format: OutputFormat, _ console: Console) throws {
        let key = Array(self.key.value.utf8)
        var version: Int64?
        if !self.version.value.isEmpty {
            guard let number = Int64(self.version.value) else { throw CommandFailure("version must be an int64, but got \(self.version.value)") }
            version = number
        }
        try KeyStates.check(source, revision.value)
        let value = ByteSink(capacity: 4096)
        var found: RecordPlace?
        var isDeleted = false
        let at = revision.value == 0 ? source.revision : revision.value
        try source.forEach(ReadScope(KeySpan(key: key), at: at, needsHistory: version != nil)) { change in
            if change.main > at { return false }
            guard wanted(change, key) else { return true }
            isDeleted = change.isTombstone
            if change.isTombstone || version != nil && change.version != version { return true }
            // A version may come again when the key was deleted and made anew: the last one counts.
            found = change.place
            value.clear(keeping: ToolLimits.bufferBytesKept)
            value.append(change.value)
            return true
        }
        if isDeleted, version == nil, found != nil {
            throw CommandFailure("the key \(self.key.value) is deleted; --version and --list-versions show what it was")
        }
        guard let found else {
            throw CommandFailure(version == nil ? "No versions found for key: \(self.key.value)" : "key not found: \(self.key.value)")
        }
        guard value.count > 0 else { throw CommandFailure("0 byte value") }
        if isRaw.value {
            console.write(value.bytes)
            return console.write("\n")
        }
        try key.withUnsafeBytes { try show(value.bytes, $0, "\(self.key.value), revision \(found)", format, console) }
    }

    private func show(
        _ value: UnsafeRawBufferPointer, _ key: UnsafeRawBufferPointer, _ name: String, _ format: OutputFormat, _ console: Console
    ) throws {
        let printer = ObjectPrinter(encryption: try encryption.configuration(console), isLenient: source.isLenient.value)
        let sink = ByteSink(capacity: value.count * 4 + 256)
        do throws(DecodingError) { try printer.append(value, key: key, as: format, to: sink) } catch { throw CommandFailure("\(name): \(error)") }
        console.write(sink.bytes)
        for warning in printer.warnings { console.print("warning: \(warning)", to: .error) }
        guard let last = printer.faults.last else { return }
        for fault in printer.faults.dropLast() { console.print("Error: \(name): \(fault)", to: .error) }
        throw CommandFailure("\(name): \(last)")
    }

    private func leafItem(_ input: [UInt8], _ format: OutputFormat, _ console: Console) throws {
        try input.withUnsafeBytes { bytes in
            let item: (key: UnsafeRawBufferPointer, created: Int64, modified: Int64, version: Int64, value: UnsafeRawBufferPointer, lease: Int64)
            do throws(ProtobufError) { item = try LeafItem.read(bytes) } catch {
                throw CommandFailure("failed to extract etcd key-value record from boltdb leaf item: \(error)")
            }
            if isMetaSummary.value {
                console.write("Key: ")
                console.write(item.key)
                console.write("\nVersion: \(item.version)\nCreateRevision: \(item.created)\nModRevision: \(item.modified)\nLease: \(item.lease)\n")
            } else if printsKey.value {
                console.write(item.key)
                console.write("\n")
            } else {
                try show(item.value, item.key, String(decoding: item.key, as: UTF8.self), format, console)
            }
        }
    }

    // MARK: Many keys

    private func list(
        _ source: any RevisionSource, _ fields: [Field], _ template: Template?, _ filters: Filters, _ format: OutputFormat, _ console: Console
    ) throws {
        let needsHistory = template != nil || fields.contains(.versionCount) || fields.contains(.allVersionsValueSize)
        let states = try KeyStates(source, at: revision.value, in: KeySpan(prefix: Array(prefix.value.utf8)), needsHistory: needsHistory)
        let printer = ObjectPrinter(encryption: try encryption.configuration(console), isLenient: self.source.isLenient.value)
        let sink = ByteSink(capacity: 64 << 10)
        let needsTree = template != nil || !filters.isEmpty
        let needsValue = needsTree || printsDocuments.value || fields.contains(.value)
        try states.forEach { key, state in
            guard state.isLive else { return }
            let text = String(decoding: key, as: UTF8.self)
            guard needsValue else { return console.print(line(text, state, fields, "")) }
            try states.read(state, of: key) { change in
                sink.clear(keeping: ToolLimits.bufferBytesKept)
                let json: UnsafeRawBufferPointer?
                do throws(DecodingError) {
                    json = try printer.jsonText(change.value, key: key)
                    for fault in printer.faults { console.print("warning: \(text), revision \(state.latest): \(fault)", to: .error) }
                } catch {
                    json = nil
                    // A key that is no object, such as those that the API server keeps for itself, is no damage.
                    if StoredForm(change.value) != .other { console.print("warning: \(text), revision \(state.latest): \(error)", to: .error) }
                }
                if needsTree {
                    let object = KeyObject.make(text, state, json)
                    guard try filters.accept(object) else { return }
                    if let template { return console.print(try template.text(object)) }
                }
                if printsDocuments.value { return try document(text, change, json, format, sink, console) }
                console.print(line(text, state, fields, json.map { String(decoding: $0, as: UTF8.self) } ?? "null"))
            }
        }
    }

    private func line(_ key: String, _ state: KeyState, _ fields: [Field], _ value: String) -> String {
        fields.map { field in
            switch field {
            case .key: key
            case .valueSize: String(state.valueBytes)
            case .allVersionsValueSize: String(state.valueBytesOfAll)
            case .versionCount: String(state.revisions)
            case .value: value
            }
        }.joined(separator: " ")
    }

    /// YAML documents with a comment each; JSON objects, a line each, with key and revisions around the object.
    private func document(
        _ key: String, _ change: StoredRevision, _ json: UnsafeRawBufferPointer?, _ format: OutputFormat, _ sink: ByteSink, _ console: Console
    ) throws {
        switch format {
        case .yaml:
            sink.append("---\n# \(key)\n")
            if isRaw.value {
                sink.append(change.value)
                sink.append("\n")
            } else if let json {
                try YAMLWriter.append(json: json, to: sink)
            } else {
                sink.append("# \(change.value.count) bytes that are no object\n")
            }
        case .json, .jsonl:
            let writer = ReportJSON(sink)
            writer.object {
                writer.member("key", key)
                writer.member("createRevision", Int(change.created))
                writer.member("modRevision", Int(change.main))
                writer.member("version", Int(change.version))
                if change.lease != 0 { writer.member("lease", Int(change.lease)) }
                if let json, !isRaw.value { writer.member("value", json: json) } else { writer.member("base64", Base64.encode(change.value)) }
            }
            sink.append(byte: UInt8(ascii: "\n"))
        case .proto, .prototext: throw CommandFailure("--documents prints json, jsonl or yaml")
        }
        console.write(sink.bytes)
    }
}

/// An item of a leaf page: an encoded `mvccpb.KeyValue`.
private enum LeafItem {
    static func read(
        _ bytes: UnsafeRawBufferPointer
    ) throws(ProtobufError) -> (key: UnsafeRawBufferPointer, created: Int64, modified: Int64, version: Int64, value: UnsafeRawBufferPointer, lease: Int64) {
        let none = UnsafeRawBufferPointer(start: nil, count: 0)
        var item = (key: none, created: Int64(0), modified: Int64(0), version: Int64(0), value: none, lease: Int64(0))
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: item.key = try reader.bytes(type)
            case 2: item.created = try reader.int64(type)
            case 3: item.modified = try reader.int64(type)
            case 4: item.version = try reader.int64(type)
            case 5: item.value = try reader.bytes(type)
            case 6: item.lease = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
        return item
    }
}

/// What a template sees of a key.
enum KeyObject {
    static func make(_ key: String, _ state: KeyState, _ json: UnsafeRawBufferPointer?) -> JSONValue {
        func number(_ value: some BinaryInteger) -> JSONValue { .number(String(value)) }
        let value = json.flatMap { try? JSONValue(parsing: $0) } ?? .null
        return .object([
            ("Key", .string(key)), ("Version", number(state.version)), ("Value", value),
            ("TypeMeta", .object([("APIVersion", value["apiVersion"] ?? .null), ("Kind", value["kind"] ?? .null)])),
            (
                "Stats",
                .object([
                    ("VersionCount", number(state.revisions)), ("KeySize", number(key.utf8.count)), ("ValueSize", number(state.valueBytes)),
                    ("AllVersionsKeySize", number(state.keyBytesOfAll)), ("AllVersionsValueSize", number(state.valueBytesOfAll)),
                ])
            ),
        ])
    }
}

/// `.Value.metadata.namespace=default,.Value.spec.nodeName=n1`
struct Filters {
    private var constraints: [(field: Template, value: String)] = []

    init(_ text: String) throws(CommandFailure) {
        guard !text.isEmpty else { return }
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", omittingEmptySubsequences: false)
            guard sides.count == 2 else { throw CommandFailure("failed to parse filter '\(part)'") }
            func trimmed(_ text: Substring) -> String {
                var text = text.drop { $0.isWhitespace }
                while text.last?.isWhitespace == true { text.removeLast() }
                return String(text)
            }
            constraints.append((try Template(field: trimmed(sides[0])), trimmed(sides[1])))
        }
    }

    var isEmpty: Bool { constraints.isEmpty }

    func accept(_ object: JSONValue) throws(CommandFailure) -> Bool {
        for constraint in constraints where try constraint.field.text(object) != constraint.value { return false }
        return true
    }
}
