// One test per rule of transactions: static checks, compares, execution.

import Testing
import Wire

@testable import KeySpace

private func put(_ key: String, _ value: String = "v") -> OperationCase {
    .put(PutCase(key: Array(key.utf8), value: Array(value.utf8)))
}
private func delete(_ key: String, _ end: String = "") -> OperationCase {
    .delete(DeleteCase(key: Array(key.utf8), end: Array(end.utf8)))
}
private func get(_ key: String, revision: Int64 = 0) -> OperationCase {
    .range(RangeCase(key: Array(key.utf8), revision: revision))
}
private func nested(_ success: [OperationCase], else failure: [OperationCase] = []) -> OperationCase {
    .txn(TxnCase(success: success, failure: failure))
}
private func gets(_ count: Int) -> [OperationCase] { Array(repeating: get("a"), count: count) }

/// What the static checks say; nil if they pass. The model has to agree.
private func verdict(_ txn: TxnCase, budget: Int = 128) -> CallError? {
    func error(_ body: () throws(CallError) -> Void) -> CallError? {
        do throws(CallError) { try body() } catch { return error }
        return nil
    }
    let found = error { () throws(CallError) in _ = try TxnRequest.validated(txn.encoded, budget) }
    #expect(found == error { () throws(CallError) in try txn.check(budget: budget) })
    return found
}

@Suite struct TxnStaticCheckTests {
    // MARK: Number of operations

    @Test func theLongestListOfALevelCounts() {
        let compares = Array(repeating: CompareCase(key: [1]), count: 3)
        #expect(verdict(TxnCase(compares: compares, success: gets(2), failure: gets(1)), budget: 3) == nil)
        #expect(verdict(TxnCase(compares: compares, success: gets(2), failure: gets(1)), budget: 2) == .tooManyOperations)
        #expect(verdict(TxnCase(success: gets(128), failure: gets(128))) == nil)
        #expect(verdict(TxnCase(success: gets(129))) == .tooManyOperations)
        #expect(verdict(TxnCase(failure: gets(129))) == .tooManyOperations)
        #expect(verdict(TxnCase(compares: Array(repeating: CompareCase(key: [1]), count: 129))) == .tooManyOperations)
        #expect(verdict(TxnCase(), budget: 0) == nil)
    }

    @Test func aLevelTakesFromThoseBelowAndSiblingsDoNotShare() {
        #expect(verdict(TxnCase(success: [nested(gets(2)), nested(gets(2))]), budget: 4) == nil)
        #expect(verdict(TxnCase(success: [nested(gets(2)), nested(gets(3))]), budget: 4) == .tooManyOperations)
        #expect(verdict(TxnCase(success: [nested([nested(gets(1))])]), budget: 3) == nil)
        #expect(verdict(TxnCase(success: [nested([nested(gets(2))])]), budget: 3) == .tooManyOperations)
        #expect(verdict(TxnCase(failure: [nested([], else: [nested([], else: gets(2))])]), budget: 3) == .tooManyOperations)
    }

    // MARK: Fields

    @Test func everyPartIsCheckedInOrder() {
        let bad = PutCase(key: [], value: [1], lease: 1, ignoreValue: true, ignoreLease: true)
        #expect(verdict(TxnCase(success: [.put(bad)])) == .emptyKey)
        #expect(verdict(TxnCase(success: [.put(PutCase(key: [1], value: [1], lease: 1, ignoreValue: true, ignoreLease: true))])) == .valueProvided)
        #expect(verdict(TxnCase(success: [.put(PutCase(key: [1], lease: 1, ignoreValue: true, ignoreLease: true))])) == .leaseProvided)
        #expect(verdict(TxnCase(compares: [CompareCase(key: [])], success: [.none])) == .emptyKey)
        #expect(verdict(TxnCase(success: [.none], failure: [delete("")])) == .keyNotFound)
        #expect(verdict(TxnCase(success: [get("a")], failure: [.none])) == .keyNotFound)
        #expect(verdict(TxnCase(success: [delete("")])) == .emptyKey)
        #expect(verdict(TxnCase(success: [.range(RangeCase(key: [], order: 9))])) == .emptyKey)
        #expect(verdict(TxnCase(success: [.range(RangeCase(key: [1], order: 3))])) == .invalidSortOption)
        #expect(verdict(TxnCase(success: [.range(RangeCase(key: [1], target: 5))])) == .invalidSortOption)
        #expect(verdict(TxnCase(success: [nested([nested([], else: [.none])])])) == .keyNotFound)
        // Structure comes before overlaps.
        #expect(verdict(TxnCase(success: [put("a"), put("a")], failure: [.none])) == .keyNotFound)
    }

