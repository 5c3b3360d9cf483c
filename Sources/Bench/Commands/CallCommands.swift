// put, range, txn-put, txn-mixed, lease-keepalive, stm: loads of single calls.

import Client
import CommandLineTools
import Wire

extension BenchTool {
    private func keySpace(_ flag: TypedFlag<Int>, keySize: TypedFlag<Int>) throws {
        guard flag.value > 0 else { throw CommandFailure("expected positive --\(flag.name), got (\(flag.value))") }
        let needed = KeyPattern.sizeNeeded(below: flag.value)
        guard try size(keySize, least: 1) >= needed else {
            throw CommandFailure("--\(flag.name) \(flag.value) needs keys of \(needed) bytes, got --\(keySize.name) \(keySize.value)")
        }
    }

    // MARK: put

    func putCommand() -> Command {
        let command = Command("put", "Benchmark put", long: "Puts one random value to keys of a space, again and again.")
        let flags = command.flags
        let keySize = flags.add("key-size", 8, "bytes of a key")
        let valueSize = flags.add("val-size", 8, "bytes of a value")
        let rate = flags.add("rate", 0, "puts per second at most (0: no limit)")
        let total = flags.add("total", 10_000, "puts in all")
        let space = flags.add("key-space-size", 1, "different keys")
        let isSequential = flags.add("sequential-keys", false, "keys in turn instead of at random")
        let prefix = flags.add("prefix", "", "what keys begin with, before their --key-size bytes")
        let compactInterval = flags.add("compact-interval", Duration.zero, "compact so often while the load goes on")
        let compactDelta = flags.add("compact-index-delta", 1000 as Int64, "how many revisions a compaction leaves")
        let checksHash = flags.add("check-hashkv", false, "print the store's hash at the end")
        command.arguments = ArgumentRule.none
        command.runAsync = { [unowned self] invocation in
            try self.keySpace(space, keySize: keySize)
            let valueBytes = try self.size(valueSize)
            let settings = try self.settings(total: total, rate: rate)
            var plan = Plan.calls("put", settings, hasBlankLine: true) { _ -> Workload in
                PutWorkload(
                    keySize: keySize.value, valueSize: valueBytes, keySpace: space.value, isSequential: isSequential.value,
                    prefix: prefix.value, seed: settings.seed)
            }
            if compactInterval.value > .zero { plan = Self.compacting(plan, every: compactInterval.value, leaving: compactDelta.value) }
            if checksHash.value { plan.after = { try await Self.printHash($0, $1) } }
            try await self.execute(plan, invocation)
        }
        return command
    }

    /// Compacts while the plan's load goes on.
    private static func compacting(_ plan: Plan, every interval: Duration, leaving delta: Int64) -> Plan {
        var plan = plan
        let body = plan.body
        plan.body = { context, settings in
            let client = try context.client()
            let compactor = Task {
                while true {
                    try await Task.sleep(for: interval)
                    let revision = try await client.get(Get("foo")).header.revision
                    _ = try await client.compact(to: max(0, revision - delta))
                }
            }
            defer {
                compactor.cancel()
                client.close()
            }
            return try await body(context, settings)
        }
        return plan
    }

    private static func printHash(_ context: BenchContext, _ console: Console) async throws {
        let endpoint = context.endpoints[0].split(separator: " ").joined()
        let client = try context.tool.client([endpoint])
        defer { client.close() }
        let clock = ContinuousClock()
        let start = clock.now
        let hash = try await client.hashKV(timeout: .seconds(300)).message
        let status = try await client.status().message
        console.print("HashKV Summary:")
        console.print("\tHashKV: \(hash.hash)")
        console.print("\tEndpoint: \(endpoint)")
        console.print("\tTime taken to get hashkv: \(GoText.text(clock.now - start))")
        console.print("\tDB size: \(NumberFormat.bytes(UInt64(max(0, status.dbSize))))")
    }

    // MARK: range

    /// `l` or `s`; the line that etcd's benchmark prints first.
    private func consistency(_ flag: TypedFlag<String>) throws -> (isSerializable: Bool, opening: String) {
        switch flag.value {
        case "l": (false, "bench with linearizable range\n")
        case "s": (true, "bench with serializable range\n")
        default: throw CommandLineError("unknown consistency \(GoText.quoted(flag.value)): l (linearizable) or s (serializable)")
        }
    }

