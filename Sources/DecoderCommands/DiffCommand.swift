// `diff` and `history`: what changed, as differences of YAML.

import Archive
import CommandLineTools
import Decoder
import Wire

enum DiffCommand {
    static func command(_ endpoints: EndpointFlags, _ encryption: EncryptionFlag) -> Command {
        let command = Command(
            "diff [flags] [OLD NEW]", "Shows what changed between two revisions of a key, or between two stores",
            long: """
                Shows what changed as differences of YAML: between two revisions of one key or of all keys of a store, or between two
                stores (databases, snapshots, data directories).
                """)
        command.example = """
              martlet-decoder diff monday.db tuesday.db --keys-by-prefix /registry/deployments/
              martlet-decoder diff -f db -k /registry/pods/default/web --from 120 --to 150
              martlet-decoder diff -f db --from 120
            """
        let source = SourceFlags(command, endpoints)
        let key = command.flags.add("key", short: "k", "", "only this key")
        let prefix = command.flags.add("keys-by-prefix", "", "only keys with this prefix")
        let from = command.flags.add("from", 0, "revision of the old state; 0: the newest") as TypedFlag<Int64>
        let to = command.flags.add("to", 0, "revision of the new state; 0: the newest") as TypedFlag<Int64>
        let namesOnly = command.flags.add("keys-only", false, "only say which keys differ: + new, - gone, ~ changed")
        let showsManaged = command.flags.add("show-managed-fields", false, "compare metadata.managedFields as well")
        let exitCode = command.flags.add("exit-code", false, "end with status 1 if there are differences")
        command.arguments = .atMost(2)
        command.run = { invocation in
            let console = invocation.console
            guard key.value.isEmpty || prefix.value.isEmpty else { throw CommandFailure("--keys-by-prefix and --key may not be used together") }
            var range = KeySpan(prefix: Array(prefix.value.utf8))
            if !key.value.isEmpty { range = KeySpan(key: Array(key.value.utf8)) }
            let paths = invocation.arguments
            var differences = 0
            let printer = ObjectPrinter(encryption: try encryption.configuration(console), isLenient: source.isLenient.value)
            func compare(_ old: any RevisionSource, _ new: any RevisionSource) throws {
                let work = DiffWork(
                    old: try KeyStates(old, at: from.value, in: range, needsHistory: false),
                    new: try KeyStates(new, at: to.value, in: range, needsHistory: false),
                    namesOnly: namesOnly.value, text: RevisionText(printer, showsManagedFields: showsManaged.value), console: console)
                differences = try work.run()
            }
            if paths.count == 2 {
                try source.withSource(console, path: paths[0]) { old in
                    try source.withSource(console, path: paths[1]) { try compare(old, $0) }
                }
            } else {
                guard from.isGiven || to.isGiven else { throw CommandFailure("--from or --to must say which revision, or two stores be named") }
                try source.withSource(console, path: paths.first) { try compare($0, $0) }
            }
            if exitCode.value, differences > 0 { throw CommandFailure("", status: 1) }
        }
        return command
    }
}

private struct DiffWork {
    let old: KeyStates
    let new: KeyStates
    let namesOnly: Bool
    let text: RevisionText
    let console: Console

    /// How many keys differ.
    func run() throws -> Int {
        var count = 0
        try KeyStates.forEachPair(old, new) { key, before, after in
            let before = before.flatMap { $0.isLive ? $0 : nil }
            let after = after.flatMap { $0.isLive ? $0 : nil }
            guard before != nil || after != nil else { return }
            // The same revision of the same store.
            if old.source === new.source, let before, let after, before.latest == after.latest { return }
            let first = try before.map { try bytes(old, $0, key) }
            let second = try after.map { try bytes(new, $0, key) }
            guard first != second else { return }
            let name = String(decoding: key, as: UTF8.self)
            if namesOnly {
                count += 1
                return console.print((before == nil ? "+ " : after == nil ? "- " : "~ ") + name)
            }
            let hunks = TextDiff.unified(first.map { text.yaml($0, key) } ?? "", second.map { text.yaml($0, key) } ?? "")
            // Only what is not compared differs.
            guard !hunks.isEmpty else { return }
            count += 1
            console.write("--- \(label(name, before, old.source))\n+++ \(label(name, after, new.source))\n")
            console.write(hunks)
        }
        return count
    }

