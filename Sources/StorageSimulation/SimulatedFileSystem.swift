// A file system in memory that loses power on demand, as cruelly as the rules of POSIX allow: of what was not synced,
// any sector may be on the disk or not; of directory changes that were not synced, any.
//
// Everything is decided by a seed, so that a failure can be repeated.

import Glibc
import Storage
import Synchronization

/// What was asked of the file system, in order.
public struct LoggedOperation: Sendable, CustomStringConvertible {
    public let operation: StorageError.Operation
    public let path: String
    public let detail: String
    public var description: String { "\(operation.rawValue) \(path) \(detail)" }
}

/// An error that the file system is told to answer with.
public struct Fault: Sendable {
    public var operation: StorageError.Operation
    /// Part of the path.
    public var path: String
    /// How many matching operations succeed before.
    public var skip: Int
    /// How many fail then.
    public var count: Int
    public var errno: Int32

    public init(_ operation: StorageError.Operation, path: String = "", skip: Int = 0, count: Int = 1, errno: Int32 = EIO) {
        self.operation = operation
        self.path = path
        self.skip = skip
        self.count = count
        self.errno = errno
    }
}

public final class SimulatedFileSystem: FileSystem {
    struct State: ~Copyable {
        var root = Node(isDirectory: true)
        var random: SplitMix64
        var log: [LoggedOperation] = []
        var faults: [Fault] = []
        /// Before the operation of this number, the power fails.
        var cutBefore: Int?
        var isOff = false
        /// Bytes that all files together may take.
        var capacity: UInt64 = .max
        /// One write in so many makes the kernel write some dirty sectors back early; 0: never.
        var writebackInterval: UInt64 = 0
        var lockedNodes: Set<ObjectIdentifier> = []
        var photographer: Photographer?
    }

    /// Takes pictures of what a power loss would leave.
    struct Photographer {
        /// One operation in so many is preceded by a picture.
        let interval: Int
        var left: Int
        var random: SplitMix64
        let take: @Sendable (SimulatedFileSystem) -> Void
    }

    let state: Mutex<State>

    public init(seed: UInt64 = 0) {
        state = Mutex(State(random: SplitMix64(seed: seed)))
    }

    private init(root: Node, random: SplitMix64) {
        var state = State(random: random)
        state.root = root
        self.state = Mutex(state)
    }

    // MARK: What tests do to it

    /// Everything asked so far.
    public var log: [LoggedOperation] { state.withLock { $0.log } }
    public var operationCount: Int { state.withLock { $0.log.count } }

    /// The power will fail before the operation of this number (counted from 0).
    public func cutPower(before operation: Int) { state.withLock { $0.cutBefore = operation } }

    public func cutPower() { state.withLock { $0.isOff = true } }

    public var isOff: Bool { state.withLock { $0.isOff } }

    public func inject(_ fault: Fault) { state.withLock { $0.faults.append(fault) } }

    public func clearFaults() { state.withLock { $0.faults = [] } }

    public var capacity: UInt64 {
        get { state.withLock { $0.capacity } }
        set { state.withLock { $0.capacity = newValue } }
    }

    public var usedBytes: UInt64 { state.withLock { $0.root.allocated } }

    /// Lets the kernel write dirty sectors back by itself now and then.
    public func setWriteback(every writes: UInt64) { state.withLock { $0.writebackInterval = writes } }

    /// The disk as the next start finds it: what was synced, and a random part of what was not.
    public func afterPowerLoss(seed: UInt64) -> SimulatedFileSystem {
        state.withLock { state in
            state.isOff = true
            var random = SplitMix64(seed: seed)
            // Whole pages or single sectors; journalled directories (a prefix of the changes) or any subset.
            let unit = random.next() % 2 == 0 ? Node.sector : 4096
            let isOrdered = random.next() % 2 == 0
            let root = state.root.survivor(unit: unit, orderedDirectories: isOrdered, &random)
            return SimulatedFileSystem(root: root, random: random)
        }
    }

