// The cluster that a script plays with: members, the messages between them, and the commands.

import Raft
import Wire

final class ScriptedCluster {
    private var members: [TestMember] = []
    private var inFlight: [Message] = []
    /// Groups that cannot hear each other; whoever is in none is alone.
    private var partition: [[MemberID]]?
    /// Members whose writes wait for `persist`.
    private var held: Set<MemberID> = []
    private var level = LogLine.Level.info
    private var isQuiet = false
    private var trace: [String] = []

    /// Runs one command and returns its trace.
    func run(_ line: String) -> [String] {
        trace = []
        do {
            try execute(ScriptCommand(line))
            for member in members where member.isUp { member.node.checkInvariants() }
        } catch {
            trace.append("error: \(error)")
        }
        return trace
    }

    private func execute(_ command: ScriptCommand) throws {
        switch command.name {
        case "add": try add(command)
        case "log": level = try command.logLevel()
        case "quiet": isQuiet = true
        case "loud": isQuiet = false

        case "campaign": try on(command) { $0.campaign() }
        case "tick": try on(command) { for _ in 0..<(command.count) { $0.tick() } }
        case "tick-all": for member in members where member.isUp { for _ in 0..<command.count { member.node.tick() } }
        case "tick-election": try on(command) { tickElection(&$0) }
        case "propose": try on(command) { try $0.propose(Array(command.text(after: 1).utf8)) }
        case "propose-batch":
            try on(command) { node in
                for number in 1...command.count { try node.propose(Array("\(command.text(after: 2))\(number)".utf8)) }
            }
        case "change": try on(command) { try $0.proposeConfigurationChange(command.change()) }
        case "change-v1": try on(command) { try $0.proposeConfigurationChange(command.changeV1()) }
        case "read": try on(command) { try $0.readIndex(context: Array(command.text(after: 1).utf8)) }
        case "transfer": try on(command) { $0.transferLeadership(to: try command.member(1)) }
        case "forget-leader": try on(command) { $0.forgetLeader() }
        case "unreachable": try on(command) { $0.reportUnreachable(try command.member(1)) }
        case "snapshot-sent": try on(command) { $0.reportSnapshot(try command.member(1), succeeded: true) }
        case "snapshot-failed": try on(command) { $0.reportSnapshot(try command.member(1), succeeded: false) }
        case "step": try on(command) { try $0.step(try command.message()) }

        case "process": for id in try command.members(0) { try process(member(id)) }
        case "hold": held.insert(try command.member(0))
        case "release": held.remove(try command.member(0))
        case "persist": try persist(member(try command.member(0)))
        case "deliver": try deliver(command.filter())
        case "drop": drop(command.filter())
        case "duplicate": inFlight += inFlight.filter(command.filter().matches)
        case "reverse": inFlight.reverse()
        case "stabilize": try stabilize(command)
        case "partition": partition = try command.groups()
        case "heal": partition = nil

        case "snapshot": try member(command.member(0)).takeSnapshot()
        case "compact": try compact(command)
        case "crash": try member(command.member(0)).crash()
        case "restart": try restart(member(command.member(0)))

        case "status": for member in members where member.isUp { trace.append(statusText(member)) }
        case "progress": try progress(member(command.member(0)))
        case "entries": try entries(member(command.member(0)))
        case "messages": trace += inFlight.map(TraceText.message)
        default: throw ScriptCommand.Failure("no such command: \(command.name)")
        }
    }

    // Members

    private func member(_ id: MemberID) throws -> TestMember {
        guard let found = members.first(where: { $0.id == id }) else { throw ScriptCommand.Failure("no member \(id)") }
        return found
    }

    private func on(_ command: ScriptCommand, _ body: (inout RaftNode) throws -> Void) throws {
        let member = try self.member(try command.member(0))
        guard member.isUp else { throw ScriptCommand.Failure("\(member.id) is down") }
        try body(&member.node)
        show(member)
    }

    private func add(_ command: ScriptCommand) throws {
        for id in try command.members(0) {
            var configuration = RaftConfiguration(
                id: id, electionTicks: command.option("election") ?? 3, heartbeatTicks: 1,
                preVote: command.option("prevote") ?? 0 == 1, checkQuorum: command.option("checkquorum") ?? 0 == 1,
                seed: id.rawValue)
            configuration.logsDebug = true
            configuration.maxInflightMessages = command.option("inflight") ?? 256
            configuration.maxSizePerMessage = command.option("message-bytes") ?? 1 << 20
            configuration.maxUncommittedBytes = command.option("uncommitted-bytes") ?? .max
            if command.option("hand-over") == 0 { configuration.handsOverOnRemoval = false }
            var disk = TestDisk()
            disk.machine.configuration = ConfigurationState(
                voters: try command.list("voters"), learners: try command.list("learners"))
            // A cluster may begin behind a compacted log.
            let first = LogIndex(command.option("compacted") ?? 0)
            if first > 0 {
                disk.snapshot = SnapshotMetadata(index: first, term: 1, configuration: disk.machine.configuration)
                disk.hardState = HardState(term: 1, commit: first)
                disk.machine.applied = first
                disk.machine.term = 1
            }
            let member = try TestMember(configuration, disk: disk)
            members.append(member)
            show(member)
        }
    }

    private func tickElection(_ node: inout RaftNode) {
        // Twice the timeout is beyond every random choice; a candidacy ends it.
        let before = node.term
        for _ in 0..<100 where node.role == .follower && node.term == before { node.tick() }
    }

