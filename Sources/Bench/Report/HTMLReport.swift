// The report as one page that needs nothing else: tables and plots, readable in light and dark.

enum HTML {
    static func escape(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.append(character)
            }
        }
        return result
    }
}

enum HTMLReport {
    private static let style = """
        :root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --paper: #ffffff; --card: #f6f8fa; --rule: #d8dee6; --bad: #b42318;
          --c0: #2563eb; --c1: #d9480f; --c2: #0f8a5f; --c3: #9333ea; --c4: #b7791f; --c5: #0e7490; --c6: #be185d; --c7: #57606a; }
        @media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b5; --paper: #11161d; --card: #1a212b; --rule: #303a47; --bad: #ff8a80;
          --c0: #7aa8ff; --c1: #ff9f68; --c2: #4fd1a1; --c3: #c99bff; --c4: #f0c14b; --c5: #5bd0e6; --c6: #ff86b7; --c7: #aeb8c4; } }
        body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 920px; margin: 2rem auto; padding: 0 1rem; }
        h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
        .facts { color: var(--soft); margin: 0 0 1.2rem; } .bad { color: var(--bad); font-weight: 600; }
        .scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
        th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--rule); white-space: nowrap; }
        th { color: var(--soft); font-weight: 600; } th:first-child, td:first-child { text-align: left; }
        figure { margin: 1.2rem 0; padding: .8rem; background: var(--card); border-radius: 8px; } figcaption { font-weight: 600; margin-bottom: .4rem; }
        svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font: 11px system-ui, sans-serif; } svg .axis { fill: var(--ink); }
        .grid { stroke: var(--rule); stroke-width: 1; } .line { fill: none; stroke-width: 1.8; } .legend { margin: .4rem 0 0; font-size: .85rem; }
        .legend span { margin-right: 1.1rem; white-space: nowrap; } .legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; margin-right: .35rem; vertical-align: -1px; }
        """

    static func text(_ report: RunReport) -> String {
        var colours = ""
        for index in 0..<Plot.colours {
            colours += ".line.c\(index) { stroke: var(--c\(index)); } .dot.c\(index) { fill: var(--c\(index)); } .legend .c\(index) { background: var(--c\(index)); }\n"
        }
        var page = """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
            <title>\(HTML.escape(report.benchmark)) · martlet-bench</title>
            <style>
            \(style)
            \(colours)</style></head><body>
            <h1>\(HTML.escape(report.benchmark))</h1>
            <p class="facts">\(HTML.escape(facts(report)))</p>

            """
        if let failure = report.failure { page += "<p class=\"bad\">The run stopped: \(HTML.escape(failure))</p>\n" }
        if report.wasInterrupted { page += "<p class=\"bad\">The run was interrupted; this is what was done until then.</p>\n" }
        for table in report.tables { page += html(table) }
        if !report.sections.isEmpty {
            page += html(operations(report))
            let errors = report.sections.flatMap { section in section.recorder.errors.map { [section.recorder.name, $0.key, "\($0.value)"] } }
            if !errors.isEmpty {
                page += html(ReportTable(title: "Errors", columns: ["Operation", "Error", "Count"], rows: errors.sorted { $0.joined() < $1.joined() }))
            }
        }
        if !report.notes.isEmpty { page += "<p>" + report.notes.map(HTML.escape).joined(separator: "<br>") + "</p>\n" }
        for plot in plots(report) { page += plot.svg }
        return page + "</body></html>\n"
    }

    private static func facts(_ report: RunReport) -> String {
        var parts = [report.startedText, report.endpoints.joined(separator: ", ")]
        parts.append("\(report.connections) connection\(report.connections == 1 ? "" : "s")")
        parts.append("\(report.clients) client\(report.clients == 1 ? "" : "s")")
        if report.rate > 0 { parts.append("\(NumberFormat.count(report.rate)) calls/s asked for\(report.isOpenLoop ? ", open loop" : "")") }
        parts.append("\(NumberFormat.fixed(report.seconds, 2)) s")
        if report.processorSeconds > 0, report.completed > 0 {
            parts.append("generator: \(NumberFormat.fixed(report.processorSeconds / Double(report.completed) * 1e6, 2)) µs of processor time per call")
        }
        return parts.filter { !$0.isEmpty }.joined(separator: " · ")
    }

