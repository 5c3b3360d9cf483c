// watch, watch-get, watch-latency.

import CShims
import Client
import CommandLineTools
import Wire

extension BenchTool {
    private func positive(_ flags: TypedFlag<Int>...) throws {
        for flag in flags where flag.value <= 0 { throw CommandFailure("expected positive --\(flag.name), got (\(flag.value))") }
    }

    private func watchers(_ streams: TypedFlag<Int>, _ each: Int) throws {
        guard streams.value.multipliedReportingOverflow(by: each).partialValue <= BenchLimits.watchersMax, each <= BenchLimits.watchersMax else {
            throw CommandFailure("at most \(BenchLimits.watchersMax) watchers")
        }
    }

    // MARK: watch

    func watchCommand() -> Command {
        let command = Command(
            "watch", "Benchmark watch",
            long: """
                Creates watchers, then puts the keys that they watch. Reported are how long creating a watcher takes, and
                how long events take from the moment their put is sent.
                """)
        let flags = command.flags
        let streams = flags.add("streams", 10, "watch streams in all")
        let each = flags.add("watch-per-stream", 100, "watchers of a stream")
        let watched = flags.add("watched-key-total", 1, "keys that are watched")
        let rate = flags.add("put-rate", 0, "puts per second at most (0: no limit)")
        let total = flags.add("put-total", 1_000, "puts in all")
        let keySize = flags.add("key-size", 32, "bytes of a key")
        let space = flags.add("key-space-size", 1, "different keys")
        let isSequential = flags.add("sequential-keys", false, "keys in turn instead of at random")
        command.arguments = ArgumentRule.none
        command.runAsync = { [unowned self] invocation in
            try self.positive(streams, each, watched, space)
            try self.watchers(streams, each.value)
            guard try self.size(keySize, least: 1) >= KeyPattern.sizeNeeded(below: space.value) else {
                throw CommandFailure("--key-space-size \(space.value) does not fit into --key-size \(keySize.value)")
            }
            let settings = try self.settings(total: total, rate: rate)
            var random = SplitMix(settings.seed)
            let pattern = KeyPattern(size: keySize.value)
            let keys = (0..<watched.value).map { index in
                pattern.array(isSequential.value ? index % space.value : random.below(space.value))
            }
            let shapes = (0..<streams.value).map { stream in
                (0..<each.value).map { WatchShape(key: keys[($0 * streams.value + stream) % keys.count]) }
            }
            let plan = Plan(name: "watch", settings: settings) { try await Self.watch($0, $1, keys, shapes) }
            try await self.execute(plan, invocation)
        }
        return command
    }

    private static func watch(
        _ context: BenchContext, _ settings: RunSettings, _ keys: [[UInt8]], _ shapes: [[WatchShape]]
    ) async throws -> RunReport {
        var report = RunReport(benchmark: "watch")
        let processor = Processor.seconds()
        let watches = WatchStreams(context.engine)
        let begun = martlet_monotonic_ns()
        try await watches.create(shapes)
        let creation = Double(martlet_monotonic_ns() - begun) / 1e9
        let start = martlet_monotonic_ns()
        let events = try await context.engine.onLoop {
            let events = EventRecorder("watch-event", start: start)
            watches.onEvent = { event, now in
                if let moment = WatchPutWorkload.moment(event.value), moment >= start { events.took(moment, now) }
            }
            return events
        }
        let outcome = try await context.perform(WatchPutWorkload(keys: keys), settings)
        // Puts go round the keys; equal ones share their watchers.
        let watchersOf = shapes.joined().reduce(into: [[UInt8]: Int]()) { $0[$1.key, default: 0] += 1 }
        let done = Int(outcome.operations[0].latencies.count)
        var expected = 0
        for index in 0..<keys.count {
            let puts = done / keys.count + (index < done % keys.count ? 1 : 0)
            expected += puts * (watchersOf[keys[index]] ?? 0)
        }
        // With failed puts nobody knows which are done.
        if outcome.errors > 0 { expected = 0 }
        report.take(outcome)
        if outcome.failure == nil, !outcome.wasInterrupted { report.failure = try await context.waitForEvents(watches, expected) }
        let (recorder, lastEvent) = try await context.engine.onLoop { (events.finished(), watches.lastEventAt) }
        let seconds = Double(max(lastEvent, start + 1) - start) / 1e9
        try await context.engine.onLoop { watches.close() }
        report.processorSeconds = Processor.seconds() - processor
        report.seconds = max(report.seconds, seconds)
        report.sections = [
            ReportSection(heading: "Watch creation summary:\n", recorder: watches.creations, seconds: creation),
            ReportSection(heading: "Watch events received summary:\n", recorder: recorder, seconds: seconds),
            ReportSection(recorder: outcome.operations[0], seconds: outcome.seconds, isExtra: true),
        ]
        return report
    }

