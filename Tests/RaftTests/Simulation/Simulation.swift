// Members under chaos: every step one of them does something, and then nothing forbidden may have happened.

import Wire

@testable import Raft

final class Simulation {
    struct Plan {
        var voters = 3
        /// More members, which changes of the configuration may bring in. 0: it never changes.
        var spares = 0
        var steps = 10_000
        var lossPercent = 5
        var duplicatePercent = 5
        /// Crashes, restarts, cuts and heals among the steps.
        var chaosPerMille = 10
        var preVote = true
        var checkQuorum = true
        var handsOverOnRemoval = true
    }

    private let plan: Plan
    private var random: SeededGenerator
    private let members: [TestMember]
    private var network: SimulatedNetwork
    private(set) var observer = SafetyObserver()
    private var crashed: Set<MemberID> = []
    private var nextValue: UInt32 = 0
    private var stepNumber = 0

    init(_ plan: Plan, seed: UInt64) throws {
        self.plan = plan
        var random = SeededGenerator(seed: seed)
        network = SimulatedNetwork(lossPercent: plan.lossPercent, duplicatePercent: plan.duplicatePercent)
        let voters = (1...plan.voters).map { MemberID(UInt64($0)) }
        members = try (1...(plan.voters + plan.spares)).map { number in
            var configuration = RaftConfiguration(
                id: MemberID(UInt64(number)), electionTicks: 5, heartbeatTicks: 1, preVote: plan.preVote,
                checkQuorum: plan.checkQuorum, seed: random.next())
            configuration.handsOverOnRemoval = plan.handsOverOnRemoval
            configuration.maxInflightMessages = 1 + random.below(8)
            configuration.maxSizePerMessage = random.chance(50) ? 60 : 1 << 20
            configuration.maxApplyingBytes = random.chance(50) ? 80 : 1 << 20
            configuration.maxUncommittedBytes = random.chance(30) ? 40 : .max
            var disk = TestDisk()
            disk.machine.configuration = ConfigurationState(voters: voters)
            return try TestMember(configuration, disk: disk)
        }
        self.random = random
    }

    /// Chaos, then peace: when all is well again, everybody must agree.
    func run() throws {
        for number in 0..<plan.steps {
            stepNumber = number
            try step()
        }
        try settle()
    }

    // Chaos

    private var someone: TestMember { members[random.below(members.count)] }
    /// Somebody who has such work, if anybody has.
    private func someone(_ hasWork: (TestMember) -> Bool) -> TestMember {
        let first = random.below(members.count)
        for offset in members.indices {
            let member = members[(first + offset) % members.count]
            if member.isUp, hasWork(member) { return member }
        }
        return members[first]
    }

    private var leaderIfAny: TestMember? { members.last { $0.isUp && $0.node.isLeader } }

    private func step() throws {
        let dice = random.below(1000)
        switch dice {
        case 0..<90: try act(someone) { $0.node.tick() }
        case 90..<380: try process(someone { $0.node.hasReady })
        case 380..<530: try persist(someone { !$0.writes.isEmpty })
        case 530..<900: try deliver()
        case 900..<950: try propose()
        case 950..<970: try read()
        case 970..<978: try snapshot(someone)
        case 978..<981: try transfer()
        case 981..<992: if plan.spares > 0 { try changeMembers() }
        case 992..<994: try act(someone) { $0.node.campaign() }
        case 994..<996:
            let other = someone.id
            try act(someone) { random.chance(50) ? $0.node.reportUnreachable(other) : $0.node.forgetLeader() }
        default: break
        }
        if random.below(1000) < plan.chaosPerMille {
            if random.chance(60) { try crashOrRestart() } else { cutOrHeal() }
        }
        if stepNumber % 64 == 0 {
            for member in members where member.isUp { member.node.checkInvariants() }
        }
        if stepNumber % 1024 == 1023 { observer.forget(below: members.map { $0.node.firstIndex - 1 }.min()!) }
    }