    // MARK: Overlaps

    @Test func aKeyIsPutOnce() {
        #expect(verdict(TxnCase(success: [put("a"), put("a")])) == .duplicateKey)
        #expect(verdict(TxnCase(failure: [put("a"), put("b"), put("a")])) == .duplicateKey)
        #expect(verdict(TxnCase(success: [put("a")], failure: [put("a")])) == nil)
    }

    @Test func aPutDoesNotMeetADelete() {
        #expect(verdict(TxnCase(success: [put("a"), delete("a")])) == .duplicateKey)
        #expect(verdict(TxnCase(success: [delete("a"), put("a")])) == .duplicateKey)
        #expect(verdict(TxnCase(success: [delete("a", "c"), put("b")])) == .duplicateKey)
        #expect(verdict(TxnCase(success: [put("b"), delete("a", "c")])) == .duplicateKey)
        #expect(verdict(TxnCase(success: [delete("a", "c"), put("c")])) == nil)
        #expect(verdict(TxnCase(success: [delete("c", "a"), put("b")])) == nil)
        #expect(verdict(TxnCase(success: [delete("a", "d"), delete("b", "f"), put("e")])) == .duplicateKey)
        #expect(verdict(TxnCase(success: [delete("a", "c"), delete("b", "z"), delete("b")])) == nil)
        #expect(verdict(TxnCase(success: [put("a"), get("a")])) == nil)
    }

    @Test func branchesOfOneNestedTransactionMayPutTheSameKey() {
        #expect(verdict(TxnCase(success: [nested([put("a")], else: [put("a")])])) == nil)
        #expect(verdict(TxnCase(success: [nested([put("a")], else: [put("a")]), put("a")])) == .duplicateKey)
        #expect(verdict(TxnCase(success: [put("a"), nested([], else: [put("a")])])) == .duplicateKey)
        #expect(verdict(TxnCase(success: [nested([put("a")]), nested([put("a")])])) == .duplicateKey)
        #expect(verdict(TxnCase(success: [nested([put("a")]), nested([], else: [put("a")])])) == .duplicateKey)
        // A delete in one branch and a put in the other exclude each other.
        #expect(verdict(TxnCase(success: [nested([put("a")], else: [delete("a")])])) == nil)
    }

    @Test func deletesOfTheLevelComeFirstAndThoseOfSiblingsInOrder() {
        #expect(verdict(TxnCase(success: [nested([put("a")]), delete("a")])) == .duplicateKey)
        #expect(verdict(TxnCase(success: [nested([delete("a")]), put("a")])) == .duplicateKey)
        #expect(verdict(TxnCase(success: [nested([delete("a")]), nested([put("a")])])) == .duplicateKey)
        // The gap: a later sibling's delete is not seen.
        #expect(verdict(TxnCase(success: [nested([put("a")]), nested([delete("a")])])) == nil)
        #expect(verdict(TxnCase(success: [nested([put("a")]), nested([delete("\0", "z")])])) == nil)
    }

    @Test func deleteFromKeyOnIsNotSeen() {
        #expect(verdict(TxnCase(success: [delete("a", "\0"), put("b")])) == nil)
        let harness = ApplyHarness()
        harness.apply(.put(PutCase(key: Array("b".utf8), value: [1])))
        let result = harness.apply(.txn(TxnCase(success: [put("a"), delete("a", "\0"), put("b", "new")])))
        #expect(result.outcome == .done)
        #expect(harness.model.live(Array("b".utf8)) == Pair(key: [98], created: 3, modified: 3, version: 1, value: Array("new".utf8)))
        harness.publish()
        harness.checkState()
    }

