// Which text format a scraper gets.
//
// etcd answers in the older text format whatever a scraper prefers, and dashboards know the `le` labels of
// that format (`1`, where OpenMetrics writes `1.0`). So do we, unless the scraper accepts OpenMetrics only.

extension ExpositionFormat {
    /// The format for the value of an Accept header: plain text wherever that is acceptable, also for whoever
    /// accepts nothing we have, as every exporter does.
    public static func negotiated(accept: String?) -> ExpositionFormat {
        guard let accept else { return .text }
        let acceptable = accept.split(separator: ",").compactMap(parse).filter { $0.1 > 0 }.map { $0.0 }
        return acceptable.contains(.openMetrics) && !acceptable.contains(.text) ? .openMetrics : .text
    }

    private static func parse(_ range: Substring) -> (ExpositionFormat, Double)? {
        let parts = range.split(separator: ";").map(trimmed)
        guard let type = parts.first?.lowercased() else { return nil }
        var quality = 1.0
        var version = ""
        for parameter in parts.dropFirst() {
            let pair = parameter.split(separator: "=", maxSplits: 1).map(trimmed)
            guard pair.count == 2 else { continue }
            switch pair[0].lowercased() {
            case "q": quality = Double(pair[1]) ?? 0
            case "version": version = String(pair[1])
            default: break
            }
        }
        switch type {
        case "application/openmetrics-text" where version.isEmpty || version == "1.0.0":
            return (.openMetrics, quality)
        case "text/plain" where version.isEmpty || version == "0.0.4":
            return (.text, quality)
        case "text/*", "*/*":
            return (.text, quality)
        default:
            return nil
        }
    }

    private static func trimmed(_ text: Substring) -> Substring {
        var text = text
        while text.first == " " || text.first == "\t" || text.first == "\"" { text = text.dropFirst() }
        while text.last == " " || text.last == "\t" || text.last == "\"" { text = text.dropLast() }
        return text
    }
}
