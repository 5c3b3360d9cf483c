// bcrypt texts: known ones, new ones, and what is refused.

import Testing
import Wire

@testable import Datastore

@Suite struct PasswordHashTests {
    /// A text that other implementations of bcrypt agree on.
    @Test func knownText() {
        let text = Array("$2a$10$XajjQvNhvvRt5GSeFk1xFeyqRrsxkhBkUiQeg0dt.wU1qD4aFDcga".utf8)
        #expect(PasswordHash.matches("allmine", text))
        #expect(!PasswordHash.matches("allmine ", text))
        #expect(!PasswordHash.matches("", text))
    }

    @Test func newTexts() throws {
        for password in ["", "x", "pässwörd", String(repeating: "y", count: 72)] {
            let text = try PasswordHash.make(password, cost: 4)
            #expect(text.hasPrefix("$2a$04$") && text.utf8.count == 60)
            #expect(PasswordHash.matches(password, Array(text.utf8)))
            #expect(!PasswordHash.matches(password + "z", Array(text.utf8)) || password.utf8.count == 72)
            #expect(try PasswordHash.make(password, cost: 4) != text)
        }
    }

    @Test func refused() {
        #expect(throws: PasswordHash.tooLong) { try PasswordHash.make(String(repeating: "y", count: 73), cost: 4) }
        #expect(throws: PasswordHash.containsZero) { try PasswordHash.make("a\0b", cost: 4) }
        #expect(!PasswordHash.matches("x", []))
        #expect(!PasswordHash.matches("x", Array(repeating: 36, count: 60)))
    }

    @Test func base64() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")] {
            #expect(Base64.encode(plain.utf8) == text)
            #expect(Base64.decode(text.utf8) == Array(plain.utf8))
        }
        for wrong in ["Z", "Zg", "Zg=", "Z===", "====", "Zg=a", "Zm9v Zg==", "Zm8_"] { #expect(Base64.decode(wrong.utf8) == nil) }
    }
}
