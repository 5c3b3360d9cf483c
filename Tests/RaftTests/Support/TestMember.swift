// A member with a disk and a state machine around the consensus value, for scripts and the simulation.

import Raft
import Wire

/// What a crash leaves behind.
struct TestDisk {
    var hardState = HardState()
    var snapshot = SnapshotMetadata()
    var entries: [Entry] = []
    /// The state machine as it was last saved; at or behind what is committed, at or beyond the snapshot.
    var machine = TestMachine()

    mutating func write(_ write: TestWrite) {
        if let snapshot = write.snapshot {
            self.snapshot = snapshot.metadata
            entries = []
            machine = TestMachine(snapshot)
        }
        if let first = write.entries.first {
            let kept = Int(first.index - self.snapshot.index) - 1
            precondition(kept >= 0 && kept <= entries.count, "a gap before entry \(first.index)")
            entries.removeSubrange(kept...)
            entries.append(contentsOf: write.entries)
        }
        if let state = write.hardState { hardState = state }
    }

    mutating func compact(through index: LogIndex, term: Term, configuration: ConfigurationState) {
        guard index > snapshot.index else { return }
        entries.removeFirst(Int(index - snapshot.index))
        snapshot = SnapshotMetadata(index: index, term: term, configuration: configuration)
    }

    var restored: RestoredState {
        RestoredState(
            hardState: hardState, configuration: machine.configuration, snapshot: snapshot, entries: entries,
            applied: machine.applied)
    }
}

/// What one `Ready` asks to be made durable, and what may be sent then.
struct TestWrite {
    var hardState: HardState?
    var snapshot: Snapshot?
    var entries: [Entry]
    var mustSync: Bool
    var messages: [Message]
    var token: PersistenceToken
}

/// The simplest state machine that notices every difference: a hash over all that was applied.
struct TestMachine: Equatable {
    var applied: LogIndex = 0
    var term: Term = 0
    var hash: UInt64 = 14_695_981_039_346_656_037
    var configuration = ConfigurationState()

    init() {}

    init(_ snapshot: Snapshot) {
        applied = snapshot.metadata.index
        term = snapshot.metadata.term
        configuration = snapshot.metadata.configuration
        for byte in snapshot.data.prefix(8).reversed() { hash = hash << 8 | UInt64(byte) }
    }

    var snapshot: Snapshot {
        Snapshot(
            metadata: SnapshotMetadata(index: applied, term: term, configuration: configuration),
            data: (0..<8).map { UInt8(truncatingIfNeeded: hash >> ($0 * 8)) })
    }

    mutating func apply(_ entry: Entry) {
        precondition(entry.index == applied + 1, "entry \(entry.index) applied after \(applied)")
        applied = entry.index
        term = entry.term
        hash = (hash ^ entry.term ^ entry.kind.rawValue << 32) &* 1_099_511_628_211
        for byte in entry.data { hash = (hash ^ UInt64(byte)) &* 1_099_511_628_211 }
    }
}

/// A member that may be up or down.
final class TestMember {
    let id: MemberID
    var configuration: RaftConfiguration
    private(set) var isUp = true
    var node: RaftNode
    var disk: TestDisk
    var machine: TestMachine
    /// Handed out by `ready`, in order, not durable yet.
    private(set) var writes: [TestWrite] = []

    init(_ configuration: RaftConfiguration, disk: TestDisk) throws {
        id = configuration.id
        self.configuration = configuration
        self.disk = disk
        machine = disk.machine
        node = try RaftNode(configuration, restoring: disk.restored)
    }

    /// Takes the next `Ready`; its writes wait for `persist`, its committed entries are applied.
    func takeReady(applying entry: (Entry) -> Void = { _ in }) -> Ready {
        let ready = node.ready()
        let write = TestWrite(
            hardState: ready.hardState, snapshot: ready.snapshot, entries: node.entries(ready.entriesToAppend),
            mustSync: ready.mustSync, messages: ready.messagesAfterAppend, token: ready.persistence)
        writes.append(write)
        for committed in node.entries(ready.committedEntries) {
            machine.apply(committed)
            if committed.kind != .normal { applyChange(committed) }
            entry(committed)
        }
        if !ready.committedEntries.isEmpty { node.didApply(through: machine.applied) }
        return ready
    }

    private func applyChange(_ entry: Entry) {
        guard let change = try? ConfigurationChangeV2(decoding: entry) else { return }
        if let state = try? node.applyConfigurationChange(change) { machine.configuration = state }
    }

    /// The oldest write reaches the disk. Returns what may be sent now.
    func persist() -> [Message] {
        let write = writes.removeFirst()
        disk.write(write)
        node.didPersist(write.token)
        if let snapshot = write.snapshot {
            machine = TestMachine(snapshot)
            node.didApply(through: machine.applied)
            node.recordSnapshot(machine.snapshot)
        }
        return write.messages
    }

    /// Saves the state machine and offers it to members that fall behind.
    func takeSnapshot() {
        disk.machine = machine
        node.recordSnapshot(machine.snapshot)
    }

    func compact(through index: LogIndex) {
        guard let term = node.term(at: index), index <= disk.machine.applied else { return }
        node.compactLog(through: index)
        disk.compact(through: index, term: term, configuration: disk.machine.configuration)
    }

    /// Loses all that is not on the disk, but for the first `surviving` of the pending writes, of which the last
    /// may be torn.
    func crash(surviving: Int = 0, tornEntries: Int? = nil) {
        for (number, var write) in writes.prefix(surviving).enumerated() {
            if number == surviving - 1, let tornEntries, write.snapshot == nil {
                write.entries = Array(write.entries.prefix(tornEntries))
                write.hardState = nil
            }
            disk.write(write)
        }
        writes = []
        isUp = false
    }

    func restart(seed: UInt64) throws {
        configuration.seed = seed
        machine = disk.machine
        node = try RaftNode(configuration, restoring: disk.restored)
        node.recordSnapshot(machine.snapshot)
        isUp = true
    }
}
