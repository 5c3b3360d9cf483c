// Families with labels.
//
// A series comes into being with the first use of its label values and is then resolved once and kept by
// whoever moves it. The number of series is bounded: label sets beyond the bound share one series whose
// labels all read `other`, so that names chosen by clients can never grow memory without end.

import Synchronization

/// A labelled family of counters, gauges or histograms.
public final class Vector<Handle: Sendable>: Sendable {
    /// The names of the labels, in the order in which `series` takes their values.
    public let labels: [String]
    private let resolve: @Sendable ([String], _ isQuiet: Bool) -> Handle

    init(labels: [String], resolve: @escaping @Sendable ([String], _ isQuiet: Bool) -> Handle) {
        self.labels = labels
        self.resolve = resolve
    }

    /// The series with these label values, made if need be. Takes a lock: resolve once, keep the handle.
    public func series(_ values: String...) -> Handle { series(values) }

    /// The same for values that are in an array already.
    public func series(_ values: [String]) -> Handle {
        precondition(values.count == labels.count, "\(values.count) values for labels \(labels)")
        return resolve(values, false)
    }

    /// A series that scrapes leave out until it has moved. Unlike a lazy one it costs its users nothing, but it takes its memory, and
    /// its place within the bound, from the start.
    public func quiet(_ values: String...) -> Handle {
        precondition(values.count == labels.count, "\(values.count) values for labels \(labels)")
        return resolve(values, true)
    }

    /// A series that must not be exposed before its first event: made by the first use of the result.
    public func lazy(_ values: String...) -> LazySeries<Handle> {
        precondition(values.count == labels.count, "\(values.count) values for labels \(labels)")
        return LazySeries(self, values)
    }
}

/// A series that is made when it is first wanted; afterwards one atomic load away.
public final class LazySeries<Handle: Sendable>: Sendable {
    private let vector: Vector<Handle>
    private let values: [String]
    /// The address of the handle once it is made; like the cells it leads to, that is never freed.
    @usableFromInline let made = Atomic<UInt>(0)

    init(_ vector: Vector<Handle>, _ values: [String]) {
        self.vector = vector
        self.values = values
    }

    /// The handle, made now if this is the first use.
    @inlinable @inline(__always)
    public var handle: Handle {
        if let made = UnsafePointer<Handle>(bitPattern: made.load(ordering: .acquiring)) { return made.pointee }
        return make()
    }

    @usableFromInline
    func make() -> Handle {
        let handle = vector.series(values)
        let pointer = UnsafeMutablePointer<Handle>.allocate(capacity: 1)
        pointer.initialize(to: handle)
        let (isFirst, _) = made.compareExchange(
            expected: 0, desired: UInt(bitPattern: pointer), successOrdering: .releasing, failureOrdering: .relaxed)
        if !isFirst { pointer.deallocate() }  // handles are trivial: nothing to deinitialize
        return handle
    }
}

/// The storage behind a vector.
final class VectorFamily<Handle: Series>: Family {
    private struct Entry {
        /// Label values in the order of label names: the order of exposition.
        let sortedValues: [String]
        let text: LabelText
        let handle: Handle
        /// Shown only once it has moved.
        let isQuiet: Bool
    }

    private struct State {
        var cells = CellAllocator()
        var index: [[String]: Handle] = [:]
        var sorted: [Entry] = []
        var overflow: Handle?
    }

    let name: String
    let help: String
    private let labels: [String]
    private let order: [Int]
    private let shape: Handle.Shape
    private let seriesMaximum: Int
    private let state = Mutex(State())

    init(name: String, help: String, labels: [String], shape: Handle.Shape, seriesMaximum: Int) {
        precondition(!labels.isEmpty && Set(labels).count == labels.count, "labels of \(name): \(labels)")
        precondition(seriesMaximum > 0, "series bound of \(name)")
        self.name = name
        self.help = help
        self.labels = labels
        order = labels.indices.sorted { labels[$0] < labels[$1] }
        self.shape = shape
        self.seriesMaximum = seriesMaximum
    }

    var kind: MetricKind { Handle.kind }

    func resolve(_ values: [String], isQuiet: Bool = false) -> Handle {
        let values = values.map(boundedLabelValue)
        return state.withLock { state in
            if let handle = state.index[values] { return handle }
            if state.index.count >= seriesMaximum {
                if let overflow = state.overflow { return overflow }
                let others = labels.map { _ in MetricsLimits.overflowLabelValue }
                let handle = state.index[others] ?? make(others, isQuiet: false, &state)
                state.overflow = handle
                return handle
            }
            let handle = make(values, isQuiet: isQuiet, &state)
            state.index[values] = handle
            return handle
        }
    }

    private func make(_ values: [String], isQuiet: Bool, _ state: inout State) -> Handle {
        let handle = Handle(cells: state.cells.allocate(Handle.cellCount(shape), single: false), shape: shape)
        let sortedValues = order.map { values[$0] }
        let entry = Entry(
            sortedValues: sortedValues, text: LabelText(names: labels, values: values, order: order), handle: handle,
            isQuiet: isQuiet)
        let position = state.sorted.firstIndex { sortedValues.lexicographicallyPrecedes($0.sortedValues) }
        state.sorted.insert(entry, at: position ?? state.sorted.count)
        return handle
    }

    func write(_ writer: inout ExpositionWriter) {
        let entries = state.withLock { $0.sorted }
        var hasHeader = false
        for entry in entries where !entry.isQuiet || entry.handle.hasMoved {
            if !hasHeader { writer.header(name: name, help: help, kind: kind) }
            hasHeader = true
            entry.handle.write(&writer, name: name, labels: entry.text)
        }
    }
}