    private func act(_ member: TestMember, _ body: (TestMember) throws -> Void) throws {
        guard member.isUp else { return }
        try body(member)
        _ = member.node.takeLogLines()
        try observer.observe(member, among: members)
    }

    private func process(_ member: TestMember) throws {
        try act(member) { member in
            guard member.node.hasReady else { return }
            let applied = member.machine.applied
            var violation: SafetyViolation?
            let ready = member.takeReady { _ in
                do { try self.observer.applied(member.machine, at: member.id) } catch {
                    violation = error as? SafetyViolation
                }
            }
            if let violation { throw violation }
            if !ready.committedEntries.isEmpty, ready.committedEntries.lowerBound != applied + 1 {
                throw SafetyViolation("\(member.id) was handed \(ready.committedEntries) after \(applied)")
            }
            if let entry = ready.entriesToAppend.first {
                try observer.appended(
                    member.writes[member.writes.count - 1].entries, after: member.node.term(at: entry - 1) ?? 0,
                    at: member.id)
            }
            for state in ready.readStates { try observer.readAnswered(state, at: member.id) }
            send(ready.messages, from: member)
        }
    }

    private func persist(_ member: TestMember) throws {
        try act(member) { member in
            guard !member.writes.isEmpty else { return }
            let isSnapshot = member.writes[0].snapshot != nil
            let messages = member.persist()
            if isSnapshot { try observer.applied(member.machine, at: member.id) }
            send(messages, from: member)
        }
    }

    private func send(_ messages: [Message], from member: TestMember) {
        for message in network.send(messages, random: &random) { reportLost(message) }
    }

    /// A transport notices that a snapshot did not arrive.
    private func reportLost(_ message: Message) {
        guard message.kind == .snapshot, let sender = member(message.from), sender.isUp else { return }
        sender.node.reportSnapshot(message.to, succeeded: false)
    }

    private func member(_ id: MemberID) -> TestMember? { members.first { $0.id == id } }

    private func deliver() throws {
        guard let message = network.receive(random: &random) else { return }
        guard let target = member(message.to), target.isUp, !network.isCut(message) else { return reportLost(message) }
        try act(target) { target in
            do {
                try target.node.step(message)
            } catch let error as RaftError {
                switch error {
                // Nobody sends nonsense here.
                case .malformed, .localMessage: throw SafetyViolation("\(target.id) refused \(message): \(error)")
                default: break
                }
            }
        }
        if message.kind == .snapshot, let sender = member(message.from), sender.isUp {
            sender.node.reportSnapshot(message.to, succeeded: true)
        }
    }

    private func propose() throws {
        nextValue += 1
        let value = (0..<4).map { UInt8(truncatingIfNeeded: nextValue >> ($0 * 8)) }
        let target = random.chance(70) ? leaderIfAny ?? someone : someone
        try act(target) { member in
            if random.chance(20) {
                try? member.node.propose([value, value, value])
            } else {
                try? member.node.propose(value)
            }
        }
    }

    private func read() throws {
        nextValue += 1
        let context = (0..<4).map { UInt8(truncatingIfNeeded: nextValue >> ($0 * 8)) }
        observer.readBegins(context)
        try act(someone) { try? $0.node.readIndex(context: context) }
    }

    private func snapshot(_ member: TestMember) throws {
        // An installed snapshot that is still being written is nothing to take a copy of.
        try act(member) { member in
            guard member.machine.applied == member.node.appliedIndex, member.writes.allSatisfy({ $0.snapshot == nil }),
                member.node.snapshotMetadata.index <= member.machine.applied
            else { return }
            member.takeSnapshot()
            guard random.chance(60), member.machine.applied > 2, member.writes.isEmpty else { return }
            member.compact(through: member.machine.applied - UInt64(random.below(3)))
        }
    }

