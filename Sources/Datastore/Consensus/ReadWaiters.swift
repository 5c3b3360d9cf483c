// Reads that wait for a read index: one request to the quorum serves all that arrived before it.

import Wire

enum ReadWaiter: Sendable {
    case call(PendingRead)
    /// A health check: nothing is read, only whether it could be is asked.
    case probe(start: UInt64, @Sendable (CallError?) -> Void)

    var start: UInt64 {
        switch self {
        case .call(let read): read.start
        case .probe(let start, _): start
        }
    }

    var withoutLeader: CallError {
        switch self {
        case .call(let read): read.handler.withoutLeader
        case .probe: .timeout
        }
    }
}

/// A value: which reads wait for which confirmation.
struct ReadWaiters {
    private struct Group {
        var waiters: [ReadWaiter]
        /// Set once the quorum has answered.
        var index: LogIndex?
        /// When it was asked, and when it answered: monotonic nanoseconds.
        var asked: UInt64 = 0
        var confirmed: UInt64 = 0
    }

    /// A question to the quorum that is answered and applied.
    struct Round {
        let index: LogIndex
        let asked: UInt64
        let confirmed: UInt64
    }

    private var groups: [UInt64: Group] = [:]
    /// Those of the reads that were handed out last.
    private(set) var served: [Round] = []
    private var retries: [UInt64] = []
    private var nextContext: UInt64 = 1

    /// Adds reads that arrived together; returns the context to ask the quorum with, nil for no reads.
    mutating func add(_ waiters: [ReadWaiter]) -> UInt64? {
        guard !waiters.isEmpty else { return nil }
        let context = nextContext
        nextContext += 1
        groups[context] = Group(waiters: waiters, asked: waiters[0].start)
        return context
    }

    /// - Parameter now: in monotonic nanoseconds.
    mutating func confirm(_ context: [UInt8], index: LogIndex, at now: UInt64 = 0) {
        guard let context = Self.decode(context) else { return }
        groups[context]?.index = index
        groups[context]?.confirmed = now
    }

    /// Reads whose index is applied.
    mutating func takeReady(applied: LogIndex) -> [ReadWaiter] {
        guard !groups.isEmpty else { return [] }
        var ready: [ReadWaiter] = []
        served.removeAll(keepingCapacity: true)
        for (context, group) in groups {
            guard let index = group.index, index <= applied else { continue }
            ready += group.waiters
            served.append(Round(index: index, asked: group.asked, confirmed: group.confirmed))
            groups[context] = nil
        }
        return ready
    }

    mutating func retryLater(_ context: UInt64) { retries.append(context) }

    /// Contexts to ask again, once there is a leader.
    mutating func takeRetries() -> [UInt64] {
        guard !retries.isEmpty else { return [] }
        let taken = retries.filter { groups[$0] != nil }
        retries = []
        return taken
    }

    mutating func expire(startedBefore limit: UInt64) -> [ReadWaiter] {
        var expired: [ReadWaiter] = []
        for (context, group) in groups where group.waiters.contains(where: { $0.start < limit }) {
            expired += group.waiters.filter { $0.start < limit }
            let rest = group.waiters.filter { $0.start >= limit }
            groups[context] = rest.isEmpty ? nil : Group(waiters: rest, index: group.index, asked: rest[0].start, confirmed: group.confirmed)
        }
        return expired
    }

    mutating func failAll() -> [ReadWaiter] {
        let all = groups.values.flatMap(\.waiters)
        groups = [:]
        retries = []
        return all
    }

    /// 8 bytes, big-endian, as etcd's members send it.
    static func encode(_ context: UInt64) -> [UInt8] { withUnsafeBytes(of: context.bigEndian) { Array($0) } }

    private static func decode(_ bytes: [UInt8]) -> UInt64? {
        guard bytes.count == 8 else { return nil }
        return bytes.reduce(0) { $0 << 8 | UInt64($1) }
    }
}