    /// While everything goes on: pictures of what `afterPowerLoss` would give before an operation here and there, so that a program
    /// of many threads, which ends with its disk, can be asked what it had promised at that moment.
    ///
    /// - Parameters:
    ///   - interval: one operation in so many, by chance.
    ///   - limit: so many at most.
    ///   - take: called under the lock of the file system, which it must not use; no operation happens meanwhile.
    public func photograph(
        oneIn interval: Int, limit: Int, seed: UInt64, _ take: @escaping @Sendable (SimulatedFileSystem) -> Void
    ) {
        state.withLock { $0.photographer = Photographer(interval: interval, left: limit, random: SplitMix64(seed: seed), take: take) }
    }

    private static func takePicture(_ state: inout State) {
        guard state.photographer!.left > 0, state.photographer!.random.oneIn(state.photographer!.interval) else { return }
        state.photographer!.left -= 1
        var random = SplitMix64(seed: state.photographer!.random.next())
        let unit = random.next() % 2 == 0 ? Node.sector : 4096
        let isOrdered = random.next() % 2 == 0
        let root = state.root.survivor(unit: unit, orderedDirectories: isOrdered, &random)
        state.photographer!.take(SimulatedFileSystem(root: root, random: random))
    }

    /// The disk as another process finds it after this one was killed: everything that was written.
    public func afterKill() -> SimulatedFileSystem {
        state.withLock { state in
            state.isOff = true
            return SimulatedFileSystem(root: state.root.copy(), random: state.random)
        }
    }

    /// Changes bytes behind everybody's back.
    public func corrupt(_ path: String, at offset: Int, xor mask: UInt8) throws(StorageError) {
        let node = try find(path)
        state.withLock { _ in
            guard offset < node.current.count else { return }
            node.current[offset] ^= mask
            if offset < node.durable.count { node.durable[offset] ^= mask }
        }
    }

    public func bytes(of path: String) throws(StorageError) -> [UInt8] {
        let node = try find(path)
        return state.withLock { _ in node.current }
    }

