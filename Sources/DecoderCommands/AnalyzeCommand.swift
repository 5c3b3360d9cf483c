// `analyze` and `checksum`: what a store is full of, and whether two stores hold the same.

import Archive
import CommandLineTools
import Wire

enum AnalyzeCommand {
    static func command(_ endpoints: EndpointFlags) -> Command {
        let command = Command(
            "analyze", "Tells what a store is full of",
            long: """
                Counts objects and their bytes, now and over all revisions that are kept, by resource, kind and namespace; names the
                largest objects and those rewritten most. Where the objects tell when they were written, also the bytes written per hour.
                """)
        let source = SourceFlags(command, endpoints)
        let output = command.flags.add("output", short: "o", "table", "output format. One of: json|table")
        output.proposedValues = ["json", "table"]
        let revision = command.flags.add("revision", short: "r", 0, "revision at which to read; 0: the newest") as TypedFlag<Int64>
        let prefix = command.flags.add("keys-by-prefix", "", "only keys with this prefix")
        let top = command.flags.add("top", ToolLimits.rowsShown, "length of each list")
        command.arguments = .atMost(1)
        command.run = { invocation in
            guard ["json", "table"].contains(output.value) else { throw CommandFailure("invalid --output \(output.value): one of json, table") }
            guard (1...100_000).contains(top.value) else { throw CommandFailure("--top is a number from 1 to 100000") }
            try source.withSource(invocation.console, path: invocation.arguments.first) { source in
                let analysis = try Analysis(source, at: revision.value, in: KeySpan(prefix: Array(prefix.value.utf8)), rows: top.value)
                let report = AnalysisReport(analysis: analysis, source: source, rows: top.value)
                guard output.value == "json" else { return invocation.console.write(report.text) }
                let sink = ByteSink(capacity: 64 << 10)
                report.appendJSON(to: sink)
                invocation.console.write(sink.bytes)
            }
        }
        return command
    }
}

enum ChecksumCommand {
    static func command(_ endpoints: EndpointFlags) -> Command {
        let command = Command(
            "checksum", "Checksum of all keys and values at a revision",
            long: """
                Prints a checksum of all keys and values at a revision. It depends on nothing else, neither on history nor on compaction, so
                that it can be compared between members, between their snapshots, and with what Auger prints.
                """)
        let source = SourceFlags(command, endpoints)
        let revision = command.flags.add("revision", short: "r", 0, "revision at which to read; 0: the newest") as TypedFlag<Int64>
        command.arguments = .atMost(1)
        command.run = { invocation in
            try source.withSource(invocation.console, path: invocation.arguments.first) { source in
                let checksum = try Checksum(source, at: revision.value)
                invocation.console.print("checksum: \(checksum.hash)")
                invocation.console.print("compact-revision: \(checksum.compacted)")
                invocation.console.print("revision: \(checksum.revision)")
            }
        }
        return command
    }
}

/// CRC-32C over `key`, then key and value of each pair in the order of keys.
struct Checksum {
    private(set) var hash: UInt32
    let compacted: Int64
    /// The last revision of those that are counted.
    private(set) var revision: Int64

    init(_ source: any RevisionSource, at revision: Int64) throws {
        let states = try KeyStates(source, at: revision, needsHistory: false)
        compacted = source.compacted
        var hash = Array("key".utf8).withUnsafeBytes { CRC32C.update(0, $0) }
        var last = compacted
        try states.forEach { key, state in
            guard state.isLive else { return }
            try states.read(state, of: key) { change in
                last = max(last, change.main)
                hash = CRC32C.update(CRC32C.update(hash, key), change.value)
            }
        }
        self.hash = hash
        self.revision = last
    }
}
