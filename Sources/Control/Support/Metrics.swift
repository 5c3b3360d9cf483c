// A server's metrics, read from their text.

/// One scrape.
struct Metrics: Sendable {
    struct Sample: Sendable {
        let labels: [String: String]
        let value: Double
    }

    /// By name.
    let samples: [String: [Sample]]

    /// The sum over all labels; nil when there is no such metric.
    func value(_ name: String, where matches: ([String: String]) -> Bool = { _ in true }) -> Double? {
        let found = (samples[name] ?? []).filter { matches($0.labels) }
        return found.isEmpty ? nil : found.reduce(0) { $0 + $1.value }
    }

    init(text: String) {
        var samples: [String: [Sample]] = [:]
        for line in text.utf8.split(separator: UInt8(ascii: "\n")) where line.first != UInt8(ascii: "#") {
            guard let space = line.lastIndex(of: UInt8(ascii: " ")), let value = Double(Substring(line[line.index(after: space)...])) else { continue }
            let head = Substring(line[..<space])
            guard let brace = head.firstIndex(of: "{") else {
                samples[String(head), default: []].append(Sample(labels: [:], value: value))
                continue
            }
            samples[String(head[..<brace]), default: []].append(Sample(labels: Self.labels(head[head.index(after: brace)...]), value: value))
        }
        self.samples = samples
    }

    /// `grpc_code="OK",user_agent="a, \"b\""}`
    private static func labels(_ text: Substring) -> [String: String] {
        var labels: [String: String] = [:]
        var rest = text.utf8
        while let equals = rest.firstIndex(of: UInt8(ascii: "=")) {
            let name = String(Substring(rest[..<equals]))
            rest = rest[equals...].dropFirst(2)
            var value: [UInt8] = []
            var isEscaped = false
            while let byte = rest.popFirst() {
                if isEscaped {
                    value.append(byte == UInt8(ascii: "n") ? UInt8(ascii: "\n") : byte)
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    break
                } else {
                    value.append(byte)
                }
            }
            labels[name] = String(decoding: value, as: UTF8.self)
            if rest.first == UInt8(ascii: ",") { rest.removeFirst() }
        }
        return labels
    }
}
