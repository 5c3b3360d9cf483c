// dump-logs: what a write-ahead log holds, as etcd-dump-logs tells it.

import CommandLineTools
import Storage
import Wire

extension UtilityTool {
    func dumpLogsCommand() -> Command {
        let command = Command(
            "dump-logs DATA_DIR", "Lists the entries of a write-ahead log, as etcd-dump-logs does",
            long: """
                Lists the entries of a write-ahead log, of etcd's or martlet's, behind the last snapshot: as etcd-dump-logs does, whose flags
                may be given with one dash too. The log is not locked or changed.
                """)
        let flags = command.flags
        let walDirectory = flags.add("wal-dir", "", "`directory` of the log, if it is not DATA_DIR/member/wal")
        let first = flags.add("start-index", UInt64(0), "the first `index` to list, instead of those behind the snapshot")
        let end = flags.add("end-index", UInt64.max, "the `index` to end before")
        let snapshot = flags.add("start-snap", "", "base `name` of the .snap file to begin behind")
        let types = flags.add("entry-type", DumpLogs.defaultTypes, "only entries of these `types`: \(EntryFilter.all.joined(separator: ", "))")
        let decoder = flags.add(
            "stream-decoder", "", "a `program` that gets each entry's data as a line of hexadecimal and answers with a line STATUS|DATA")
        let isRaw = flags.add("raw", false, "list the records of all files as they lie")
        command.run = { invocation in
            guard invocation.arguments.count == 1 else {
                throw CommandFailure("Must provide data-dir argument (got [\(invocation.arguments.joined(separator: " "))])")
            }
            guard snapshot.value.isEmpty || first.value == 0 else { throw CommandFailure("start-snap and start-index flags cannot be used together.") }
            let dump = DumpLogs(
                paths: MemberPaths(invocation.arguments[0], walDirectory: walDirectory.value), first: first.value, end: end.value,
                snapshotName: snapshot.value, types: types.value, decoder: decoder.value, console: invocation.console)
            if isRaw.value {
                guard snapshot.value.isEmpty, types.value == DumpLogs.defaultTypes, decoder.value.isEmpty else {
                    throw CommandFailure("Flags --entry-type, --stream-decoder, --start-snap not supported in the RAW mode.")
                }
                try dump.raw()
            } else {
                try dump.run()
            }
        }
        return command
    }
}

struct DumpLogs {
    static let defaultTypes = "Normal,ConfigChange"
    private static let names = ["wal-dir", "start-index", "end-index", "start-snap", "entry-type", "stream-decoder", "raw"]

    /// etcd-dump-logs takes its flags with one dash.
    static func withDoubleDashes(_ arguments: [String]) -> [String] {
        guard arguments.contains("dump-logs") else { return arguments }
        return arguments.map { argument in
            guard argument.hasPrefix("-"), !argument.hasPrefix("--") else { return argument }
            let name = argument.dropFirst().prefix { $0 != "=" }
            return names.contains(String(name)) ? "-" + argument : argument
        }
    }

    let paths: MemberPaths
    /// 0: behind the snapshot.
    let first: LogIndex
    let end: LogIndex
    let snapshotName: String
    let types: String
    let decoder: String
    let console: Console

    func run() throws {
        let start: LogIndex?
        if first > 0 {
            console.print("Start dumping log entries from index \(first).")
            start = first - 1
        } else if let point = try newestSnapshot() {
            show(point.index, point.term, point.configuration)
            start = point.index
        } else {
            start = nil
        }
        let walk: WALWalk
        do { walk = try WALWalk(paths.walDirectory, behind: start) } catch { throw CommandFailure("Failed opening WAL: \(error)") }
        if start == nil { show(walk.snapshot.index, walk.snapshot.term, walk.snapshot.configuration ?? ConfigurationState()) }
        let metadata = walk.metadata ?? WALMetadata(memberID: .none, clusterID: ClusterID(0))
        console.print(
            "WAL metadata:\nnodeID=\(metadata.memberID) clusterID=\(metadata.clusterID) term=\(walk.state.term) "
                + "commitIndex=\(walk.state.commit) vote=\(walk.state.vote)")
        let last = min(walk.lastIndex, end == 0 ? 0 : end - 1)
        let count = last > walk.start ? last - walk.start : 0
        console.print("WAL entries: \(count)")
        if count > 0 { console.print("lastIndex=\(last)") }
        console.print("term\t     index\ttype\tdata" + (decoder.isEmpty ? "" : "\tdecoder_status\tdecoded_data"))
        try list(walk)
    }

    private func list(_ walk: WALWalk) throws {
        let filter = EntryFilter(types, console)
        let program = decoder.isEmpty ? nil : try StreamDecoder(decoder)
        var count = 0
        try walk.forEachEntry { entry in
            guard entry.index < end else { return false }
            let kind = EntryClass(entry)
            guard filter.passes(entry, kind) else { return true }
            count += 1
            console.write(EntryText.line(entry, kind))
            if let program {
                let answer = try program.decode(entry.data)
                console.write("\t\(answer.status)\t\(answer.text)")
            } else {
                console.write("\n")
            }
            return true
        }
        try program?.finish(console)
        console.print("\nEntry types (\(types)) count is : \(count)")
    }

