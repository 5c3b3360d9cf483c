// The naive store behind the hub's tests: an array of changes that forgets nothing, and knows what it is not
// allowed to show any more.

import Storage
import Testing
import Wire

@testable import KeySpace

/// One change with everything that can be said of it.
struct Change: Equatable {
    var main: Int64
    var sub: Int
    var key: [UInt8]
    /// nil: a delete.
    var value: [UInt8]?
    var created: Int64
    var version: Int64
    var lease: Int64 = 0

    /// The stored KeyValue of a put.
    var record: [UInt8] {
        let sink = ByteSink()
        sink.field(1, key)
        sink.field(2, created)
        sink.field(3, main)
        sink.field(4, version)
        sink.field(5, value ?? [])
        sink.field(6, lease)
        return sink.array()
    }
}

struct ReadFailure: Error {}

final class MemoryHistory: EventSource, @unchecked Sendable {
    // Unchecked: tests use it on one thread.

    /// All changes ever made, also those that are compacted and purged.
    private(set) var changes: [Change] = []
    private(set) var workingRevision: Int64 = 1
    private(set) var currentRevision: Int64 = 1
    private(set) var compactRevision: Int64 = -1
    private(set) var pins: [Int64] = []
    /// Changes whose record is gone.
    private var purged: Set<Int> = []
    /// Changes that a walk does not show any more.
    private var forgotten: Set<Int> = []
    private var latest: [[UInt8]: Int] = [:]
    /// For each change the one of its key before its main revision.
    private(set) var older: [Int?] = []
    private var records: [[UInt8]] = []
    var failsReads = false
    private(set) var walks = 0
    private(set) var recordsRead = 0

    // MARK: Writing

    @discardableResult
    func put(_ key: String, _ value: String = "v", lease: Int64 = 0) -> Int64 {
        transaction { $0.put(Array(key.utf8), Array(value.utf8), lease: lease) }
    }

    @discardableResult
    func delete(_ key: String) -> Int64 { transaction { $0.delete(Array(key.utf8)) } }

    /// Changes of one main revision; published at once.
    @discardableResult
    func transaction(publish: Bool = true, _ body: (Transaction) -> Void) -> Int64 {
        let transaction = Transaction(self)
        body(transaction)
        if transaction.sub > 0 { workingRevision += 1 }
        if publish { self.publish() }
        return workingRevision
    }

    func publish() { currentRevision = workingRevision }

    final class Transaction {
        private let history: MemoryHistory
        private(set) var sub = 0
        fileprivate init(_ history: MemoryHistory) { self.history = history }

        func put(_ key: [UInt8], _ value: [UInt8], lease: Int64 = 0) {
            let main = history.workingRevision + 1
            var change = Change(main: main, sub: sub, key: key, value: value, created: main, version: 1, lease: lease)
            if let last = history.latest[key], history.changes[last].value != nil {
                change.created = history.changes[last].created
                change.version = history.changes[last].version + 1
            }
            add(change)
        }

        func delete(_ key: [UInt8]) {
            guard let last = history.latest[key], history.changes[last].value != nil else { return }
            add(Change(main: history.workingRevision + 1, sub: sub, key: key, value: nil, created: 0, version: 0))
        }

        private func add(_ change: Change) {
            var older = history.latest[change.key]
            while let index = older, history.changes[index].main == change.main { older = history.older[index] }
            history.older.append(older)
            history.latest[change.key] = history.changes.count
            history.changes.append(change)
            history.records.append(change.value == nil ? [] : change.record)
            sub += 1
        }
    }

    func compact(_ revision: Int64) {
        precondition(revision > compactRevision && revision <= currentRevision)
        compactRevision = revision
    }

    /// Drops what compaction allows and no pin needs.
    func purge() {
        let limit = min(compactRevision, pins.min() ?? .max)
        var newest: [[UInt8]: Int] = [:]
        for (index, change) in changes.enumerated() where change.main <= limit {
            if let older = newest[change.key] {
                purged.insert(older)
                forgotten.insert(older)
            }
            newest[change.key] = index
            if change.value == nil, change.main < limit {
                purged.insert(index)
                forgotten.insert(index)
                newest[change.key] = nil
            }
        }
    }

    /// The value that a change replaced.
    func previousValue(of index: Int) -> Change? {
        guard let older = older[index], changes[older].value != nil else { return nil }
        return changes[older]
    }

    /// Positions of the changes of `first` ... `last`.
    func positions(from first: Int64, through last: Int64 = .max - 1) -> Range<Int> {
        let start = lowerBound(first)
        return start..<max(start, lowerBound(last + 1))
    }

    /// A change that another one of its key and main revision hides from reads: compaction takes it away.
    func isHidden(_ index: Int) -> Bool {
        let change = changes[index]
        return changes[(index + 1)...].prefix { $0.main == change.main }.contains { $0.key == change.key }
    }

    // MARK: EventSource

    func pin(from first: Int64) -> PinResult {
        guard first >= compactRevision else { return .compacted(compactRevision) }
        pins.append(first - 1)
        return .pinned(first - 1)
    }

    func unpin(_ pinned: Int64) {
        guard let index = pins.firstIndex(of: pinned) else { preconditionFailure("revision \(pinned) is not pinned") }
        pins.remove(at: index)
    }

    func movePin(_ pinned: Int64, to revision: Int64) {
        precondition(revision >= pinned)
        unpin(pinned)
        pins.append(revision)
    }

    func walk(from first: Int64, through last: Int64, limit: Int, _ body: (ChangeView) -> Bool) -> Int64 {
        precondition(pins.contains { $0 < first }, "a walk without a pin")
        precondition(last <= currentRevision)
        walks += 1
        var shown = 0
        var main: Int64 = 0
        var isEnough = false
        var index = lowerBound(first)
        while index < changes.count {
            defer { index += 1 }
            let change = changes[index]
            if change.main > last { break }
            if forgotten.contains(index) { continue }
            if change.main != main, isEnough || shown >= limit { return main }
            main = change.main
            shown += 1
            var previous: RecordLocation?
            if main - 1 >= compactRevision, let older = older[index], changes[older].value != nil { previous = location(older) }
            let isGoingOn = change.key.withUnsafeBytes {
                body(
                    ChangeView(
                        revision: main, isDelete: change.value == nil, isCreation: change.created == main, key: $0, record: location(index),
                        previous: previous))
            }
            if !isGoingOn { isEnough = true }
        }
        return last
    }

    private func lowerBound(_ first: Int64) -> Int {
        var low = 0
        var high = changes.count
        while low < high {
            let middle = (low + high) / 2
            if changes[middle].main < first { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func location(_ index: Int) -> RecordLocation {
        RecordLocation(segment: 0, length: UInt32(records[index].count), offset: UInt64(index))
    }

    func holdingRecords(_ body: () -> Void) { body() }

    func read(_ records: UnsafeBufferPointer<RecordLocation>, into sink: ByteSink) throws {
        if failsReads { throw ReadFailure() }
        for record in records {
            precondition(!purged.contains(Int(record.offset)), "a purged record is read")
            recordsRead += 1
            sink.append(self.records[Int(record.offset)])
        }
    }
}
