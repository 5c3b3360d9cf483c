// Merged intervals against the plain reading of the rules: a key may be touched when some permission has it, a
// range when every key between its ends may be.

import Testing
import Wire

@testable import KeySpace

@Suite struct PermissionSetTests {
    /// All keys of up to two characters of three, in order: dense enough to tell every gap between permissions.
    private static let universe: [[UInt8]] = {
        let letters: [UInt8] = [0, 97, 98, 99]
        return (letters.map { [$0] } + letters.flatMap { a in letters.map { [a, $0] } }).sorted { $0.lexicographicallyPrecedes($1) }
    }()

    private static func has(_ permission: Permission, _ key: [UInt8]) -> Bool {
        if permission.rangeEnd.isEmpty { return key == permission.key }
        guard !key.lexicographicallyPrecedes(permission.key) else { return false }
        return permission.rangeEnd == [0] || key.lexicographicallyPrecedes(permission.rangeEnd)
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func agreesWithTheRules(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        for _ in 0..<300 {
            let permissions = (0..<Int.random(in: 0...5, using: &random)).map { _ in
                let key = Self.universe.randomElement(using: &random)!
                let end = [[], [0], Self.universe.randomElement(using: &random)!].randomElement(using: &random)!
                return Permission(kind: [.read, .write, .readWrite].randomElement(using: &random)!, key: key, rangeEnd: end)
            }
            .filter(\.isValid)
            let set = PermissionSet(permissions)
            for kind in [Permission.Kind.read, .write] {
                let granting = permissions.filter { $0.kind == kind || $0.kind == .readWrite }
                let intervals = kind == .read ? set.read : set.write
                for key in Self.universe {
                    let expected = granting.contains { Self.has($0, key) }
                    let got = key.withUnsafeBytes { intervals.covers(key: $0, rangeEnd: UnsafeRawBufferPointer(start: nil, count: 0)) }
                    #expect(got == expected, "\(granting) \(key) seed \(seed)")
                }
                // A range is covered when every key in it is; keys beyond the universe are told apart by appending.
                for _ in 0..<20 {
                    let low = Self.universe.randomElement(using: &random)!
                    let high = Self.universe.randomElement(using: &random)!
                    guard low.lexicographicallyPrecedes(high) else { continue }
                    let inside = Self.universe.flatMap { [$0, $0 + [0], $0 + [255]] }
                        .filter { !$0.lexicographicallyPrecedes(low) && $0.lexicographicallyPrecedes(high) }
                    let expected = inside.allSatisfy { key in granting.contains { Self.has($0, key) } }
                    let got = low.withUnsafeBytes { low in
                        high.withUnsafeBytes { high in intervals.covers(key: low, rangeEnd: high) }
                    }
                    #expect(got == expected, "\(granting) \(low) \(high) seed \(seed)")
                }
            }
        }
    }

    @Test func openEndNeedsAnOpenEnd() {
        let all = PermissionSet([Permission(kind: .read, key: [97], rangeEnd: [0])])
        let some = PermissionSet([Permission(kind: .read, key: [97], rangeEnd: [255, 255])])
        [97].withUnsafeBytes { key in
            [0 as UInt8].withUnsafeBytes { end in
                #expect(all.read.covers(key: UnsafeRawBufferPointer(rebasing: key[0..<1]), rangeEnd: end))
                #expect(!some.read.covers(key: UnsafeRawBufferPointer(rebasing: key[0..<1]), rangeEnd: end))
            }
        }
    }
}