    /// A request of a megabyte is checked in time that grows with its size, not with its square.
    @Test func manyWritesAreCheckedQuickly() {
        var puts: [OperationCase] = []
        var deletes: [OperationCase] = []
        for number in 0..<3000 {
            let key = String(number, radix: 36)
            deletes.append(delete(key + "/"))
            puts.append(put(key))
        }
        let deep = nested((0..<6).map { _ in nested(deletes) } + [nested(puts)])
        #expect(throws: Never.self) { _ = try TxnRequest.validated(TxnCase(success: [deep]).encoded, 10_000) }
        let meeting = nested([nested(deletes), nested(puts + [put("zzz/"), delete("0/")])])
        #expect(throws: Never.self) { _ = try TxnRequest.validated(TxnCase(success: [meeting]).encoded, 10_000) }
        let clash = nested([nested(deletes), nested(puts + [put("1/")])])
        #expect(throws: CallError.duplicateKey) { _ = try TxnRequest.validated(TxnCase(success: [clash]).encoded, 10_000) }
    }

    @Test(arguments: 1...4) func intervalSetsAreUnions(seed: Int) {
        var random = SeededRandom(seed: testSeed(UInt64(seed)))
        func key() -> [UInt8] { (0..<Int.random(in: 0..<3, using: &random)).map { _ in UInt8.random(in: 0..<6, using: &random) } }
        for _ in 0..<40 {
            var set = IntervalSet()
            var naive: [IntervalSet.Interval] = []
            for _ in 0..<Int.random(in: 0..<8, using: &random) {
                let batch = (0..<Int.random(in: 0..<5, using: &random)).map { _ in IntervalSet.Interval(start: key(), end: key()) }
                naive += batch
                if Bool.random(using: &random) {
                    set.insert(batch)
                } else {
                    var other = IntervalSet()
                    other.insert(batch)
                    set.formUnion(other)
                }
                for _ in 0..<20 {
                    let key = key()
                    let isIn = naive.contains { !key.lexicographicallyPrecedes($0.start) && key.lexicographicallyPrecedes($0.end) }
                    #expect(set.contains(key) == isIn)
                }
            }
        }
    }

    // MARK: Kind and cost

    @Test func aTransactionThatOnlyReadsIsKnown() throws {
        func summary(_ txn: TxnCase) throws -> TxnSummary { try TxnRequest.validated(txn.encoded, 128) }
        #expect(try summary(TxnCase()).isReadOnly)
        #expect(try summary(TxnCase()).isSerializable)
        #expect(try summary(TxnCase(success: gets(1), failure: gets(1))).isReadOnly)
        #expect(try !summary(TxnCase(success: gets(1))).isSerializable)
        #expect(try summary(TxnCase(success: [.range(RangeCase(key: [1], serializable: true))])).isSerializable)
        #expect(try !summary(TxnCase(success: [.range(RangeCase(key: [1], serializable: true))], failure: gets(1))).isSerializable)
        #expect(try !summary(TxnCase(success: gets(1), failure: [delete("a")])).isReadOnly)
        // Even one that only reads.
        #expect(try !summary(TxnCase(success: [nested(gets(1))])).isReadOnly)
    }

    @Test func theDearerBranchCosts() throws {
        func cost(_ txn: TxnCase) throws -> Int { try TxnRequest.validated(txn.encoded, 128).quotaCost }
        #expect(try cost(TxnCase(success: gets(3), failure: [delete("a")])) == 0)
        #expect(try cost(TxnCase(success: [put("a", "12"), put("b", "1")], failure: [put("a", "123")])) == 2 * 257 + 3)
        #expect(try cost(TxnCase(success: [put("a", "1")], failure: [nested([put("b", "1")], else: [put("c", "1234"), put("d", "")])])) == 2 * 257 + 4)
    }
}

