// The part of the log that is still in memory, and how far each stage of its life has got.
//
//     base < first … applied ≤ applying ≤ committed … last
//                    base ≤ stable ≤ offered ≤ last
//
// `base` is the entry before the first one kept: the last compaction or the installed snapshot. Entries are
// stored in one array with compacted slots in front, which are dropped when they are half of it: appending
// and compacting cost O(1) per entry, and nobody is ever handed a slice that would force a copy.

import Wire

struct RaftLog: Sendable {
    private var storage: [Entry] = []
    /// The slot of the first entry.
    private var head = 0
    private(set) var baseIndex: LogIndex
    private(set) var baseTerm: Term

    /// Durable here.
    private(set) var stable: LogIndex
    /// Handed out to be made durable.
    private(set) var offered: LogIndex
    /// Counts how often offered entries were taken back, so that a late acknowledgement of those is known.
    private(set) var epoch: UInt64 = 0

    private(set) var committed: LogIndex
    /// Handed out to be applied.
    private(set) var applying: LogIndex
    private(set) var applied: LogIndex
    private var applyingBytes = 0

    /// The newest snapshot to send to those who need what was compacted.
    private(set) var snapshot: Snapshot
    /// A snapshot from the leader, to be handed out.
    private(set) var incomingSnapshot: Snapshot?

    init(restoring state: RestoredState) throws(RaftError) {
        let snapshot = state.snapshot
        baseIndex = snapshot.index
        baseTerm = snapshot.term
        storage = state.entries
        self.snapshot = Snapshot()
        let last = snapshot.index + UInt64(storage.count)
        stable = last
        offered = last
        // What is applied was committed, even if the commit index had not reached the disk.
        committed = max(state.hardState.commit, snapshot.index, state.applied)
        applied = state.applied
        applying = state.applied
        var before = (index: snapshot.index, term: snapshot.term)
        var lastChange: LogIndex = 0
        for entry in storage {
            if entry.kind != .normal {
                // A leader proposes a change of the configuration only when the one before is applied, so the
                // later one proves that the earlier is committed, even if a torn write lost the commit index.
                // Without this, two configurations whose quorums do not overlap could be in force.
                committed = max(committed, lastChange)
                lastChange = entry.index
            }
            guard entry.index == before.index + 1 else {
                throw .invalidRestoredState("entry \(entry.index) follows entry \(before.index)")
            }
            guard entry.term >= before.term else {
                throw .invalidRestoredState("entry \(entry.index) has term \(entry.term) after \(before.term)")
            }
            before = (entry.index, entry.term)
        }
        guard committed <= last else {
            throw .invalidRestoredState("commit \(committed) is out of range [\(snapshot.index), \(last)]")
        }
        guard applied >= snapshot.index else {
            throw .invalidRestoredState("applied \(applied) is before the snapshot at \(snapshot.index)")
        }
        self.snapshot.metadata = SnapshotMetadata(
            index: applied, term: term(at: applied)!, configuration: state.configuration)
    }

    // Positions

    var firstIndex: LogIndex { baseIndex + 1 }
    @inline(__always) private var count: Int { storage.count - head }
    @inline(__always) var lastIndex: LogIndex { baseIndex + UInt64(count) }
    var lastTerm: Term { count == 0 ? baseTerm : storage[storage.count - 1].term }
    /// An installed snapshot is not in the state machine yet.
    var isInstallingSnapshot: Bool { applied < baseIndex }

    @inline(__always)
    private func slot(_ index: LogIndex) -> Int { head + Int(index - baseIndex - 1) }

    /// Nil if the entry is compacted or not there yet.
    func term(at index: LogIndex) -> Term? {
        if index == baseIndex { return baseTerm }
        guard index > baseIndex, index <= lastIndex else { return nil }
        return storage[slot(index)].term
    }

    func matches(index: LogIndex, term: Term) -> Bool { self.term(at: index) == term }

    /// §5.4.1: whether a log that ends so has at least what this one has.
    func isUpToDate(lastIndex index: LogIndex, term: Term) -> Bool {
        term > lastTerm || (term == lastTerm && index >= lastIndex)
    }

