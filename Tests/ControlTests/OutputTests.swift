// The formats of answers, tables, sizes, bars.

import CommandLineTools
import Testing
import Wire

@testable import Client
@testable import Control

struct OutputTests {
    private func printed(_ format: Format, isHex: Bool = false, _ body: (Printer) throws -> Void) rethrows -> String {
        let console = Console(inMemory: ())
        try body(Printer(format: format, isHex: isHex, console: console))
        return String(decoding: console.output, as: UTF8.self)
    }

    static func keyValue(_ key: String, _ value: String, revision: Int64 = 2, lease: Int64 = 0) -> KeyValue {
        var kv = KeyValue()
        kv.key = Array(key.utf8)
        kv.value = Array(value.utf8)
        (kv.createRevision, kv.modRevision, kv.version, kv.lease) = (revision, revision, 1, lease)
        return kv
    }

    private var header: Header {
        var header = Header()
        (header.clusterID, header.memberID, header.revision, header.raftTerm) = (0x9e48_1dac_9ab6_0f63, 0xc0b0_4d6d_48a4_e841, 11, 2)
        return header
    }

    private func answer(_ kvs: [KeyValue]) throws -> Answer<GetResponse> {
        let printer = Printer(format: .simple, isHex: false, console: Console(inMemory: ()))
        let sink = ByteSink()
        sink.message(1) { printer.protobuf(header, to: $0) }
        for kv in kvs { sink.message(2) { printer.protobuf(kv, to: $0) } }
        sink.field(4, Int64(kvs.count))
        return try Answer(merging: sink.array())
    }

    @Test func gets() throws {
        let answer = try answer([Self.keyValue("foo", "bar\0", lease: 31)])
        #expect(try printed(.simple) { try $0.get(answer) } == "foo\nbar\0\n")
        #expect(try printed(.simple, isHex: true) { try $0.get(answer) } == "\\x66\\x6f\\x6f\n\\x62\\x61\\x72\\x00\n")
        #expect(
            try printed(.json) { try $0.get(answer) }
                == "{\"header\":{\"cluster_id\":11405398683482984291,\"member_id\":13884682782948780097,\"revision\":11,\"raft_term\":2},"
                + "\"kvs\":[{\"key\":\"Zm9v\",\"create_revision\":2,\"mod_revision\":2,\"version\":1,\"value\":\"YmFyAA==\",\"lease\":31}],\"count\":1}\n")
        #expect(
            try printed(.fields) { try $0.get(answer) } == """
                "ClusterID" : 11405398683482984291
                "MemberID" : 13884682782948780097
                "Revision" : 11
                "RaftTerm" : 2
                "Key" : "foo"
                "CreateRevision" : 2
                "ModRevision" : 2
                "Version" : 1
                "Value" : "bar\\x00"
                "Lease" : 31
                "More" : false
                "Count" : 1

                """)
        #expect(try printed(.protobuf) { try $0.get(answer) } == String(decoding: answer.bytes, as: UTF8.self))
        #expect(throws: CommandFailure.self) { try printed(.table) { try $0.get(answer) } }
    }

    /// The watch's own writers of JSON and protobuf say what the general ones say of the same message.
    @Test func watchesLikeGets() throws {
        let kv = Self.keyValue("k\u{0}", "v<>&", revision: 9, lease: 5)
        let answer = try answer([kv])
        let json = try printed(.json) { try $0.get(answer) }
        let printer = Printer(format: .json, isHex: false, console: Console(inMemory: ()))
        #expect(json == "{\"header\":\(printer.json(header)),\"kvs\":[\(printer.json(kv))],\"count\":1}\n")
    }

    @Test func watchResponses() throws {
        var response = WatchResponse()
        response.header = header
        var put = WatchEvent()
        put.kv = Self.keyValue("a", "1")
        put.previous = Self.keyValue("a", "0", revision: 1)
        var delete = WatchEvent()
        delete.kind = .delete
        delete.kv.key = [0x62]
        delete.kv.modRevision = 3
        response.events = [put, delete]
        #expect(try printed(.simple) { try $0.watch(response) } == "PUT\na\n0\na\n1\nDELETE\nb\n\n")
        let json = try printed(.json) { try $0.watch(response) }
        #expect(json.hasPrefix("{\"Header\":{\"cluster_id\":"))
        #expect(json.hasSuffix("{\"type\":1,\"kv\":{\"key\":\"Yg==\",\"mod_revision\":3}}],\"CompactRevision\":0,\"Canceled\":false,\"Created\":false}\n"))
    }

    @Test func tables() {
        #expect(
            FramedTable.text(["endpoint", "hash_revision"], [["http://127.0.0.1:37679", "7"]]) == """
                ┌────────────────────────┬───────────────┐
                │        ENDPOINT        │ HASH REVISION │
                ├────────────────────────┼───────────────┤
                │ http://127.0.0.1:37679 │             7 │
                └────────────────────────┴───────────────┘

                """)
        #expect(FramedTable.text(["a"], []).split(separator: "\n").count == 3)
    }

    @Test(arguments: [
        (0, "0 B"), (9, "9 B"), (10, "10 B"), (999, "999 B"), (1000, "1.0 kB"), (24_576, "25 kB"), (99_999, "100 kB"), (2_147_483_648, "2.1 GB"),
        (UInt64.max, "18 EB"),
    ] as [(UInt64, String)])
    func sizes(_ bytes: UInt64, _ text: String) { #expect(GoText.bytes(bytes) == text) }

    @Test(arguments: [(0.5, 0, "0"), (1.5, 0, "2"), (-1.25, 1, "-1.2"), (0.0999, 2, "0.10"), (12.0, 3, "12.000"), (0.551947, 6, "0.551947")])
    func decimals(_ value: Double, _ count: Int, _ text: String) { #expect(fixed(value, count) == text) }

    @Test func bars() {
        #expect(
            Progress.text("snapshot", 500_000, 1_000_000, seconds: 2, inBytes: true)
                == "snapshot [###############...............] 50% 500 kB of 1.0 MB, 250 kB/s")
        #expect(Progress.text("mirror", 0, 0, seconds: 0, inBytes: false).contains("] 100% 0 of 0, 0/s"))
        // More than was told at the beginning.
        #expect(Progress.text("mirror", 9, 3, seconds: 1, inBytes: false).contains("] 100% 9 of 3, 9/s"))
    }

    @Test func colours() {
        #expect(Style(isOn: false).bold("a") == "a")
        #expect(Style(isOn: true).red("a") == "\u{1b}[31ma\u{1b}[0m")
        // Memory is no terminal.
        #expect(!Style(Console(inMemory: ()), .output).isOn)
    }

    @Test func hints() {
        #expect(Hints.hint(ClientError(CallError.noSpace))?.contains("alarm disarm") == true)
        #expect(Hints.hint(ClientError(.deadlineExceeded, "context deadline exceeded", connectionFailure: "x: connection refused"))?.contains("--endpoints") == true)
        #expect(Hints.hint(ClientError(.unavailable, "keepalive ping failed to receive ACK within timeout")) != nil)
        #expect(Hints.hint(ClientError(.unknown, "something")) == nil)
    }
}