    // MARK: watch-get

    func watchGetCommand() -> Command {
        let command = Command(
            "watch-get", "Benchmark watch with get",
            long: "Serializable reads of one key while many watchers catch up with events of the past.")
        let flags = command.flags
        let watchers = flags.add("watchers", 10_000, "watchers in all")
        let streams = flags.add("streams", 1, "watch streams in all")
        let events = flags.add("events", 8, "events of a watcher")
        command.arguments = ArgumentRule.none
        command.runAsync = { [unowned self] invocation in
            try self.positive(watchers, streams, events)
            guard watchers.value <= BenchLimits.watchersMax else { throw CommandFailure("at most \(BenchLimits.watchersMax) watchers") }
            var settings = RunSettings()
            settings.seed = self.seedValue
            // Reads have a connection of their own.
            let plan = Plan(name: "watch-get", settings: settings, isPaced: false, extraConnections: 1) {
                try await Self.watchGet($0, $1, watchers: watchers.value, streams: streams.value, events: events.value)
            }
            try await self.execute(plan, invocation)
        }
        return command
    }

    private static func watchGet(
        _ context: BenchContext, _ settings: RunSettings, watchers: Int, streams: Int, events: Int
    ) async throws -> RunReport {
        let processor = Processor.seconds()
        let client = try context.client()
        var first: Int64 = 0
        for index in 0..<events {
            let revision = try await client.put("watchkey", "\(index)").header.revision
            if index == 0 { first = revision }
        }
        client.close()
        let watches = WatchStreams(context.engine)
        let shapes = (0..<streams).map { stream in
            Array(repeating: WatchShape(key: Array("watchkey".utf8), startRevision: first), count: watchers / streams + (stream < watchers % streams ? 1 : 0))
        }
        var gets = settings
        gets.clients = 1
        gets.total = nil
        gets.firstLink = context.engine.options.connections - 1
        var shape = RangeShape(key: Array("abc".utf8))
        shape.isSerializable = true
        let run = gets
        let engine = context.engine
        let load = RangeWorkload(shape, isStream: false)
        async let reading = engine.perform(load, run)
        var failure: String?
        do {
            try await watches.create(shapes)
            failure = try await context.waitForEvents(watches, watchers * events)
        } catch let error as EngineError { failure = error.description }
        try await context.engine.onLoop {
            watches.close()
            engine.run?.stop()
        }
        let outcome = try await reading
        var report = RunReport(benchmark: "watch-get")
        report.take(outcome)
        if report.failure == nil { report.failure = failure }
        report.processorSeconds = Processor.seconds() - processor
        report.sections = [
            ReportSection(
                heading: "Get during watch summary:\n", recorder: outcome.operations[0].renamed("watch-get"), seconds: outcome.seconds),
            ReportSection(recorder: watches.creations, seconds: outcome.seconds, isExtra: true),
        ]
        return report
    }

    // MARK: watch-latency