    /// The largest index at or before `index` whose term is not above `term`, and its term (0 if compacted):
    /// where two logs can at best agree. Terms never decrease, so halving finds it.
    func lastEntry(notAfter index: LogIndex, notAboveTerm term: Term) -> (index: LogIndex, term: Term) {
        var low = baseIndex
        var high = min(index, lastIndex)
        guard index > baseIndex, baseTerm <= term else {
            let found = min(index, baseIndex)
            let known = self.term(at: found) ?? 0
            // Below the base nothing is known: the index stands, and the other side looks into its own log.
            return known > term && found > 0 ? (found - 1, 0) : (found, known)
        }
        while low < high {
            let middle = low + (high - low + 1) / 2
            if self.term(at: middle)! <= term { low = middle } else { high = middle - 1 }
        }
        return (low, self.term(at: low)!)
    }

    // Reading

    func withEntries<Result>(
        _ range: Range<LogIndex>, _ body: (UnsafeBufferPointer<Entry>) throws -> Result
    ) rethrows -> Result {
        if range.isEmpty { return try body(UnsafeBufferPointer(start: nil, count: 0)) }
        precondition(
            range.lowerBound > baseIndex && range.upperBound <= lastIndex + 1,
            "raft: entries \(range) are not within \(firstIndex)...\(lastIndex)")
        let lower = slot(range.lowerBound)
        return try storage.withUnsafeBufferPointer {
            try body(UnsafeBufferPointer(rebasing: $0[lower..<(lower + range.count)]))
        }
    }

    /// Entries from `first` on, as many as fit, but at least one if there is one.
    func entries(from first: LogIndex, maxBytes: Int) -> (entries: [Entry], bytes: Int) {
        guard first <= lastIndex else { return ([], 0) }
        let (end, bytes) = upperBound(from: first, through: lastIndex, maxBytes: maxBytes)
        return (withEntries(first..<end) { Array($0) }, bytes)
    }

    private func upperBound(
        from first: LogIndex, through last: LogIndex, maxBytes: Int
    ) -> (end: LogIndex, bytes: Int) {
        var end = first
        var bytes = 0
        while end <= last {
            let size = storage[slot(end)].cost
            if end > first, bytes + size > maxBytes { break }
            bytes += size
            end += 1
        }
        return (end, bytes)
    }

    // Appending

    /// A leader's own entry; its index is the next one.
    @inline(__always)
    mutating func append(kind: EntryKind = .normal, term: Term, data: [UInt8]) {
        storage.append(Entry(kind: kind, term: term, index: lastIndex + 1, data: data))
    }

    /// A leader's entries after (`index`, `term`), consecutive. Nil if the log does not have that entry, else
    /// the last index that now agrees with the leader.
    mutating func append(_ entries: [Entry], after index: LogIndex, term: Term) -> LogIndex? {
        precondition(index >= committed, "raft: entries after \(index) would reach below commit \(committed)")
        guard matches(index: index, term: term) else { return nil }
        let end = index + UInt64(entries.count)
        guard let skipped = entries.firstIndex(where: { !matches(index: $0.index, term: $0.term) }) else { return end }
        let conflict = entries[skipped].index
        truncate(from: conflict)
        storage.append(contentsOf: entries[skipped...])
        return end
    }

    private mutating func truncate(from index: LogIndex) {
        guard index <= lastIndex else { return }
        storage.removeSubrange(slot(index)...)
        if index <= offered {
            offered = index - 1
            stable = min(stable, offered)
            epoch += 1
        }
    }

    // Stages

    mutating func commit(through index: LogIndex) {
        guard index > committed else { return }
        precondition(index <= lastIndex, "raft: commit \(index) is out of range, the last index is \(lastIndex)")
        committed = index
    }

    var hasEntriesToOffer: Bool { offered < lastIndex }

    mutating func offer() -> Range<LogIndex> {
        let range = offered + 1..<lastIndex + 1
        offered = lastIndex
        return range
    }

    /// The entries offered up to `index` are durable, unless they were taken back since.
    mutating func didPersist(through index: LogIndex, epoch: UInt64) {
        guard epoch == self.epoch, index > stable else { return }
        precondition(index <= offered, "raft: entry \(index) was acknowledged and not handed out, but \(offered)")
        stable = index
    }

