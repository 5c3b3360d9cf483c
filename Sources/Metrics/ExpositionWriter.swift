// The two text formats: Prometheus 0.0.4 and OpenMetrics 1.0.

/// A text form of all metrics.
public enum ExpositionFormat: Sendable {
    /// Prometheus text 0.0.4.
    case text
    /// OpenMetrics 1.0.0.
    case openMetrics

    /// The value of the Content-Type header.
    public var contentType: String {
        switch self {
        case .text: "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
        }
    }
}

/// Writes families into one byte array.
struct ExpositionWriter {
    private var bytes: [UInt8] = []
    private let openMetrics: Bool

    init(format: ExpositionFormat, capacity: Int) {
        openMetrics = format == .openMetrics
        bytes.reserveCapacity(capacity)
    }

    mutating func header(name: String, help: String, kind: MetricKind) {
        // OpenMetrics puts `_total` on a counter's samples only, never on its family.
        var family = name[...]
        var type = kind.rawValue
        if openMetrics && kind == .counter {
            if name.hasSuffix("_total") { family = family.dropLast("_total".count) } else { type = "unknown" }
        }
        append("# HELP ")
        bytes.append(contentsOf: family.utf8)
        append(" ")
        appendEscaped(help, quotes: openMetrics, to: &bytes)
        append("\n# TYPE ")
        bytes.append(contentsOf: family.utf8)
        append(" ")
        append(type)
        append("\n")
    }

    mutating func sample(_ name: String, suffix: StaticString, labels: LabelText, value: Double) {
        start(name, suffix, labels)
        if openMetrics { appendWithPoint(value) } else { appendNumber(value, to: &bytes) }
        append("\n")
    }

    mutating func bucket(_ name: String, labels: LabelText, upTo bound: Double, count: UInt64) {
        bytes.append(contentsOf: name.utf8)
        append("_bucket{")
        if !labels.isEmpty {
            bytes.append(contentsOf: labels.bytes)
            append(",")
        }
        append("le=\"")
        if openMetrics { appendWithPoint(bound) } else { appendNumber(bound, to: &bytes) }
        append("\"} ")
        appendCount(count)
    }

    mutating func count(_ name: String, suffix: StaticString, labels: LabelText, value: UInt64) {
        start(name, suffix, labels)
        appendCount(value)
    }

    consuming func finish() -> [UInt8] {
        if openMetrics { append("# EOF\n") }
        return bytes
    }

    private mutating func start(_ name: String, _ suffix: StaticString, _ labels: LabelText) {
        bytes.append(contentsOf: name.utf8)
        append(suffix)
        if !labels.isEmpty {
            append("{")
            bytes.append(contentsOf: labels.bytes)
            append("}")
        }
        append(" ")
    }

    /// A count of observations: a plain integer in OpenMetrics, a float like all else in the older format.
    private mutating func appendCount(_ count: UInt64) {
        if openMetrics { appendDecimal(count, to: &bytes) } else { appendNumber(Double(count), to: &bytes) }
        append("\n")
    }

    /// OpenMetrics floats show that they are floats: `1.0`, not `1`.
    private mutating func appendWithPoint(_ value: Double) {
        let from = bytes.count
        appendNumber(value, to: &bytes)
        if value.isFinite && !bytes[from...].contains(where: { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "e") }) {
            append(".0")
        }
    }

    private mutating func append(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }

    private mutating func append(_ text: String) { bytes.append(contentsOf: text.utf8) }
}
