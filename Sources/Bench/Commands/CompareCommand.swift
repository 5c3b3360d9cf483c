// compare: two servers under the same load, in turn.

import CommandLineTools

extension BenchTool {
    func compareCommand() -> Command {
        let command = Command(
            "compare A B [BENCHMARK [FLAG...]]", "Measure two servers in turn",
            long: """
                Runs a benchmark (put unless another is named) on two servers in turn, round by round, and prints medians
                and their ratios. A and B are endpoints, or several with commas.

                Flags of the comparison stand before A, the benchmark's own behind its name. Machines are noisy: ratios of
                a run are worth more than its figures.
                """)
        command.example = "  martlet-bench --conns 4 --clients 64 compare --rounds 5 127.0.0.1:2379 127.0.0.1:3379 range --consistency s key"
        let rounds = command.flags.add("rounds", 3, "how often each is measured")
        command.stopsAtFirstArgument = true
        command.arguments = .atLeast(2)
        command.runAsync = { [unowned self] invocation in
            guard (1...1_000).contains(rounds.value) else { throw CommandFailure("--rounds is 1 to 1000, got (\(rounds.value))") }
            let sides = invocation.arguments.prefix(2).map { $0.split(separator: ",").map(String.init) }
            guard sides.allSatisfy({ !$0.isEmpty }) else { throw CommandFailure("A and B are endpoints") }
            let (tool, plan) = try await self.inner(Array(invocation.arguments.dropFirst(2)), invocation.console, name: "compare")
            let targets = try self.reportTargets()
            let report = try await self.compare(tool, plan, sides, rounds.value, invocation.console)
            try self.publish(report, targets, invocation.console)
            try self.end(report)
        }
        return command
    }

    private func compare(_ tool: BenchTool, _ plan: Plan, _ sides: [[String]], _ rounds: Int, _ console: Console) async throws -> RunReport {
        var results: [[RunReport]] = [[], []]
        var report = RunReport(benchmark: "comparison of \(plan.name)")
        report.startedAt = Processor.wallNanoseconds()
        rounds: for round in 0..<rounds {
            // Who begins changes, so that what comes later in a round does not.
            for side in round % 2 == 0 ? [0, 1] : [1, 0] {
                if Interrupt.isAsked { break rounds }
                if console.isTerminal(.error) { console.print("round \(round + 1) of \(rounds): \(["A", "B"][side])", to: .error) }
                let result = try await tool.measure(plan, plan.settings, endpoints: sides[side], showsProgress: true)
                results[side].append(result)
                report.seconds += result.seconds
                report.processorSeconds += result.processorSeconds
                if result.wasInterrupted || result.failure != nil {
                    report.failure = result.failure.map { "\(["A", "B"][side]): \($0)" }
                    break rounds
                }
            }
        }
        report.wasInterrupted = Interrupt.isAsked
        report.endpoints = sides.map { $0.joined(separator: ",") }
        report.connections = Int(tool.connections.value)
        report.clients = plan.settings.clients
        report.rate = plan.settings.rate
        report.isOpenLoop = tool.isOpenLoop.value
        report.tables = [Self.comparison(plan.name, results, sides)]
        report.sections = Self.merged(results)
        return report
    }

    /// Medians of all rounds, and what B has for each of A.
    static func comparison(_ name: String, _ results: [[RunReport]], _ sides: [[String]]) -> ReportTable {
        let pairs = min(results[0].count, results[1].count)
        let labels = sides.map { $0.joined(separator: ",") }
        var table = ReportTable(
            title: "\(name): medians of \(pairs) round\(pairs == 1 ? "" : "s")",
            columns: ["operation", "figure", "A \(labels[0])", "B \(labels[1])", "B/A"], rows: [])
        var names: [String] = []
        for report in results.joined() { for section in report.sections where !names.contains(section.recorder.name) { names.append(section.recorder.name) } }
        for name in names {
            func medians(_ figure: (ReportSection) -> Double) -> [Double] {
                results.map { reports in
                    Median.of(reports.compactMap { report in report.sections.first { $0.recorder.name == name }.map(figure) })
                }
            }
            func row(_ figure: String, _ show: (Double) -> String, _ value: (ReportSection) -> Double) {
                let values = medians(value)
                let isThere = results.map { $0.contains { $0.sections.contains { $0.recorder.name == name } } }
                let ratio = values[0] > 0 && isThere[1] ? NumberFormat.fixed(values[1] / values[0], 2) : "–"
                table.rows.append([name, figure, isThere[0] ? show(values[0]) : "–", isThere[1] ? show(values[1]) : "–", ratio])
            }
            row("calls/s", NumberFormat.count) { $0.rate }
            row("mean", NumberFormat.time) { $0.recorder.latencies.mean }
            for percent in [50, 90, 99] as [Double] {
                row("p\(Int(percent))", NumberFormat.time) { Double($0.recorder.latencies.percentile(percent)) }
            }
            if results.joined().contains(where: { $0.errors > 0 }) { row("errors", NumberFormat.count) { Double($0.recorder.errorCount) } }
        }
        return table
    }

    /// All rounds of a side together, for plots: they are not in the text.
    private static func merged(_ results: [[RunReport]]) -> [ReportSection] {
        results.enumerated().flatMap { side, reports -> [ReportSection] in
            guard let last = reports.last else { return [] }
            return last.sections.map { section in
                var section = section
                let others = reports.dropLast().compactMap { report in report.sections.first { $0.recorder.name == section.recorder.name } }
                let name = section.recorder.name
                section.recorder = section.recorder.renamed("\(["A", "B"][side]) \(name)")
                for other in others {
                    section.recorder.add(other.recorder)
                    section.seconds += other.seconds
                }
                section.isExtra = true
                return section
            }
        }
    }
}