    /// Makes a file with this content, durable at once.
    public func install(_ path: String, _ bytes: [UInt8]) throws(StorageError) {
        let file = try open(path, .create)
        let failure: StorageError? = bytes.withUnsafeBytes {
            do throws(StorageError) {
                try file.write($0, at: 0)
                try file.sync()
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
        file.close()
        try syncDirectory(SimulatedFileSystem.split(path).parent)
    }

    // MARK: Bookkeeping

    /// Logs an operation and lets it fail if it is to.
    func begin(_ operation: StorageError.Operation, _ path: String, _ detail: String = "") throws(StorageError) {
        let code: Int32 = state.withLock { state in
            if state.isOff { return EIO }
            if let cut = state.cutBefore, state.log.count >= cut {
                state.isOff = true
                return EIO
            }
            if state.photographer != nil { SimulatedFileSystem.takePicture(&state) }
            state.log.append(LoggedOperation(operation: operation, path: path, detail: detail))
            for index in state.faults.indices
            where state.faults[index].operation == operation && (state.faults[index].path.isEmpty || path.contains(state.faults[index].path)) {
                if state.faults[index].skip > 0 {
                    state.faults[index].skip -= 1
                } else if state.faults[index].count > 0 {
                    state.faults[index].count -= 1
                    return state.faults[index].errno
                }
            }
            return 0
        }
        if code != 0 { throw StorageError(operation, path, errno: code) }
    }

    static func split(_ path: String) -> (parent: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return ("", path) }
        return (String(path[..<slash]), String(path[path.index(after: slash)...]))
    }

    private func walk(_ path: String) -> Node? {
        state.withLock { state in
            var node = state.root
            for part in path.split(separator: "/") {
                guard let next = node.entries[String(part)] else { return nil }
                node = next
            }
            return node
        }
    }

    func find(_ path: String) throws(StorageError) -> Node {
        guard let node = walk(path) else { throw StorageError(.open, path, errno: ENOENT) }
        return node
    }

    private func change(_ path: String, _ operation: StorageError.Operation, _ effect: [(String, Node?)]) throws(StorageError) {
        guard let directory = walk(path) else { throw StorageError(operation, path, errno: ENOENT) }
        state.withLock { _ in directory.change(effect) }
    }

    // MARK: FileSystem

    public func open(_ path: String, _ mode: OpenMode) throws(StorageError) -> any File {
        try begin(mode == .create ? .create : .open, path)
        if mode == .create {
            if let existing = walk(path) {
                state.withLock { _ in existing.truncate(to: 0) }
            } else {
                let (parent, name) = SimulatedFileSystem.split(path)
                try change(parent, .create, [(name, Node(isDirectory: false))])
            }
        }
        let node = try find(path)
        guard !node.isDirectory else { throw StorageError(.open, path, errno: EISDIR) }
        return SimulatedFile(path: path, node: node, system: self, isWritable: mode != .readOnly)
    }

    public func createDirectory(_ path: String) throws(StorageError) {
        try begin(.createDirectory, path)
        if let node = walk(path) {
            guard node.isDirectory else { throw StorageError(.createDirectory, path, errno: ENOTDIR) }
            return
        }
        let (parent, name) = SimulatedFileSystem.split(path)
        if walk(parent) == nil { try createDirectory(parent) }
        try change(parent, .createDirectory, [(name, Node(isDirectory: true))])
    }

    public func exists(_ path: String) -> Bool { !isOff && walk(path) != nil }

    public func list(_ directory: String) throws(StorageError) -> [String] {
        try begin(.list, directory)
        let node = try find(directory)
        guard node.isDirectory else { throw StorageError(.list, directory, errno: ENOTDIR) }
        return state.withLock { _ in node.entries.keys.sorted() }
    }

    public func rename(_ from: String, to: String) throws(StorageError) {
        try begin(.rename, from, "to \(to)")
        let (parent, oldName) = SimulatedFileSystem.split(from)
        let (newParent, newName) = SimulatedFileSystem.split(to)
        let node = try find(from)
        if let target = walk(to), target.isDirectory, !target.entries.isEmpty { throw StorageError(.rename, from, errno: ENOTEMPTY) }
        if parent == newParent {
            try change(parent, .rename, [(oldName, nil), (newName, node)])
        } else {
            try change(newParent, .rename, [(newName, node)])
            try change(parent, .rename, [(oldName, nil)])
        }
    }

    public func link(_ from: String, to: String) throws(StorageError) {
        try begin(.link, to)
        let (parent, name) = SimulatedFileSystem.split(to)
        if walk(to) != nil { throw StorageError(.link, to, errno: EEXIST) }
        try change(parent, .link, [(name, try find(from))])
    }

    public func remove(_ path: String) throws(StorageError) {
        try begin(.remove, path)
        let (parent, name) = SimulatedFileSystem.split(path)
        _ = try find(path)
        try change(parent, .remove, [(name, nil)])
    }

    public func removeDirectory(_ path: String) throws(StorageError) {
        let node = try find(path)
        guard node.entries.isEmpty else { throw StorageError(.remove, path, errno: ENOTEMPTY) }
        try remove(path)
    }

    public func syncDirectory(_ path: String) throws(StorageError) {
        try begin(.syncDirectory, path)
        let node = try find(path)
        state.withLock { _ in node.syncEntries() }
    }

    public func lockDirectory(_ path: String) throws(StorageError) -> any DirectoryLock {
        let node = try find(path)
        try lock(node, path)
        return SimulatedLock(node: node, system: self)
    }

    func lock(_ node: Node, _ path: String) throws(StorageError) {
        let isFree = state.withLock { $0.lockedNodes.insert(ObjectIdentifier(node)).inserted }
        guard isFree else { throw StorageError(.lock, path, .locked) }
    }

    func unlock(_ node: Node) { state.withLock { _ = $0.lockedNodes.remove(ObjectIdentifier(node)) } }
}

final class SimulatedLock: DirectoryLock {
    let node: Node
    let system: SimulatedFileSystem

    init(node: Node, system: SimulatedFileSystem) {
        self.node = node
        self.system = system
    }

    deinit { release() }
    func release() { system.unlock(node) }
}
