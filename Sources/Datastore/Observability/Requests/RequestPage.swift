// `/debug/martlet/requests`: the last requests that were slow or sampled, and the slowest of the last hour, as JSON or as a page.

import DatastoreTracing
import Transport
import Wire

enum RequestPage {
    static let path = "/debug/martlet/requests"

    static func response(_ request: HTTPRequest, _ node: Node) -> HTTPResponse {
        guard node.isOperator(request) else { return .error(403, "permission denied") }
        guard request.method == "GET" || request.method == "HEAD" else {
            var response = HTTPResponse.error(405, "Method Not Allowed")
            response.headers.add("Allow", "GET")
            return response
        }
        let query = request.query ?? ""
        let wantsPage = query.contains("format=html") || (!query.contains("format=json") && (request.headers["accept"] ?? "").contains("text/html"))
        let (last, slowest) = node.requests.journal.snapshot
        let sink = ByteSink(capacity: 64 << 10)
        if wantsPage {
            page(last, slowest, node, sink)
        } else {
            sink.append("{\"member\":\"\(node.memberID)\",\"last\":")
            list(last, sink)
            sink.append(",\"slowest\":" as StaticString)
            list(slowest, sink)
            sink.append("}\n" as StaticString)
        }
        return HTTPResponse(
            status: 200,
            headers: [
                "Content-Type": wantsPage ? "text/html; charset=utf-8" : "application/json", "Cache-Control": "no-store",
                "X-Content-Type-Options": "nosniff",
            ], body: sink.array())
    }

    // MARK: JSON

    private static func list(_ entries: [RequestJournal.Entry], _ sink: ByteSink) {
        sink.append("[" as StaticString)
        for (position, entry) in entries.enumerated() {
            if position > 0 { sink.append(",\n" as StaticString) }
            let record = entry.record
            sink.append("{\"start\":\"\(timestampText(record.start))\",\"seconds\":\(seconds(record.nanoseconds)),\"method\":")
            sink.json(record.method.path)
            sink.append(",\"status\":\"\(record.code.name)\"")
            for (name, text) in texts(record) where !text.isEmpty {
                sink.append(",\"\(name)\":")
                sink.json(text)
            }
            if record.revision > 0 { sink.append(",\"revision\":\(record.revision)") }
            sink.append(",\"request-bytes\":\(record.requestBytes),\"answer-bytes\":\(record.answerBytes),\"steps\":[")
            for (position, step) in record.span.steps.enumerated() {
                if position > 0 { sink.append("," as StaticString) }
                sink.append("{\"step\":\"\(step.step.name)\",\"seconds\":\(seconds(step.nanoseconds))}")
            }
            sink.append("]}" as StaticString)
        }
        sink.append("]" as StaticString)
    }

    private static func texts(_ record: RequestRecord) -> [(String, String)] {
        [
            ("key", String(decoding: record.key, as: UTF8.self)), ("resource", record.resource), ("user", record.user),
            ("client-cn", record.commonName), ("address", record.remote ?? ""), ("user-agent", record.userAgent),
            ("slowest-step", record.span.slowest?.step.name ?? ""), ("trace-id", record.trace?.traceIDText ?? ""),
            ("error", record.code == .ok ? "" : record.message),
        ]
    }

    /// With nine digits, which needs no rounding.
    private static func seconds(_ nanoseconds: UInt64) -> String {
        let fraction = String(nanoseconds % 1_000_000_000)
        return "\(nanoseconds / 1_000_000_000)." + String(repeating: "0", count: 9 - fraction.utf8.count) + fraction
    }

    // MARK: HTML

    private static let style: StaticString = """
        <style>
        body{font:14px/1.4 system-ui,sans-serif;margin:1.5em;color:#1c2733;background:#fbfcfd}
        h1{font-size:1.3em} h2{font-size:1.1em;margin:1.5em 0 .4em}
        table{border-collapse:collapse;width:100%} th,td{text-align:left;padding:.25em .6em;border-bottom:1px solid #e3e8ee;vertical-align:top}
        th{color:#5a6b7d;font-weight:600} td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
        td.k{overflow-wrap:anywhere;min-width:14em} .bar{display:flex;height:.8em;width:16em;background:#e9eef3;margin:.3em 0}
        .bar i{display:block;height:100%} small{color:#5a6b7d} .bad{color:#b3261e}
        .s0{background:#9aa9b8}.s1{background:#7b61c9}.s2{background:#5b8def}.s3{background:#3fb1c4}.s4{background:#d9534f}.s5{background:#f0a33b}
        .s6{background:#58b368}.s7{background:#2f9e8f}.s8{background:#86c06b}.s9{background:#c75b9b}.s10{background:#c9b458}
        </style>
        """

