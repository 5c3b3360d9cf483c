// check perf and check datascale: whether a cluster bears a load.

import Client
import CommandLineTools
import Synchronization
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// A load by its names.
private struct Load {
    let names: [String]
    /// Writes in a second, or keys.
    let count: Int
    let clients: Int
}

private func load(_ name: String, _ models: [Load]) throws -> Load {
    for model in models where model.names.contains(name) { return model }
    throw CommandFailure("unknown load option \(name)", status: Status.badFeature)
}

/// Times of calls, gathered by many tasks.
private final class Samples: Sendable {
    struct State {
        var seconds: [Double] = []
        var errors: [String: Int] = [:]
    }
    let state = Mutex(State())

    func add(_ seconds: Double) { state.withLock { $0.seconds.append(seconds) } }
    func add(error: String) { state.withLock { $0.errors[error, default: 0] += 1 } }
}

extension ControlTool {
    func checkCommand() -> Command {
        parent("check <subcommand>", "commands for checking properties of the etcd cluster", perfCommand(), dataScaleCommand())
    }

    /// What both do when they are done.
    private func cleanUp(_ client: Client, _ prefix: String, compact: Bool, defrag: Bool, _ console: Console) async throws {
        let revision = try await attempt { try await client.delete(Delete(.prefix(prefix)), timeout: .seconds(30)) }.header.revision
        if compact {
            console.print("Compacting with revision \(revision)")
            try await attempt { _ = try await client.compact(to: revision, waitsForDisk: true) }
            console.print("Compacted with revision \(revision)")
        }
        guard defrag else { return }
        for endpoint in client.options.endpoints {
            console.print("Defragmenting \(GoText.quoted(endpoint))")
            let member = try await self.client(console, endpoints: [endpoint])
            try await attempt { try await member.defragment() }
            console.print("Defragmented \(GoText.quoted(endpoint))")
            member.close()
        }
    }

    private func refuseKeys(_ client: Client, _ prefix: String) async throws {
        var get = Get(.prefix(prefix))
        get.limit = 1
        let found = try await attempt { try await client.get(get, timeout: self.timeout) }
        guard found.kvs.isEmpty else {
            throw CommandFailure(
                "prefix \(GoText.quoted(prefix)) has keys. Delete with 'etcdctl del --prefix \(prefix)' first", status: Status.invalidInput)
        }
    }

    // MARK: perf

    private func perfCommand() -> Command {
        let command = Command("perf [options]", "Check the performance of the etcd cluster")
        let model = command.flags.add(
            "load", "s", "The performance check's workload model. Accepted workloads: s(small), m(medium), l(large), xl(xLarge)")
        let prefix = command.flags.add("prefix", "/etcdctl-check-perf/", "The prefix for writing the performance check's keys.")
        let compact = command.flags.add("auto-compact", false, "Compact storage with last revision after test is finished.")
        let defrag = command.flags.add("auto-defrag", false, "Defragment storage after test is finished.")
        command.runAsync = { [unowned self] invocation in
            let chosen = try load(
                model.value,
                [
                    Load(names: ["s", "small"], count: 150, clients: 50), Load(names: ["m", "medium"], count: 1_000, clients: 200),
                    Load(names: ["l", "large"], count: 8_000, clients: 500), Load(names: ["xl", "xLarge"], count: 15_000, clients: 1_000),
                ])
            let client = try await self.client(invocation.console)
            try await self.refuseKeys(client, prefix.value)
            let seconds = 60
            let samples = Samples()
            let progress = Progress(invocation.console, "check perf")
            let elapsed = await Self.write(
                client, prefix: prefix.value, perSecond: chosen.count, clients: chosen.clients, seconds: seconds, samples
            ) { progress.show(UInt64($0), of: UInt64(seconds)) }
            progress.end()
            do { try await self.cleanUp(client, prefix.value, compact: compact.value, defrag: defrag.value, invocation.console) } catch {
                // What was measured is told all the same.
                _ = self.isPassed(samples, elapsed, chosen.count, invocation.console)
                throw error
            }
            guard self.isPassed(samples, elapsed, chosen.count, invocation.console) else { throw CommandFailure("", status: Status.error) }
        }
        return command
    }

