// The exact form of lines.

import Glibc
import Testing

@testable import DatastoreTracing

private func line(
    _ format: LogFormat = .json, level: LogLevel = .info, logger: String = "", message: String = "hello",
    fields: [LogField] = [], stackTrace: String? = nil
) -> String {
    let bytes = encode(
        LogLine(
            level: level, unixNanoseconds: 1_763_679_085_406_028_999, logger: logger, caller: "embed/etcd.go:323",
            message: message, fields: fields, stackTrace: stackTrace), as: format)
    return String(decoding: bytes, as: UTF8.self)
}

/// A moment in the zone of this machine.
private func stamp(_ unixNanoseconds: Int64) -> String {
    var bytes: [UInt8] = []
    appendTimestamp(unixNanoseconds, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
}

private let moment = stamp(1_763_679_085_406_028_999)

struct LineTests {
    @Test func keysComeInTheirOrder() {
        let fields: [LogField] = [.string("b", "x"), .string("a", "y"), .error("bad")]
        #expect(
            line(level: .error, logger: "raft", fields: fields, stackTrace: "f\n\tg") == """
                {"level":"error","ts":"\(moment)","logger":"raft","caller":"embed/etcd.go:323",\
                "msg":"hello","b":"x","a":"y","error":"bad","stacktrace":"f\\n\\tg"}

                """)
    }

    @Test func valuesHaveTheirEncodings() {
        let fields: [LogField] = [
            .duration("took", 184_225), .strings("urls", ["http://a", "http://b"]), .strings("none", []),
            .uint64Hex("local-member-id", 0x00a8_f345_8387_986d), .int("n", -5), .uint64("u", .max),
            .bool("on", true), .double("d", 1.5), .double("whole", 3), .double("nan", .nan),
            .time("start time", unixNanoseconds: 1_763_679_085_400_000_000),
        ]
        #expect(
            line(fields: fields).hasSuffix(
                """
                "msg":"hello","took":"184.225µs","urls":["http://a","http://b"],"none":[],\
                "local-member-id":"a8f3458387986d","n":-5,"u":18446744073709551615,"on":true,"d":1.5,"whole":3,\
                "nan":"NaN","start time":"\(stamp(1_763_679_085_400_000_000))"}

                """))
    }

    @Test func onlyWhatJSONDemandsIsEscaped() {
        let text = line(message: "<a&b> \"q\" \\ \n\r\t \u{1}\u{1f} ü \u{2028}")
        #expect(text.contains("\"msg\":\"<a&b> \\\"q\\\" \\\\ \\n\\r\\t \\u0001\\u001f ü \u{2028}\""))
    }

    @Test func theConsoleFormIsTabSeparated() {
        #expect(
            line(.console, logger: "raft", fields: [.string("a", "b"), .strings("c", ["d", "e"])])
                == moment + "\tinfo\traft\tembed/etcd.go:323\thello\t{\"a\": \"b\", \"c\": [\"d\", \"e\"]}\n")
        #expect(
            line(.console, level: .error, stackTrace: "f\n\tg")
                == moment + "\terror\tembed/etcd.go:323\thello\nf\n\tg\n")
    }

    @Test func momentsHaveMicroseconds() {
        #expect(moment.contains(":51:25.406028") && stamp(1_763_679_085_400_000_000).contains(":51:25.400000"))
        var bytes: [UInt8] = []
        var utc = tm()
        var seconds: time_t = 1_763_679_085
        gmtime_r(&seconds, &utc)
        appendTimestamp(utc, microseconds: 406_028, to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == "2025-11-20T22:51:25.406028Z")
    }

    @Test func zonesOtherThanUTCHaveNoColon() {
        var local = tm()
        local.tm_year = 126
        local.tm_mon = 0
        local.tm_mday = 2
        local.tm_gmtoff = 5 * 3_600 + 1_800
        var bytes: [UInt8] = []
        appendTimestamp(local, microseconds: 0, to: &bytes)
        local.tm_gmtoff = -3_600
        appendTimestamp(local, microseconds: 10, to: &bytes)
        #expect(
            String(decoding: bytes, as: UTF8.self) == "2026-01-02T00:00:00.000000+05302026-01-02T00:00:00.000010-0100")
    }
}

@Test(arguments: [
    (0, "0s"), (1, "1ns"), (999, "999ns"), (1_000, "1µs"), (184_225, "184.225µs"), (1_500_000, "1.5ms"),
    (100_000_000, "100ms"), (1_000_000_000, "1s"), (1_200_000_000, "1.2s"), (60_000_000_000, "1m0s"),
    (300_000_000_000, "5m0s"), (3_600_000_000_000, "1h0m0s"), (5_400_000_000_001, "1h30m0.000000001s"),
    (-1_500_000_000, "-1.5s"), (Int64.min, "-2562047h47m16.854775808s"), (Int64.max, "2562047h47m16.854775807s"),
] as [(Int64, String)])
func durationsHaveGosForm(count: Int64, text: String) {
    #expect(Nanoseconds(count).description == text)
    #expect(Nanoseconds(text) == Nanoseconds(count))
}

@Test(arguments: [
    ("1h", 3_600_000_000_000), ("1h30m", 5_400_000_000_000), ("+5s", 5_000_000_000), ("-.5s", -500_000_000),
    ("5.s", 5_000_000_000), ("1.5h", 5_400_000_000_000), ("10us", 10_000), ("10μs", 10_000), ("-0", 0),
    ("1s500ms", 1_500_000_000), ("0.0000000019s", 1), ("3ns", 3),
] as [(String, Int64)])
func durationsAreReadAsGoReadsThem(text: String, count: Int64) {
    #expect(Nanoseconds(text)?.count == count)
}

@Test(arguments: [
    "", "1", "s", ".s", "1x", "1 s", "--1s", "1s ", "9223372036.854775808s", "99999999999999999999s", "1e3s", "-",
    "3000000h",
])
func whatIsNoDurationIsRefused(text: String) {
    #expect(Nanoseconds(text) == nil)
}

@Test func durationsRoundTrip() {
    var random = SeededGenerator(seed: 0x5EED_0003)
    for _ in 0..<2_000 {
        let count = Int64(bitPattern: random.next()) >> Int64.random(in: 0..<63, using: &random)
        #expect(Nanoseconds(Nanoseconds(count).description)?.count == count, "\(count)")
    }
}

@Test func levelsHaveTheirNames() {
    #expect(LogLevel(name: "warn") == .warn)
    #expect(LogLevel(name: "DPANIC") == .dpanic)
    #expect(LogLevel(name: "Warn") == .warn && LogLevel(name: "") == .info)
    #expect(LogLevel(name: "warning") == nil)
}
