// Seeded chaos; MARTLET_SOAK=n runs n times as many seeds. A failure names its seed.

import Foundation
import Testing

@testable import Raft

struct SimulationTests {
    static let soak = max(1, Int(ProcessInfo.processInfo.environment["MARTLET_SOAK"] ?? "") ?? 1)

    /// Where to begin, to look at one failing seed.
    static let firstSeed = UInt64(ProcessInfo.processInfo.environment["MARTLET_SEED"] ?? "") ?? 1

    private func run(_ plan: Simulation.Plan, seeds: Int) throws {
        var elections = 0
        var commits: UInt64 = 0
        var reads = 0
        for seed in Self.firstSeed..<Self.firstSeed + UInt64(seeds * Self.soak) {
            let simulation = try Simulation(plan, seed: seed)
            do {
                try simulation.run()
            } catch {
                Issue.record("seed \(seed): \(error)")
                return
            }
            elections += simulation.observer.elections
            commits += simulation.observer.highestCommit
            reads += simulation.observer.readsAnswered
        }
        if ProcessInfo.processInfo.environment["MARTLET_STATS"] != nil { print("\(plan.voters)+\(plan.spares): \(seeds) seeds, \(elections) elections, \(commits) commits, \(reads) reads") }
        // A simulation in which nothing happens proves nothing.
        #expect(elections > seeds && commits > UInt64(seeds * 10) && reads > 0)
    }

    @Test func threeMembers() throws { try run(.init(voters: 3), seeds: 16) }
    @Test func fiveMembers() throws { try run(.init(voters: 5), seeds: 12) }
    @Test func withoutPreVoteAndCheckQuorum() throws {
        try run(.init(voters: 3, preVote: false, checkQuorum: false), seeds: 12)
    }
    @Test func oneMemberThatGrowsAndRetires() throws { try run(.init(voters: 2, spares: 1), seeds: 8) }
    @Test func preVoteOnly() throws { try run(.init(voters: 3, checkQuorum: false), seeds: 6) }
    @Test func checkQuorumOnly() throws { try run(.init(voters: 5, preVote: false), seeds: 6) }
    /// Members and links fail so often that leaders rarely finish what they begin (figure 8 of the paper).
    @Test func storm() throws {
        try run(.init(voters: 5, chaosPerMille: 60, preVote: false, checkQuorum: false), seeds: 12)
    }
    @Test func stormOfThree() throws { try run(.init(voters: 3, chaosPerMille: 40), seeds: 12) }
    @Test func stormWithChanges() throws {
        try run(.init(voters: 3, spares: 2, chaosPerMille: 40, preVote: false, checkQuorum: false), seeds: 12)
    }
    @Test func badNetwork() throws { try run(.init(voters: 3, lossPercent: 25, duplicatePercent: 25), seeds: 8) }
    @Test func changingMembers() throws { try run(.init(voters: 3, spares: 3), seeds: 16) }
    @Test func changingMembersOfFive() throws {
        try run(.init(voters: 5, spares: 2, handsOverOnRemoval: false), seeds: 10)
    }
    @Test func oneMemberThatGrows() throws { try run(.init(voters: 1, spares: 3), seeds: 8) }
}