    /// Puts at a rate, spread over so many connections' worth of tasks.
    private nonisolated(nonsending) static func write(
        _ client: Client, prefix: String, perSecond: Int, clients: Int, seconds: Int, _ samples: Samples, _ tell: (Int) -> Void
    ) async -> Double {
        let clock = ContinuousClock()
        let start = clock.now
        let end = start + .seconds(seconds)
        let value = [UInt8](repeating: 0, count: 1024)
        let key = Array(prefix.utf8)
        let workers = (0..<clients).map { worker in
            Task.detached {
                // Each has its share of the rate, at moments of its own.
                let step = Duration.seconds(1) * clients / perSecond
                var due = start + step * worker / clients
                // A server that does not answer is not waited for beyond the end: what is late by then is not done.
                while due < end, clock.now < end {
                    try? await Task.sleep(until: due, clock: clock)
                    due += step
                    var random = [UInt8](repeating: 0, count: 256)
                    let sink = ByteSink()
                    sink.varint(UInt64.random(in: 0...UInt64(Int64.max)))
                    random.replaceSubrange(0..<sink.count, with: sink.array())
                    let began = clock.now
                    do throws(ClientError) {
                        _ = try await client.put(Put(key + random, value), timeout: .seconds(10))
                        samples.add((clock.now - began) / .seconds(1))
                    } catch { samples.add(error: text(error)) }
                }
            }
        }
        for second in 1...seconds {
            try? await Task.sleep(until: start + .seconds(second), clock: clock)
            tell(second)
        }
        for worker in workers { await worker.value }
        return (clock.now - start) / .seconds(1)
    }

    private func isPassed(_ samples: Samples, _ elapsed: Double, _ limit: Int, _ console: Console) -> Bool {
        let (times, errors) = samples.state.withLock { ($0.seconds, $0.errors) }
        var isGood = true
        if !errors.isEmpty {
            console.print("FAIL: too many errors")
            for (error, count) in errors.sorted(by: { $0.key < $1.key }) { console.print("FAIL: ERROR(\(error)) -> \(count)") }
            isGood = false
        }
        let rate = Double(times.count) / max(elapsed, 0.001)
        if rate <= Double(limit) * 0.9 {
            console.print("FAIL: Throughput too low: \(Int(rate) + 1) writes/s")
            isGood = false
        } else {
            console.print("PASS: Throughput is \(Int(rate) + 1) writes/s")
        }
        let slowest = times.max() ?? 0
        if slowest > 0.5 {
            console.print("Slowest request took too long: \(fixed(slowest, 6))s")
            isGood = false
        } else {
            console.print("PASS: Slowest request took \(fixed(slowest, 6))s")
        }
        let average = times.isEmpty ? 0 : times.reduce(0, +) / Double(times.count)
        let deviation = times.isEmpty ? 0 : (times.reduce(0) { $0 + ($1 - average) * ($1 - average) } / Double(times.count)).squareRoot()
        if deviation > 0.1 {
            console.print("Stddev too high: \(fixed(deviation, 6))s")
            isGood = false
        } else {
            console.print("PASS: Stddev is \(fixed(deviation, 6))s")
        }
        console.print(isGood ? "PASS" : "FAIL")
        return isGood
    }

    // MARK: datascale

