// What a stored object says of itself before it is decoded: apiVersion, kind, and when it was made.

import Decoder
import Wire

/// The first things in a stored object, as views into it.
struct ObjectHead {
    var apiVersion = UnsafeRawBufferPointer(start: nil, count: 0)
    var kind = UnsafeRawBufferPointer(start: nil, count: 0)
    /// The object within the envelope; of JSON all of it.
    var payload = UnsafeRawBufferPointer(start: nil, count: 0)
    var isJSON = false

    /// Nil if the bytes are no object of Kubernetes.
    init?(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 4, let base = bytes.baseAddress else { return nil }
        if base.loadUnaligned(as: UInt32.self) == UInt32(littleEndian: 0x0073_386b) {
            guard (try? readEnvelope(UnsafeRawBufferPointer(rebasing: bytes[4...]))) != nil else { return nil }
        } else if base.load(as: UInt8.self) == UInt8(ascii: "{") {
            isJSON = true
            payload = bytes
            var scanner = MemberScanner(bytes)
            while let (name, value) = scanner.next(), apiVersion.isEmpty || kind.isEmpty {
                if equal(name, "apiVersion") { apiVersion = MemberScanner.unquoted(value) }
                if equal(name, "kind") { kind = MemberScanner.unquoted(value) }
            }
        } else {
            return nil
        }
        guard !kind.isEmpty else { return nil }
    }

    private mutating func readEnvelope(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1:
                var meta = ProtobufReader(try reader.bytes(type))
                while let (field, type) = try meta.next() {
                    switch field {
                    case 1: apiVersion = try meta.bytes(type)
                    case 2: kind = try meta.bytes(type)
                    default: try meta.skip(type, field: field)
                    }
                }
            case 2: payload = try reader.bytes(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    /// `apps/v1`, `Deployment`.
    var names: (apiVersion: String, kind: String) {
        (String(decoding: apiVersion, as: UTF8.self), String(decoding: kind, as: UTF8.self))
    }

    // MARK: Times

    /// When the object was made, in seconds since 1970, by its metadata.
    var creationTime: Int64? {
        if isJSON {
            guard let metadata = MemberScanner.member("metadata", of: payload), let time = MemberScanner.member("creationTimestamp", of: metadata)
            else { return nil }
            return Timestamp.seconds(MemberScanner.unquoted(time))
        }
        // ObjectMeta is the first field of each object; its creationTimestamp is the eighth, a Time with seconds first.
        guard let metadata = Self.field(1, of: payload), let time = Self.field(8, of: metadata) else { return nil }
        return Self.number(1, of: time)
    }

    /// When a Lease was renewed.
    var renewTime: Int64? {
        guard !isJSON, equal(kind, "Lease"), let spec = Self.field(2, of: payload), let time = Self.field(4, of: spec) else { return nil }
        return Self.number(1, of: time)
    }

    private static func field(_ wanted: Int, of message: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var reader = ProtobufReader(message)
        while let (field, type) = try? reader.next() {
            if field == wanted { return try? reader.bytes(type) }
            guard (try? reader.skip(type, field: field)) != nil else { return nil }
        }
        return nil
    }

    private static func number(_ wanted: Int, of message: UnsafeRawBufferPointer) -> Int64? {
        var reader = ProtobufReader(message)
        while let (field, type) = try? reader.next() {
            if field == wanted { return try? reader.int64(type) }
            guard (try? reader.skip(type, field: field)) != nil else { return nil }
        }
        return nil
    }
}

@inline(__always)
func equal(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
    bytes.count == text.utf8CodeUnitCount && bytes.elementsEqual(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
}

/// Names and values of one JSON object, without looking into the values.
struct MemberScanner {
    private let text: UnsafeRawBufferPointer
    private var at: Int

    init(_ text: UnsafeRawBufferPointer) {
        self.text = text
        at = 0
        skipSpace()
        if at < text.count, text[at] == UInt8(ascii: "{") { at += 1 } else { at = text.count }
    }

    static func member(_ name: StaticString, of object: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var scanner = MemberScanner(object)
        while let (found, value) = scanner.next() { if equal(found, name) { return value } }
        return nil
    }

    /// Without its quotes; escapes stay.
    static func unquoted(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        guard value.count >= 2, value[0] == UInt8(ascii: "\"") else { return UnsafeRawBufferPointer(start: nil, count: 0) }
        return UnsafeRawBufferPointer(rebasing: value[1..<value.count - 1])
    }

    private mutating func skipSpace() {
        while at < text.count, text[at] <= 0x20 { at += 1 }
    }

    /// The next member; nil at the end, or where the text is no JSON.
    mutating func next() -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer)? {
        skipSpace()
        if at < text.count, text[at] == UInt8(ascii: ",") {
            at += 1
            skipSpace()
        }
        guard at < text.count, text[at] == UInt8(ascii: "\""), let name = string() else { return nil }
        skipSpace()
        guard at < text.count, text[at] == UInt8(ascii: ":") else { return nil }
        at += 1
        skipSpace()
        let start = at
        var depth = 0
        while at < text.count {
            switch text[at] {
            case UInt8(ascii: "\""):
                guard string() != nil else { return nil }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return value(start) }
                depth -= 1
            case UInt8(ascii: ","): if depth == 0 { return value(start) }
            default: break
            }
            at += 1
        }
        return nil

        func value(_ start: Int) -> (name: UnsafeRawBufferPointer, value: UnsafeRawBufferPointer) {
            var end = at
            while end > start, text[end - 1] <= 0x20 { end -= 1 }
            return (Self.unquoted(name), UnsafeRawBufferPointer(rebasing: text[start..<end]))
        }
    }

    /// From a quote to behind the next one.
    private mutating func string() -> UnsafeRawBufferPointer? {
        let start = at
        at += 1
        while at < text.count {
            if text[at] == UInt8(ascii: "\\") {
                at += 2
                continue
            }
            at += 1
            if text[at - 1] == UInt8(ascii: "\"") { return UnsafeRawBufferPointer(rebasing: text[start..<at]) }
        }
        return nil
    }
}

/// Times of day as Kubernetes writes them: `2026-11-21T17:00:00Z`.
enum Timestamp {
    static func seconds(_ text: UnsafeRawBufferPointer) -> Int64? {
        guard text.count >= 20 else { return nil }
        func number(_ range: Range<Int>) -> Int64? { Int64(String(decoding: UnsafeRawBufferPointer(rebasing: text[range]), as: UTF8.self)) }
        guard let year = number(0..<4), let month = number(5..<7), let day = number(8..<10), let hour = number(11..<13),
            let minute = number(14..<16), let second = number(17..<19), (1...12).contains(month), (1...31).contains(day)
        else { return nil }
        return days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
    }

    static func text(_ seconds: Int64) -> String {
        let day = seconds >= 0 ? seconds / 86400 : (seconds - 86399) / 86400
        let rest = seconds - day * 86400
        // Days to year, month and day: eras of 400 years, years that begin in March.
        let shifted = day + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        func two(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(year)-\(two(month))-\(two(dayOfYear - (153 * monthFromMarch + 2) / 5 + 1))T\(two(rest / 3600)):\(two(rest / 60 % 60)):\(two(rest % 60))Z"
    }

    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
