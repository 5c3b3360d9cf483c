// Durations, numbers and quoted strings as Go reads and writes them.

import CommandLineTools
import Testing

@Suite struct GoTextTests {
    @Test(arguments: [
        ("0", 0, "0s"), ("1ns", 1, "1ns"), ("1.5us", 1500, "1.5µs"), ("1100us", 1_100_000, "1.1ms"), ("2s", 2_000_000_000, "2s"),
        ("1m", 60_000_000_000, "1m0s"), ("90m", 5_400_000_000_000, "1h30m0s"), ("1h2m3.5s", 3_723_500_000_000, "1h2m3.5s"),
        ("-1.5h", -5_400_000_000_000, "-1h30m0s"), (".5s", 500_000_000, "500ms"), ("1.s", 1_000_000_000, "1s"),
        ("100.00100s", 100_001_000_000, "1m40.001s"), ("0.000000001s", 1, "1ns"),
    ])
    func durations(text: String, nanoseconds: Int, shown: String) throws {
        let duration = try GoText.duration(text)
        #expect(duration == .nanoseconds(nanoseconds))
        #expect(GoText.text(duration) == shown)
        #expect(try GoText.duration(shown) == duration)
    }

    @Test(arguments: ["", "-", ".", "s", "1", "1.", "1 s", "1x", "9223372036854775808ns", "3000000h", "1s-1s"])
    func noDurations(text: String) {
        #expect(throws: FlagValueError.self) { try GoText.duration(text) }
    }

    @Test func randomDurations() throws {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2000 {
            let nanoseconds = Int64.random(in: -(1 << 62)...(1 << 62), using: &generator) >> Int64.random(in: 0...61, using: &generator)
            let text = GoText.text(.nanoseconds(nanoseconds))
            #expect(try GoText.duration(text) == .nanoseconds(nanoseconds), "\(nanoseconds): \(text)")
        }
    }

    @Test(arguments: [
        ("0", 0), ("-7", -7), ("+7", 7), ("010", 8), ("0o17", 15), ("0x1F", 31), ("0B11", 3), ("1_0", nil), ("0x_1_0", 16), ("0_7", 7), ("08", nil),
        ("0x", nil), ("", nil), ("-", nil), ("1.0", nil), ("9223372036854775807", .max), ("-9223372036854775808", .min), ("-9223372036854775809", nil),
        ("0x1_", nil), ("٣", nil),
    ] as [(String, Int?)])
    func integers(text: String, value: Int?) {
        let flags = FlagSet()
        let flag = flags.add("n", 1, "")
        if let value {
            #expect(throws: Never.self) { try flags.parse(["--n=" + text]) }
            #expect(flag.value == value)
        } else {
            #expect(throws: CommandLineError.self) { try flags.parse(["--n=" + text]) }
            #expect(flag.value == 1)
        }
    }

    @Test func quoting() {
        #expect(GoText.quoted("a\"b\\c\n\t\u{1}\u{7f}é\u{200b}\u{1f600}") == #""a\"b\\c\n\t\x01\x7fé\u200b😀""#)
        #expect(GoText.quoted([0x61, 0xff, 0xc3, 0xa9, 0xe2, 0x82]) == #""a\xffé\xe2\x82""#)
        #expect(GoText.quoted(Character("'")) == #"'\''"#)
    }
}
