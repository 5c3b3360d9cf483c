// A server's metrics, read from their text.

/// One scrape.
struct Metrics: Sendable {
    struct Sample: Sendable {
        let name: String
        /// As in the text: `grpc_code="OK",grpc_method="Range"`.
        let labels: [String: String]
        let value: Double
    }

    let samples: [Sample]

    /// The sum over all labels; nil when there is no such metric.
    func value(_ name: String, where matches: ([String: String]) -> Bool = { _ in true }) -> Double? {
        let found = samples.filter { $0.name == name && matches($0.labels) }
        return found.isEmpty ? nil : found.reduce(0) { $0 + $1.value }
    }

    init(text: String) {
        samples = text.split(separator: "\n").compactMap { line in
            guard line.first != "#", let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else { return nil }
            let head = line[..<space]
            guard let brace = head.firstIndex(of: "{") else { return Sample(name: String(head), labels: [:], value: value) }
            var labels: [String: String] = [:]
            for part in head[head.index(after: brace)...].dropLast().split(separator: ",") {
                guard let equals = part.firstIndex(of: "=") else { continue }
                labels[String(part[..<equals])] = String(part[part.index(after: equals)...].dropFirst().dropLast())
            }
            return Sample(name: String(head[..<brace]), labels: labels, value: value)
        }
    }
}
