// The name of the server that a client asks for, from its first bytes: only for the line about a failed handshake.

enum ClientHello {
    /// Nil where there is none, or the bytes are not a whole hello.
    static func serverName(_ bytes: some Sequence<UInt8>) -> String? {
        var reader = Reader(bytes: Array(bytes))
        // Record: type handshake, version, length. Message: type client hello, length, version, random.
        guard reader.number(1) == 0x16, reader.skip(2), let record = reader.number(2), reader.left >= record,
            reader.number(1) == 1, reader.skip(3 + 2 + 32),
            reader.skip(lengthOf: 1), reader.skip(lengthOf: 2), reader.skip(lengthOf: 1), reader.number(2) != nil
        else { return nil }
        while let kind = reader.number(2), let length = reader.number(2) {
            guard kind == 0 else {
                guard reader.skip(length) else { return nil }
                continue
            }
            // A list of names, of which the first is a host's.
            guard reader.skip(2), reader.number(1) == 0, let count = reader.number(2) else { return nil }
            return reader.text(count)
        }
        return nil
    }

    private struct Reader {
        let bytes: [UInt8]
        private var position = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var left: Int { bytes.count - position }

        mutating func number(_ width: Int) -> Int? {
            guard left >= width else { return nil }
            defer { position += width }
            return bytes[position..<position + width].reduce(0) { $0 << 8 | Int($1) }
        }

        mutating func skip(_ count: Int) -> Bool {
            guard left >= count else { return false }
            position += count
            return true
        }

        mutating func skip(lengthOf width: Int) -> Bool {
            guard let length = number(width) else { return false }
            return skip(length)
        }

        mutating func text(_ count: Int) -> String? {
            guard left >= count else { return nil }
            return String(decoding: bytes[position..<position + count], as: UTF8.self)
        }
    }
}
