// CBOR as JSON (RFC 8949), as API servers write it for custom resources: byte strings are strings, keys are sorted.

import Wire

/// One pass over a CBOR item that writes JSON.
struct CBORText {
    private let bytes: UnsafeRawBufferPointer
    private var at = 0
    private let base: Int
    /// Keep what was read when the rest cannot be.
    private let isLenient: Bool
    private var failure: DecodingError?

    /// Appends the item that the bytes are; a leading self-description tag is passed over.
    ///
    /// - Parameter base: where the bytes begin in the input, for the offsets of errors.
    static func append(_ bytes: UnsafeRawBufferPointer, base: Int = 0, to sink: ByteSink) throws(DecodingError) {
        var text = CBORText(bytes: bytes, base: base)
        let mark = sink.count
        do throws(DecodingError) {
            try text.item(to: sink, depth: 1, isBase64: false)
            guard text.at == bytes.count else { throw text.error("bytes after the CBOR item") }
        } catch {
            sink.truncate(to: mark)
            throw error
        }
    }

    /// Appends what can be read of an item, with what is open closed; returns what is wrong.
    static func appendReadable(_ bytes: UnsafeRawBufferPointer, to sink: ByteSink) -> [DecodingError] {
        var text = CBORText(bytes: bytes, base: 0, isLenient: true)
        let mark = sink.count
        do throws(DecodingError) {
            try text.item(to: sink, depth: 1, isBase64: false)
        } catch {
            sink.truncate(to: mark)
            return [error]
        }
        if text.failure == nil, text.at < bytes.count { text.failure = text.error("bytes after the CBOR item") }
        return text.failure.map { [$0] } ?? []
    }

    /// Whether bytes of a raw field are CBOR rather than JSON.
    ///
    /// - Parameter isFields: of FieldsV1, whose CBOR needs no self-description.
    static func isLikely(_ bytes: UnsafeRawBufferPointer, isFields: Bool) -> Bool {
        if bytes.starts(with: [0xd9, 0xd9, 0xf7]) { return true }
        guard isFields, let first = bytes.first else { return false }
        return (0xa0...0xbf).contains(first) || (0xc6...0xdb).contains(first) || first == 0xf6
    }

    private init(bytes: UnsafeRawBufferPointer, base: Int, isLenient: Bool = false) {
        self.bytes = bytes
        self.base = base
        self.isLenient = isLenient
    }

    private func error(_ reason: String) -> DecodingError { DecodingError(reason, offset: base + at) }

    private mutating func byte() throws(DecodingError) -> UInt8 {
        guard at < bytes.count else { throw error("the CBOR item ends too early") }
        at += 1
        return bytes[at - 1]
    }

    /// The argument of a head; nil for an indefinite length.
    private mutating func argument(_ info: UInt8) throws(DecodingError) -> UInt64? {
        switch info {
        case 0..<24: return UInt64(info)
        case 24...27:
            var value: UInt64 = 0
            for _ in 0..<(1 << Int(info - 24)) { value = value << 8 | UInt64(try byte()) }
            return value
        case 31: return nil
        default: throw error("no CBOR head has the length \(info)")
        }
    }

    private mutating func content(_ length: UInt64) throws(DecodingError) -> UnsafeRawBufferPointer {
        guard length <= UInt64(bytes.count - at) else { throw error("a length of \(length) where \(bytes.count - at) bytes are left") }
        at += Int(length)
        return UnsafeRawBufferPointer(rebasing: bytes[at - Int(length)..<at])
    }

    /// A byte or text string, joined if it comes in pieces.
    private mutating func string(_ head: UInt8) throws(DecodingError) -> [UInt8] {
        if let length = try argument(head & 31) { return Array(try content(length)) }
        var joined: [UInt8] = []
        while true {
            let piece = try byte()
            if piece == 0xff { return joined }
            guard piece >> 5 == head >> 5, let length = try argument(piece & 31) else { throw error("a piece of another type in a string") }
            joined += try content(length)
        }
    }

    private mutating func item(to sink: ByteSink, depth: Int, isBase64: Bool) throws(DecodingError) {
        guard depth <= DecoderLimits.depthMax else { throw error("items lie more than \(DecoderLimits.depthMax) deep in each other") }
        let head = try byte()
        switch head >> 5 {
        case 0:
            guard let value = try argument(head & 31) else { throw error("a number of no length") }
            sink.append("\(value)")
        case 1:
            guard let value = try argument(head & 31) else { throw error("a number of no length") }
            sink.append("-\(UInt128(value) + 1)")
        case 2, 3:
            let text = try string(head)
            text.withUnsafeBytes {
                if isBase64, head >> 5 == 2 { sink.jsonBase64($0) } else { sink.jsonString($0) }
            }
        case 4: try array(head, to: sink, depth)
        case 5: try map(head, to: sink, depth)
        case 6: try tagged(head, to: sink, depth)
        default: try simple(head, to: sink)
        }
    }

