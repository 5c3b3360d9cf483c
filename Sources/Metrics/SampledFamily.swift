// Families whose series are made at the scrape from figures that somebody keeps anyway. They cost nothing between scrapes.

/// Label names and values of a series, encoded once and used again at every scrape.
public struct SeriesLabels: Sendable {
    let text: LabelText

    public init(_ pairs: [(name: String, value: String)]) {
        let order = pairs.indices.sorted { pairs[$0].name < pairs[$1].name }
        text = LabelText(names: pairs.map(\.name), values: pairs.map { boundedLabelValue($0.value) }, order: order)
    }
}

/// A labelled family that is asked for all of its series at each scrape.
final class SampledFamily: Family {
    let name: String
    let help: String
    let kind: MetricKind
    private let read: @Sendable (_ emit: (SeriesLabels, Double) -> Void) -> Void

    init(
        name: String, help: String, kind: MetricKind, read: @escaping @Sendable (_ emit: (SeriesLabels, Double) -> Void) -> Void
    ) {
        self.name = name
        self.help = help
        self.kind = kind
        self.read = read
    }

    func write(_ writer: inout ExpositionWriter) {
        var hasHeader = false
        // The closure does not outlive the call.
        read { labels, value in
            if !hasHeader { writer.header(name: name, help: help, kind: kind) }
            hasHeader = true
            writer.sample(name, suffix: "", labels: labels.text, value: value)
        }
    }
}

extension Registry {
    /// Declares a family whose series are told at each scrape, in an order that stays, each label set once; none at all
    /// leaves the family out. The number of series is for the caller to bound.
    public func sampled(
        _ name: String, help: String, kind: MetricKind = .gauge,
        read: @escaping @Sendable (_ emit: (SeriesLabels, Double) -> Void) -> Void
    ) {
        precondition(kind != .histogram, "a sampled series has one value")
        insert(SampledFamily(name: name, help: help, kind: kind, read: read))
    }
}
