// The cluster's description: every rule of membership changes at apply, what is stored of it, and what comes
// back.

import Testing
import Wire

@testable import KeySpace

@Suite struct ClusterStateTests {
    private func member(_ id: UInt64, _ urls: String..., name: String = "") -> MemberDescription {
        MemberDescription(id: MemberID(id), name: name, peerURLs: urls)
    }

    private func add(_ member: MemberDescription, learner: Bool = false) -> ConfigurationChange {
        ConfigurationChange(kind: learner ? .addLearner : .addVoter, member: member.id, context: member.json())
    }

    private func promote(_ id: UInt64) -> ConfigurationChange {
        ConfigurationChange(
            kind: .addVoter, member: MemberID(id), context: Array("{\"id\":\(id),\"peerURLs\":null,\"isPromote\":true}".utf8))
    }

    private func view() throws -> ClusterView {
        var view = ClusterView()
        _ = try view.apply(add(member(1, "http://a:1")))
        _ = try view.apply(add(member(2, "http://b:1", "http://b:2")))
        _ = try view.apply(add(member(3, "http://c:1"), learner: true))
        return view
    }

    /// The error of a change, which must then have changed nothing.
    private func refusal(_ change: ConfigurationChange, _ view: ClusterView, learnersMax: Int = 1) -> CallError? {
        var copy = view
        do throws(CallError) {
            _ = try copy.apply(change, learnersMax: learnersMax)
            return nil
        } catch {
            #expect(copy == view)
            return error
        }
    }

    // MARK: Rules

    @Test func adding() throws {
        let view = try view()
        #expect(view.members[MemberID(3)]?.isLearner == true)
        #expect(refusal(add(member(1, "http://x:1")), view) == .memberExists)
        #expect(refusal(add(member(3, "http://x:1")), view) == .memberExists)
        #expect(refusal(add(member(4, "http://x:1", "http://b:2")), view) == .peerURLExists)
        #expect(refusal(add(member(4, "http://x:1"), learner: true), view) == .tooManyLearners)
        #expect(refusal(add(member(4, "http://x:1"), learner: true), view, learnersMax: 2) == nil)
        #expect(refusal(add(member(4, "http://x:1")), view) == nil)
        #expect(refusal(ConfigurationChange(kind: .addVoter, member: MemberID(4), context: []), view) == .memberBadURLs)
        // A context that speaks of somebody else must not add a stranger.
        let wrong = ConfigurationChange(kind: .addVoter, member: MemberID(4), context: member(5, "http://x:1").json())
        #expect(refusal(wrong, view) == .memberBadURLs)
    }

    @Test func removing() throws {
        var view = try view()
        #expect(refusal(ConfigurationChange(kind: .remove, member: MemberID(9)), view) == .memberNotFound)
        _ = try view.apply(ConfigurationChange(kind: .remove, member: MemberID(2)))
        #expect(view.removed == [MemberID(2)])
        // It never comes back, in no way.
        for change in [add(member(2, "http://n:1")), add(member(2, "http://n:1"), learner: true), promote(2),
            ConfigurationChange(kind: .remove, member: MemberID(2)),
            ConfigurationChange(kind: .update, member: MemberID(2), context: member(2, "http://n:1").json())]
        {
            #expect(refusal(change, view) == .memberNotFound)
        }
        // Its address is free again.
        #expect(refusal(add(member(4, "http://b:1")), view) == nil)
    }

    @Test func promoting() throws {
        var view = try view()
        #expect(refusal(promote(9), view) == .memberNotFound)
        #expect(refusal(promote(1), view) == .memberNotLearner)
        _ = view.apply(MemberAttributesRequest(member: MemberID(3), name: "c", clientURLs: ["http://c:2"]))
        let records = try view.apply(promote(3))
        var promoted = member(3, "http://c:1", name: "c")
        promoted.clientURLs = ["http://c:2"]
        #expect(view.members[MemberID(3)] == promoted)
        #expect(records == [.put(bucket: .members, key: Array("3".utf8), value: promoted.json())])
        // Now there is room for a learner.
        #expect(refusal(add(member(4, "http://x:1"), learner: true), view) == nil)
    }

    @Test func updating() throws {
        var view = try view()
        func update(_ id: UInt64, _ urls: String...) -> ConfigurationChange {
            ConfigurationChange(
                kind: .update, member: MemberID(id), context: MemberDescription(id: MemberID(id), peerURLs: urls).json())
        }
        #expect(refusal(update(9, "http://x:1"), view) == .memberNotFound)
        #expect(refusal(update(1, "http://b:2"), view) == .peerURLExists)
        #expect(refusal(ConfigurationChange(kind: .update, member: MemberID(1), context: [1]), view) == .memberBadURLs)
        _ = view.apply(MemberAttributesRequest(member: MemberID(1), name: "a", clientURLs: ["http://a:2"]))
        // Its own address may stay.
        _ = try view.apply(update(1, "http://a:1", "http://a:9"))
        #expect(view.members[MemberID(1)]?.peerURLs == ["http://a:1", "http://a:9"])
        #expect(view.members[MemberID(1)]?.name == "a")
        #expect(view.members[MemberID(1)]?.clientURLs == ["http://a:2"])
        #expect(view.members[MemberID(3)]?.isLearner == true)
    }

