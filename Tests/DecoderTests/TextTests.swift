// Quantities, durations, times and numbers as Go and Kubernetes write them.

import Testing
import Wire

@testable import Decoder

@Suite struct TextTests {
    @Test(arguments: [
        ("0", "0"), ("0Gi", "0"), ("5", "5"), ("+5", "+5"), ("1E3", "1E3"), ("1.500", "1.500"), ("1.5", "1500m"), ("0.5", "500m"), ("0.1", "100m"),
        ("1000M", "1G"), ("1024Mi", "1Gi"), ("1.5Gi", "1536Mi"), ("1.1Ki", "1126400m"), ("512", "512"), ("1000e3", "1e6"), (" 7 ", "7"),
        ("0.5Mi", "512Ki"), ("-0.5", "-500m"), ("1e-20", "1e-9"), ("0.0000000001", "1n"), ("100000000000000000000Ei", "9223372036854775807"), (".5", "500m"), ("5.", "5."),
    ])
    func quantities(_ given: String, _ canonical: String) { #expect(QuantityText.canonical(given) == canonical) }

    @Test(arguments: ["", "x", "1K", "1 Gi", "--1", "1.2.3", "e3", "1e", "1eE3", "Ki", "１"])
    func noQuantities(_ given: String) { #expect(QuantityText.canonical(given) == nil) }

    @Test(arguments: [
        (0, "0s"), (100, "100ns"), (2000, "2µs"), (1_500_000, "1.5ms"), (1_500_000_000, "1.5s"), (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"), (-1, "-1ns"), (Int64.min, "-2562047h47m16.854775808s"), (Int64.max, "2562047h47m16.854775807s"),
    ] as [(Int64, String)])
    func durations(_ nanoseconds: Int64, _ text: String) {
        #expect(DurationText.text(nanoseconds) == text)
        #expect(DurationText.parse(text) == nanoseconds)
    }

    @Test func oddDurations() {
        #expect(DurationText.parse("0") == 0)
        #expect(DurationText.parse("+1.5h") == 5_400_000_000_000)
        #expect(DurationText.parse("1m2us3ns") == 60_000_002_003)
        for wrong in ["", "1", "-", "1x", "h", ".s", "1h2", "9223372036854775808ns", "1 s"] { #expect(DurationText.parse(wrong) == nil) }
    }

    @Test(arguments: [
        ("2006-01-02T15:04:05Z", 1_136_214_245, 0), ("2006-01-02T17:04:05.5+02:00", 1_136_214_245, 500_000_000),
        ("1970-01-01T00:00:00Z", 0, 0), ("0001-01-01T00:00:00Z", TimeText.zeroSeconds, 0), ("2024-02-29T23:59:59.123456789Z", 1_709_251_199, 123_456_789),
    ] as [(String, Int64, Int32)])
    func times(_ text: String, _ seconds: Int64, _ nanoseconds: Int32) {
        let parsed = TimeText.parse(text.utf8)
        #expect(parsed?.seconds == seconds && parsed?.nanoseconds == nanoseconds)
    }

    @Test func timesThereAndBack() {
        var seconds: Int64 = -62_167_219_200
        while seconds < 253_402_300_799 {
            let sink = ByteSink()
            TimeText.append(seconds: seconds, to: sink)
            #expect(TimeText.parse(sink.array().dropFirst().dropLast())?.seconds == seconds)
            seconds += 86_400 * 97 + 3_601
        }
        for wrong in ["", "2023-02-29T00:00:00Z", "2023-01-01", "2023-01-01T24:00:00Z", "2023-01-01T00:00:00", "2023-01-01T00:00:00.Z"] {
            #expect(TimeText.parse(wrong.utf8) == nil)
        }
    }

    @Test(arguments: [
        (0, "0", "0"), (1, "1", "1"), (-1.5, "-1.5", "-1.5"), (1e6, "1000000", "1e+06"), (1e20, "100000000000000000000", "1e+20"), (1e21, "1e+21", "1e+21"),
        (1e-6, "0.000001", "1e-06"), (1e-7, "1e-7", "1e-07"), (0.1, "0.1", "0.1"), (123456.789, "123456.789", "123456.789"),
        (1.000000005e8, "100000000.5", "1.000000005e+08"), (0x1p-1074, "5e-324", "5e-324"), (1.7976931348623157e308, "1.7976931348623157e+308", "1.7976931348623157e+308"),
    ] as [(Double, String, String)])
    func numbers(_ value: Double, _ json: String, _ general: String) {
        let sink = ByteSink()
        FloatText.appendJSON(value, to: sink)
        #expect(String(decoding: sink.bytes, as: UTF8.self) == json)
        sink.clear()
        FloatText.appendGeneral(value, to: sink)
        #expect(String(decoding: sink.bytes, as: UTF8.self) == general)
    }

    @Test(arguments: [Int64.min, -1, 0, 9, 10, 12345, Int64.max])
    func integers(_ value: Int64) {
        let sink = ByteSink()
        sink.decimal(value)
        #expect(String(decoding: sink.bytes, as: UTF8.self) == "\(value)")
    }
}

@Suite struct ErrorTests {
    private func decode(_ bytes: [UInt8]) throws {
        try bytes.withUnsafeBytes { try ObjectDecoder().appendJSON($0, to: ByteSink()) }
    }

    /// Every prefix and every flipped bit of real values: an error or an answer, never a crash.
    @Test(arguments: Samples.all.filter(\.isProtobuf).prefix(12))
    func damagedValues(_ sample: Samples.Sample) throws {
        let whole = try sample.bytes(".bin")
        for length in stride(from: 0, to: whole.count, by: max(1, whole.count / 200)) { _ = try? decode(Array(whole[..<length])) }
        for index in stride(from: 0, to: whole.count * 8, by: max(1, whole.count * 8 / 600)) {
            var flipped = whole
            flipped[index / 8] ^= 1 << UInt8(index % 8)
            _ = try? decode(flipped)
        }
    }

    @Test func offsetAndPath() throws {
        // A Pod whose metadata (1) has a name (1) that claims more bytes than there are.
        let bytes: [UInt8] = [0x6b, 0x38, 0x73, 0, 0x0a, 9, 0x0a, 2, 0x76, 0x31, 0x12, 3, 0x50, 0x6f, 0x64, 0x12, 5, 0x0a, 3, 0x0a, 9, 0x61]
        let error = #expect(throws: DecodingError.self) { try decode(bytes) }
        #expect(error?.offset == 19)
        #expect(error?.path == "metadata.name")
    }

    @Test func unknownFieldsAreToldAndShown() throws {
        let bytes: [UInt8] = [0x6b, 0x38, 0x73, 0, 0x0a, 15, 0x0a, 2, 0x76, 0x31, 0x12, 9, 0x4e, 0x61, 0x6d, 0x65, 0x73, 0x70, 0x61, 0x63, 0x65, 0x12, 3, 0x9a, 0x06, 0]
        let decoder = ObjectDecoder()
        let sink = ByteSink()
        try bytes.withUnsafeBytes { try decoder.appendJSON($0, to: sink) }
        #expect(decoder.warnings.texts.count == 1)
        #expect(String(decoding: sink.bytes, as: UTF8.self) == #"{"kind":"Namespace","apiVersion":"v1","metadata":{},"spec":{},"status":{},"$unknown":[{"field":99,"text":""}]}"#)
    }

    @Test(arguments: [
        #"{"apiVersion":"v1","kind":"Pod","spec":{"containers":[{"name":7}]}}"#, #"{"apiVersion":"v1","kind":"Pod","spec":[]}"#,
        #"{"apiVersion":"v1","kind":"Nothing"}"#, #"{"kind":"Pod"}"#, "[]", "{", #"{"apiVersion":"v1","kind":"Secret","data":{"a":"?"}}"#,
        String(repeating: "[", count: 100_000),
    ])
    func whatCannotBeEncoded(_ json: String) {
        let sink = ByteSink()
        #expect(throws: DecodingError.self) { try Array(json.utf8).withUnsafeBytes { try ObjectEncoder().append(json: $0, to: sink) } }
        #expect(sink.count == 0)
    }
}
