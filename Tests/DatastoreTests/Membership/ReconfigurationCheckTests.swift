// --strict-reconfig-check, against the rules written out for small clusters.

import KeySpace
import Testing
import Wire

@testable import Datastore

struct ReconfigurationCheckTests {
    /// Members 1… in this order: v a started voter, d a started voter that is down, u an unstarted voter, l a learner.
    private func check(_ members: String) -> ReconfigurationCheck {
        var view = ClusterView()
        var connected: Set<MemberID> = []
        for (index, kind) in members.enumerated() {
            let id = MemberID(UInt64(index + 1))
            let name = kind == "u" || kind == "l" ? "" : "m\(index)"
            view.members[id] = MemberDescription(id: id, name: name, peerURLs: ["http://h:\(index)"], isLearner: kind == "l")
            if kind == "v" { connected.insert(id) }
        }
        return ReconfigurationCheck(view: view, local: MemberID(1)) { connected.contains($0) }
    }

    private func refusal(_ body: () throws -> Void) -> CallError? {
        do { try body() } catch { return error as? CallError }
        return nil
    }

    @Test(arguments: [
        ("v", nil, nil), ("vl", nil, nil), ("vu", CallError.notEnoughStartedMembers, CallError.unhealthyCluster),
        ("vv", nil, nil), ("vd", CallError.unhealthyCluster, CallError.unhealthyCluster), ("vvv", nil, nil),
        ("vvd", CallError.unhealthyCluster, CallError.unhealthyCluster), ("vvu", CallError.notEnoughStartedMembers, CallError.unhealthyCluster),
        ("vvvd", nil, nil), ("vvvu", nil, nil), ("vvvvv", nil, nil), ("vvvdd", CallError.unhealthyCluster, CallError.unhealthyCluster),
    ])
    func adding(_ members: String, _ voter: CallError?, _ learner: CallError?) {
        let check = check(members)
        #expect(refusal { try check.add(isLearner: false) } == voter)
        #expect(refusal { try check.add(isLearner: true) } == learner)
    }

    @Test(arguments: [
        ("v", 1, CallError.notEnoughStartedMembers), ("v", 9, nil), ("vu", 2, nil), ("vu", 1, CallError.notEnoughStartedMembers),
        ("vl", 2, nil), ("vv", 2, nil), ("vd", 2, nil), ("vvv", 2, nil), ("vvv", 1, nil), ("vvd", 3, nil),
        ("vvd", 2, CallError.unhealthyCluster), ("vuu", 2, CallError.notEnoughStartedMembers),
    ])
    func removing(_ members: String, _ id: UInt64, _ expected: CallError?) {
        #expect(refusal { try check(members).remove(MemberID(id)) } == expected)
    }

    @Test(arguments: [("vl", 2, nil), ("vul", 3, nil), ("vuul", 4, CallError.notEnoughStartedMembers)])
    func promoting(_ members: String, _ id: UInt64, _ expected: CallError?) {
        #expect(refusal { try check(members).promote(MemberID(id)) } == expected)
    }
}

struct ParkedWorkTests {
    private func proposal(_ id: UInt64, start: UInt64) -> Proposal {
        Proposal(id: id, data: [1], target: .server({ _ in }), start: start, isPrivileged: false)
    }

    @Test func whatIsOldLeavesInOrder() {
        var work = ParkedWork()
        #expect(work.isEmpty)
        work.add([proposal(1, start: 10), proposal(2, start: 30), proposal(3, start: 20)][...])
        #expect(work.expire(startedBefore: 10).isEmpty)
        #expect(work.expire(startedBefore: 21).map(\.id) == [1, 3])
        #expect(work.proposals.map(\.id) == [2] && !work.isEmpty)
    }
}
