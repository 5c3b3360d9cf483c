// Whole commands on a small database: what they print and how they refuse.

import CommandLineTools
import Glibc
import Storage
import Testing
import Wire

@testable import Archive
@testable import DecoderCommands

/// A database of etcd's on the disk, with JSON objects only.
private final class Database {
    let path: String

    init(_ writes: [(key: String, value: String?)]) throws {
        var template = Array("/tmp/martlet-decoder-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        var versions: [String: (created: Int, version: Int)] = [:]
        var records: [(key: [UInt8], value: [UInt8])] = []
        for (index, write) in writes.enumerated() {
            let main = index + 2
            let sink = ByteSink()
            func bytes(_ field: Int, _ text: String) {
                sink.tag(field, .bytes)
                sink.varint(UInt64(text.utf8.count))
                sink.append(text)
            }
            func number(_ field: Int, _ value: Int) {
                sink.tag(field, .varint)
                sink.varint(UInt64(value))
            }
            bytes(1, write.key)
            if let value = write.value {
                let state = versions[write.key].map { ($0.created, $0.version + 1) } ?? (main, 1)
                versions[write.key] = state
                number(2, state.0)
                number(3, main)
                number(4, state.1)
                bytes(5, value)
            } else {
                versions[write.key] = nil
            }
            let revision = withUnsafeBytes(of: Int64(main).bigEndian, Array.init) + [UInt8(ascii: "_")] + [UInt8](repeating: 0, count: 8)
            records.append((revision + (write.value == nil ? [UInt8(ascii: "t")] : []), sink.array()))
        }
        func give(_ writer: BoltWriter) {
            writer.beginBucket("key")
            for record in records { record.key.withUnsafeBytes { key in record.value.withUnsafeBytes { writer.add(key, $0) } } }
            writer.endBucket()
        }
        let measuring = BoltWriter(measuring: 4096)
        give(measuring)
        let sink = ByteSink()
        let writer = BoltWriter(try measuring.finish(), transaction: 8, output: sink)
        give(writer)
        try writer.finish()
        _ = write(descriptor, sink.base, sink.count)
        close(descriptor)
    }

    deinit { unlink(path) }
}

@Suite struct CommandTests {
    private func run(_ arguments: [String]) -> (status: Int32, output: String, errors: String) {
        let console = Console(inMemory: ())
        let status = DecoderTool.root(version: "1.2.3").execute(arguments, environment: [:], console: console)
        return (status, String(decoding: console.output, as: UTF8.self), String(decoding: console.errors, as: UTF8.self))
    }

    private func object(_ name: String, _ round: Int) -> String {
        #"{"apiVersion":"example.com/v1","kind":"Widget","metadata":{"name":"\#(name)","creationTimestamp":"2026-11-21T17:0\#(round):00Z"},"spec":{"round":\#(round)}}"#
    }

    @Test func aSmallDatabase() throws {
        let key = "/registry/example.com/widgets/ns/a"
        let database = try Database([
            (key, object("a", 1)), (key, object("a", 2)), ("/registry/example.com/widgets/ns/b", object("b", 3)), ("/registry/example.com/widgets/ns/b", nil),
            ("plain", "text"), (key, object("a", 4)),
        ])
        #expect(run(["extract", "-f", database.path]).output == "\(key)\nplain\n")
        #expect(run(["extract", database.path, "--fields", "key,version-count", "-r", "4"]).output == "\(key) 2\n/registry/example.com/widgets/ns/b 1\n")
        #expect(run(["extract", "-f", database.path, "-k", key, "-v", "2", "-o", "json"]).output.contains("\"round\":2"))
        #expect(run(["extract", "-f", database.path, "-k", key, "-r", "2"]).output.hasSuffix("spec:\n  round: 1\n"))
        #expect(run(["extract", "-f", database.path, "-k", key, "--list-versions"]).output == "1\n2\n3\n")
        #expect(run(["extract", "-f", database.path, "--template", "{{.Version}} {{.TypeMeta.Kind}} {{.Stats.VersionCount}}"]).output == "3 Widget 3\n1 <no value> 1\n")
        #expect(run(["extract", "-f", database.path, "--documents"]).output == "---\n# \(key)\n" + run(["extract", "-f", database.path, "-k", key]).output + "---\n# plain\n# 4 bytes that are no object\n")
        let diff = run(["diff", "-f", database.path, "-k", key, "--from", "2", "--to", "3"])
        #expect(diff.output.contains("-  round: 1\n+  round: 2\n") && diff.output.hasPrefix("--- \(key)\t(revision 2, version 1)\n+++ \(key)\t(revision 3, version 2)\n@@ "))
        #expect(run(["diff", "-f", database.path, "--from", "4", "--keys-only"]).output == "~ \(key)\n- /registry/example.com/widgets/ns/b\n+ plain\n")
        #expect(run(["diff", "-f", database.path, "--from", "4", "--exit-code"]).status == 1)
        #expect(run(["diff", database.path, database.path, "--exit-code"]).status == 0)
        #expect(run(["history", "-f", database.path, "-k", "/registry/example.com/widgets/ns/b", "-o", "summary"]).output == "revision 4, created, 133 bytes\nrevision 5, deleted\n")
        let analysis = try JSONValue(parsing: Array(run(["analyze", "-f", database.path, "-o", "json"]).output.dropLast().utf8))
        #expect(analysis["total"]?["keys"]?.int64 == 2 && analysis["total"]?["revisions"]?.int64 == 6 && analysis["total"]?["deletedKeys"]?.int64 == 1)
        // Two objects were made, at revisions 2 and 4, two minutes apart.
        #expect(analysis["clock"]?["seconds"]?.int64 == 120 && analysis["clock"]?["lastRevision"]?.int64 == 4)
        #expect(analysis["total"]?["writtenBytesPerHour"] != nil)
        #expect(run(["analyze", database.path]).output.contains("\nTotal kubernetes objects: 2\n"))
        #expect(run(["checksum", database.path]).output.hasSuffix("\ncompact-revision: 0\nrevision: 7\n"))
    }

    @Test func refusals() throws {
        let database = try Database([("a", "{}")])
        for (arguments, text) in [
            (["extract"], "required flag(s) \"file\" not set"), (["extract", "-f", database.path, "-k", "b"], "No versions found for key: b"),
            (["extract", "-f", database.path, "--list-versions"], "--list-versions may only be used with --key"),
            (["extract", "-f", database.path, "-v", "1"], "--version may only be used with --key"),
            (["extract", "-f", database.path, "--fields", "nothing"], "unrecognized field: nothing"),
            (["extract", "-f", database.path, "--fields", "key", "--template", "x"], "--template and --fields may not be used together"),
            (["extract", "-f", database.path, "-r", "9"], "required revision is a future revision: the last one is 2"),
            (["analyze", "-f", database.path, "-o", "xml"], "invalid --output xml: one of json, table"), (["diff", "-f", database.path], "--from or --to must say which revision, or two stores be named"),
            (["history", "-f", database.path], "required flag(s) \"key\" not set"), (["analyze", "/nonexistent/x"], "/nonexistent/x: there is no such file or directory"),
            (["checksum", "-f", database.path, "--check-hash"], "read \(database.path): "),
        ] {
            let result = run(arguments)
            #expect(result.status == 1 && result.output.isEmpty && result.errors.hasPrefix("Error: \(text)"), "\(arguments): \(result.errors)")
        }
        #expect(run(["version"]).output == "martlet-decoder Version: 1.2.3\n")
    }
}