    private func restart(_ member: TestMember) throws {
        try member.restart(seed: member.id.rawValue)
        show(member)
    }

    private func compact(_ command: ScriptCommand) throws {
        let member = try self.member(try command.member(0))
        member.compact(through: LogIndex(try command.number(1)))
    }

    // Work

    /// Shows what was logged since the last command; the rest of the work waits for `process`.
    private func show(_ member: TestMember) {
        show(member.node.takeLogLines())
    }

    private func show(_ lines: [LogLine]) {
        guard !isQuiet else { return }
        for line in lines {
            switch line.level {
            case .debug where level == .debug: trace.append("DEBUG \(line.text)")
            case .info where level != .error: trace.append("INFO \(line.text)")
            case .warning: trace.append("WARN \(line.text)")
            case .error: trace.append("ERROR \(line.text)")
            default: break
            }
        }
    }

    private func note(_ text: String) { if !isQuiet { trace.append(text) } }

    private func process(_ member: TestMember) throws {
        guard member.isUp else { throw ScriptCommand.Failure("\(member.id) is down") }
        guard member.node.hasReady else { return }
        var applied: [Entry] = []
        let ready = member.takeReady { applied.append($0) }
        show(ready.logLines)
        note("\(member.id) is ready")
        if let state = ready.softState { note("  leader=\(state.leader) role=\(TraceText.role(state.role))") }
        if let state = ready.hardState { note("  hard state \(TraceText.hardState(state))") }
        if let snapshot = ready.snapshot { note("  install snapshot \(TraceText.snapshot(snapshot.metadata))") }
        if !ready.entriesToAppend.isEmpty {
            note("  append \(TraceText.entries(member.node.entries(ready.entriesToAppend)))")
        }
        for message in ready.messages {
            note("  send \(TraceText.message(message))")
            inFlight.append(message)
        }
        for message in ready.messagesAfterAppend { note("  then send \(TraceText.message(message))") }
        if !applied.isEmpty { note("  apply \(TraceText.entries(applied))") }
        for state in ready.readStates {
            note("  read \(String(decoding: state.context, as: UTF8.self)) at \(state.index)")
        }
        if !held.contains(member.id) { while !member.writes.isEmpty { try persist(member, isShown: false) } }
        show(member)
    }

    private func persist(_ member: TestMember, isShown: Bool = true) throws {
        guard !member.writes.isEmpty else { throw ScriptCommand.Failure("\(member.id) writes nothing") }
        let messages = member.persist()
        inFlight += messages
        if isShown {
            for message in messages { note("send \(TraceText.message(message))") }
            show(member)
        }
    }

    private func isCut(_ message: Message) -> Bool {
        guard let partition else { return false }
        return !partition.contains { $0.contains(message.from) && $0.contains(message.to) }
    }

    private func deliver(_ filter: ScriptCommand.Filter) throws {
        let chosen = inFlight.filter(filter.matches)
        inFlight.removeAll(where: filter.matches)
        for message in chosen { deliver(message) }
    }

    private func deliver(_ message: Message) {
        guard let member = members.first(where: { $0.id == message.to }), member.isUp else {
            return note("lost \(TraceText.message(message))")
        }
        if isCut(message) { return note("cut \(TraceText.message(message))") }
        note("deliver \(TraceText.message(message))")
        do {
            try member.node.step(message)
        } catch {
            note("  refused: \(error)")
        }
        show(member)
    }

    private func drop(_ filter: ScriptCommand.Filter) {
        for message in inFlight where filter.matches(message) { note("drop \(TraceText.message(message))") }
        inFlight.removeAll(where: filter.matches)
    }

    /// Works and delivers until nothing is left to do.
    private func stabilize(_ command: ScriptCommand) throws {
        let only = try command.members(0)
        let chosen = members.filter { only.isEmpty || only.contains($0.id) }
        for _ in 0..<1000 {
            let busy = chosen.filter { $0.isUp && $0.node.hasReady }
            for member in busy { try process(member) }
            let due = inFlight.filter { message in chosen.contains { $0.id == message.to } }
            inFlight.removeAll { message in chosen.contains { $0.id == message.to } }
            for message in due { deliver(message) }
            if busy.isEmpty, due.isEmpty { return }
        }
        throw ScriptCommand.Failure("does not become stable")
    }

    // Looking

    private func statusText(_ member: TestMember) -> String {
        let status = member.node.status
        var text = "\(member.id) \(TraceText.role(status.role)) term=\(status.term) vote=\(status.vote) leader=\(status.leader)"
        text += " log=\(status.firstIndex)..\(status.lastIndex) commit=\(status.commit) applied=\(status.applied)"
        text += " \(TraceText.configuration(status.configuration))"
        if let target = status.transferTarget { text += " transferring to \(target)" }
        return text
    }

    private func progress(_ member: TestMember) throws {
        for other in member.node.status.members {
            var text = "\(other.id) \(other.state.logName) match=\(other.match) next=\(other.next)"
            if other.isLearner { text += " learner" }
            if other.isPaused { text += " paused" }
            if other.pendingSnapshot > 0 { text += " snapshot=\(other.pendingSnapshot)" }
            if other.inflightMessages > 0 { text += " inflight=\(other.inflightMessages)" }
            if !other.isRecentlyActive { text += " inactive" }
            trace.append(text)
        }
    }

    private func entries(_ member: TestMember) throws {
        let status = member.node.status
        for entry in member.node.entries(status.firstIndex..<status.lastIndex + 1) { trace.append(TraceText.entry(entry)) }
    }
}
