// The entries of a write-ahead log as whoever opens it would see them: behind a point, without those that later ones have
// replaced. Two passes over the files, so that memory does not grow with the log.

import CommandLineTools
import Storage
import Wire

struct WALWalk {
    private let scanner: WALScanner
    /// Entries come from behind this index.
    let start: LogIndex
    /// The last snapshot record that is committed.
    let snapshot: WALSnapshot
    private(set) var metadata: WALMetadata?
    private(set) var state = HardState()
    /// Entries that are left, and the last one's index; 0 if there is none.
    private(set) var count = 0
    private(set) var lastIndex: LogIndex = 0
    private var replacements = Replacements()

    /// - Parameter start: nil: the last committed snapshot.
    /// - Throws: `StorageError` or `CommandFailure` if the log is damaged; a torn end is none.
    init(_ directory: String, behind start: LogIndex? = nil) throws {
        var scanner = try WALScanner(directory, in: PosixFileSystem())
        scanner.dropReleased()
        snapshot = try Self.lastSnapshot(scanner)
        self.start = start ?? snapshot.index
        try scanner.begin(behind: self.start, directory)
        self.scanner = scanner
        var ordinal = 0
        var last = self.start
        var isFirst = true
        var problem: CommandFailure?
        let ending = try scanner.forEach { record, place in
            switch record {
            case .metadata(let found): metadata = found
            case .state(let found): state = found
            case .entry(let entry):
                guard entry.index > self.start else { return true }
                if isFirst || entry.index == last + 1 {
                    guard entry.index == last + 1 else {
                        problem = CommandFailure("\(place.path): entry \(entry.index) follows entry \(last): slice bounds out of range")
                        return false
                    }
                } else if entry.index <= last {
                    guard replacements.add(ordinal, entry.index) else {
                        problem = CommandFailure("\(place.path): more than \(UtilityLimits.replacementsMax) entries replace others")
                        return false
                    }
                } else {
                    problem = CommandFailure("\(place.path): entry \(entry.index) follows entry \(last): slice bounds out of range")
                    return false
                }
                isFirst = false
                last = entry.index
                ordinal += 1
            case .snapshot, .checksum, .unknown: break
            }
            return true
        }
        if let problem { throw problem }
        if case .damaged(let path, let offset, let text) = ending { throw CommandFailure("\(path), offset \(offset): \(text)") }
        count = Int(last - self.start)
        lastIndex = count > 0 ? last : 0
        replacements.finish()
    }

    private static func lastSnapshot(_ scanner: WALScanner) throws -> WALSnapshot {
        var all: [WALSnapshot] = []
        var commit: LogIndex = 0
        let ending = try scanner.forEach { record, _ in
            switch record {
            case .snapshot(let snapshot): all.append(snapshot)
            case .state(let state):
                commit = state.commit
                // Of those that are committed the last is enough.
                if let last = all.lastIndex(where: { $0.index <= commit }), last > 0 { all.removeFirst(last) }
            default: break
            }
            return true
        }
        if case .damaged(let path, let offset, let text) = ending { throw CommandFailure("\(path), offset \(offset): \(text)") }
        return all.last { $0.index <= commit } ?? WALSnapshot()
    }

    /// Visits the entries in order.
    ///
    /// - Parameter body: answers whether to go on.
    func forEachEntry(_ body: (Entry) throws -> Bool) throws {
        var ordinal = 0
        _ = try scanner.forEach { record, _ in
            guard case .entry(let entry) = record, entry.index > start else { return true }
            defer { ordinal += 1 }
            guard !replacements.isReplaced(ordinal, entry.index) else { return true }
            return try body(entry)
        }
    }
}

/// Entries that replaced others: each ends the life of all before it from its index on.
struct Replacements {
    private var ordinals: [Int] = []
    private var indexes: [LogIndex] = []

    /// False if there are too many.
    mutating func add(_ ordinal: Int, _ index: LogIndex) -> Bool {
        guard ordinals.count < UtilityLimits.replacementsMax else { return false }
        ordinals.append(ordinal)
        indexes.append(index)
        return true
    }

    /// After the last one: `indexes` becomes the lowest of each and all behind it.
    mutating func finish() {
        var lowest = LogIndex.max
        for position in indexes.indices.reversed() {
            lowest = min(lowest, indexes[position])
            indexes[position] = lowest
        }
    }

    func isReplaced(_ ordinal: Int, _ index: LogIndex) -> Bool {
        var (low, high) = (0, ordinals.count)
        while low < high {
            let middle = (low + high) / 2
            if ordinals[middle] <= ordinal { low = middle + 1 } else { high = middle }
        }
        return low < indexes.count && indexes[low] <= index
    }
}