    @Test func attributesOfAStrangerAreNothing() throws {
        var view = try view()
        let before = view
        #expect(view.apply(MemberAttributesRequest(member: MemberID(8), name: "x", clientURLs: [])).isEmpty)
        #expect(view == before)
    }

    // MARK: Stored form

    @Test(arguments: ["", "plain", "quotes \" and \\ and \n\t\u{1}", "ü🐦\u{2028}"])
    func membersSurviveTheirJSON(name: String) throws {
        for isLearner in [false, true] {
            let member = MemberDescription(
                id: MemberID(.max), name: name, peerURLs: ["http://[::1]:2380", name], clientURLs: name.isEmpty ? [] : [name], isLearner: isLearner)
            #expect(MemberDescription(json: member.json()) == member)
        }
        #expect(!MemberDescription.isPromotion(json: member(1, name).json()))
    }

    /// Everything that is stored, played into an empty view, is the view.
    @Test func theViewComesBackFromItsRecords() throws {
        var view = ClusterView()
        var stored: [MetaBucket: [[UInt8]: [UInt8]]] = [:]
        func keep(_ records: [ClusterRecord]) {
            for record in records {
                switch record {
                case .put(let bucket, let key, let value): stored[bucket, default: [:]][key] = value
                case .delete(let bucket, let key):
                    #expect(stored[bucket]?.removeValue(forKey: key) != nil)
                }
            }
            var restored = ClusterView()
            for (bucket, entries) in stored { for (key, value) in entries { restored.restore(bucket: bucket, key: key, value: value) } }
            #expect(restored == view)
        }
        keep(try view.apply(add(member(0xabcdef, "http://a:1"))))
        keep(try view.apply(add(member(.max, "http://b:1"))))
        keep(try view.apply(add(member(7, "http://l:1"), learner: true)))
        keep(view.apply(MemberAttributesRequest(member: MemberID(7), name: "l \"1\"", clientURLs: ["http://l:2"])))
        keep(try view.apply(promote(7)))
        keep(try view.apply(ConfigurationChange(kind: .remove, member: MemberID(.max))))
        keep(view.apply(clusterVersion: "3.7.0"))
        var downgrade = try DowngradeInfoRequest(decoding: UnsafeRawBufferPointer(start: nil, count: 0))
        downgrade.enabled = true
        downgrade.version = "3.6.0"
        keep(view.apply(downgrade))
        #expect(view.downgradeEnabled && view.downgradeTarget == "3.6.0")
        #expect(stored[.cluster]?[ClusterKeys.downgrade] == Array("{\"target-version\":\"3.6.0\",\"enabled\":true}".utf8))
        // The end of a downgrade forgets its target.
        downgrade.enabled = false
        keep(view.apply(downgrade))
        #expect(!view.downgradeEnabled && view.downgradeTarget.isEmpty)
        #expect(stored[.cluster]?[ClusterKeys.downgrade] == Array("{\"target-version\":\"\",\"enabled\":false}".utf8))
        for (member, kind) in [(0, AlarmKind.noSpace), (7, .corrupt), (7, .noSpace)] as [(UInt64, AlarmKind)] {
            keep(view.apply(AlarmRequest(action: .activate, member: MemberID(member), alarm: kind)).records)
        }
        keep(view.apply(AlarmRequest(action: .deactivate, member: MemberID(7), alarm: .noSpace)).records)
        #expect(stored[.alarm]?.values.allSatisfy(\.isEmpty) == true)
        // What cannot be read is left out, not a crash.
        for bucket in MetaBucket.allCases {
            var other = ClusterView()
            other.restore(bucket: bucket, key: [0xff, 0xfe], value: [0x7b])
            other.restore(bucket: bucket, key: [], value: [])
        }
    }

    @Test func aRefusedChangeLeavesTheStateInForce() throws {
        let state = ClusterState(try view())
        let before = state.current
        #expect(throws: CallError.memberNotFound) {
            try state.update { (view) throws(CallError) in
                view.version = "9.9.9"
                throw CallError.memberNotFound
            }
        }
        #expect(state.current == before)
        #expect(!state.hasAnyAlarm)
        try state.update { (view) throws(CallError) in _ = view.apply(AlarmRequest(action: .activate, member: MemberID(1), alarm: .corrupt)) }
        #expect(state.hasAnyAlarm && state.hasAlarm(.corrupt) && !state.hasAlarm(.noSpace))
        #expect(ClusterState(state.current).hasAlarm(.corrupt))
    }

    @Test func changesThroughTheKeySpaceAreStored() throws {
        let harness = ApplyHarness()
        let change = add(member(1, "http://a:1"))
        try harness.keySpace.apply(change, entry: Entry(kind: .configurationChange, term: 1, index: 1))
        #expect(throws: CallError.memberExists) { try harness.keySpace.apply(change, entry: Entry(kind: .configurationChange, term: 1, index: 2)) }
        harness.publish()
        let before = harness.keySpace.cluster.current
        harness.restart()
        #expect(harness.keySpace.cluster.current == before)
        #expect(before.members.count == 1)
    }
}
