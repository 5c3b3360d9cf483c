// Member and cluster IDs.

import Testing
import Wire

@testable import KeySpace

private func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

struct IdentityTests {
    @Test(arguments: [
        ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        ("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "84983e441c3bd26ebaae4aa1f95129e5e54670f1"),
        (String(repeating: "a", count: 1_000_000), "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
    ])
    func sha1HasItsTestVectors(text: String, digest: String) {
        #expect(hexadecimal(SHA1.digest(Array(text.utf8))) == digest)
    }

    @Test func aKnownMemberHasItsIDs() {
        let member = Identity.memberID(peerURLs: ["https://localhost:20001"], clusterToken: "new")
        #expect(member == 0x00a8_f345_8387_986d)
        #expect(Identity.clusterID(initialMemberIDs: [member]) == 0x34c2_1a2d_427d_b393)
    }

    @Test func theOrderOfURLsAndMembersDoesNotMatter() {
        let one = Identity.memberID(peerURLs: ["http://a:1", "http://b:2"], clusterToken: "t")
        #expect(one == Identity.memberID(peerURLs: ["http://b:2", "http://a:1"], clusterToken: "t"))
        #expect(one != Identity.memberID(peerURLs: ["http://b:2", "http://a:1"], clusterToken: "t", unixSeconds: 5))
        #expect(Identity.clusterID(initialMemberIDs: [2, 1]) == Identity.clusterID(initialMemberIDs: [1, 2]))
    }
}
