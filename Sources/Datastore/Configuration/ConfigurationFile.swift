// `--config-file`: the settings of a YAML or JSON file, as the flags' values.
//
// The rules are those of etcd's reader: unknown keys mean nothing, key names compare without case where no name
// is equal, `null` is as good as absent, the last of several equal keys counts, durations are whole nanoseconds,
// and nothing is converted: a number is not a text.

/// What a configuration file says about flags.
struct ConfigurationFile {
    /// Text of each flag that the file sets, checked.
    private(set) var values: [String: String] = [:]
    /// Values of list flags, item by item: an item may hold a comma.
    private(set) var lists: [String: [String]] = [:]

    /// Why a file is refused.
    enum Refusal: Error, Equatable {
        /// Told in the log like a bad combination of flags.
        case invalid(String)
        /// Told as a bare line on standard error, as etcd does for URLs.
        case badURL(String)
    }

    init(_ bytes: [UInt8]) throws(Refusal) {
        let root: YAMLNode?
        do {
            root = try YAMLReader.read(bytes)
        } catch {
            throw .invalid("error converting YAML to JSON: yaml: line \(error.line): \(error.problem)")
        }
        guard let root else { return }
        if case .scalar(let scalar) = root.content, scalar.value == .null { return }
        guard root.members != nil else { throw Self.mismatch(root, at: nil, wanted: "configuration") }
        for flag in FlagTable.all {
            guard let key = FileKeys.key(of: flag), let node = try Self.find(key.path, in: root) else { continue }
            try take(node, flag, key)
        }
        for (setting, key) in FileKeys.settingsWithoutFlag {
            if let node = try Self.find(key.path, in: root) { try take(node, setting, key) }
        }
    }

    // MARK: Finding

    /// The value at a path; nil where it is absent or null.
    private static func find(_ path: [String], in root: YAMLNode) throws(Refusal) -> YAMLNode? {
        var node = root
        for (depth, name) in path.enumerated() {
            guard let members = node.members else {
                throw mismatch(node, at: path.prefix(depth).joined(separator: "."), wanted: "block of settings")
            }
            guard let next = member(name, of: members) else { return nil }
            node = next
            if case .scalar(let scalar) = node.content, scalar.value == .null { return nil }
        }
        return node
    }

    private static func member(_ name: String, of members: [(key: String, value: YAMLNode)]) -> YAMLNode? {
        if let exact = members.last(where: { $0.key == name }) { return exact.value }
        return members.last { $0.key.utf8.count == name.utf8.count && $0.key.lowercased() == name }?.value
    }

    // MARK: Taking a value

    private mutating func take(_ node: YAMLNode, _ flag: FlagSpecification, _ key: FileKey) throws(Refusal) {
        if key.form == .list {
            guard case .sequence(let items) = node.content else {
                throw Self.mismatch(node, at: key.text, wanted: "list of strings")
            }
            var texts: [String] = []
            for item in items { texts.append(try Self.string(item, key, "string")) }
            // An empty list is as good as none.
            guard !texts.isEmpty else { return }
            lists[flag.name] = texts
            values[flag.name] = texts.joined(separator: ",")
            return
        }
        let text = try Self.text(node, flag, key)
        // An empty URL list, like an absent one, leaves the default.
        let defaultsWhenEmpty = [.urls, .origins, .strings].contains(flag.kind)
        if text.isEmpty && defaultsWhenEmpty { return }
        do {
            try flag.kind.check(text)
        } catch {
            if flag.kind == .urls {
                throw .badURL("unexpected error setting up \(flag.name): \(error.reason)")
            }
            if flag.name == "initial-cluster-state" {
                throw .invalid("unexpected clusterState \(quoted(text))")
            }
            if flag.kind == .featureGates { throw .invalid(error.reason) }
            throw .invalid("line \(node.line): invalid value \(quoted(text)) for \(key.text): \(error.reason)")
        }
        values[flag.name] = text
    }

    /// The value as the flag's text; throws where the type is not the setting's.
    private static func text(_ node: YAMLNode, _ flag: FlagSpecification, _ key: FileKey) throws(Refusal) -> String {
        switch flag.kind {
        case .boolean:
            if case .scalar(let scalar) = node.content, case .boolean(let value) = scalar.value { return String(value) }
            throw mismatch(node, at: key.text, wanted: "bool")
        case .unsigned(let bits):
            return try integer(node, key, "uint\(bits)", in: 0...(bits == 64 ? .max : (1 << UInt64(bits)) - 1), negative: 0)
        case .signed:
            return try integer(node, key, "int64", in: 0...UInt64(Int64.max), negative: UInt64(Int64.max) + 1)
        case .duration:
            let wanted = "duration, a whole number of nanoseconds"
            return try integer(node, key, wanted, in: 0...UInt64(Int64.max), negative: UInt64(Int64.max)) + "ns"
        case .string, .strings, .urls, .origins, .choice, .featureGates, .ignored:
            return try string(node, key, "string")
        }
    }

    private static func string(_ node: YAMLNode, _ key: FileKey, _ wanted: String) throws(Refusal) -> String {
        if case .scalar(let scalar) = node.content {
            if case .string(let text) = scalar.value { return text }
            if scalar.value == .null { return "" }
        }
        throw mismatch(node, at: key.text, wanted: wanted)
    }

    private static func integer(
        _ node: YAMLNode, _ key: FileKey, _ wanted: String, in range: ClosedRange<UInt64>, negative limit: UInt64
    ) throws(Refusal) -> String {
        guard case .scalar(let scalar) = node.content else { throw mismatch(node, at: key.text, wanted: wanted) }
        switch scalar.value {
        case .integer(let isNegative, let magnitude):
            if isNegative && magnitude > 0 ? magnitude <= limit : range.contains(magnitude) {
                return (isNegative && magnitude > 0 ? "-" : "") + String(magnitude)
            }
        case .float(let number):
            if let whole = Int64(exactly: number), whole < 0 ? whole.magnitude <= limit : range.contains(UInt64(whole)) {
                return String(whole)
            }
        default: break
        }
        throw mismatch(node, at: key.text, wanted: wanted)
    }

    private static func mismatch(_ node: YAMLNode, at key: String?, wanted: String) -> Refusal {
        let found =
            switch node.content {
            case .sequence: "array"
            case .mapping: "object"
            case .scalar(let scalar):
                switch scalar.value {
                case .null: "null"
                case .boolean: "bool"
                case .integer, .float: "number \(scalar.text)"
                case .string: "string"
                }
            }
        let place = key.map { " field \($0)" } ?? " a configuration"
        let type = key == nil ? "" : " of type \(wanted)"
        return .invalid(
            "error unmarshaling JSON: while decoding JSON: line \(node.line): cannot unmarshal \(found) into\(place)\(type)")
    }
}
