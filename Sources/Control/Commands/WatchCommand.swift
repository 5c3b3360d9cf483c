// watch: changes as they happen; many at once when lines of standard input ask for them; a program for each.

import Client
import CommandLineTools
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// The flags of one watch.
struct WatchFlags {
    let isPrefix, previous, progress: TypedFlag<Bool>
    let revision: TypedFlag<Int64>

    init(_ flags: FlagSet) {
        isPrefix = flags.add("prefix", false, "Watch on a prefix if prefix is set")
        revision = flags.add("rev", 0, "Revision to start watching")
        previous = flags.add("prev-kv", false, "get the previous key-value pair before the event happens")
        progress = flags.add("progress-notify", false, "get periodic watch progress notification from server")
    }

    func request(_ arguments: [String]) throws -> Watch {
        guard let key = arguments.first else { throw badArguments("bad number of arguments") }
        let bytes = Array(key.utf8)
        var range = KeyRange.key(bytes)
        if arguments.count == 2 {
            guard !isPrefix.value else { throw badArguments("`range_end` and `--prefix` are mutually exclusive") }
            range = .interval(bytes, Array(arguments[1].utf8))
        }
        if isPrefix.value { range = .prefix(bytes) }
        var watch = Watch(range)
        watch.startRevision = revision.value
        watch.wantsPrevious = previous.value
        watch.wantsProgress = progress.value
        return watch
    }
}

/// What follows a command's own words: range and program.
struct WatchLine {
    let range: [String]
    let program: [String]

    /// - Parameter words: what is left without flags; `dash`: how many of them stood before `--`.
    init(_ words: [String], dash: Int?, _ environment: (key: String, end: String)) throws {
        let before = dash.map { Array(words.prefix($0)) } ?? words
        program = dash.map { Array(words.dropFirst($0)) } ?? []
        if dash != nil, program.isEmpty { throw badArguments("bad number of arguments (found separator --, but no commands)") }
        if environment.key.isEmpty {
            guard !before.isEmpty else { throw badArguments("bad number of arguments") }
            range = before
        } else {
            guard before.isEmpty else { throw badArguments("bad number of arguments (found conflicting environment key)") }
            range = [environment.key] + (environment.end.isEmpty ? [] : [environment.end])
        }
    }
}

extension ControlTool {
    func watchCommand() -> Command {
        let command = Command(
            "watch [options] [key or prefix] [range_end] [--] [exec-command arg1 arg2 ...]", "Watches events stream on keys or prefixes")
        let flags = WatchFlags(command.flags)
        let isInteractive = command.flags.add("interactive", short: "i", false, "Interactive mode")
        command.runAsync = { [unowned self] invocation in
            let key = ProcessEnvironment.value("ETCDCTL_WATCH_KEY") ?? "", end = ProcessEnvironment.value("ETCDCTL_WATCH_RANGE_END") ?? ""
            if key.isEmpty, !end.isEmpty {
                throw badArguments("ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=\(GoText.quoted(end))")
            }
            if isInteractive.value { return try await self.watchInteractively(invocation.console, (key, end)) }
            let line = try WatchLine(invocation.arguments, dash: invocation.argumentsBeforeDash, (key, end))
            let watch = try flags.request(line.range)
            let client = try await self.client(invocation.console)
            try await self.follow(watch, line.program, client, invocation.console)
        }
        return command
    }

    /// Why a watch ended: what the server said, as it said it.
    private static func reason(_ error: ClientError) -> String { error.code == .unknown ? error.message : text(error) }

    /// Shows a watch until the server ends it.
    private func follow(_ watch: Watch, _ program: [String], _ client: Client, _ console: Console) async throws {
        let printer = printer(console)
        do {
            for try await response in await client.watch(watch, requiresLeader: true) {
                try await printer.watch(response, program)
            }
        } catch let error as ClientError {
            console.print("watch was canceled (\(Self.reason(error)))", to: .error)
        }
        throw CommandFailure("watch is canceled by the server", status: Status.interrupted)
    }

    /// What an interactive session waits for.
    private enum Input: Sendable {
        case line(String?)
        case response(WatchResponse, program: [String])
        case ended(ClientError)
    }

    private func watchInteractively(_ console: Console, _ environment: (key: String, end: String)) async throws {
        let client = try await client(console)
        let printer = printer(console)
        let inputs = Channel<Input>()
        Task {
            while true {
                let line = await Lines.next()
                await inputs.send(.line(line))
                if line == nil { return }
            }
        }
        while true {
            switch await inputs.next() {
            case .response(let response, let program): try await printer.watch(response, program)
            case .ended(let error): console.print("watch was canceled (\(Self.reason(error)))", to: .error)
            case .line(nil): throw CommandFailure("error reading watch request line: EOF", status: Status.invalidInput)
            case .line(let line?):
                let line = trim(line)
                let words = (try? TxnInput.words(line)) ?? []
                switch words.first {
                case nil: console.print("Invalid command:  (watch and progress supported)", to: .error)
                case "progress": await client.requestWatchProgress(requiresLeader: true)
                case "watch":
                    do { try await start(words, environment, client, inputs) } catch {
                        console.print("Invalid command \(line) (\(error))", to: .error)
                    }
                default: console.print("Invalid command \(line) (only support watch)", to: .error)
                }
            }
        }
    }

