// An open file of the simulated disk.

import Glibc
import Storage
import Synchronization

final class SimulatedFile: File {
    let path: String
    private let node: Node
    private let system: SimulatedFileSystem
    private let isWritable: Bool
    private let isOpen = Atomic<Bool>(true)
    private let isLocked = Atomic<Bool>(false)

    init(path: String, node: Node, system: SimulatedFileSystem, isWritable: Bool) {
        self.path = path
        self.node = node
        self.system = system
        self.isWritable = isWritable
    }

    deinit { close() }

    private func begin(_ operation: StorageError.Operation, _ detail: String = "") throws(StorageError) {
        guard isOpen.load(ordering: .relaxed) else { throw StorageError(operation, path, errno: EBADF) }
        try system.begin(operation, path, detail)
    }

    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(StorageError) -> Int {
        guard isOpen.load(ordering: .relaxed) else { throw StorageError(.read, path, errno: EBADF) }
        if system.isOff { throw StorageError(.read, path, errno: EIO) }
        return system.state.withLock { _ in
            let start = min(Int(offset), node.current.count)
            let count = min(buffer.count, node.current.count - start)
            node.current.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[start..<(start + count)])) }
            return count
        }
    }

    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(StorageError) {
        guard isWritable else { throw StorageError(.write, path, errno: EBADF) }
        do throws(StorageError) {
            try begin(.write, "\(bytes.count) at \(offset)")
        } catch {
            // A failed write may have written a part.
            if !system.isOff {
                system.state.withLock { state in
                    let part = bytes.isEmpty ? 0 : Int(state.random.next() % UInt64(bytes.count))
                    node.write(UnsafeRawBufferPointer(rebasing: bytes[..<part]), at: Int(offset))
                }
            }
            throw error
        }
        let isFull = system.state.withLock { state in
            let before = node.allocated
            let others = state.root.allocated &- before
            let room = state.capacity > others ? state.capacity - others : 0
            // Space that the file has may always be written; new space only as far as there is some.
            let limit = max(before, room)
            let end = min(offset + UInt64(bytes.count), limit)
            let fitting = end > offset ? Int(end - offset) : 0
            node.write(UnsafeRawBufferPointer(rebasing: bytes[..<fitting]), at: Int(offset))
            if state.writebackInterval > 0, state.random.next() % state.writebackInterval == 0 { node.writeBack(&state.random) }
            return fitting < bytes.count
        }
        if isFull { throw StorageError(.write, path, errno: ENOSPC) }
    }

    func sync() throws(StorageError) {
        try begin(.sync)
        system.state.withLock { _ in node.sync() }
    }

    func truncate(to length: UInt64) throws(StorageError) {
        try begin(.truncate, "to \(length)")
        system.state.withLock { _ in node.truncate(to: Int(length)) }
    }

    func preallocate(_ length: UInt64, extending: Bool) throws(StorageError) {
        try begin(.preallocate, "\(length)")
        let isFull = system.state.withLock { state in
            let others = state.root.allocated &- node.allocated
            guard state.capacity > others, state.capacity - others >= length || length <= node.allocated else { return true }
            if extending { node.extend(to: Int(length)) } else { node.reserved = max(node.reserved, length) }
            return false
        }
        if isFull { throw StorageError(.preallocate, path, errno: ENOSPC) }
    }

    func size() throws(StorageError) -> UInt64 {
        if system.isOff { throw StorageError(.stat, path, errno: EIO) }
        return system.state.withLock { _ in UInt64(node.current.count) }
    }

    func lock() throws(StorageError) {
        try system.lock(node, path)
        isLocked.store(true, ordering: .relaxed)
    }

    func close() {
        guard isOpen.exchange(false, ordering: .relaxed) else { return }
        if isLocked.load(ordering: .relaxed) { system.unlock(node) }
    }
}
