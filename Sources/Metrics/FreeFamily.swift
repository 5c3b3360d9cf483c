// Families whose series bring names of labels of their own, as libraries' metrics do, and numbers with fractions for them.

import Synchronization

/// A family of which each series may have other labels. Bounded as a `Vector` is.
public final class FreeFamily<Handle: Sendable>: Sendable {
    private let resolve: @Sendable ([(String, String)]) -> Handle

    init(resolve: @escaping @Sendable ([(String, String)]) -> Handle) { self.resolve = resolve }

    /// The series with these labels, in any order, made if need be. Names that are no label names are made ones; of a name that comes
    /// twice the last value counts. Takes a lock: resolve once, keep the handle.
    public func series(_ labels: [(String, String)]) -> Handle { resolve(labels) }
}

final class FreeFamilyStorage<Handle: Series>: Family {
    private struct Entry {
        let text: LabelText
        let handle: Handle
    }

    private struct State {
        var cells = CellAllocator()
        var index: [[String]: Handle] = [:]
        var entries: [Entry] = []
        var overflow: Handle?
    }

    let name: String
    let help: String
    private let shape: Handle.Shape
    private let seriesMaximum: Int
    private let state = Mutex(State())

    init(name: String, help: String, shape: Handle.Shape, seriesMaximum: Int) {
        self.name = name
        self.help = help
        self.shape = shape
        self.seriesMaximum = seriesMaximum
    }

    var kind: MetricKind { Handle.kind }

    func resolve(_ labels: [(String, String)]) -> Handle {
        var pairs: [String: String] = [:]
        for (name, value) in labels {
            var name = labelName(name)
            // Prometheus writes these itself.
            if name == "le" || name == "quantile" { name += "_" }
            pairs[name] = boundedLabelValue(value)
        }
        let names = pairs.keys.sorted()
        let key = names.flatMap { [$0, pairs[$0]!] }
        return state.withLock { state in
            if let handle = state.index[key] { return handle }
            if state.index.count >= seriesMaximum {
                if let overflow = state.overflow { return overflow }
                let other = MetricsLimits.overflowLabelValue
                let handle = make([other], [other], &state)
                state.overflow = handle
                return handle
            }
            let handle = make(names, names.map { pairs[$0]! }, &state)
            state.index[key] = handle
            return handle
        }
    }

    private func make(_ names: [String], _ values: [String], _ state: inout State) -> Handle {
        let handle = Handle(cells: state.cells.allocate(Handle.cellCount(shape), single: false), shape: shape)
        state.entries.append(
            Entry(text: LabelText(names: names, values: values, order: Array(names.indices)), handle: handle))
        return handle
    }

    func write(_ writer: inout ExpositionWriter) {
        let entries = state.withLock { $0.entries }
        guard !entries.isEmpty else { return }
        writer.header(name: name, help: help, kind: kind)
        for entry in entries { entry.handle.write(&writer, name: name, labels: entry.text) }
    }
}

/// A number with a fraction that goes up and down. An update takes a compare-and-swap: for what moves rarely.
public struct FloatingPointGauge: @unchecked Sendable {  // the pointer leads to an atomic cell that is never freed
    fileprivate let cell: UnsafeMutablePointer<Cell>

    public func set(_ value: Double) { cell.pointee.store(value.bitPattern, ordering: .relaxed) }
    public func add(_ amount: Double) { cell.pointee.add(amount) }
    public var value: Double { Double(bitPattern: cell.pointee.load(ordering: .relaxed)) }
}

/// A number with a fraction that only grows. What is not positive is not added.
public struct FloatingPointCounter: @unchecked Sendable {  // the pointer leads to an atomic cell that is never freed
    fileprivate let cell: UnsafeMutablePointer<Cell>

    public func add(_ amount: Double) {
        guard amount > 0 else { return }
        cell.pointee.add(amount)
    }

    /// Begins anew at zero, as after a restart.
    public func reset() { cell.pointee.store(0, ordering: .relaxed) }
    public var value: Double { Double(bitPattern: cell.pointee.load(ordering: .relaxed)) }
}