    /// One more watch of an interactive session.
    private func start(
        _ words: [String], _ environment: (key: String, end: String), _ client: Client, _ inputs: Channel<Input>
    ) async throws {
        let set = FlagSet()
        let flags = WatchFlags(set)
        let dash = words.firstIndex(of: "--")
        let rest = try set.parse(Array(words[1..<(dash ?? words.count)]))
        let program = dash.map { Array(words[($0 + 1)...]) } ?? []
        let parsed = try WatchLine(rest + program, dash: dash == nil ? nil : rest.count, environment)
        let sequence = await client.watch(try flags.request(parsed.range), requiresLeader: true)
        Task {
            do throws(ClientError) {
                for try await response in sequence { await inputs.send(.response(response, program: parsed.program)) }
            } catch {
                await inputs.send(.ended(error))
            }
        }
    }
}

extension Printer {
    func watch(_ response: WatchResponse, _ program: [String]) async throws {
        if response.isProgress { line("progress notify: \(response.header.revision)") }
        try watch(response)
        // A pipe's reader wants it now.
        console.flush()
        for event in response.events where !program.isEmpty {
            let variables = [
                "ETCD_WATCH_REVISION=\(response.header.revision)",
                "ETCD_WATCH_EVENT_TYPE=\(GoText.quoted(event.kind == .put ? "PUT" : "DELETE"))",
                "ETCD_WATCH_KEY=\(GoText.quoted(event.kv.key))", "ETCD_WATCH_VALUE=\(GoText.quoted(event.kv.value))",
            ]
            let (status, reason) = await Processes.run(program, variables: variables)
            if status != 0 {
                let words = program.map { GoText.quoted($0) }.joined(separator: " ")
                console.print("command [\(words)] error (\(reason))", to: .error)
                throw CommandFailure("", status: Status.error)
            }
        }
    }

    func watch(_ response: WatchResponse) throws {
        switch format {
        case .simple:
            for event in response.events {
                line(event.kind == .put ? "PUT" : "DELETE")
                if let previous = event.previous { keyValue(previous) }
                keyValue(event.kv)
            }
        case .fields:
            header(response.header)
            for event in response.events {
                field("Type", event.kind == .put ? "PUT" : "DELETE")
                if let previous = event.previous { keyValueFields(previous, prefix: "Prev") }
                keyValueFields(event.kv)
            }
        case .json:
            let events = response.events.map { event in
                var members: [String] = event.kind == .delete ? ["\"type\":1"] : []
                members.append("\"kv\":" + json(event.kv))
                if let previous = event.previous { members.append("\"prev_kv\":" + json(previous)) }
                return "{" + members.joined(separator: ",") + "}"
            }
            line(
                "{\"Header\":\(json(response.header)),\"Events\":[\(events.joined(separator: ","))],\"CompactRevision\":"
                    + "\(response.compactRevision),\"Canceled\":\(response.isCanceled),\"Created\":\(response.isCreated)}")
        case .protobuf: raw(protobuf(response))
        case .table: throw unsupported()
        }
    }

    func json(_ header: Header) -> String {
        var members: [String] = []
        if header.clusterID != 0 { members.append("\"cluster_id\":\(header.clusterID)") }
        if header.memberID != 0 { members.append("\"member_id\":\(header.memberID)") }
        if header.revision != 0 { members.append("\"revision\":\(header.revision)") }
        if header.raftTerm != 0 { members.append("\"raft_term\":\(header.raftTerm)") }
        return "{" + members.joined(separator: ",") + "}"
    }

    func json(_ kv: KeyValue) -> String {
        var members: [String] = []
        if !kv.key.isEmpty { members.append("\"key\":\"\(Base64.encode(kv.key))\"") }
        if kv.createRevision != 0 { members.append("\"create_revision\":\(kv.createRevision)") }
        if kv.modRevision != 0 { members.append("\"mod_revision\":\(kv.modRevision)") }
        if kv.version != 0 { members.append("\"version\":\(kv.version)") }
        if !kv.value.isEmpty { members.append("\"value\":\"\(Base64.encode(kv.value))\"") }
        if kv.lease != 0 { members.append("\"lease\":\(kv.lease)") }
        return "{" + members.joined(separator: ",") + "}"
    }

    func protobuf(_ header: Header, to sink: ByteSink) {
        sink.field(1, header.clusterID)
        sink.field(2, header.memberID)
        sink.field(3, header.revision)
        sink.field(4, header.raftTerm)
    }

    func protobuf(_ kv: KeyValue, to sink: ByteSink) {
        sink.field(1, kv.key)
        sink.field(2, kv.createRevision)
        sink.field(3, kv.modRevision)
        sink.field(4, kv.version)
        sink.field(5, kv.value)
        sink.field(6, kv.lease)
    }

    private func protobuf(_ response: WatchResponse) -> [UInt8] {
        let sink = ByteSink()
        sink.message(1) { protobuf(response.header, to: $0) }
        sink.field(3, response.isCreated)
        sink.field(4, response.isCanceled)
        sink.field(5, response.compactRevision)
        for event in response.events {
            sink.message(11) { sink in
                sink.field(1, event.kind == .delete)
                sink.message(2) { protobuf(event.kv, to: $0) }
                if let previous = event.previous { sink.message(3) { protobuf(previous, to: $0) } }
            }
        }
        return sink.array()
    }
}
