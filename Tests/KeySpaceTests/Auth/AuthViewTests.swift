// The rules of access: what is stored leads back to the same rules, and changes that are refused change nothing.

import Testing
import Wire

@testable import KeySpace

@Suite struct AuthViewTests {
    /// What the store would hold after these records.
    private struct Stored {
        var buckets: [MetaBucket: [[UInt8]: [UInt8]]] = [:]

        mutating func apply(_ records: [ClusterRecord]) {
            for record in records {
                switch record {
                case .put(let bucket, let key, let value): buckets[bucket, default: [:]][key] = value
                case .delete(let bucket, let key): buckets[bucket, default: [:]][key] = nil
                }
            }
        }

        func restored() throws -> AuthView {
            var view = AuthView()
            for (bucket, entries) in buckets {
                for (key, value) in entries { try view.restore(bucket: bucket, key: key, value: value) }
            }
            return view
        }
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func restoresWhatWasStored(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let names = ["root", "a", "b", "c", ""]
        var view = AuthView()
        var stored = Stored()
        for step in 0..<2000 {
            let before = view
            let user = names.randomElement(using: &random)!
            let role = names.randomElement(using: &random)!
            let permission = Permission(
                kind: [.read, .write, .readWrite].randomElement(using: &random)!, key: Array(user.utf8),
                rangeEnd: [[], [0], [99], [97]].randomElement(using: &random)!)
            do throws(CallError) {
                let records =
                    switch Int.random(in: 0..<11, using: &random) {
                    case 0: try view.enable()
                    case 1: view.disable()
                    case 2: try view.addUser(name: user, password: Array("hash\(step)".utf8), hasNoPassword: step % 7 == 0)
                    case 3: try view.deleteUser(user)
                    case 4: try view.changePassword(user, to: Array("new\(step)".utf8))
                    case 5, 6: try view.grant(role: role, to: user)
                    case 7: try view.revoke(role: role, from: user)
                    case 8: try view.addRole(role)
                    case 9: try view.grant(permission, to: role)
                    default: step % 5 == 0 ? try view.deleteRole(role) : try view.revoke(key: permission.key, rangeEnd: permission.rangeEnd, from: role)
                    }
                stored.apply(records)
                #expect(records.isEmpty == (view == before), "seed \(seed) step \(step)")
            } catch {
                #expect(view == before, "seed \(seed) step \(step): \(error) changed something")
            }
            #expect(try stored.restored() == view, "seed \(seed) step \(step)")
            // Nobody can lock everybody out.
            if view.isEnabled { #expect(view.users["root"]?.isRoot == true) }
            for user in view.users.values { #expect(user.roles == user.roles.sorted()) }
        }
    }

    @Test func revisionMovesWithEveryChangeButEnabling() throws {
        var view = AuthView()
        #expect(view.revision == 1)
        _ = try view.addUser(name: "root", password: [], hasNoPassword: false)
        _ = try view.grant(role: "root", to: "root")
        #expect(view.revision == 3)
        #expect(try view.grant(role: "root", to: "root").isEmpty)
        _ = try view.enable()
        #expect(view.revision == 3)
        _ = view.disable()
        #expect(view.revision == 4)
    }

    @Test func aDamagedRecordIsAnError() {
        var view = AuthView()
        #expect(throws: ProtobufError.self) { try view.restore(bucket: .authUsers, key: [97], value: [0x0a, 0x20, 1]) }
    }
}
