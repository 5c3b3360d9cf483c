// `get`: objects by the names that users have for them, from a live server or a file; and what happens to them.

import Archive
import Client
import CommandLineTools
import Decoder
import LiveArchive
import Wire

enum GetCommand {
    static func command(_ endpoints: EndpointFlags, _ encryption: EncryptionFlag) -> Command {
        let command = Command(
            "get RESOURCE [NAME]", "Shows objects by resource, namespace and name",
            long: """
                Shows objects as kubectl does, but from the store: from a live server, or from a file with -f. With --watch it goes on with
                every change, decoded.
                """)
        command.example = """
              martlet-decoder get pods -n kube-system --endpoints 127.0.0.1:2379
              martlet-decoder get deployment web -n shop -o yaml
              martlet-decoder get widgets.example.com -A -w -o jsonl
              martlet-decoder get nodes -f snapshot.db
            """
        let source = SourceFlags(command, endpoints, defaultsToLocalServer: true)
        let namespace = command.flags.add("namespace", short: "n", "default", "namespace of the objects")
        let allNamespaces = command.flags.add("all-namespaces", short: "A", false, "objects of all namespaces")
        let output = command.flags.add("output", short: "o", "table", "output format. One of: json|jsonl|name|table|yaml")
        output.proposedValues = ["json", "jsonl", "name", "table", "yaml"]
        let watches = command.flags.add("watch", short: "w", false, "go on with every change")
        let registry = command.flags.add("prefix", "/registry", "prefix of the API server's keys")
        let revision = command.flags.add("revision", short: "r", 0, "revision at which to read; 0: the newest") as TypedFlag<Int64>
        command.arguments = .between(1, 2)
        command.run = { invocation in
            guard let format = GetWork.Format(rawValue: output.value) else {
                throw CommandFailure("invalid --output \(output.value): one of json, jsonl, name, table, yaml")
            }
            let resource = try ResourceArgument(invocation.arguments[0], registry: registry.value)
            var prefix = resource.prefix
            let isNamespaced = resource.isNamespaced ?? (namespace.isGiven && !allNamespaces.value)
            if isNamespaced, !allNamespaces.value { prefix += namespace.value + "/" }
            var span = KeySpan(prefix: Array(prefix.utf8))
            if invocation.arguments.count == 2 {
                guard !(allNamespaces.value && resource.isNamespaced != false) else {
                    throw CommandFailure("a resource cannot be retrieved by name across all namespaces")
                }
                span = KeySpan(key: Array((prefix + invocation.arguments[1]).utf8))
            }
            let printer = ObjectPrinter(encryption: try encryption.configuration(invocation.console), isLenient: source.isLenient.value)
            try source.withSource(invocation.console) { opened in
                var work = GetWork(format: format, printer: printer, console: invocation.console)
                let states = try KeyStates(opened, at: revision.value, in: span, needsHistory: false)
                let count = try work.list(states)
                if count == 0, invocation.arguments.count == 2, !watches.value {
                    throw CommandFailure("\(invocation.arguments[0]) \"\(invocation.arguments[1])\" not found")
                }
                if count == 0 { invocation.console.print("No resources found", to: .error) }
                guard watches.value else { return }
                guard let live = opened as? LiveSource else { throw CommandFailure("--watch needs a live server (--endpoints)") }
                invocation.console.flush()
                try live.watch(span, after: states.revision) { try work.show($0, isEvent: true) }
            }
        }
        return command
    }
}

private struct GetWork {
    enum Format: String { case json, jsonl, name, table, yaml }
    let format: Format
    let printer: ObjectPrinter
    let console: Console
    private let names = ResourceNames()
    private let sink = ByteSink(capacity: 64 << 10)
    private var documents = 0

    init(format: Format, printer: ObjectPrinter, console: Console) {
        self.format = format
        self.printer = printer
        self.console = console
    }

    /// How many objects there are.
    mutating func list(_ states: KeyStates) throws -> Int {
        var table = Table([("NAMESPACE", .left), ("NAME", .left), ("KIND", .left), ("VERSION", .right), ("REVISION", .right), ("BYTES", .right)])
        var count = 0
        var me = self
        try states.forEach { key, state in
            guard state.isLive else { return }
            count += 1
            try states.read(state, of: key) { change in
                if me.format == .table { table.add(me.row(change)) } else { try me.show(change, isEvent: false) }
            }
        }
        self = me
        if format == .table, count > 0 { console.write(table.text) }
        return count
    }

    private func row(_ change: StoredRevision) -> [String] {
        let name = names.name(of: change.key)
        let kind = ObjectHead(change.value).map { $0.names.apiVersion + "/" + $0.names.kind } ?? "-"
        return [name.namespace.isEmpty ? "-" : name.namespace, name.name, kind, "\(change.version)", "\(change.main)", "\(change.value.count)"]
    }

    mutating func show(_ change: StoredRevision, isEvent: Bool) throws {
        let key = String(decoding: change.key, as: UTF8.self)
        sink.clear(keeping: ToolLimits.bufferBytesKept)
        let event = change.isTombstone ? "DELETE" : "PUT"
        switch format {
        case .table: console.print((isEvent ? "\(event)\t" : "") + row(change).joined(separator: "\t"))
        case .name:
            let name = names.name(of: change.key)
            console.print((isEvent ? "\(event) " : "") + "\(name.resource)/\(name.name)")
        case .json, .jsonl:
            let writer = ReportJSON(sink)
            var failure: String?
            if !isEvent, !change.isTombstone {
                do throws(DecodingError) { sink.append(try printer.jsonText(change.value, key: change.key)) } catch { failure = "\(error)" }
            } else {
                writer.object {
                    writer.member("type", event)
                    writer.member("key", key)
                    writer.member("modRevision", Int(change.main))
                    guard !change.isTombstone else { return }
                    do throws(DecodingError) { writer.member("object", json: try printer.jsonText(change.value, key: change.key)) } catch { failure = "\(error)" }
                }
            }
            if let failure { console.print("warning: \(key), revision \(change.place): \(failure)", to: .error) }
            sink.append(byte: UInt8(ascii: "\n"))
            console.write(sink.bytes)
        case .yaml:
            if documents > 0 || isEvent { sink.append("---\n") }
            if isEvent { sink.append("# \(event) \(key), revision \(change.place)\n") }
            documents += 1
            if !change.isTombstone {
                do throws(DecodingError) { try printer.append(change.value, key: change.key, as: .yaml, to: sink) } catch {
                    console.print("warning: \(key), revision \(change.place): \(error)", to: .error)
                }
            }
            console.write(sink.bytes)
        }
        // Whoever watches wants to see it now.
        if isEvent { console.flush() }
    }
}