    private static func operations(_ report: RunReport) -> ReportTable {
        let percents: [Double] = [50, 90, 99, 99.9]
        let rows = report.sections.map { section -> [String] in
            let recorder = section.recorder
            let latencies = recorder.latencies
            var row = ["\(recorder.name)", "\(latencies.count)", "\(recorder.errorCount)", "\(recorder.conflicts)", NumberFormat.count(section.rate)]
            row += latencies.percentiles(percents).map { $0.map { NumberFormat.time(Double($0)) } ?? "–" }
            row.append(latencies.isEmpty ? "–" : NumberFormat.time(Double(latencies.maximum)))
            return row
        }
        return ReportTable(
            title: "Operations", columns: ["Operation", "Calls", "Errors", "Conflicts", "Calls/s", "p50", "p90", "p99", "p99.9", "Max"], rows: rows)
    }

    private static func html(_ table: ReportTable) -> String {
        var text = table.title.isEmpty ? "" : "<h2>\(HTML.escape(table.title))</h2>\n"
        text += "<div class=\"scroll\"><table><thead><tr>" + table.columns.map { "<th>\(HTML.escape($0))</th>" }.joined() + "</tr></thead><tbody>\n"
        for row in table.rows { text += "<tr>" + row.map { "<td>\(HTML.escape($0))</td>" }.joined() + "</tr>\n" }
        return text + "</tbody></table></div>\n"
    }

    private static func plots(_ report: RunReport) -> [Plot] {
        let sections = report.sections.filter { !$0.recorder.latencies.isEmpty }
        guard !sections.isEmpty else { return [] }
        // The x axis grows by a step for each nine.
        let marks: [(Double, String)] = [(0, "0"), (50, "50 %"), (90, "90 %"), (99, "99 %"), (99.9, "99.9 %"), (99.99, "99.99 %"), (99.999, "99.999 %")]
        func place(_ percent: Double) -> Double { -Logarithm.decimal(of: 1 - percent / 100) }
        let most = sections.map { Double($0.recorder.latencies.count) }.max() ?? 1
        let percents = stride(from: 0.0, through: min(5, max(1, Logarithm.decimal(of: most))), by: 0.1).map { place -> Double in
            100 * (1 - Exponential.ofTen(-place))
        }
        let curves = sections.map { section -> PlotSeries in
            let latencies = section.recorder.latencies
            let values = latencies.percentiles(percents)
            return PlotSeries(
                name: section.recorder.name,
                points: zip(percents, values).compactMap { percent, value in value.map { (place(percent), Double(max($0, 1)) / 1e6) } })
        }
        func timeline(_ value: (Timeline.Point, Double) -> Double, skipsEmpty: Bool) -> [PlotSeries] {
            sections.map { section in
                let timeline = section.recorder.timeline
                let length = Double(timeline.length) / 1e9
                return PlotSeries(
                    name: section.recorder.name,
                    points: timeline.points.enumerated().compactMap { index, point in
                        skipsEmpty && point.count == 0 ? nil : (Double(index) * length, value(point, length))
                    })
            }
        }
        return [
            Plot(
                title: "Latency by percentile", xLabel: "percentile", yLabel: "milliseconds", series: curves,
                xTicks: marks.map { (place($0.0), $0.1) }, yScale: .logarithmic),
            Plot(
                title: "Throughput over time", xLabel: "seconds", yLabel: "calls per second",
                series: timeline({ point, length in Double(point.count) / length }, skipsEmpty: false)),
            Plot(
                title: "p99 over time", xLabel: "seconds", yLabel: "milliseconds",
                series: timeline({ point, _ in Double(max(point.p99, 1)) / 1e6 }, skipsEmpty: true), yScale: .logarithmic),
        ]
    }
}