    private func label(_ key: String, _ state: KeyState?, _ source: any RevisionSource) -> String {
        guard let state else { return "/dev/null" }
        let store = old.source === new.source ? "" : "\(source.path), "
        return "\(key)\t(\(store)revision \(state.latest), version \(state.version))"
    }

    private func bytes(_ states: KeyStates, _ state: KeyState, _ key: UnsafeRawBufferPointer) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try states.read(state, of: key) { bytes = [UInt8]($0.value) }
        return bytes
    }
}

/// A stored value as the YAML that is compared.
final class RevisionText {
    let printer: ObjectPrinter
    private let sink = ByteSink(capacity: 64 << 10)
    private let showsManagedFields: Bool

    init(_ printer: ObjectPrinter, showsManagedFields: Bool) {
        self.printer = printer
        self.showsManagedFields = showsManagedFields
    }

    /// What is no object is shown in hexadecimal.
    func yaml(_ value: [UInt8], _ key: UnsafeRawBufferPointer) -> String {
        value.withUnsafeBytes { bytes in
            sink.clear(keeping: ToolLimits.bufferBytesKept)
            do throws(DecodingError) { try printer.append(bytes, key: key, as: .yaml, to: sink) } catch {
                return RevisionText.plain(bytes)
            }
            let text = String(decoding: sink.bytes, as: UTF8.self)
            return showsManagedFields ? text : RevisionText.withoutManagedFields(text)
        }
    }

    /// Text as it is, other bytes in hexadecimal, 32 a line.
    private static func plain(_ bytes: UnsafeRawBufferPointer) -> String {
        if let text = String(validating: bytes, as: UTF8.self), !text.unicodeScalars.contains(where: { $0.value < 0x20 && $0 != "\n" && $0 != "\t" }) {
            return text + "\n"
        }
        return stride(from: 0, to: bytes.count, by: 32).map { start in
            bytes[start..<min(start + 32, bytes.count)].map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "\n"
        }.joined()
    }

    /// Leaves out `metadata.managedFields`, which changes with every write: lists stand at their key's column here.
    static func withoutManagedFields(_ yaml: String) -> String {
        guard yaml.contains("\n  managedFields:\n") else { return yaml }
        var kept: [Substring] = []
        var isMetadata = false
        var isSkipping = false
        for line in yaml.split(separator: "\n", omittingEmptySubsequences: false) {
            if isSkipping {
                if line.hasPrefix("  - ") || line.hasPrefix("   ") || line == "  -" { continue }
                isSkipping = false
            }
            if let first = line.first, first != " ", first != "-" { isMetadata = line == "metadata:" }
            if isMetadata, line == "  managedFields:" {
                isSkipping = true
                continue
            }
            kept.append(line)
        }
        return kept.joined(separator: "\n")
    }
}

enum HistoryCommand {
    static func command(_ endpoints: EndpointFlags, _ encryption: EncryptionFlag) -> Command {
        let command = Command(
            "history [flags] [STORE]", "Shows all stored revisions of a key with what changed",
            long: """
                Shows all revisions of a key that a store keeps, the oldest first: what each changed, as a difference of YAML. Of
                the oldest that is kept, all is shown.
                """)
        command.example = "  martlet-decoder history -f db -k /registry/deployments/default/web"
        let source = SourceFlags(command, endpoints)
        let key = command.flags.add("key", short: "k", "", "key of the object")
        key.isRequired = true
        let output = command.flags.add("output", short: "o", "diff", "output format. One of: diff|json|summary|yaml")
        output.proposedValues = ["diff", "json", "summary", "yaml"]
        let showsManaged = command.flags.add("show-managed-fields", false, "show changes of metadata.managedFields as well")
        command.arguments = .atMost(1)
        command.run = { invocation in
            guard let format = HistoryWork.Format(rawValue: output.value) else {
                throw CommandFailure("invalid --output \(output.value): one of diff, json, summary, yaml")
            }
            let printer = ObjectPrinter(encryption: try encryption.configuration(invocation.console), isLenient: source.isLenient.value)
            let text = RevisionText(printer, showsManagedFields: showsManaged.value)
            try source.withSource(invocation.console, path: invocation.arguments.first) { source in
                try HistoryWork(format: format, key: Array(key.value.utf8), text: text, console: invocation.console).run(source)
            }
        }
        return command
    }
}