    func rangeCommand() -> Command {
        let command = Command("range KEY [END]", "Benchmark range", long: "Reads one key or range, again and again.")
        let flags = command.flags
        let rate = flags.add("rate", 0, "ranges per second at most (0: no limit)")
        let total = flags.add("total", 10_000, "ranges in all")
        let consistencyFlag = flags.add("consistency", "l", "linearizable (l) or serializable (s)")
        let limit = flags.add("limit", 0, "keys of an answer at most (0: all)")
        let isCountOnly = flags.add("count-only", false, "only how many keys there are")
        let isKeysOnly = flags.add("keys-only", false, "only keys")
        let isStream = flags.add("stream", false, "ask for answers in parts (RangeStream)")
        let isPaginated = flags.add("paginate", false, "read by pages of one revision; the pages of a range count as one")
        let isPrefix = flags.add("prefix", false, "all keys that begin with KEY")
        command.arguments = .between(1, 2)
        command.flagGroups = [.atMostOne(["stream", "paginate"]), .atMostOne(["count-only", "paginate"])]
        command.runAsync = { [unowned self] invocation in
            let (isSerializable, opening) = try self.consistency(consistencyFlag)
            var shape = RangeShape(key: Array(invocation.arguments[0].utf8))
            if invocation.arguments.count > 1 {
                guard !isPrefix.value else { throw CommandFailure("--prefix and END exclude each other") }
                shape.end = Array(invocation.arguments[1].utf8)
            } else if isPrefix.value {
                (shape.key, shape.end) = KeyRange.prefix(shape.key).bounds
            }
            shape.isSerializable = isSerializable
            shape.limit = limit.value
            shape.isCountOnly = isCountOnly.value
            shape.isKeysOnly = isKeysOnly.value
            var plan = Plan.calls("range", try self.settings(total: total, rate: rate)) { [shape] _ -> Workload in
                guard isPaginated.value else { return RangeWorkload(shape, isStream: isStream.value) }
                return PagedRangeWorkload(shape, pageSize: limit.value > 0 ? limit.value : 10_000)
            }
            plan.opening = opening
            try await self.execute(plan, invocation)
        }
        return command
    }

    // MARK: Transactions

    func transactionPutCommand() -> Command {
        let command = Command("txn-put", "Benchmark txn-put", long: "Transactions that put several keys.")
        let flags = command.flags
        let keySize = flags.add("key-size", 8, "bytes of a key")
        let valueSize = flags.add("val-size", 8, "bytes of a value")
        let puts = flags.add("txn-ops", 1, "puts of a transaction")
        let rate = flags.add("rate", 0, "transactions per second at most (0: no limit)")
        let total = flags.add("total", 10_000, "transactions in all")
        let space = flags.add("key-space-size", 1, "different keys")
        command.arguments = ArgumentRule.none
        command.runAsync = { [unowned self] invocation in
            try self.keySpace(space, keySize: keySize)
            let valueBytes = try self.size(valueSize)
            guard puts.value > 0 else { throw CommandFailure("expected positive --txn-ops, got (\(puts.value))") }
            guard puts.value <= space.value else {
                throw CommandFailure(
                    "expected --txn-ops no larger than --key-space-size, got txn-ops(\(puts.value)) key-space-size(\(space.value))")
            }
            let settings = try self.settings(total: total, rate: rate)
            let plan = Plan.calls("txn-put", settings, hasBlankLine: true) { _ -> Workload in
                TransactionPutWorkload(
                    keySize: keySize.value, valueSize: valueBytes, keySpace: space.value, puts: puts.value, seed: settings.seed)
            }
            try await self.execute(plan, invocation)
        }
        return command
    }

    func transactionMixedCommand() -> Command {
        let command = Command(
            "txn-mixed [KEY [END]]", "Benchmark a mixed load of txn-put & txn-range.",
            long: "Transactions of which some read a range (of all keys where no KEY is given) and the others put a key.")
        let flags = command.flags
        let keySize = flags.add("key-size", 8, "bytes of a key")
        let valueSize = flags.add("val-size", 8, "bytes of a value")
        let rate = flags.add("rate", 0, "transactions per second at most (0: no limit)")
        let total = flags.add("total", 10_000, "transactions in all")
        let end = flags.add("end-key", "", "end of what is read")
        let limit = flags.add("limit", 1_000, "keys that are read at most")
        let space = flags.add("key-space-size", 1, "different keys")
        let consistencyFlag = flags.add("consistency", "l", "linearizable (l) or serializable (s)")
        let ratio = flags.add("rw-ratio", 1.0, "reads for each write")
        command.arguments = .atMost(2)
        command.runAsync = { [unowned self] invocation in
            try self.keySpace(space, keySize: keySize)
            let valueBytes = try self.size(valueSize)
            guard ratio.value >= 0 else { throw CommandFailure("expected positive --rw-ratio, got (\(ratio.text))") }
            let (isSerializable, opening) = try self.consistency(consistencyFlag)
            var shape = RangeShape(key: Array((invocation.arguments.first ?? "").utf8))
            shape.end = Array((invocation.arguments.count > 1 ? invocation.arguments[1] : end.value).utf8)
            if shape.key.isEmpty {
                shape.key = [0]
                if shape.end.isEmpty { shape.end = [0] }
            }
            shape.limit = limit.value
            shape.isSerializable = isSerializable
            let settings = try self.settings(total: total, rate: rate)
            var plan = Plan.calls(
                "txn-mixed", settings,
                sections: { outcome in
                    zip(["Read", "Write"], outcome.operations).map { kind, recorder in
                        let count = recorder.latencies.count + recorder.errorCount
                        return ReportSection(
                            heading: "Total \(kind) Ops: \(count)\nDetails:", recorder: recorder, seconds: outcome.seconds, hasBlankLine: true)
                    }
                }
            ) { [shape] _ -> Workload in
                TransactionMixedWorkload(
                    keySize: keySize.value, valueSize: valueBytes, keySpace: space.value, range: shape, readWriteRatio: ratio.value,
                    seed: settings.seed)
            }
            plan.opening = opening
            try await self.execute(plan, invocation)
        }
        return command
    }