    private mutating func array(_ head: UInt8, to sink: ByteSink, _ depth: Int) throws(DecodingError) {
        let count = try argument(head & 31)
        sink.append(byte: UInt8(ascii: "["))
        var done: UInt64 = 0
        while done != count, failure == nil {
            if count == nil, at < bytes.count, bytes[at] == 0xff {
                at += 1
                break
            }
            let mark = sink.count
            do throws(DecodingError) {
                if done > 0 { sink.append(byte: UInt8(ascii: ",")) }
                try item(to: sink, depth: depth + 1, isBase64: false)
            } catch {
                guard isLenient else { throw error }
                sink.truncate(to: mark)
                failure = error
            }
            done += 1
        }
        sink.append(byte: UInt8(ascii: "]"))
    }

    private mutating func map(_ head: UInt8, to sink: ByteSink, _ depth: Int) throws(DecodingError) {
        let count = try argument(head & 31)
        var members: [(key: [UInt8], json: [UInt8])] = []
        var done: UInt64 = 0
        let scratch = ByteSink(capacity: 256)
        while done != count, failure == nil {
            if count == nil, at < bytes.count, bytes[at] == 0xff {
                at += 1
                break
            }
            do throws(DecodingError) {
                let keyHead = try byte()
                guard keyHead >> 5 == 2 || keyHead >> 5 == 3 else { throw error("a key that is no string") }
                let key = try string(keyHead)
                scratch.clear()
                try item(to: scratch, depth: depth + 1, isBase64: false)
                members.append((key, scratch.array()))
            } catch {
                guard isLenient else { throw error }
                failure = error
            }
            done += 1
        }
        members.sort { $0.key.lexicographicallyPrecedes($1.key) }
        sink.append(byte: UInt8(ascii: "{"))
        for (index, member) in members.enumerated() {
            if index > 0, member.key == members[index - 1].key {
                guard isLenient else { throw error("a key twice in one map") }
                failure = failure ?? error("a key twice in one map")
                continue
            }
            if index > 0 { sink.append(byte: UInt8(ascii: ",")) }
            member.key.withUnsafeBytes { sink.jsonString($0) }
            sink.append(byte: UInt8(ascii: ":"))
            sink.append(member.json)
        }
        sink.append(byte: UInt8(ascii: "}"))
    }

    private mutating func tagged(_ head: UInt8, to sink: ByteSink, _ depth: Int) throws(DecodingError) {
        guard let tag = try argument(head & 31) else { throw error("a tag without a number") }
        guard tag == 1 else { return try item(to: sink, depth: depth + 1, isBase64: tag == 22) }
        // Seconds since 1970, shown as every other time.
        let scratch = ByteSink(capacity: 32)
        try item(to: scratch, depth: depth + 1, isBase64: false)
        guard let seconds = Double(String(decoding: scratch.bytes, as: UTF8.self)), seconds.magnitude < 1e12 else { throw error("a time that is no number") }
        TimeText.append(seconds: Int64(seconds.rounded(.down)), to: sink)
    }

    private mutating func simple(_ head: UInt8, to sink: ByteSink) throws(DecodingError) {
        switch head & 31 {
        case 20: sink.append("false" as StaticString)
        case 21: sink.append("true" as StaticString)
        case 22, 23: sink.append("null" as StaticString)
        case 25, 26, 27:
            let bits = try argument(head & 31)!
            let value: Double =
                switch head & 31 {
                case 25: Double(Self.half(UInt16(bits)))
                case 26: Double(Float(bitPattern: UInt32(bits)))
                default: Double(bitPattern: bits)
                }
            guard value.isFinite else { throw error("a number that is not finite") }
            FloatText.appendJSON(value, to: sink)
        default: throw error("no simple value has the number \(head & 31)")
        }
    }

    /// IEEE 754 binary16.
    private static func half(_ bits: UInt16) -> Float {
        let sign: Float = bits >> 15 == 1 ? -1 : 1
        let exponent = Int(bits >> 10 & 31)
        let fraction = Float(bits & 1023)
        switch exponent {
        case 0: return sign * fraction * 0x1p-24
        case 31: return fraction == 0 ? sign * .infinity : .nan
        default: return sign * (1024 + fraction) * Float(sign: .plus, exponent: exponent - 25, significand: 1)
        }
    }
}
