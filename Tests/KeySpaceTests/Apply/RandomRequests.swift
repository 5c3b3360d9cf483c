// Random requests: few keys and values, so that everything meets everything.

extension ApplyHarness {
    func pick<T>(_ values: T...) -> T { values[int(0..<values.count)] }

    func randomKey() -> [UInt8] {
        let keys: [[UInt8]] = [[0], [1], Array("a".utf8), Array("a\0".utf8), Array("ab".utf8), Array("b".utf8), [0x7f], [0xff], [0xff, 0xff]]
        return int(0..<2) == 0 ? keys[int(0..<keys.count)] : Array("k\(int(0..<12))".utf8)
    }

    func randomEnd() -> [UInt8] { pick([], [], [], [0], Array("k".utf8), Array("l".utf8), randomKey()) }

    func randomValue() -> [UInt8] { pick([], [0], Array("v1".utf8), Array("v2".utf8), Array(repeating: UInt8(int(0..<256)), count: pick(1, 127, 128, 4000))) }

    func randomLease() -> Int64 { pick(0, 0, 0, 1, 2, 3, -4, 99, Int64.max) }

    func randomRevision() -> Int64 {
        switch int(0..<8) {
        case 0: -1
        case 1: -2
        case 2: Int64.min
        case 3: model.revision + Int64(int(0..<3))
        case 4: Int64.max
        case 5: model.compacted + Int64(int(-1..<2))
        default: Int64(int(0..<Int(model.revision) + 1))
        }
    }

    func randomRange(valid: Bool = true) -> RangeCase {
        var range = RangeCase(key: randomKey(), end: randomEnd())
        range.limit = pick(0, 0, 1, 2, 5, -1, Int64.max, Int64.min)
        if int(0..<3) == 0 { range.revision = randomRevision() }
        if int(0..<2) == 0 {
            range.order = Int64(int(0..<3))
            range.target = Int64(int(0..<5))
        }
        range.serializable = int(0..<2) == 0
        range.keysOnly = int(0..<4) == 0
        range.countOnly = int(0..<5) == 0
        if int(0..<4) == 0 {
            let bound = randomRevision()
            switch int(0..<4) {
            case 0: range.minimumModified = bound
            case 1: range.maximumModified = bound
            case 2: range.minimumCreated = bound
            default: range.maximumCreated = bound
            }
        }
        if !valid {
            switch int(0..<3) {
            case 0: range.key = []
            case 1: range.order = pick(3, -1, 1 << 31)
            default: range.target = pick(5, -1)
            }
        }
        return range
    }

    func randomPut(valid: Bool = true) -> PutCase {
        var put = PutCase(key: randomKey(), value: randomValue(), lease: randomLease())
        put.wantsPrevious = int(0..<2) == 0
        if int(0..<4) == 0 {
            put.ignoreValue = true
            put.value = []
        }
        if int(0..<4) == 0 {
            put.ignoreLease = true
            put.lease = 0
        }
        if !valid {
            switch int(0..<3) {
            case 0: put.key = []
            case 1: (put.ignoreValue, put.value) = (true, [1])
            default: (put.ignoreLease, put.lease) = (true, 1)
            }
        }
        return put
    }

    func randomDelete() -> DeleteCase {
        var delete = DeleteCase(key: randomKey(), end: int(0..<2) == 0 ? [] : randomEnd(), wantsPrevious: int(0..<2) == 0)
        // Not everything each time.
        if delete.end == [0], int(0..<3) > 0 { delete.end = [] }
        return delete
    }

    func randomCompare() -> CompareCase {
        var compare = CompareCase(key: randomKey(), end: int(0..<3) == 0 ? randomEnd() : [])
        compare.target = pick(0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, -1)
        compare.result = pick(0, 1, 2, 3, 3, 0, 1, 4, -1)
        let number = pick(0, 1, 2, model.revision, randomRevision(), randomLease(), -1)
        // Mostly what the target asks for.
        switch int(0..<6) == 0 ? Int64(int(0..<6)) : compare.target {
        case 0: compare.operand = .version(number)
        case 1: compare.operand = .created(number)
        case 2: compare.operand = .modified(number)
        case 3: compare.operand = .value(randomValue())
        case 4: compare.operand = .lease(number)
        default: compare.operand = .none
        }
        return compare
    }

    func randomOperation(depth: Int, valid: Bool) -> OperationCase {
        if !valid, int(0..<20) == 0 { return .none }
        switch int(0..<(depth > 0 ? 13 : 10)) {
        case 0..<3: return .range(randomRange(valid: valid || int(0..<20) > 0))
        case 3..<8: return .put(randomPut(valid: valid || int(0..<20) > 0))
        case 8..<10: return .delete(randomDelete())
        default: return .txn(randomTxn(depth: depth - 1, valid: valid))
        }
    }

    func randomTxn(depth: Int = 3, valid: Bool = true) -> TxnCase {
        var txn = TxnCase()
        for _ in 0..<pick(0, 0, 1, 1, 2) { txn.compares.append(randomCompare()) }
        for _ in 0..<pick(0, 1, 1, 2, 3) { txn.success.append(randomOperation(depth: depth, valid: valid)) }
        for _ in 0..<pick(0, 0, 1, 2) { txn.failure.append(randomOperation(depth: depth, valid: valid)) }
        return txn
    }

    /// One random entry.
    func step() {
        let answered = int(0..<4) > 0
        switch int(0..<20) {
        case 0..<5: apply(.put(randomPut()), answered: answered)
        case 5..<7: apply(.delete(randomDelete()), answered: answered)
        case 7: apply(.range(randomRange()), answered: true)
        case 8: apply(.compact(int(0..<3) == 0 ? randomRevision() : model.revision - Int64(int(0..<10)), physical: int(0..<2) == 0), answered: answered)
        case 9..<11: apply(.grant(randomLease(), ttl: pick(-1, 0, 1, 2, 3, 60, 9_000_000_000, 9_000_000_001, Int64.min)), answered: answered)
        case 11: apply(.revoke(randomLease()), answered: answered)
        case 12: apply(.checkpoint([(id: randomLease(), remaining: Int64(30)), (id: randomLease(), remaining: Int64(0))]), answered: answered)
        case 13 where int(0..<3) == 0:
            let (member, kind) = (Int64(int(0..<3)), Int64(int(0..<3)))
            apply(.alarm(action: Int64(int(0..<3)), member: member, kind: kind), answered: answered)
            // Not for long, or nothing else is tried.
            if int(0..<3) > 0 {
                for alarm in model.alarms { apply(.alarm(action: 2, member: alarm[0], kind: alarm[1]), answered: answered) }
            }
        case 14: submit(randomTxn(valid: false), budget: pick(0, 1, 2, 3, 4, 128))
        default: submit(randomTxn(), budget: 128)
        }
    }
}
