// capacity: the highest rate at which a server keeps its promise.

import CommandLineTools

extension BenchTool {
    /// Reads a command line inside another one, with the outer one's global flags in front.
    func inner(_ arguments: [String], _ console: Console, name: String) async throws -> (tool: BenchTool, plan: Plan) {
        let tool = BenchTool(isCollecting: true)
        let given = root.persistentFlags.all.filter { $0.isGiven && $0.name != "report" && $0.name != "endpoints" }.map { "--\($0.name)=\($0.text)" }
        let status = await tool.root.execute(given + (arguments.isEmpty ? ["put"] : arguments), console: console)
        guard status == 0 else { throw CommandFailure("", status: status) }
        guard let plan = tool.collected else {
            throw CommandFailure("\(name) cannot measure \(GoText.quoted(arguments.joined(separator: " ")))")
        }
        return (tool, plan)
    }

    func capacityCommand() -> Command {
        let command = Command(
            "capacity [BENCHMARK [FLAG...]]", "Find the highest rate at which a server keeps its promise",
            long: """
                Raises the rate of a benchmark (put unless another is named) until the promise is broken, then narrows the
                gap. Each step is an open loop at one rate: calls begin when they are due, and their latency is counted
                from then. A step is good when the promise is kept, nothing fails, and the rate is reached.

                Flags of the search stand before the benchmark's name, the benchmark's own behind it.
                """)
        command.example = "  martlet-bench --conns 8 capacity --slo 'p99<25ms' put --val-size 256 --key-space-size 100000"
        let flags = command.flags
        let objectiveText = flags.add("slo", "p99<25ms", "the promise: `pNN<TIME` or max<TIME")
        let first = flags.add("start", 1_000, "calls per second to begin with")
        let ceiling = flags.add("most", 1_000_000, "calls per second at most")
        let step = flags.add("step-duration", Duration.seconds(3), "how long each rate is tried")
        let tolerance = flags.add("tolerance", 0.05, "how exact the answer is to be")
        command.stopsAtFirstArgument = true
        command.runAsync = { [unowned self] invocation in
            guard let objective = Objective(objectiveText.value) else {
                throw CommandFailure("unknown --slo \(GoText.quoted(objectiveText.value)): e.g. p99<25ms, p99.9<1s, max<2s")
            }
            guard first.value > 0, ceiling.value >= first.value, step.value > .zero, tolerance.value > 0 else {
                throw CommandFailure("expected positive --start, --step-duration and --tolerance, and --most from --start on")
            }
            let (tool, plan) = try await self.inner(invocation.arguments, invocation.console, name: "capacity")
            guard plan.isPaced else { throw CommandFailure("\(plan.name) has no rate that could be raised") }
            let search = CapacitySearch(
                first: Double(first.value), ceiling: Double(ceiling.value), tolerance: tolerance.value, stepsMax: BenchLimits.capacityStepsMax)
            let targets = try self.reportTargets()
            let endpoints = tool.endpoints.isGiven ? tool.endpoints.value : self.endpoints.value
            let report = try await tool.withEngine(plan, endpoints: endpoints) { context in
                try await self.search(search, objective, step.value, tool, plan, context, invocation.console, prints: targets.allSatisfy { $0.path != nil })
            }
            try self.publish(report, targets, invocation.console)
            try self.end(report)
        }
        return command
    }

    private func search(
        _ search: CapacitySearch, _ objective: Objective, _ step: Duration, _ tool: BenchTool, _ plan: Plan, _ context: BenchContext,
        _ console: Console, prints: Bool
    ) async throws -> RunReport {
        var search = search
        var table = ReportTable(
            title: "Steps of \(plan.name):", columns: ["asked/s", "reached/s", "p50", "p99", objective.name == "p99" ? "max" : objective.name, "errors", ""],
            rows: [])
        var best: RunReport?
        var last = RunReport(benchmark: "capacity of \(plan.name)")
        let startedAt = Processor.wallNanoseconds()
        var seconds = 0.0
        while case .measure(let rate) = search.next, !Interrupt.isAsked {
            var settings = plan.settings
            settings.rate = rate
            settings.total = nil
            settings.duration = step
            settings.clients = tool.inFlight.value
            var inner = context
            inner.progress = Progress("\(plan.name) at \(NumberFormat.count(rate))/s")
            let report = try await tool.measure(plan, settings, inner)
            last = report
            seconds += report.seconds
            if report.failure != nil || report.wasInterrupted { break }
            let verdict = Self.judge(report, rate, objective)
            search.took(isGood: verdict == nil)
            if verdict == nil { best = report }
            let calls = report.sections.filter { !$0.isExtra && $0.recorder.name != "watch-event" }
            let all = calls.reduce(into: LatencyDistribution()) { $0.add($1.recorder.latencies) }
            let reached = calls.reduce(0) { $0 + $1.rate }
            table.rows.append([
                NumberFormat.count(rate), NumberFormat.count(reached), NumberFormat.time(Double(all.percentile(50))),
                NumberFormat.time(Double(all.percentile(99))),
                NumberFormat.time(Double(objective.name == "p99" ? all.maximum : objective.measured(all))), "\(report.errors)", verdict ?? "good",
            ])
            if prints, console.isTerminal(.error) {
                console.print("  \(NumberFormat.count(rate))/s: \(verdict ?? "good")", to: .error)
            }
        }
        var report = RunReport(benchmark: "capacity of \(plan.name)")
        report.sections = (best?.sections ?? []).map {
            var section = $0
            section.isExtra = true
            return section
        }
        report.tables = [table]
        report.endpoints = context.endpoints
        report.connections = Int(tool.connections.value)
        report.clients = tool.inFlight.value
        report.isOpenLoop = true
        report.rate = search.good ?? 0
        report.startedAt = startedAt
        report.seconds = seconds
        // As the operations: those of the best step.
        report.processorSeconds = best?.processorSeconds ?? 0
        report.wasInterrupted = Interrupt.isAsked
        report.failure = last.failure
        if let good = search.good {
            // Nothing is said of what was not tried.
            let isWhole = report.failure == nil && !report.wasInterrupted
            let end = !isWhole ? ", as far as it went" : search.bad == nil ? " (no limit was found below --most)" : ""
            report.notes = ["\(plan.name) \(objective) up to \(NumberFormat.count(good))/s\(end)"]
        } else if report.failure == nil, !report.wasInterrupted {
            report.notes = ["\(plan.name): \(objective) was not kept at any rate"]
        }
        return report
    }

    /// Why a step is not good; nil when it is.
    static func judge(_ report: RunReport, _ rate: Double, _ objective: Objective) -> String? {
        let errors = report.sections.flatMap { $0.recorder.errors }
        if let most = errors.max(by: { ($0.value, $1.key) < ($1.value, $0.key) }) { return "errors: \(most.key)" }
        let calls = report.sections.filter { !$0.isExtra && $0.recorder.name != "watch-event" }
        // Rare kinds of calls say nothing about their tail.
        for section in calls where section.recorder.latencies.count >= 100 || calls.count == 1 {
            if objective.measured(section.recorder.latencies) >= objective.nanoseconds {
                return calls.count > 1 ? "\(section.recorder.name) too slow" : "too slow"
            }
        }
        let reached = calls.reduce(0) { $0 + $1.rate }
        // Of independent arrivals there are a few more or less.
        return reached < rate * 0.95 ? "rate not reached" : nil
    }
}