    // MARK: Leases

    /// A lease for each of so many clients.
    static func grantLeases(_ context: BenchContext, _ count: Int, ttl: Int64) async throws -> [Int64] {
        let grants = GrantWorkload(ttl: ttl)
        var settings = RunSettings()
        settings.total = count
        settings.clients = min(count, 64)
        let outcome = try await context.engine.perform(grants, settings)
        if let failure = outcome.failure ?? outcome.operations[0].errors.keys.first { throw EngineError("lease grant: \(failure)") }
        guard grants.leases.count == count else { throw EngineError("lease grant: interrupted") }
        return grants.leases
    }

    func keepAliveCommand() -> Command {
        let command = Command(
            "lease-keepalive", "Benchmark lease keepalive", long: "Renews leases, one for each client. Each renewal is a stream of its own.")
        command.aliases = ["lease"]
        let total = command.flags.add("total", 10_000, "renewals in all")
        let rate = command.flags.add("rate", 0, "renewals per second at most (0: no limit)")
        command.arguments = ArgumentRule.none
        command.runAsync = { [unowned self] invocation in
            let count = Int(self.clients.value)
            let plan = Plan.calls("lease-keepalive", try self.settings(total: total, rate: rate)) { context -> Workload in
                KeepAliveWorkload(leases: try await Self.grantLeases(context, count, ttl: 100))
            }
            try await self.execute(plan, invocation)
        }
        return command
    }

    // MARK: stm

    func stmCommand() -> Command {
        let command = Command(
            "stm", "Benchmark STM", long: "Software transactions: keys are read, some are written, and it begins anew when others came between.")
        let flags = command.flags
        let isolationFlag = flags.add("isolation", "r", "read committed (c), repeatable reads (r), serializable (s), snapshot (ss)")
        let keys = flags.add("keys", 1, "different keys")
        let total = flags.add("total", 10_000, "transactions in all")
        let keysEach = flags.add("keys-per-txn", 1, "keys of a transaction")
        let writes = flags.add("txn-wr-percent", 50, "how many of them are written")
        let locker = flags.add("stm-locker", "stm", "what keeps transactions apart besides (stm: nothing, lock-client, lock-rpc)")
        let valueSize = flags.add("val-size", 8, "bytes of a value")
        let rate = flags.add("rate", 0, "transactions per second at most (0: no limit)")
        command.arguments = ArgumentRule.none
        command.runAsync = { [unowned self] invocation in
            guard keys.value > 0 else { throw CommandFailure("expected positive --keys, got (\(keys.value))") }
            guard (0...100).contains(writes.value) else { throw CommandFailure("expected [0, 100] --txn-wr-percent, got (\(writes.value))") }
            guard (0...keys.value).contains(keysEach.value), keysEach.value <= 1_000 else {
                throw CommandFailure("expected --keys-per-txn between 0 and \(min(keys.value, 1_000)), got (\(keysEach.value))")
            }
            guard let isolation = Isolation(rawValue: isolationFlag.value) else {
                throw CommandLineError("unknown isolation \(GoText.quoted(isolationFlag.value))")
            }
            guard ["stm", "lock-client", "lock-rpc"].contains(locker.value) else {
                throw CommandFailure("unexpected stm locker \(GoText.quoted(locker.value))")
            }
            let shape = TransactionWorkload.Shape(
                isolation: isolation, keys: keys.value, keysPerTransaction: keysEach.value, writePercent: writes.value,
                valueSize: try self.size(valueSize))
            let settings = try self.settings(total: total, rate: rate)
            let count = min(settings.clients, Int(self.clients.value))
            var plan = Plan.calls("stm", settings) { context -> Workload in
                let leases = locker.value == "lock-rpc" ? try await Self.grantLeases(context, count, ttl: 600) : []
                return TransactionWorkload(shape, leases: leases, seed: settings.seed)
            }
            if locker.value == "lock-client" {
                plan.body = { try await LockedTransactions(shape, $1).run($0) }
            }
            try await self.execute(plan, invocation)
        }
        return command
    }
}