    // MARK: Where to begin

    private func newestSnapshot() throws -> SnapshotMetadata? {
        let system = PosixFileSystem()
        if !snapshotName.isEmpty {
            do { return try SnapFile.read(paths.snapshots + "/" + snapshotName, in: system).metadata } catch {
                throw CommandFailure("Failed loading snapshot: \(error)")
            }
        }
        // What an import has left there is older than the log.
        guard !paths.isMartlets else { return nil }
        let names = ((try? system.list(paths.snapshots)) ?? []).filter { SnapFile.parse($0) != nil }
        // As etcd does it: one that cannot be read is passed over.
        for name in names.reversed() {
            if let snapshot = try? SnapFile.read(paths.snapshots + "/" + name, in: system) { return snapshot.metadata }
            console.print("\(paths.snapshots)/\(name) cannot be read, an older one is taken", to: .error)
        }
        return nil
    }

    private func show(_ index: LogIndex, _ term: Term, _ configuration: ConfigurationState) {
        console.print("Snapshot:")
        if index == 0 {
            console.print("empty")
        } else {
            let nodes = configuration.voters.map(\.description).joined(separator: " ")
            console.print("term=\(term) index=\(index) nodes=[\(nodes)] confstate=\(Self.json(configuration))")
        }
        console.print("Start dumping log entries from snapshot.")
    }

    private static func json(_ configuration: ConfigurationState) -> String {
        func list(_ name: String, _ ids: [MemberID]) -> String {
            ids.isEmpty ? "" : "\"\(name)\":[\(ids.map { String($0.rawValue) }.joined(separator: ","))],"
        }
        return "{" + list("voters", configuration.voters) + list("learners", configuration.learners)
            + list("voters_outgoing", configuration.votersOutgoing) + list("learners_next", configuration.learnersNext)
            + "\"auto_leave\":\(configuration.autoLeave)}"
    }

    // MARK: Raw

    func raw() throws {
        let scanner = try WALScanner(paths.walDirectory, in: PosixFileSystem())
        for name in scanner.ignored { console.print("Warning: Ignoring not .wal file: \(name)", to: .error) }
        var isDesynchronized = false
        let ending = try scanner.forEach(toleratesMismatch: true) { record, place in
            // What follows a wrong checksum does not fit either, up to the next file: told once.
            if let mismatch = place.mismatch, !isDesynchronized {
                isDesynchronized = true
                console.print("Error: Reading entry failed with CRC error: \(mismatch) in file '\(place.path)' at position: \(place.offset)", to: .error)
            }
            if let line = Self.line(record, from: first, before: end) { console.print(line) }
            if case .checksum = record { isDesynchronized = false }
            return true
        }
        switch ending {
        case .clean, .stopped: console.print("EOF: All entries were processed.")
        case .torn(let path, let offset, _):
            console.print(
                "ErrUnexpectedEOF: The last record might be corrupted, error: unexpected EOF: in file '\(path)' at position: \(offset).")
        case .damaged(let path, let offset, let text): throw CommandFailure("Reading failed: \(text) in file '\(path)' at position: \(offset)")
        }
    }

    private static func line(_ record: WALScanner.Record, from first: LogIndex, before end: LogIndex) -> String? {
        func isWanted(_ index: LogIndex) -> Bool { index >= first && index < end }
        switch record {
        case .checksum(let crc): return "CRC: \(crc)"
        case .metadata(let metadata): return "Metadata: NodeID:\(metadata.memberID.rawValue) ClusterID:\(metadata.clusterID.rawValue)"
        case .snapshot(let snapshot):
            guard isWanted(snapshot.index) else { return nil }
            var text = "Snapshot: index:\(snapshot.index) term:\(snapshot.term)"
            if let state = snapshot.configuration {
                let lists = [("voters", state.voters), ("learners", state.learners), ("voters_outgoing", state.votersOutgoing), ("learners_next", state.learnersNext)]
                let parts = lists.flatMap { name, ids in ids.map { "\(name):\($0.rawValue)" } } + ["auto_leave:\(state.autoLeave)"]
                text += " conf_state:{\(parts.joined(separator: " "))}"
            }
            return text
        case .state(let state):
            return isWanted(state.commit) ? "HardState: term:\(state.term) vote:\(state.vote.rawValue) commit:\(state.commit)" : nil
        case .entry(let entry):
            guard isWanted(entry.index) else { return nil }
            let sink = ByteSink(capacity: entry.data.count + 64)
            sink.append("Entry: Term:\(entry.term) Index:\(entry.index)")
            switch entry.kind {
            case .normal: break
            case .configurationChange: sink.append(" Type:EntryConfChange" as StaticString)
            case .configurationChangeV2: sink.append(" Type:EntryConfChangeV2" as StaticString)
            }
            if !entry.data.isEmpty {
                sink.append(" Data:" as StaticString)
                entry.data.withUnsafeBytes { ProtobufText.quote($0, to: sink) }
            }
            return String(decoding: sink.bytes, as: UTF8.self)
        case .unknown(let type): return "Unexpected WAL log type: \(type)"
        }
    }
}