extension Cell {
    /// Adds to the number whose bits the cell has.
    fileprivate func add(_ amount: Double) {
        var old = load(ordering: .relaxed)
        while true {
            let new = (Double(bitPattern: old) + amount).bitPattern
            let (isDone, now) = weakCompareExchange(expected: old, desired: new, ordering: .relaxed)
            if isDone { return }
            old = now
        }
    }
}

extension FloatingPointGauge: Series {
    static let kind = MetricKind.gauge
    static func cellCount(_ shape: NoShape) -> Int { 1 }
    init(cells: UnsafeMutablePointer<Cell>, shape: NoShape) { self.init(cell: cells) }
    var hasMoved: Bool { value != 0 }
    func write(_ writer: inout ExpositionWriter, name: String, labels: LabelText) {
        writer.sample(name, suffix: "", labels: labels, value: value)
    }
}

extension FloatingPointCounter: Series {
    static let kind = MetricKind.counter
    static func cellCount(_ shape: NoShape) -> Int { 1 }
    init(cells: UnsafeMutablePointer<Cell>, shape: NoShape) { self.init(cell: cells) }
    var hasMoved: Bool { value != 0 }
    func write(_ writer: inout ExpositionWriter, name: String, labels: LabelText) {
        writer.sample(name, suffix: "", labels: labels, value: value)
    }
}

extension Registry {
    /// Declares a family of counters with any labels.
    public func freeCounters(
        _ name: String, help: String, seriesMaximum: Int = MetricsLimits.seriesPerVectorDefault
    ) -> FreeFamily<Counter> { free(name, help, NoShape(), seriesMaximum) }

    /// Declares a family of counters with fractions and any labels.
    public func freeFloatingPointCounters(
        _ name: String, help: String, seriesMaximum: Int = MetricsLimits.seriesPerVectorDefault
    ) -> FreeFamily<FloatingPointCounter> { free(name, help, NoShape(), seriesMaximum) }

    /// Declares a family of gauges with fractions and any labels.
    public func freeFloatingPointGauges(
        _ name: String, help: String, seriesMaximum: Int = MetricsLimits.seriesPerVectorDefault
    ) -> FreeFamily<FloatingPointGauge> { free(name, help, NoShape(), seriesMaximum) }

    /// Declares a family of histograms with any labels.
    public func freeHistograms(
        _ name: String, help: String, buckets: Buckets, unit: HistogramUnit = .seconds,
        seriesMaximum: Int = MetricsLimits.seriesPerVectorDefault
    ) -> FreeFamily<Histogram> { free(name, help, HistogramShape(buckets, unit), seriesMaximum) }

    private func free<Handle: Series>(
        _ name: String, _ help: String, _ shape: Handle.Shape, _ seriesMaximum: Int
    ) -> FreeFamily<Handle> {
        precondition(seriesMaximum > 0, "series bound of \(name)")
        let family = FreeFamilyStorage<Handle>(name: name, help: help, shape: shape, seriesMaximum: seriesMaximum)
        insert(family)
        return FreeFamily { family.resolve($0) }
    }
}

/// What a text becomes as the name of a metric: letters, digits, `_` and `:` stay, everything else is `_`.
public func metricName(_ text: String) -> String { cleaned(text, colons: true) }

private func labelName(_ text: String) -> String { cleaned(text, colons: false) }

private func cleaned(_ text: String, colons: Bool) -> String {
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"):
            bytes.append(byte)
        case UInt8(ascii: ":") where colons: bytes.append(byte)
        case UInt8(ascii: "0")...UInt8(ascii: "9"):
            if bytes.isEmpty { bytes.append(UInt8(ascii: "_")) }
            bytes.append(byte)
        default: bytes.append(UInt8(ascii: "_"))
        }
    }
    return bytes.isEmpty ? "_" : String(decoding: bytes.prefix(MetricsLimits.labelValueBytesMaximum), as: UTF8.self)
}
