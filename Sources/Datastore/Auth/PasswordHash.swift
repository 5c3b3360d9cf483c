// bcrypt as etcd's files and proposals have it (`$2a$`), computed by libxcrypt.

import CCrypt
import Glibc
import Wire

enum PasswordHash {
    /// What bcrypt looks at; a longer password is refused rather than cut.
    static let passwordBytesMax = 72
    static let tooLong = CallError(.unknown, "bcrypt: password length exceeds 72 bytes")
    /// libxcrypt takes C strings, so this character would cut the password.
    static let containsZero = CallError(.invalidArgument, "etcdserver: password contains a zero byte")

    /// The bcrypt text of a password with a new salt.
    ///
    /// - Parameter cost: 4 to 31, the logarithm of the rounds.
    static func make(_ password: String, cost: Int) throws(CallError) -> String {
        guard password.utf8.count <= passwordBytesMax else { throw tooLong }
        guard !password.utf8.contains(0) else { throw containsZero }
        var generator = SystemRandomNumberGenerator()
        let salt = (0..<16).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let setting = "$2b$" + (cost < 10 ? "0" : "") + "\(cost)$" + Base64.encode(salt, .bcrypt)
        guard let text = compute(password, setting) else { throw CallError(.unknown, "bcrypt: cannot hash the password") }
        // The same algorithm; the letter tells whose mistakes a reader must reckon with, and etcd writes this one.
        return "$2a$" + text.dropFirst(4)
    }

    /// Whether a password belongs to a stored bcrypt text.
    static func matches(_ password: String, _ stored: [UInt8]) -> Bool {
        guard !password.utf8.contains(0), stored.count == 60 else { return false }
        let text = String(decoding: stored, as: UTF8.self)
        let kind = text.prefix(4)
        guard kind == "$2a$" || kind == "$2b$" || kind == "$2y$" else { return false }
        guard let computed = compute(password, "$2b$" + text.dropFirst(4)) else { return false }
        return equalInConstantTime(Array(computed.utf8.dropFirst(4)), Array(stored.dropFirst(4)))
    }

    private static func compute(_ password: String, _ setting: String) -> String? {
        var data = [UInt8](repeating: 0, count: MemoryLayout<crypt_data>.size)
        return data.withUnsafeMutableBytes { buffer in
            guard let text = crypt_rn(password, setting, buffer.baseAddress!, Int32(buffer.count)) else { return nil }
            let result = String(cString: text)
            return result.count == 60 ? result : nil
        }
    }

    private static func equalInConstantTime(_ a: [UInt8], _ b: [UInt8]) -> Bool {
        guard a.count == b.count else { return false }
        return zip(a, b).reduce(0 as UInt8) { $0 | ($1.0 ^ $1.1) } == 0
    }
}
