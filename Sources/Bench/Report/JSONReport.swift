// The report as JSON, and as CSV for spreadsheets.

import Wire

enum JSONReport {
    /// What an object's member is.
    indirect enum Value {
        case text(String)
        case number(Double)
        case whole(UInt64)
        case truth(Bool)
        case list([Value])
        case object([(String, Value)])
        case null
    }

    static func text(_ report: RunReport) -> String {
        let sink = ByteSink(capacity: 4096)
        write(value(report), 0, to: sink)
        sink.append("\n")
        return String(decoding: sink.bytes, as: UTF8.self)
    }

    private static func value(_ report: RunReport) -> Value {
        let calls = report.processorSeconds > 0 ? Double(report.completed) / report.processorSeconds : 0
        return .object([
            ("tool", .text("martlet-bench")), ("version", .text(BenchLimits.version)), ("benchmark", .text(report.benchmark)),
            ("started", .text(report.startedText)), ("endpoints", .list(report.endpoints.map { .text($0) })),
            ("connections", .whole(UInt64(report.connections))), ("clients", .whole(UInt64(report.clients))),
            ("rate", .number(report.rate)), ("open_loop", .truth(report.isOpenLoop)), ("seconds", .number(report.seconds)),
            ("processor_seconds", .number(report.processorSeconds)), ("calls_per_processor_second", .number(calls)),
            ("interrupted", .truth(report.wasInterrupted)), ("failure", report.failure.map { .text($0) } ?? .null),
            ("operations", .list(report.sections.map(operation))), ("tables", .list(report.tables.map(table))),
            ("notes", .list(report.notes.map { .text($0) })),
        ])
    }

    private static func milliseconds(_ value: UInt64) -> Value { .number(Double(value) / 1e6) }

    private static func times(_ latencies: LatencyDistribution) -> Value {
        guard !latencies.isEmpty else { return .null }
        var members: [(String, Value)] = [
            ("min", milliseconds(latencies.minimum)), ("mean", .number(latencies.mean / 1e6)),
            ("stddev", .number(latencies.deviation / 1e6)), ("max", milliseconds(latencies.maximum)),
        ]
        let percents = RunReport.percents + [99.99]
        for (percent, value) in zip(percents, latencies.percentiles(percents)) {
            if let value { members.append(("p" + NumberFormat.shortest(percent), milliseconds(value))) }
        }
        return .object(members)
    }

    private static func operation(_ section: ReportSection) -> Value {
        let recorder = section.recorder
        let seconds = recorder.seconds.rows.enumerated().map { index, row -> Value in
            .object([
                ("unix", .whole(UInt64((recorder.seconds.first ?? 0) + Int64(index)))), ("count", .whole(row.count)),
                ("min_ms", milliseconds(row.minimum)), ("mean_ms", milliseconds(row.mean)), ("max_ms", milliseconds(row.maximum)),
            ])
        }
        let points = recorder.timeline.points.map { point -> Value in
            .object([
                ("count", .whole(point.count)), ("errors", .whole(point.errors)), ("p50_ms", milliseconds(point.median)),
                ("p99_ms", milliseconds(point.p99)),
            ])
        }
        return .object([
            ("name", .text(recorder.name)), ("count", .whole(recorder.latencies.count)), ("errors", .whole(recorder.errorCount)),
            ("conflicts", .whole(recorder.conflicts)),
            ("error_distribution", .object(recorder.errors.sorted { $0.key < $1.key }.map { ($0.key, .whole($0.value)) })),
            ("requests_per_second", .number(section.rate)), ("latency_ms", times(recorder.latencies)),
            ("service_ms", recorder.hasServiceTimes ? times(recorder.serviceTimes) : .null),
            ("histogram", .list(recorder.latencies.rows().map { .object([("bound_ms", .number($0.bound / 1e6)), ("count", .whole($0.count))]) })),
            ("seconds", .list(seconds)),
            ("timeline", .object([("interval_ms", milliseconds(recorder.timeline.length)), ("points", .list(points))])),
        ])
    }

    private static func table(_ table: ReportTable) -> Value {
        .object([
            ("title", .text(table.title)), ("columns", .list(table.columns.map { .text($0) })),
            ("rows", .list(table.rows.map { .list($0.map { .text($0) }) })),
        ])
    }

    private static func write(_ value: Value, _ depth: Int, to sink: ByteSink) {
        func lines(_ open: StaticString, _ close: StaticString, _ count: Int, _ item: (Int) -> Void) {
            sink.append(open)
            for index in 0..<count {
                sink.append(index > 0 ? ",\n" : "\n")
                sink.append(String(repeating: "  ", count: depth + 1))
                item(index)
            }
            if count > 0 {
                sink.append("\n")
                sink.append(String(repeating: "  ", count: depth))
            }
            sink.append(close)
        }
        switch value {
        case .null: sink.append("null")
        case .truth(let truth): sink.append(truth ? "true" : "false")
        case .whole(let number): sink.append(String(number))
        case .number(let number): sink.append(number.isFinite ? NumberFormat.shortest(number) : "null")
        case .text(let text): sink.json(text)
        case .list(let items): lines("[", "]", items.count) { write(items[$0], depth + 1, to: sink) }
        case .object(let members):
            lines("{", "}", members.count) {
                sink.json(members[$0].0)
                sink.append(": ")
                write(members[$0].1, depth + 1, to: sink)
            }
        }
    }
}

enum CSVReport {
    /// One table: that of a search or comparison, else a row for each operation. Times are milliseconds.
    static func text(_ report: RunReport) -> String {
        if let table = report.tables.first { return lines([table.columns] + table.rows) }
        let percents = RunReport.percents
        var rows = [
            ["operation", "count", "errors", "conflicts", "seconds", "requests_per_second", "min_ms", "mean_ms", "stddev_ms"]
                + percents.map { "p" + NumberFormat.shortest($0) + "_ms" } + ["max_ms"]
        ]
        func milliseconds(_ value: Double) -> String { NumberFormat.fixed(value / 1e6, 6) }
        for section in report.sections {
            let recorder = section.recorder
            let latencies = recorder.latencies
            var row = [
                recorder.name, "\(latencies.count)", "\(recorder.errorCount)", "\(recorder.conflicts)", NumberFormat.fixed(section.seconds, 6),
                NumberFormat.fixed(section.rate, 3),
            ]
            if latencies.isEmpty {
                row += Array(repeating: "", count: percents.count + 4)
            } else {
                row += [milliseconds(Double(latencies.minimum)), milliseconds(latencies.mean), milliseconds(latencies.deviation)]
                row += latencies.percentiles(percents).map { $0.map { milliseconds(Double($0)) } ?? "" }
                row.append(milliseconds(Double(latencies.maximum)))
            }
            rows.append(row)
        }
        return lines(rows)
    }

    private static func lines(_ rows: [[String]]) -> String {
        rows.map { row in
            row.map { cell in
                cell.contains(where: { $0 == "," || $0 == "\"" || $0 == "\n" }) ? "\"" + cell.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\"" : cell
            }.joined(separator: ",") + "\n"
        }.joined()
    }
}