private struct HistoryWork {
    enum Format: String { case diff, json, summary, yaml }
    let format: Format
    let key: [UInt8]
    let text: RevisionText
    let console: Console

    private func yaml(_ value: [UInt8]) -> String { key.withUnsafeBytes { text.yaml(value, $0) } }

    func run(_ source: any RevisionSource) throws {
        // What a compaction has superseded may still be in the files; the last revision before it counts.
        let compacted = source.compacted
        var held: Change?
        var previous: String?
        var count = 0
        func show(_ change: Change) throws {
            try self.show(change, previous, isFirst: count == 0)
            previous = change.value.map(yaml)
            count += 1
        }
        try source.forEach(ReadScope(KeySpan(key: key), at: source.revision)) { change in
            guard change.key.elementsEqual(key) else { return true }
            let now = Change(change)
            if now.main <= compacted {
                held = now.isDelete ? nil : now
                return true
            }
            if let before = held {
                held = nil
                try show(before)
            }
            try show(now)
            return true
        }
        if let held { try show(held) }
        guard count > 0 else { throw CommandFailure("No versions found for key: \(String(decoding: key, as: UTF8.self))") }
    }

    private struct Change {
        let place: RecordPlace
        let created: Int64
        let version: Int64
        let lease: Int64
        /// Nil for a delete.
        let value: [UInt8]?
        var main: Int64 { place.main }
        var isDelete: Bool { value == nil }

        init(_ change: StoredRevision) {
            place = change.place
            created = change.created
            version = change.version
            lease = change.lease
            value = change.isTombstone ? nil : [UInt8](change.value)
        }
    }

    private func show(_ change: Change, _ previous: String?, isFirst: Bool) throws {
        if format == .json { return showJSON(change) }
        var head = "revision \(change.place)"
        if let value = change.value {
            head += change.version == 1 ? ", created" : ", version \(change.version)"
            head += ", \(value.count) bytes"
            if change.lease != 0 { head += ", lease \(String(UInt64(bitPattern: change.lease), radix: 16))" }
        } else {
            head += ", deleted"
        }
        switch format {
        case .summary: console.print(head)
        case .yaml: console.write("---\n# \(head)\n" + (change.value.map(yaml) ?? ""))
        case .diff, .json:
            console.print("# " + head)
            guard let value = change.value else { return }
            if isFirst, change.version != 1 {
                console.write(yaml(value))
            } else {
                let hunks = TextDiff.unified(previous ?? "", yaml(value))
                console.write(hunks.isEmpty ? "# (nothing that is shown has changed)\n" : hunks)
            }
        }
    }

    private func showJSON(_ change: Change) {
        let sink = ByteSink(capacity: 4096)
        let writer = ReportJSON(sink)
        writer.object {
            writer.member("modRevision", Int(change.main))
            guard let value = change.value else { return writer.member("deleted", true) }
            writer.member("createRevision", Int(change.created))
            writer.member("version", Int(change.version))
            if change.lease != 0 { writer.member("lease", Int(change.lease)) }
            value.withUnsafeBytes { bytes in
                if let json = key.withUnsafeBytes({ try? text.printer.jsonText(bytes, key: $0) }) {
                    writer.member("value", json: json)
                } else {
                    writer.member("base64", Base64.encode(value))
                }
            }
        }
        console.write(sink.bytes)
        console.write("\n")
    }
}
