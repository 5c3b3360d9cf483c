// A file or directory of the simulated disk: what is there, and what would survive a power loss.

/// Guarded by the file system's lock.
final class Node: @unchecked Sendable {
    static let sector = 512

    let isDirectory: Bool

    // A file: the content that processes see, the content on the disk, and where the two may differ.
    var current: [UInt8] = []
    var durable: [UInt8] = []
    var dirtySectors: Set<Int> = []
    /// Space reserved beyond the size.
    var reserved: UInt64 = 0

    // A directory.
    var entries: [String: Node] = [:]
    var durableEntries: [String: Node] = [:]
    /// Changes since the last sync; each is atomic.
    var unsynced: [[(String, Node?)]] = []

    init(isDirectory: Bool) { self.isDirectory = isDirectory }

    var allocated: UInt64 {
        isDirectory ? entries.values.reduce(0) { $0 + $1.allocated } : max(UInt64(current.count), reserved)
    }

    // MARK: Files

    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) {
        let end = offset + bytes.count
        if current.count < end {
            markDirty(current.count..<end)
            current.append(contentsOf: repeatElement(0, count: end - current.count))
        }
        current.replaceSubrange(offset..<end, with: bytes)
        markDirty(offset..<end)
    }

    func truncate(to length: Int) {
        if length < current.count {
            markDirty(length..<current.count)
            current.removeSubrange(length...)
            reserved = 0
        } else {
            extend(to: length)
            reserved = 0
        }
    }

    func extend(to length: Int) {
        guard length > current.count else { return }
        markDirty(current.count..<length)
        current.append(contentsOf: repeatElement(0, count: length - current.count))
    }

    func sync() {
        durable = current
        dirtySectors.removeAll()
    }

    private func markDirty(_ range: Range<Int>) {
        guard !range.isEmpty else { return }
        for sector in range.lowerBound / Node.sector...(range.upperBound - 1) / Node.sector { dirtySectors.insert(sector) }
    }

    /// The kernel writes some sectors back before anybody asks it to.
    func writeBack(_ random: inout SplitMix64) {
        for sector in dirtySectors.sorted() where random.next() % 2 == 0 { persist(sector * Node.sector, Node.sector) }
    }

    private func persist(_ start: Int, _ count: Int) {
        let end = min(start + count, current.count)
        guard start < end else { return }
        if durable.count < end { durable.append(contentsOf: repeatElement(0, count: end - durable.count)) }
        durable.replaceSubrange(start..<end, with: current[start..<end])
    }

    // MARK: Directories

    func change(_ effect: [(String, Node?)]) {
        for (name, node) in effect { entries[name] = node }
        unsynced.append(effect)
    }

    func syncEntries() {
        durableEntries = entries
        unsynced = []
    }

    // MARK: Power loss

    /// What is left of this node, and of everything below it.
    func survivor(unit: Int, orderedDirectories: Bool, _ random: inout SplitMix64) -> Node {
        isDirectory ? survivingDirectory(unit, orderedDirectories, &random) : survivingFile(unit, &random)
    }

    private func survivingFile(_ unit: Int, _ random: inout SplitMix64) -> Node {
        let node = Node(isDirectory: false)
        var content = durable
        if !dirtySectors.isEmpty || durable.count != current.count {
            // Nothing, everything, or each unit by chance.
            let mode = random.next() % 4
            let units = Set(dirtySectors.map { $0 * Node.sector / unit }).sorted()
            let keepsSize = mode == 0 || (mode > 1 && random.next() % 2 == 0)
            let size = keepsSize ? durable.count : current.count
            if content.count < size { content.append(contentsOf: repeatElement(0, count: size - content.count)) }
            if content.count > size { content.removeSubrange(size...) }
            for index in units where mode == 1 || (mode > 1 && random.next() % 2 == 0) {
                let start = index * unit
                let end = min(start + unit, current.count, content.count)
                if start < end { content.replaceSubrange(start..<end, with: current[start..<end]) }
            }
        }
        node.current = content
        node.durable = content
        return node
    }

    private func survivingDirectory(_ unit: Int, _ isOrdered: Bool, _ random: inout SplitMix64) -> Node {
        var names = durableEntries
        if !unsynced.isEmpty {
            let prefix = isOrdered ? Int(random.next() % UInt64(unsynced.count + 1)) : unsynced.count
            for change in unsynced.prefix(prefix) where isOrdered || random.next() % 2 == 0 {
                for (name, node) in change { names[name] = node }
            }
        }
        let directory = Node(isDirectory: true)
        for name in names.keys.sorted() {
            directory.entries[name] = names[name]!.survivor(unit: unit, orderedDirectories: isOrdered, &random)
        }
        directory.durableEntries = directory.entries
        return directory
    }

    func copy() -> Node {
        let node = Node(isDirectory: isDirectory)
        node.current = current
        node.durable = durable
        node.dirtySectors = dirtySectors
        var copies: [ObjectIdentifier: Node] = [:]
        func copied(_ child: Node) -> Node {
            if let known = copies[ObjectIdentifier(child)] { return known }
            let fresh = child.copy()
            copies[ObjectIdentifier(child)] = fresh
            return fresh
        }
        node.entries = entries.mapValues(copied)
        node.durableEntries = durableEntries.mapValues(copied)
        node.unsynced = unsynced.map { $0.map { ($0.0, $0.1.map(copied)) } }
        return node
    }
}
