// What a store is full of: counted over all its revisions, in as many passes as its keys need.

import Archive
import Decoder
import Wire

/// What a group of keys needs.
struct Usage {
    var keys = 0
    /// Keys and values of the newest revisions.
    var bytes = 0
    /// All that are kept, deletes included.
    var revisions = 0
    var historyBytes = 0
    /// Written since the history's clock began.
    var writtenBytes = 0

    mutating func add(_ other: Usage) {
        keys += other.keys
        bytes += other.bytes
        revisions += other.revisions
        historyBytes += other.historyBytes
        writtenBytes += other.writtenBytes
    }
}

/// One key of a list of the largest.
struct KeyUsage {
    let key: String
    let kind: String
    let isDeleted: Bool
    let valueBytes: Int
    let revisions: Int
    let historyValueBytes: Int
    /// Puts since it was created.
    let version: Int64
}

struct Analysis {
    /// Revisions and what the clock on the wall showed when they were made.
    struct Clock {
        var first: (revision: Int64, seconds: Int64)?
        var last: (revision: Int64, seconds: Int64)?

        /// Long enough to tell a growth from.
        var seconds: Int64? {
            guard let first, let last, last.seconds - first.seconds >= ToolLimits.growthSecondsMin else { return nil }
            return last.seconds - first.seconds
        }
    }

    private(set) var total = Usage()
    private(set) var deletedKeys = 0
    private(set) var resources: [String: Usage] = [:]
    private(set) var kinds: [String: Usage] = [:]
    private(set) var namespaces: [String: Usage] = [:]
    private(set) var largest: TopList<KeyUsage>
    private(set) var largestHistory: TopList<KeyUsage>
    private(set) var mostRewritten: TopList<KeyUsage>
    private(set) var clock = Clock()
    private(set) var passes = 0
    let revision: Int64

    /// What is counted of one key.
    private struct Use {
        var isTombstone = false
        var kind: UInt16 = 0
        var valueBytes = 0
        var revisions = 0
        var historyBytes = 0
        var historyValueBytes = 0
        var writtenBytes = 0
        var version: Int64 = 0
    }

    /// - Parameters:
    ///   - revision: 0: the last one.
    ///   - rows: length of each list.
    init(_ source: any RevisionSource, at revision: Int64, in range: KeySpan, rows: Int, keysPerPass: Int = ArchiveLimits.keysPerPass) throws {
        try KeyStates.check(source, revision)
        self.revision = revision == 0 ? source.revision : revision
        largest = TopList(rows)
        largestHistory = TopList(rows)
        mostRewritten = TopList(rows)
        let names = ResourceNames()
        var interner = KindInterner()
        var low = range.low
        while true {
            let table = KeyTable<Use>(KeySpan(low: low, high: range.high), keysMax: keysPerPass)
            try read(source, into: table, &interner)
            passes += 1
            table.forEachSorted { key, use in add(key, use, names, interner) }
            guard let high = table.range.high, high != range.high else { return }
            low = high
        }
    }

    private mutating func read(_ source: any RevisionSource, into table: KeyTable<Use>, _ interner: inout KindInterner) throws {
        let compacted = source.compacted
        let isFirst = passes == 0
        var clock = clock
        try source.forEach(ReadScope(table.range, at: revision)) { change in
            guard change.main <= revision else { return false }
            let head = change.isTombstone ? nil : ObjectHead(change.value)
            if isFirst, change.main > compacted, let head {
                // Nodes renew their leases all the time; an object's first revision is as old as the object.
                if let seconds = head.renewTime ?? (change.version == 1 ? head.creationTime : nil) {
                    if clock.first == nil { clock.first = (change.main, seconds) }
                    clock.last = (change.main, seconds)
                }
            }
            let kind = interner.number(of: head)
            let bytes = change.key.count + change.value.count
            let isWritten = clock.first.map { change.main > $0.revision } ?? false
            table.update(change.key, initial: Use()) { use in
                if change.main <= compacted {
                    // Superseded by the compaction, whether its space is reclaimed or not.
                    use.revisions = 0
                    use.historyBytes = 0
                    use.historyValueBytes = 0
                }
                use.isTombstone = change.isTombstone
                use.valueBytes = change.value.count
                if !change.isTombstone {
                    use.kind = kind
                    use.version = change.version
                }
                guard !change.isTombstone || change.main > compacted else { return }
                use.revisions += 1
                use.historyBytes += bytes
                use.historyValueBytes += change.value.count
                if isWritten { use.writtenBytes += bytes }
            }
            return true
        }
        self.clock = clock
    }

    private mutating func add(_ key: UnsafeRawBufferPointer, _ use: Use, _ names: ResourceNames, _ interner: KindInterner) {
        guard !use.isTombstone || use.revisions > 0 else { return }
        let text = String(decoding: key, as: UTF8.self)
        let name = names.name(of: key)
        let kind = interner.names[Int(use.kind)]
        let usage = Usage(
            keys: use.isTombstone ? 0 : 1, bytes: use.isTombstone ? 0 : key.count + use.valueBytes, revisions: use.revisions,
            historyBytes: use.historyBytes, writtenBytes: use.writtenBytes)
        total.add(usage)
        if use.isTombstone { deletedKeys += 1 }
        resources[name.resource, default: Usage()].add(usage)
        kinds[kind, default: Usage()].add(usage)
        namespaces[name.namespace, default: Usage()].add(usage)
        func keyUsage() -> KeyUsage {
            KeyUsage(
                key: text, kind: kind, isDeleted: use.isTombstone, valueBytes: use.valueBytes, revisions: use.revisions,
                historyValueBytes: use.historyValueBytes, version: use.version)
        }
        if !use.isTombstone { largest.offer(use.valueBytes, keyUsage) }
        largestHistory.offer(use.historyValueBytes, keyUsage)
        if use.revisions > 1 { mostRewritten.offer(use.revisions, keyUsage) }
    }
}

/// Names of kinds as numbers.
private struct KindInterner {
    /// The first stands for what is no object.
    private(set) var names = ["-"]
    private var numbers: [String: UInt16] = [:]
    /// The kinds met first, which are nearly all there are: found without making a text.
    private var quick: [(apiVersion: [UInt8], kind: [UInt8], number: UInt16)] = []
    private static let quickMax = 64

    mutating func number(of head: ObjectHead?) -> UInt16 {
        guard let head else { return 0 }
        for entry in quick
        where entry.kind.count == head.kind.count && entry.apiVersion.count == head.apiVersion.count && head.kind.elementsEqual(entry.kind)
            && head.apiVersion.elementsEqual(entry.apiVersion)
        {
            return entry.number
        }
        let (apiVersion, kind) = head.names
        let name = "\(apiVersion)/\(kind)"
        if let number = numbers[name] { return number }
        guard names.count < Int(UInt16.max) else { return 0 }
        let number = UInt16(names.count)
        numbers[name] = number
        names.append(name)
        if quick.count < KindInterner.quickMax { quick.append(([UInt8](head.apiVersion), [UInt8](head.kind), number)) }
        return number
    }
}

/// The elements with the highest values, the first of equal ones; bounded.
struct TopList<Element> {
    private let limit: Int
    private(set) var entries: [(value: Int, element: Element)] = []

    init(_ limit: Int) { self.limit = limit }

    mutating func offer(_ value: Int, _ element: () -> Element) {
        if entries.count >= limit {
            guard let last = entries.last, value > last.value else { return }
            entries.removeLast()
        }
        var index = entries.count
        while index > 0, entries[index - 1].value < value { index -= 1 }
        entries.insert((value, element()), at: index)
    }
}
