// SHA-256 in pieces, with the CPU's instructions and without, against the standard's examples.

import Testing
import Wire

@Suite struct SHA256StreamTests {
    private func digest(_ bytes: [UInt8], portable: Bool, piece: Int = .max) -> String {
        var sum = SHA256Stream(portable: portable)
        var at = 0
        while at < bytes.count {
            let end = piece < bytes.count - at ? at + piece : bytes.count
            bytes[at..<end].withUnsafeBytes { sum.update($0) }
            at = end
        }
        return sum.digest().map { byte in
            let text = String(byte, radix: 16)
            return text.count == 1 ? "0" + text : text
        }.joined()
    }

    @Test(arguments: [false, true])
    func examplesOfTheStandard(portable: Bool) {
        #expect(digest([], portable: portable) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(digest(Array("abc".utf8), portable: portable) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            digest(Array("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".utf8), portable: portable)
                == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        let million = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
        #expect(digest(million, portable: portable) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test func piecesMakeNoDifference() {
        for length in [1, 55, 56, 57, 63, 64, 65, 119, 120, 128, 1000] {
            let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let whole = digest(bytes, portable: true)
            for piece in [1, 7, 55, 63, 64, 65, 200] {
                #expect(digest(bytes, portable: false, piece: piece) == whole, "\(length) bytes in pieces of \(piece)")
            }
        }
    }
}
