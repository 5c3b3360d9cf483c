// Transactions against a store in memory, with others that write between the calls.

import Testing
import Wire

@testable import Bench

@Suite struct TransactionMachineTests {
    private struct Store {
        var revision: Int64 = 1
        var modRevisions: [Int64]
        mutating func write(_ key: Int) {
            revision += 1
            modRevisions[key] = revision
        }
    }

    /// Runs a transaction on keys 0 ..< count; `interfere` writes before each call.
    private func run(_ machine: inout TransactionMachine, _ store: inout Store, _ interfere: (inout Store) -> Void) -> [TransactionMachine.Call] {
        var calls: [TransactionMachine.Call] = []
        while true {
            let call = machine.next
            calls.append(call)
            if call == .done || call == .failed { return calls }
            interfere(&store)
            switch call {
            case .read(let key, _): machine.took(modRevision: store.modRevisions[key], headerRevision: store.revision)
            case .commit:
                let holds = machine.conditions.allSatisfy { store.modRevisions[$0.key] == $0.revision }
                    && (machine.writtenBelow.map { bound in (0..<machine.writes).allSatisfy { store.modRevisions[$0] < bound } } ?? true)
                if holds {
                    store.revision += 1
                    for key in 0..<machine.writes { store.modRevisions[key] = store.revision }
                }
                machine.took(commit: holds)
            default: break
            }
        }
    }

    @Test func callsInOrder() {
        var store = Store(revision: 9, modRevisions: [3, 0])
        var machine = TransactionMachine(isolation: .repeatableReads, keys: 2, writes: 1)
        #expect(run(&machine, &store) { _ in } == [.read(0, revision: 0), .read(1, revision: 0), .commit, .done])
        #expect(machine.attempts == 1)
        machine = TransactionMachine(isolation: .serializable, keys: 2, writes: 1)
        #expect(run(&machine, &store) { _ in } == [.read(0, revision: 0), .read(1, revision: 10), .commit, .done])
    }

    @Test(arguments: Isolation.allCases)
    func othersMakeItBeginAnew(isolation: Isolation) {
        var store = Store(modRevisions: [0, 0])
        var machine = TransactionMachine(isolation: isolation, keys: 2, writes: 1)
        var calls = 0
        _ = run(&machine, &store) { store in
            calls += 1
            // Between the first read and the commit.
            if calls == 2 { store.write(0) }
        }
        #expect(machine.next == .done)
        #expect(machine.attempts == (isolation == .readCommitted ? 1 : 2))
    }

    @Test func losingHasAnEnd() {
        var store = Store(modRevisions: [0])
        var machine = TransactionMachine(isolation: .repeatableReads, keys: 1, writes: 1, attemptsMax: 5)
        let calls = run(&machine, &store) { $0.write(0) }
        #expect(calls.last == .failed && machine.attempts == 6)
    }

    @Test func reReadsSeeOneRevisionAfterALoss() {
        var store = Store(revision: 5, modRevisions: [2, 3])
        var machine = TransactionMachine(isolation: .serializableSnapshot, keys: 2, writes: 2)
        var calls = 0
        let seen = run(&machine, &store) { store in
            calls += 1
            if calls == 3 { store.write(1) }
        }
        #expect(seen == [.read(0, revision: 0), .read(1, revision: 5), .commit, .read(0, revision: 0), .read(1, revision: 6), .commit, .done])
    }
}