@Suite struct TxnCompareTests {
    private func holds(_ compare: CompareCase, in harness: ApplyHarness) -> Bool {
        let result = harness.apply(.txn(TxnCase(compares: [compare], success: gets(1))))
        guard case .txn(_, let succeeded, _)? = result.answer(to: .txn(TxnCase(success: gets(1)))) else {
            Issue.record("no answer")
            return false
        }
        return succeeded
    }

    @Test func everyTargetAndResult() {
        let harness = ApplyHarness()
        harness.apply(.grant(9, ttl: 10))
        harness.apply(.put(PutCase(key: Array("k".utf8), value: [5])))
        harness.apply(.put(PutCase(key: Array("k".utf8), value: [5], lease: 9)))
        // version 2, created 2, modified 3, lease 9, value [5]
        let stored: [(Int64, Int64)] = [(0, 2), (1, 2), (2, 3), (4, 9)]
        for (target, value) in stored {
            for (given, order) in [(value, 0), (value - 1, 1), (value + 1, -1), (Int64.min, 1), (Int64.max, -1)] {
                for (result, wanted) in [(0, order == 0), (1, order > 0), (2, order < 0), (3, order != 0), (4, true), (-7, true)] {
                    let operand: CompareCase.Operand =
                        switch target {
                        case 0: .version(given)
                        case 1: .created(given)
                        case 2: .modified(given)
                        default: .lease(given)
                        }
                    #expect(holds(CompareCase(key: Array("k".utf8), target: target, result: Int64(result), operand: operand), in: harness) == wanted)
                }
            }
        }
        for (given, order) in [([5], 0), ([4, 255], 1), ([5, 0], -1), ([], 1)] as [([UInt8], Int)] {
            for (result, wanted) in [(0, order == 0), (1, order > 0), (2, order < 0), (3, order != 0), (9, true)] {
                #expect(holds(CompareCase(key: Array("k".utf8), target: 3, result: Int64(result), operand: .value(given)), in: harness) == wanted)
            }
        }
    }

    @Test func aMissingKeyIsZeroAndHasNoValue() {
        let harness = ApplyHarness()
        for result in 0..<5 as Range<Int64> {
            #expect(!holds(CompareCase(key: [1], target: 3, result: result, operand: .value([])), in: harness))
            let zero = [true, false, false, false, true][Int(result)]
            #expect(holds(CompareCase(key: [1], target: 0, result: result), in: harness) == zero)
            #expect(holds(CompareCase(key: [1], target: 1, result: result, operand: .created(0)), in: harness) == zero)
            #expect(holds(CompareCase(key: [1], target: 2, result: result, operand: .none), in: harness) == zero)
            #expect(holds(CompareCase(key: [1], target: 4, result: result, operand: .lease(0)), in: harness) == zero)
        }
    }

    @Test func anUnknownTargetIsEqualAndAForeignOperandIsEmpty() {
        let harness = ApplyHarness()
        harness.apply(.put(PutCase(key: [1], value: [5])))
        #expect(holds(CompareCase(key: [1], target: 5, result: 0, operand: .version(77)), in: harness))
        #expect(!holds(CompareCase(key: [1], target: -1, result: 3), in: harness))
        // version 1 against 0, because the operand names another field.
        #expect(holds(CompareCase(key: [1], target: 0, result: 1, operand: .modified(99)), in: harness))
        #expect(holds(CompareCase(key: [1], target: 3, result: 1, operand: .version(1)), in: harness))
    }

    @Test func everyKeyOfARangeMustPass() {
        let harness = ApplyHarness()
        for key in ["a", "b", "c"] { harness.apply(.put(PutCase(key: Array(key.utf8), value: [1]))) }
        harness.apply(.put(PutCase(key: Array("b".utf8), value: [1])))
        func all(_ key: String, _ end: String, version: Int64) -> Bool {
            holds(CompareCase(key: Array(key.utf8), end: Array(end.utf8), target: 0, operand: .version(version)), in: harness)
        }
        #expect(all("a", "b", version: 1))
        #expect(!all("a", "c", version: 1))
        #expect(!all("a", "\0", version: 1))
        #expect(all("c", "\0", version: 1))
        // Nothing there: one missing key.
        #expect(all("d", "e", version: 0))
        #expect(all("c", "a", version: 0))
        #expect(!holds(CompareCase(key: Array("d".utf8), end: Array("e".utf8), target: 3, result: 3, operand: .value([1])), in: harness))
    }