    private func dataScaleCommand() -> Command {
        let command = Command(
            "datascale [options]", "Check the memory usage of holding data for different workloads on a given server endpoint.",
            long: "If no endpoint is provided, localhost will be used. If multiple endpoints are provided, first endpoint will be used.")
        let model = command.flags.add(
            "load", "s", "The datascale check's workload model. Accepted workloads: s(small), m(medium), l(large), xl(xLarge)")
        let prefix = command.flags.add("prefix", "/etcdctl-check-datascale/", "The prefix for writing the datascale check's keys.")
        let compact = command.flags.add("auto-compact", false, "Compact storage with last revision after test is finished.")
        let defrag = command.flags.add("auto-defrag", false, "Defragment storage after test is finished.")
        command.runAsync = { [unowned self] invocation in
            let chosen = try load(
                model.value,
                [
                    Load(names: ["s", "small"], count: 10_000, clients: 50), Load(names: ["m", "medium"], count: 100_000, clients: 200),
                    Load(names: ["l", "large"], count: 1_000_000, clients: 500),
                    Load(names: ["xl", "xLarge"], count: 3_000_000, clients: 1_000),
                ])
            let console = invocation.console
            let client = try await self.client(console)
            try await self.refuseKeys(client, prefix.value)
            func memory(_ moment: String) async throws -> Double {
                do {
                    let metrics = Metrics(text: String(decoding: try await client.metricsText(), as: UTF8.self))
                    if let bytes = metrics.value("process_resident_memory_bytes"), bytes > 0 { return bytes }
                } catch {
                    console.print("FAIL: \(error)", to: .error)
                }
                throw failed(console, "FAIL: Could not read process_resident_memory_bytes \(moment) the put operations.")
            }
            let before = try await memory("before")
            console.print(
                "Start data scale check for work load [\(chosen.count) key-value pairs, 1024 bytes per key-value, \(chosen.clients) concurrent clients].")
            console.flush()
            let errors = await Self.fill(client, prefix.value, keys: chosen.count, clients: chosen.clients, Progress(console, "check datascale"))
            let after = try await memory("after")
            try await self.cleanUp(client, prefix.value, compact: compact.value, defrag: defrag.value, console)
            let used = max(0, after - before) / (1024 * 1024)
            guard errors.isEmpty else {
                console.print("FAIL: too many errors")
                for (error, count) in errors.sorted(by: { $0.key < $1.key }) { console.print("FAIL: ERROR(\(error)) -> \(count)") }
                throw CommandFailure("", status: Status.error)
            }
            console.print("PASS: Approximate system memory used : \(fixed(used, 2)) MB.")
        }
        return command
    }

    private nonisolated(nonsending) static func fill(
        _ client: Client, _ prefix: String, keys: Int, clients: Int, _ progress: Progress
    ) async -> [String: Int] {
        let next = Counter(), finished = Counter()
        let samples = Samples()
        let key = Array(prefix.utf8)
        let value = [UInt8](repeating: 0, count: 512)
        let workers = (0..<clients).map { _ in
            Task.detached {
                defer { _ = finished.take() }
                while true {
                    let number = next.take()
                    guard number < keys else { return }
                    var name = [UInt8](repeating: 0, count: 512)
                    let sink = ByteSink()
                    sink.varint(UInt64(number))
                    name.replaceSubrange(0..<sink.count, with: sink.array())
                    do throws(ClientError) { _ = try await client.put(Put(key + name, value), timeout: .seconds(30)) } catch {
                        // The check has failed: the other keys would not pass it.
                        samples.add(error: text(error))
                        return
                    }
                }
            }
        }
        while finished.count < clients {
            progress.show(UInt64(min(next.count, keys)), of: UInt64(keys))
            try? await Task.sleep(for: .milliseconds(200))
        }
        for worker in workers { await worker.value }
        progress.end()
        return samples.state.withLock { $0.errors }
    }
}

private final class Counter: Sendable {
    private let number = Atomic<Int>(0)

    func take() -> Int { number.add(1, ordering: .relaxed).oldValue }
    var count: Int { number.load(ordering: .relaxed) }
}

/// Prints the line where results go, and fails without another word.
private func failed(_ console: Console, _ line: String) -> CommandFailure {
    console.print(line)
    return CommandFailure("", status: Status.error)
}
