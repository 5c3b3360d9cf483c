// Signed tokens: those of another implementation are taken or refused, ours are what it would make; which keys are taken.
// Samples/make-tokens.py tells where the samples come from.

import Testing
import Transport
import Wire

@testable import Datastore
@testable import KeySpace

@Suite struct SignedTokenTests {
    private static let samples: JSONValue = {
        let path = String(describing: #filePath).split(separator: "/").dropLast().joined(separator: "/")
        return try! JSONValue(parsing: try! FileReadError.read("/\(path)/Samples/tokens.json"))
    }()
    static let methods = JWTOptions.algorithms.keys.sorted()

    private func key(_ name: String, _ form: String) -> [UInt8] { Array(Self.samples["keys"]![name]![form]!.string!.utf8) }

    /// - Parameters private, public: what the files hold; nil for one that is not named.
    private func tokens(
        _ method: String, private own: [UInt8]?, public other: [UInt8]? = nil, now: Int64 = 1_800_000_000
    ) throws -> SignedTokens {
        let options = JWTOptions(
            signMethod: method, publicKeyPath: other == nil ? "" : "public", privateKeyPath: own == nil ? "" : "private", ttl: .minutes(5))
        return try SignedTokens(
            options, readFile: { path throws(FileReadError) in path == "public" ? other! : own! }, now: { now })
    }

    private func tokens(_ method: String) throws -> SignedTokens {
        guard let name = Self.samples["tokens"]![method]!["key"]!.string else {
            return try tokens(method, private: Array(Self.samples["secret"]!.string!.utf8))
        }
        return try tokens(method, private: key(name, "private"), public: key(name, "public"))
    }

    @Test(arguments: methods) func theirsAreTaken(method: String) throws {
        let token = Self.samples["tokens"]![method]!["token"]!.string!
        let checker = try tokens(method)
        for _ in 0..<2 { #expect(checker.verify(token) == AuthInfo(username: "älice <&>", revision: 7)) }
        for (other, sample) in Self.samples["tokens"]!.members where other != method {
            #expect(checker.verify(sample["token"]!.string!) == nil, "\(other)")
        }
    }

    @Test(arguments: methods) func oursAreTaken(method: String) throws {
        let maker = try tokens(method)
        let token = try #require(maker.sign(user: "bob \"\\\u{1}ö", revision: 1 << 40))
        let parts = token.split(separator: ".").map { try? JSONValue(parsing: Base64.decode($0.utf8, .url)!) }
        #expect(parts[0] == .object([("alg", .string(method)), ("typ", .string("JWT"))]))
        #expect(parts[1]?["exp"]?.int64 == 1_800_000_300)
        #expect(try tokens(method).verify(token) == AuthInfo(username: "bob \"\\\u{1}ö", revision: 1 << 40))
        // Nothing of it can be changed.
        let bytes = Array(token.utf8)
        for index in stride(from: 0, to: bytes.count - 1, by: 17) {
            var changed = bytes
            // The last character of a part may hold bits that do not count.
            guard bytes[index] != UInt8(ascii: "."), bytes[index + 1] != UInt8(ascii: ".") else { continue }
            changed[index] = bytes[index] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            #expect(try tokens(method).verify(String(decoding: changed, as: UTF8.self)) == nil, "byte \(index)")
        }
    }

    @Test func aTokenEnds() throws {
        let secret = Array("s".utf8)
        let token = try #require(try tokens("HS256", private: secret, now: 1000).sign(user: "a", revision: 2))
        #expect(try tokens("HS256", private: secret, now: 1299).verify(token) != nil)
        #expect(try tokens("HS256", private: secret, now: 1300).verify(token) == nil)
    }

    @Test func claimsThatAreGood() throws {
        let checker = try tokens("HS256")
        for (name, token) in Self.samples["good"]!.members {
            #expect(checker.verify(token.string!) == AuthInfo(username: "a", revision: 3), "\(name)")
        }
    }

    @Test func claimsThatAreNot() throws {
        let checker = try tokens("HS256")
        for (name, token) in Self.samples["bad"]!.members { #expect(checker.verify(token.string!) == nil, "\(name)") }
        for text in ["", ".", "..", "a.b.c", "....", "eyJhbGciOiJIUzI1NiJ9..", "e30.e30.e30", String(repeating: "A", count: 10_000)] {
            #expect(checker.verify(text) == nil, "\(text)")
        }
    }

    @Test func manyTokens() throws {
        let secret = Array("s".utf8)
        let checker = try tokens("HS256", private: secret)
        for revision in 1...UInt64(ServerLimits.signedTokensKnownMax + 10) {
            let token = try #require(checker.sign(user: "a", revision: revision))
            #expect(checker.verify(token)?.revision == revision)
        }
    }

    @Test func formsOfKeys() throws {
        for (method, name) in [("RS256", "rsa"), ("PS384", "rsa"), ("ES256", "p256"), ("ES384", "p384"), ("ES512", "p521"), ("EdDSA", "ed25519")] {
            let token = try #require(try tokens(method, private: key(name, "private")).sign(user: "a", revision: 1))
            for form in ["public", "certificate"] {
                let checker = try tokens(method, private: nil, public: key(name, form))
                #expect(checker.verify(token)?.username == "a", "\(method) \(form)")
                #expect(checker.sign(user: "a", revision: 1) == nil)
            }
            guard name != "ed25519" else { continue }
            #expect(try tokens(method, private: key(name, "traditional"), public: key(name, "public")).verify(token) != nil, "\(method)")
        }
        #expect(throws: Never.self) { try tokens("RS256", private: nil, public: key("rsa", "public1")) }
    }

    @Test func keysThatAreRefused() {
        func refusal(_ method: String, _ own: [UInt8]?, _ other: [UInt8]? = nil) -> String? {
            do {
                _ = try tokens(method, private: own, public: other)
                return nil
            } catch {
                return "\(error)"
            }
        }
        #expect(refusal("RS256", nil) == "auth: missing key data")
        #expect(refusal("HS256", nil, key("rsa", "public")) == "auth: missing key data")
        #expect(refusal("RS256", key("rsa", "private"), key("rsa2", "public")) == "auth: public and private keys don't match")
        #expect(refusal("RS256", Array("nonsense".utf8)) == "invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key")
        #expect(refusal("RS256", key("p256", "private")) == "key is not a valid RSA private key")
        #expect(refusal("PS256", nil, key("p256", "public")) == "key is not a valid RSA public key")
        #expect(refusal("ES256", key("rsa", "private")) == "key is not a valid ECDSA private key")
        #expect(refusal("EdDSA", nil, key("rsa", "public")) == "key is not a valid Ed25519 public key")
        #expect(refusal("RS256", key("rsa", "public")) == "key is not a valid RSA private key")
        #expect(refusal("ES256", key("p384", "private"))?.hasPrefix("key is invalid") == true)
        let unreadable = JWTOptions(signMethod: "HS256", publicKeyPath: "", privateKeyPath: "/nonexistent", ttl: .minutes(5))
        #expect(throws: StartError.self) { try SignedTokens(unreadable, readFile: FileReadError.read) }
    }
}

extension JSONValue {
    fileprivate var members: [(name: String, value: JSONValue)] { if case .object(let members) = self { members } else { [] } }
}