    @Test func comparesAreAConjunction() {
        let harness = ApplyHarness()
        let yes = CompareCase(key: [1], target: 0)
        let no = CompareCase(key: [1], target: 0, result: 3)
        for (compares, wanted) in [([], true), ([yes, yes], true), ([yes, no], false), ([no, yes], false)] {
            guard case .txn(_, wanted, _)? = harness.apply(.txn(TxnCase(compares: compares, success: gets(1)))).answer(to: .txn(TxnCase())) else {
                Issue.record("\(compares.count) compares")
                continue
            }
        }
    }
}

@Suite struct TxnExecutionTests {
    private func header(_ answer: Answer?) -> Int64? {
        switch answer {
        case .range(let header, _, _, _), .put(let header, _), .delete(let header, _, _), .txn(let header, _, _): header.revision
        default: nil
        }
    }

    @Test func oneMainRevisionAndARunningSub() {
        let harness = ApplyHarness()
        for key in ["a", "b", "c"] { harness.apply(.put(PutCase(key: Array(key.utf8), value: [1]))) }
        let txn = TxnCase(success: [get("a"), put("x"), get("x"), delete("a", "d"), nested([put("y")]), get("zz")])
        let answer = harness.apply(.txn(txn)).answer(to: .txn(txn))
        guard case .txn(let top, true, let answers)? = answer else {
            Issue.record("\(String(describing: answer))")
            return
        }
        #expect(top == Header(cluster: KeySpaceModel.cluster, member: KeySpaceModel.member, revision: 5, term: KeySpaceModel.term))
        #expect(answers.map { header($0) } == [4, 5, 5, 5, 0, 5])
        harness.publish()
        harness.checkState()
        #expect(harness.model.changes.suffix(5).map(\.sub) == [0, 1, 2, 3, 4])
        #expect(harness.store.currentRevision == 5)
    }

    @Test func withoutAChangeTheRevisionStays() {
        let harness = ApplyHarness()
        harness.apply(.put(PutCase(key: [1])))
        for txn in [TxnCase(success: [nested([])]), TxnCase(success: [delete("q"), delete("r", "z"), nested([get("a")])])] {
            #expect(header(harness.apply(.txn(txn)).answer(to: .txn(txn))) == 2)
        }
        harness.publish()
        harness.checkState()
    }

    @Test func theWholeTreeIsDecidedBeforeAnythingIsWritten() {
        let harness = ApplyHarness()
        let missing = CompareCase(key: Array("a".utf8), target: 1)
        let inner = TxnCase(compares: [missing], success: [put("b")], failure: [put("c")])
        let txn = TxnCase(compares: [missing], success: [put("a"), .txn(inner)])
        harness.apply(.txn(txn))
        #expect(harness.model.live(Array("b".utf8)) != nil)
        harness.publish()
        harness.checkState()
    }

    @Test func aFailedCheckLeavesNoTrace() {
        let harness = ApplyHarness()
        harness.apply(.put(PutCase(key: [1], value: [1])))
        let doomed: [(OperationCase, CallError)] = [
            (.put(PutCase(key: [2], lease: 77)), .leaseNotFound),
            (.put(PutCase(key: [2], ignoreValue: true)), .keyNotFound),
            (.put(PutCase(key: [2], ignoreLease: true)), .keyNotFound),
            (.put(PutCase(key: [2], lease: 77, ignoreValue: true)), .leaseNotFound),
            (get("a", revision: 3), .futureRevision),
            (get("a", revision: -2), .compacted),
            (nested([nested([], else: [.none]), put("q"), nested([.put(PutCase(key: [9], lease: 1))])]), .leaseNotFound),
        ]
        for (operation, error) in doomed.dropLast() {
            let txn = TxnCase(success: [.put(PutCase(key: [5])), .delete(DeleteCase(key: [1])), operation])
            #expect(harness.apply(.txn(txn)).outcome == .failed(error))
        }
        harness.publish()
        harness.checkState()
        #expect(harness.store.currentRevision == 2)
        // On the branch that is not taken nothing is checked.
        let txn = TxnCase(success: [.put(PutCase(key: [5]))], failure: [doomed[0].0])
        #expect(harness.apply(.txn(txn)).outcome == .done)
    }

