// The merged values of all flags: command line over environment over defaults, typed on reading.

import DatastoreTracing

/// Values of all flags after merging. Texts were checked when they were taken, so that reading cannot fail.
struct FlagValues {
    private let texts: [String: String]
    private let lists: [String: [String]]
    /// A file decides alone; some rules about what was given together do not hold there.
    let isFromFile: Bool

    init(commandLine: [String: String], environment: [String: String]) {
        texts = environment.merging(commandLine) { $1 }
        lists = [:]
        isFromFile = false
    }

    init(file: ConfigurationFile) {
        texts = file.values
        lists = file.lists
        isFromFile = true
    }

    /// Whether the flag was given, on the command line, by a variable or in the file.
    func isGiven(_ name: String) -> Bool { texts[name] != nil }

    /// Whether the flag has its default's text, given or not.
    func isDefault(_ name: String) -> Bool { string(name) == FlagTable.byName[name]?.defaultText }

    func string(_ name: String) -> String {
        guard let flag = FlagTable.byName[name] ?? FileKeys.settingWithoutFlag(name) else { preconditionFailure("no flag \(name)") }
        return texts[name] ?? flag.defaultText
    }

    func boolean(_ name: String) -> Bool { value(name) { parseBoolean($0) } }
    func unsigned(_ name: String) -> UInt64 { value(name) { try? parseUnsigned($0) } }
    func signed(_ name: String) -> Int64 { value(name) { try? parseSigned($0) } }
    func duration(_ name: String) -> Nanoseconds { value(name) { Nanoseconds($0) } }

    /// A comma-separated list: duplicates and empty items dropped, sorted.
    func strings(_ name: String) -> [String] {
        Set(lists[name] ?? string(name).split(separator: ",").map(String.init)).sorted()
    }

    /// A URL list: duplicates dropped, sorted; empty where the flag may be empty and is.
    func urls(_ name: String) -> [EndpointURL] {
        let text = string(name)
        return text.isEmpty ? [] : value(name) { try? EndpointURL.list($0) }
    }

    private func value<Value>(_ name: String, _ read: (String) -> Value?) -> Value {
        let text = string(name)
        guard let value = read(text) else { preconditionFailure("unchecked value of \(name): \(text)") }
        return value
    }
}