    private static func page(_ last: [RequestJournal.Entry], _ slowest: [RequestJournal.Entry], _ node: Node, _ sink: ByteSink) {
        sink.append("<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Requests of \(escaped(node.configuration.name))</title>")
        sink.append(style)
        sink.append("</head><body><h1>Requests of \(escaped(node.configuration.name)) <small>\(node.memberID)</small></h1><p>")
        for step in RequestStep.allCases {
            sink.append("<span class=\"s\(step.rawValue)\">&emsp;</span> \(step.name) &ensp;")
        }
        sink.append("</p><p><small>Shown are requests over a threshold and some of all others; <a href=\"?format=json\">as JSON</a>.</small></p>" as StaticString)
        table("Slowest of the last hour", slowest, sink)
        table("Last", last, sink)
        sink.append("</body></html>\n" as StaticString)
    }

    private static func table(_ title: String, _ entries: [RequestJournal.Entry], _ sink: ByteSink) {
        sink.append("<h2>\(title)</h2><table><tr><th>Start<th>Took<th>Steps<th>Method<th>Key<th>Client<th>Revision<th>Bytes in, out</tr>\n")
        for entry in entries {
            let record = entry.record
            let start = timestampText(record.start)
            // Milliseconds of the day; the whole moment is behind it.
            let time = start.split(separator: "T").last.map { $0.prefix(12) } ?? ""
            sink.append("<tr><td class=\"n\" title=\"\(start)\">\(time)<td class=\"n\">\(rounded(record.nanoseconds))<td><div class=\"bar\">")
            let total = Double(max(1, record.nanoseconds))
            let steps = record.span.steps
            for step in steps {
                let share = Int((Double(step.nanoseconds) * 1_000 / total).rounded())
                guard share > 0 else { continue }
                let title = "\(step.step.name) \(Nanoseconds(Int64(clamping: step.nanoseconds)))"
                sink.append("<i class=\"s\(step.step.rawValue)\" style=\"width:\(share / 10).\(share % 10)%\" title=\"\(title)\"></i>")
            }
            sink.append("</div><small>")
            let longest = steps.filter { $0.nanoseconds > 0 }.sorted { $0.nanoseconds > $1.nanoseconds }.prefix(3)
            sink.append(longest.map { "\($0.step.name) \(rounded($0.nanoseconds))" }.joined(separator: ", "))
            let service = record.method.service.split(separator: ".").last ?? ""
            sink.append("</small><td title=\"\(escaped(record.method.path))\">\(escaped("\(service)/\(record.method.name)"))")
            if record.code != .ok { sink.append("<br><span class=\"bad\">\(record.code.name): \(escaped(record.message))</span>") }
            sink.append("<td class=\"k\">\(escaped(String(decoding: record.key, as: UTF8.self)))<br><small>\(escaped(record.resource))</small>")
            let agent = String(record.userAgent.prefix { $0 != " " })
            let client = [record.user, record.commonName, record.remote ?? "", agent].filter { !$0.isEmpty }
            sink.append("<td class=\"k\" title=\"\(escaped(record.userAgent))\">\(client.map(escaped).joined(separator: "<br>"))")
            sink.append("<td class=\"n\">\(record.revision > 0 ? "\(record.revision)" : "")<td class=\"n\">\(record.requestBytes), \(record.answerBytes)</tr>\n")
        }
        sink.append("</table>\n" as StaticString)
    }

    /// With three digits that count: what is told to the nanosecond reads badly.
    private static func rounded(_ nanoseconds: UInt64) -> String {
        var unit: UInt64 = 1
        while nanoseconds / unit >= 1_000 { unit *= 10 }
        return "\(Nanoseconds(Int64(clamping: nanoseconds / unit * unit)))"
    }

    private static func escaped(_ text: String) -> String {
        var result = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }
}