    @Test func revisionsOfRangesAreTakenAtTheirWord() {
        let harness = ApplyHarness()
        for _ in 0..<3 { harness.apply(.put(PutCase(key: Array("a".utf8), value: [1]))) }
        func outcome(_ revision: Int64) -> ApplyOutcome {
            harness.apply(.txn(TxnCase(success: [put("b"), get("a", revision: revision)]))).outcome
        }
        #expect(outcome(-1) == .done)
        #expect(outcome(-2) == .failed(.compacted))
        #expect(outcome(0) == .done)
        #expect(outcome(2) == .done)
        // The revision that this very transaction would make does not exist yet.
        #expect(outcome(harness.model.revision + 1) == .failed(.futureRevision))
        harness.apply(.compact(3))
        #expect(outcome(-1) == .failed(.compacted))
        #expect(outcome(2) == .failed(.compacted))
        #expect(outcome(3) == .done)
    }

    /// The overlap rules have gaps; what is kept of a key that the same transaction deleted is nothing.
    @Test func keepingTheValueOfAKeyThatIsGoneKeepsNothing() {
        let harness = ApplyHarness()
        harness.apply(.grant(3, ttl: 10))
        let key = Array("k".utf8)
        harness.apply(.put(PutCase(key: key, value: [1], lease: 3)))
        let txn = TxnCase(success: [
            delete("k", "\0"), .put(PutCase(key: key, wantsPrevious: true, ignoreValue: true, ignoreLease: true)),
        ])
        #expect(harness.apply(.txn(txn)).outcome == .done)
        #expect(harness.model.live(key) == Pair(key: key, created: 3, modified: 3, version: 1))
        harness.publish()
        harness.checkState()
    }

    @Test func withoutACallerTheEffectsAreTheSame() {
        let (answered, silent) = (ApplyHarness(), ApplyHarness())
        let txn = TxnCase(success: [get("a"), put("a"), nested([get("a"), put("b"), delete("z")]), delete("a", "a\0\0")])
        answered.apply(.put(PutCase(key: Array("z".utf8))))
        silent.apply(.put(PutCase(key: Array("z".utf8))))
        answered.submit(TxnCase(success: [nested(gets(1))]), budget: 9)
        let plain = TxnCase(success: [get("a"), put("a"), nested([get("a"), put("b"), delete("z")])])
        #expect(answered.apply(.txn(plain)).outcome == .done)
        #expect(silent.apply(.txn(plain), answered: false).outcome == .done)
        // Refused at apply too, should it ever get there.
        #expect(silent.applyRaw(RequestCase.txn(txn).encoded(id: 1)).outcome == .failed(.duplicateKey))
        for harness in [answered, silent] {
            harness.publish()
            harness.checkState()
        }
    }

    @Test func largeAnswersOfNestedTransactionsAreWhole() {
        let harness = ApplyHarness()
        for number in 0..<40 { harness.apply(.put(PutCase(key: Array("k\(number)".utf8), value: Array(repeating: 7, count: 9000)))) }
        let all = OperationCase.range(RangeCase(key: [0], end: [0]))
        let byValue = OperationCase.range(RangeCase(key: [0], end: [0], limit: 5, order: 2, target: 2))
        harness.apply(.txn(TxnCase(success: [all, nested([put("x"), all, nested([all, byValue])]), .delete(DeleteCase(key: [0], end: [0], wantsPrevious: true)), all])))
        harness.publish()
        harness.checkState()
    }
}