    func watchLatencyCommand() -> Command {
        let command = Command(
            "watch-latency", "Benchmark watch latency",
            long: """
                One client puts a key, one put after the other, while watchers watch it. Reported are the puts, and how
                long events come behind the answers to their puts; reports but the text have the time since the put was
                sent as well.
                """)
        let flags = command.flags
        let streams = flags.add("streams", 10, "watch streams in all")
        let each = flags.add("watchers-per-stream", 10, "watchers of a stream")
        let wantsPrevious = flags.add("prevkv", false, "events with the values before them")
        let total = flags.add("put-total", 1_000, "puts in all")
        let oldTotal = flags.add("total", 0, "the same by its older name")
        oldTotal.isHidden = true
        let rate = flags.add("put-rate", 100, "puts per second at most (0: no limit)")
        let keySize = flags.add("key-size", 32, "bytes of the key")
        let valueSize = flags.add("val-size", 32, "bytes of the value")
        command.arguments = ArgumentRule.none
        command.runAsync = { [unowned self] invocation in
            try self.positive(streams, each)
            try self.watchers(streams, each.value)
            let keyBytes = try self.size(keySize, least: 1)
            let valueBytes = try self.size(valueSize)
            // One put at a time, whatever else is asked for.
            var settings = try self.settings(total: oldTotal.isGiven ? oldTotal : total, rate: rate)
            settings.clients = 1
            var shape = WatchShape(key: FixedBytes.random(keyBytes, seed: settings.seed).array)
            shape.wantsPrevious = wantsPrevious.value
            let shapes = Array(repeating: Array(repeating: shape, count: each.value), count: streams.value)
            let plan = Plan(name: "watch-latency", settings: settings) { [shape] in
                try await Self.watchLatency($0, $1, shape.key, valueBytes, shapes)
            }
            try await self.execute(plan, invocation)
        }
        return command
    }

    private static func watchLatency(
        _ context: BenchContext, _ settings: RunSettings, _ key: [UInt8], _ valueSize: Int, _ shapes: [[WatchShape]]
    ) async throws -> RunReport {
        let processor = Processor.seconds()
        let watches = WatchStreams(context.engine)
        try await watches.create(shapes)
        let start = martlet_monotonic_ns()
        let puts = LatencyPutWorkload(key: key, valueSize: valueSize, seed: settings.seed)
        let pairs = try await context.engine.onLoop {
            let pairs = EventPairs(start: start)
            puts.onAnswer = pairs.answered
            watches.onEvent = { pairs.event($0.modRevision, $1) }
            return pairs
        }
        let outcome = try await context.perform(puts, settings)
        let watchers = shapes.reduce(0) { $0 + $1.count }
        var report = RunReport(benchmark: "watch-latency")
        report.take(outcome)
        if outcome.failure == nil, !outcome.wasInterrupted, outcome.errors == 0 {
            report.failure = try await context.waitForEvents(watches, Int(outcome.completed) * watchers)
        }
        let (behind, since, early) = try await context.engine.onLoop {
            watches.close()
            return pairs.finished()
        }
        report.processorSeconds = Processor.seconds() - processor
        report.sections = [
            ReportSection(heading: "Put summary:\n", recorder: outcome.operations[0], seconds: outcome.seconds),
            ReportSection(heading: "Watch events summary:\n", recorder: behind, seconds: outcome.seconds),
            ReportSection(recorder: since, seconds: outcome.seconds, isExtra: true),
        ]
        if early > 0 { report.notes = ["\(early) of \(behind.latencies.count) events came before the answer to their put; they count as 0."] }
        return report
    }
}

extension BenchContext {
    /// Waits until so many events are there; says why not, if they do not come.
    func waitForEvents(_ watches: WatchStreams, _ expected: Int) async throws -> String? {
        var last = (count: -1, moment: martlet_monotonic_ns())
        while !Interrupt.isAsked {
            let (count, failure) = try await engine.onLoop { (watches.events, watches.failure) }
            if let failure { return "watch stream lost: \(failure)" }
            if count >= expected { return nil }
            let now = martlet_monotonic_ns()
            if count != last.count { last = (count, now) }
            if now > last.moment + UInt64(BenchLimits.watchStallSeconds * 1e9) {
                return "\(expected - count) of \(expected) events did not come"
            }
            try await Task.sleep(for: .milliseconds(5))
        }
        return nil
    }
}

/// Latencies of events, gathered on the engine's loop.
final class EventRecorder: @unchecked Sendable {
    private var recorder: OperationRecorder

    init(_ name: String, start: UInt64) {
        recorder = OperationRecorder(name, start: start, wallStart: Processor.wallNanoseconds())
    }

    func took(_ moment: UInt64, _ now: UInt64) { recorder.record(intended: moment, started: moment, ended: now) }

    func finished() -> OperationRecorder {
        recorder.finish()
        return recorder
    }
}
