// The report that etcd's benchmark prints, with its layout.

import CommandLineTools

struct TextReport {
    /// `%g` instead of four digits.
    var isPrecise = false
    /// With the table by second.
    var hasSamples = false

    private func number(_ value: Double) -> String { isPrecise ? NumberFormat.shortest(value) : NumberFormat.fixed(value, 4) }
    private func time(_ nanoseconds: Double) -> String { number(nanoseconds / 1e9) + " secs" }

    func text(_ report: RunReport) -> String {
        var text = ""
        for section in report.sections where !section.isExtra {
            text += section.heading + self.text(section)
            if section.hasBlankLine { text += "\n" }
        }
        for table in report.tables { text += self.text(table) }
        if !report.notes.isEmpty { text += "\n" + report.notes.joined(separator: "\n") + "\n" }
        return text
    }

    func text(_ section: ReportSection) -> String {
        let recorder = section.recorder
        var text = ""
        if !recorder.latencies.isEmpty {
            let latencies = recorder.latencies
            text += "\nSummary:\n"
            text += "  Total:\t\(number(section.seconds)) secs.\n"
            text += "  Slowest:\t\(time(Double(latencies.maximum))).\n"
            text += "  Fastest:\t\(time(Double(latencies.minimum))).\n"
            text += "  Average:\t\(time(latencies.mean)).\n"
            text += "  Stddev:\t\(time(latencies.deviation)).\n"
            text += "  Requests/sec:\t\(number(section.rate))\n"
            text += histogram(latencies)
            text += "\nLatency distribution:\n"
            for (percent, value) in zip(RunReport.percents, latencies.percentiles(RunReport.percents)) {
                guard let value, value > 0 else { continue }
                text += "  \(NumberFormat.shortest(percent))% in \(time(Double(value))).\n"
            }
            if hasSamples { text += samples(recorder.seconds) }
        }
        if !recorder.errors.isEmpty {
            text += "\nError distribution:\n"
            for (message, count) in recorder.errors.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) { text += "  [\(count)]\t\(message)\n" }
        }
        return text
    }

    private func histogram(_ latencies: LatencyDistribution) -> String {
        let rows = latencies.rows()
        let most = rows.map(\.count).max() ?? 0
        var text = "\nResponse time histogram:\n"
        for row in rows {
            let bar = most > 0 ? Int(row.count * 40 / most) : 0
            text += "  \(number(row.bound / 1e9)) [\(row.count)]\t|\(String(repeating: "∎", count: bar))\n"
        }
        return text
    }

    private func samples(_ table: SecondTable) -> String {
        var text = "\nSample in one second (unix latency throughput):\n"
        text += "UNIX-SECOND,MIN-LATENCY-MS,AVG-LATENCY-MS,MAX-LATENCY-MS,AVG-THROUGHPUT\n"
        for (index, row) in table.rows.enumerated() {
            let times = [row.minimum, row.mean, row.maximum].map { GoText.text(.nanoseconds(Int64($0))) }
            text += "\((table.first ?? 0) + Int64(index)),\(times.joined(separator: ",")),\(row.count)\n"
        }
        return text + "\n"
    }

    /// Columns side by side; the first is left-aligned.
    func text(_ table: ReportTable) -> String {
        let all = [table.columns] + table.rows
        let widths = table.columns.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        var text = table.title.isEmpty ? "\n" : "\n\(table.title)\n"
        for row in all {
            let cells = row.enumerated().map { index, cell in
                let padding = String(repeating: " ", count: widths[index] - cell.count)
                return index == 0 ? cell + padding : padding + cell
            }
            var line = "  " + cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            text += line + "\n"
        }
        return text
    }
}
