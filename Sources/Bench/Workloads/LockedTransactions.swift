// stm --stm-locker lock-client: transactions inside a lock of the client library. Not made to be fast: what is measured is the lock.

import CShims
import Client
import Synchronization
import Wire

final class LockedTransactions: Sendable {
    private struct State {
        var recorder: OperationRecorder
        var pacer: Pacer
        var begun = 0
        var random: SplitMix
    }

    private let shape: TransactionWorkload.Shape
    private let settings: RunSettings
    private let start: UInt64
    private let state: Mutex<State>

    init(_ shape: TransactionWorkload.Shape, _ settings: RunSettings) {
        self.shape = shape
        self.settings = settings
        start = martlet_monotonic_ns()
        state = Mutex(
            State(
                recorder: OperationRecorder("stm", start: start, wallStart: Processor.wallNanoseconds(), isPaced: settings.rate > 0),
                pacer: Pacer(start: start, rate: settings.rate, arrivals: settings.arrivals, seed: settings.seed),
                random: SplitMix(settings.seed)))
    }

    func run(_ context: BenchContext) async throws -> RunReport {
        let processor = Processor.seconds()
        let client = try context.client()
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for _ in 0..<min(settings.clients, 1_000) { tasks.addTask { try await self.work(client) } }
            try await tasks.waitForAll()
        }
        client.close()
        var report = RunReport(benchmark: "stm")
        report.seconds = Double(martlet_monotonic_ns() - start) / 1e9
        report.processorSeconds = Processor.seconds() - processor
        report.wasInterrupted = Interrupt.isAsked
        let recorder = state.withLock { state in
            state.recorder.finish()
            return state.recorder
        }
        report.sections = [ReportSection(recorder: recorder, seconds: report.seconds)]
        return report
    }

    /// When the next transaction is meant to begin, and its keys; nil: there are enough.
    private func next() -> (intended: UInt64?, keys: [Int])? {
        state.withLock { state in
            let now = martlet_monotonic_ns()
            if Interrupt.isAsked { return nil }
            if let total = settings.total, state.begun >= total { return nil }
            if settings.duration > .zero, now > start + UInt64(settings.duration / .nanoseconds(1)) { return nil }
            guard let intended = state.pacer.take(now) else { return (nil, []) }
            state.begun += 1
            var keys: [Int] = []
            while keys.count < shape.keysPerTransaction {
                let key = state.random.below(shape.keys)
                if !keys.contains(key) { keys.append(key) }
            }
            return (intended, keys)
        }
    }

    private func work(_ client: Client) async throws {
        let session = try await Session(client)
        let lock = DistributedMutex(session, "stmlock")
        while let (intended, keys) = next() {
            guard let intended else {
                try await Task.sleep(for: .milliseconds(1))
                continue
            }
            let started = martlet_monotonic_ns()
            do {
                try await lock.lock()
                try await transact(client, keys)
                try await lock.unlock()
                state.withLock { $0.recorder.record(intended: intended, started: started, ended: martlet_monotonic_ns()) }
            } catch {
                state.withLock { $0.recorder.record(error: error.status, at: martlet_monotonic_ns()) }
            }
        }
        try await session.close()
    }

    private func transact(_ client: Client, _ indexes: [Int]) async throws(ClientError) {
        let keys = indexes.map(KeyPattern(size: 16).array)
        var machine = TransactionMachine(
            isolation: shape.isolation, keys: keys.count, writes: keys.count * shape.writePercent / 100,
            attemptsMax: BenchLimits.transactionAttemptsMax)
        while true {
            switch machine.next {
            case .done: return
            case .failed: throw ClientError(.aborted, "the transaction lost too often")
            case .read(let index, let revision):
                var get = Get(.key(keys[index]))
                get.revision = revision
                get.isSerializable = revision != 0
                let answer = try await client.get(get)
                machine.took(modRevision: answer.kvs.first?.modRevision ?? 0, headerRevision: answer.header.revision)
            case .commit:
                var comparisons = machine.conditions.map { Comparison(keys[$0.key], .equal, .modRevision($0.revision)) }
                if let bound = machine.writtenBelow {
                    comparisons += keys.prefix(machine.writes).map { Comparison($0, .less, .modRevision(bound)) }
                }
                let value = FixedBytes.random(shape.valueSize, seed: settings.seed).array
                let puts = keys.prefix(machine.writes).map { Operation.put(Put($0, value)) }
                machine.took(commit: try await client.transaction(Transaction(if: comparisons, then: puts)).succeeded)
            }
        }
    }
}