    private func crashOrRestart() throws {
        let victim = someone
        if let down = crashed.min(), random.chance(60) { return try restart(member(down)!) }
        // Mostly a minority is down, so that there is something to be wrong about.
        guard victim.isUp, crashed.count < members.count / 2 || random.chance(10) else { return }
        let surviving = random.below(victim.writes.count + 1)
        victim.crash(surviving: surviving, tornEntries: random.chance(50) ? random.below(3) : nil)
        crashed.insert(victim.id)
    }

    private func restart(_ member: TestMember) throws {
        try member.restart(seed: random.next())
        crashed.remove(member.id)
        try observer.restarted(member)
        try observer.observe(member, among: members)
    }

    private func cutOrHeal() {
        if random.chance(50) { network.heal() } else { network.cut(members.map(\.id), random: &random) }
    }

    private func transfer() throws {
        let target = someone.id
        try act(someone) { $0.node.transferLeadership(to: target) }
    }

    private func changeMembers() throws {
        guard let leader = leaderIfAny else { return }
        var changes: [ConfigurationChangeV2.Single] = []
        let wanted = random.chance(40) ? 1 + random.below(3) : 1
        for _ in 0..<wanted {
            let id = someone.id
            guard !changes.contains(where: { $0.member == id }) else { continue }
            let kinds: [ConfigurationChangeKind] = [.addVoter, .addVoter, .addLearner, .remove, .update]
            changes.append(.init(kind: kinds[random.below(kinds.count)], member: id))
        }
        var change = ConfigurationChangeV2(changes: changes)
        if random.chance(20) { change.transition = .jointImplicit }
        if random.chance(10) { change.transition = .jointExplicit }
        if leader.node.configurationState.votersOutgoing.count > 0 { change = ConfigurationChangeV2() }
        try act(leader) { member in
            if changes.count == 1, random.chance(50), change.transition == .auto, change.changes.count == 1 {
                try? member.node.proposeConfigurationChange(
                    ConfigurationChange(kind: changes[0].kind, member: changes[0].member))
            } else {
                try? member.node.proposeConfigurationChange(change)
            }
        }
    }

    // Peace

    /// Everybody is up, nothing is lost: a leader is found, a new value is applied by all members.
    private func settle() throws {
        network.heal()
        network.lossPercent = 0
        network.duplicatePercent = 0
        for member in members where !member.isUp { try restart(member) }
        var proposed: (term: Term, index: LogIndex)?
        for _ in 0..<600 {
            for member in members {
                try act(member) { $0.node.tick() }
            }
            for _ in 0..<40 {
                for member in members { try process(member) }
                for member in members { while !member.writes.isEmpty { try persist(member) } }
                if network.isEmpty, !members.contains(where: { $0.node.hasReady }) { break }
                while !network.isEmpty { try deliver() }
            }
            guard let leader = leaderOfAll else { continue }
            if leader.node.configurationState.votersOutgoing.count > 0, !leader.node.configurationState.autoLeave {
                try act(leader) { try? $0.node.proposeConfigurationChange(ConfigurationChangeV2()) }
                continue
            }
            // A leader that was replaced may have lost it.
            guard let (term, index) = proposed, term == leader.node.term else {
                try act(leader) { member in
                    try? member.node.propose([1])
                    proposed = (member.node.term, member.node.lastIndex)
                }
                continue
            }
            let state = leader.node.configurationState
            let expected = members.filter { (state.voters + state.learners).contains($0.id) }
            if expected.allSatisfy({ $0.machine.applied >= index && $0.machine == leader.machine }) {
                for member in members { member.node.checkInvariants() }
                return
            }
        }
        throw SafetyViolation("no agreement after peace: " + members.map { "\($0.node.status)" }.joined(separator: "\n"))
    }

    /// The leader of the highest term, if it has no rival.
    private var leaderOfAll: TestMember? {
        let leaders = members.filter { $0.node.isLeader }
        return leaders.max { $0.node.term < $1.node.term }
    }
}