    private var applicable: LogIndex { min(committed, stable) }

    func hasEntriesToApply(maxBytes: Int) -> Bool {
        incomingSnapshot == nil && !isInstallingSnapshot && applying < applicable && applyingBytes < maxBytes
    }

    /// The next committed entries, durable here, within what may be outstanding; and their payload bytes.
    mutating func takeEntriesToApply(maxBytes: Int) -> (range: Range<LogIndex>, payloadBytes: Int) {
        guard hasEntriesToApply(maxBytes: maxBytes) else { return (applying + 1..<applying + 1, 0) }
        let first = applying + 1
        let (end, bytes) = upperBound(from: first, through: applicable, maxBytes: maxBytes - applyingBytes)
        applying = end - 1
        applyingBytes += bytes
        return (first..<end, bytes - Int(end - first) * Limits.entryOverheadBytes)
    }

    mutating func didApply(through index: LogIndex) {
        precondition(index <= applying, "raft: entry \(index) applied, but only \(applying) was handed out")
        guard index > applied else { return }
        if index == applying {
            applyingBytes = 0
        } else {
            // What a snapshot replaced meanwhile is no longer there to be measured.
            var position = max(applied, baseIndex) + 1
            while position <= index {
                applyingBytes -= storage[slot(position)].cost
                position += 1
            }
            applyingBytes = max(applyingBytes, 0)
        }
        applied = index
    }

    // Snapshots and compaction

    /// Drops the entries up to `index`; their memory is free at once.
    mutating func compact(through index: LogIndex) {
        guard index > baseIndex else { return }
        precondition(index <= applied, "raft: compaction at \(index) is beyond applied \(applied)")
        precondition(index <= snapshot.metadata.index, "raft: compaction at \(index) has no snapshot")
        baseTerm = term(at: index)!
        let dropped = Int(index - baseIndex)
        for slot in head..<(head + dropped) { storage[slot].data = [] }
        head += dropped
        baseIndex = index
        if head >= Limits.minSlotsToTrim, head * 2 >= storage.count {
            storage.removeFirst(head)
            head = 0
        }
    }

    mutating func record(_ snapshot: Snapshot) {
        let index = snapshot.metadata.index
        precondition(index <= applied, "raft: snapshot at \(index) is beyond applied \(applied)")
        guard index >= self.snapshot.metadata.index else { return }
        if let term = term(at: index) {
            precondition(term == snapshot.metadata.term, "raft: snapshot at \(index) has the wrong term")
        }
        self.snapshot = snapshot
    }

    /// Begins anew behind a leader's snapshot.
    mutating func restore(_ snapshot: Snapshot) {
        storage.removeAll()
        head = 0
        baseIndex = snapshot.metadata.index
        baseTerm = snapshot.metadata.term
        stable = baseIndex
        offered = baseIndex
        epoch += 1
        committed = baseIndex
        self.snapshot = Snapshot(metadata: snapshot.metadata)
        incomingSnapshot = snapshot
    }

    mutating func takeIncomingSnapshot() -> Snapshot? {
        guard let snapshot = incomingSnapshot else { return nil }
        incomingSnapshot = nil
        applying = snapshot.metadata.index
        applyingBytes = 0
        return snapshot
    }

    func checkInvariants() {
        precondition(head <= storage.count)
        var before = (index: baseIndex, term: baseTerm)
        for entry in storage[head...] {
            precondition(entry.index == before.index + 1 && entry.term >= before.term, "raft: log is not a log")
            before = (entry.index, entry.term)
        }
        precondition(applied <= applying && applying <= committed && committed <= lastIndex)
        precondition(baseIndex <= stable && stable <= offered && offered <= lastIndex)
        precondition(isInstallingSnapshot || incomingSnapshot == nil)
        precondition(snapshot.metadata.index >= baseIndex)
        precondition(applyingBytes >= 0)
    }
}

extension Entry {
    /// What the entry is taken to cost in messages and batches.
    @inline(__always)
    var cost: Int { data.count + Limits.entryOverheadBytes }
}
