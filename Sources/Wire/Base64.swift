// Base64 (RFC 4648) in its alphabets: how hashed passwords travel in proposals, how tokens are signed, and bcrypt's salts.

public enum Base64 {
    public enum Alphabet: Sendable {
        /// With padding.
        case standard
        /// For URLs and file names, without padding: what tokens are made of.
        case url
        /// bcrypt's own, without padding.
        case bcrypt

        fileprivate var characters: StaticString {
            switch self {
            case .standard: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            case .url: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
            case .bcrypt: "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
            }
        }

        fileprivate var isPadded: Bool { self == .standard }
    }

    public static func encode(_ bytes: some Sequence<UInt8>, _ alphabet: Alphabet = .standard) -> String {
        let characters = alphabet.characters.utf8Start
        var text: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                text.append(characters[Int(bits >> UInt32(count)) & 63])
            }
        }
        if count > 0 { text.append(characters[Int(bits << UInt32(6 - count)) & 63]) }
        while alphabet.isPadded, text.count % 4 != 0 { text.append(UInt8(ascii: "=")) }
        return String(decoding: text, as: UTF8.self)
    }

    /// Nil for anything but whole groups of four with their padding or, where the alphabet has none, for a text that
    /// no bytes encode to. Bits that are left over do not matter.
    public static func decode(_ text: some Collection<UInt8>, _ alphabet: Alphabet = .standard) -> [UInt8]? {
        guard alphabet.isPadded ? text.count % 4 == 0 : text.count % 4 != 1 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count / 4 * 3 + 2)
        var bits: UInt32 = 0
        var count = 0
        var padding = 0
        for character in text {
            if alphabet.isPadded, character == UInt8(ascii: "=") {
                padding += 1
                continue
            }
            guard padding == 0, let value = value(character, alphabet) else { return nil }
            bits = bits << 6 | UInt32(value)
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
        }
        guard !alphabet.isPadded || (padding <= 2 && padding * 2 == count) else { return nil }
        return bytes
    }

    private static func value(_ character: UInt8, _ alphabet: Alphabet) -> UInt8? {
        let shift: UInt8 = alphabet == .bcrypt ? 2 : 0
        switch (character, alphabet) {
        case (UInt8(ascii: "A")...UInt8(ascii: "Z"), _): return character - UInt8(ascii: "A") + shift
        case (UInt8(ascii: "a")...UInt8(ascii: "z"), _): return character - UInt8(ascii: "a") + 26 + shift
        case (UInt8(ascii: "0")...UInt8(ascii: "9"), _): return character - UInt8(ascii: "0") + 52 + shift
        case (UInt8(ascii: "+"), .standard), (UInt8(ascii: "-"), .url): return 62
        case (UInt8(ascii: "/"), .standard), (UInt8(ascii: "_"), .url): return 63
        case (UInt8(ascii: "."), .bcrypt): return 0
        case (UInt8(ascii: "/"), .bcrypt): return 1
        default: return nil
        }
    }
}
