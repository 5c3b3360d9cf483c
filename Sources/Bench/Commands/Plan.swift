// A benchmark as a command line describes it, and how it is carried out.

import Client
import CommandLineTools

/// Where a plan runs.
struct BenchContext {
    let engine: Engine
    let tool: BenchTool
    let endpoints: [String]
    /// Without a line of progress where nobody looks.
    var progress: Progress?

    /// A client for what is done beside the load.
    func client() throws -> Client { try tool.client(endpoints) }

    func perform(_ workload: Workload, _ settings: RunSettings) async throws -> RunOutcome {
        var settings = settings
        settings.clients = min(settings.clients, workload.clientsMax)
        return try await engine.perform(workload, settings, progress: progress)
    }
}

struct Plan {
    var name: String
    /// Printed before the run.
    var opening = ""
    var settings: RunSettings
    /// Whether `settings.rate` means something: its capacity can be searched.
    var isPaced = true
    /// Connections beyond those of the flags.
    var extraConnections = 0
    var body: (BenchContext, RunSettings) async throws -> RunReport
    /// Behind the printed report.
    var after: ((BenchContext, Console) async throws -> Void)?

    /// A plan of single calls.
    static func calls(
        _ name: String, _ settings: RunSettings, hasBlankLine: Bool = false,
        sections: ((RunOutcome) -> [ReportSection])? = nil,
        _ make: @escaping (BenchContext) async throws -> Workload
    ) -> Plan {
        Plan(name: name, settings: settings) { context, settings in
            let workload = try await make(context)
            let outcome = try await context.perform(workload, settings)
            var report = RunReport(benchmark: name)
            report.take(outcome)
            report.sections = sections?(outcome)
                ?? outcome.operations.map { ReportSection(recorder: $0, seconds: outcome.seconds, hasBlankLine: hasBlankLine) }
            report.notes += workload.notes
            return report
        }
    }
}

extension RunReport {
    /// Takes what is not about operations.
    mutating func take(_ outcome: RunOutcome) {
        seconds = outcome.seconds
        processorSeconds = outcome.processorSeconds
        wasInterrupted = outcome.wasInterrupted
        failure = outcome.failure
    }
}

extension BenchTool {
    /// Connects and runs a plan once.
    func measure(_ plan: Plan, _ settings: RunSettings, endpoints: [String]? = nil, showsProgress: Bool) async throws -> RunReport {
        try await withEngine(plan, endpoints: endpoints) { context in
            var context = context
            if showsProgress { context.progress = Progress(plan.name) }
            return try await self.measure(plan, settings, context)
        }
    }

    func measure(_ plan: Plan, _ settings: RunSettings, _ context: BenchContext) async throws -> RunReport {
        let startedAt = Processor.wallNanoseconds()
        var report = try await plan.body(context, settings)
        report.startedAt = startedAt
        report.endpoints = context.endpoints
        report.connections = Int(connections.value)
        report.clients = settings.clients
        report.rate = settings.rate
        report.isOpenLoop = isOpenLoop.value
        if report.seconds > 0, report.processorSeconds == 0 { report.processorSeconds = Processor.seconds() }
        return report
    }

    func withEngine<Result>(
        _ plan: Plan, endpoints: [String]? = nil, _ body: (BenchContext) async throws -> Result
    ) async throws -> Result {
        Interrupt.watch()
        do {
            var options = try await engineOptions(endpoints)
            options.connections += plan.extraConnections
            let engine = Engine(options)
            do {
                try await engine.connect()
                let result = try await body(BenchContext(engine: engine, tool: self, endpoints: options.endpoints))
                await engine.close()
                return result
            } catch {
                await engine.close()
                throw error
            }
        } catch let error as EngineError {
            throw CommandFailure(error.description)
        } catch let error as ClientError {
            throw CommandFailure(error.status)
        } catch let error as ClientSetupError {
            throw CommandFailure(error.description)
        }
    }

    /// Carries a plan out and prints its report; or keeps it for the command line around it.
    func execute(_ plan: Plan, _ invocation: Invocation) async throws {
        if isCollecting {
            collected = plan
            return
        }
        let targets = try reportTargets()
        let printsText = !targets.contains { $0.path == nil && $0.form != .text }
        let console = invocation.console
        if printsText, !plan.opening.isEmpty { console.write(plan.opening) }
        console.flush()
        let report = try await withEngine(plan) { context in
            var context = context
            context.progress = Progress(plan.name)
            let report = try await self.measure(plan, plan.settings, context)
            try self.publish(report, targets, console)
            if printsText, report.failure == nil, !report.wasInterrupted { try await plan.after?(context, console) }
            return report
        }
        try end(report)
    }

    /// Prints a report and writes its files.
    func publish(_ report: RunReport, _ targets: [ReportTarget], _ console: Console) throws {
        let textReport = TextReport(isPrecise: isPrecise.value, hasSamples: hasSamples.value)
        func text(_ form: ReportForm) -> String {
            switch form {
            case .text: textReport.text(report)
            case .json: JSONReport.text(report)
            case .csv: CSVReport.text(report)
            case .html: HTMLReport.text(report)
            }
        }
        let printed = targets.filter { $0.path == nil }
        if printed.isEmpty { console.write(text(.text)) }
        for target in printed { console.write(text(target.form)) }
        console.flush()
        for target in targets { if let path = target.path { try ReportFiles.write(text(target.form), to: path) } }
        if writesPerfDash.value { for path in try PerfDash.write(report) { console.print("Successfully created a JSON perf report at \(path)") } }
    }

    /// Says by its status and a line what went wrong.
    func end(_ report: RunReport) throws {
        guard report.status != 0 else { return }
        if let failure = report.failure { throw CommandFailure(failure, status: report.status) }
        if report.wasInterrupted { throw CommandFailure("interrupted; the report is of what was done until then", status: report.status) }
        throw CommandFailure("\(report.errors) of \(report.errors + report.completed) calls failed", status: report.status)
    }
}
