// A family is one metric name with its help, type and series; the registry keeps families and asks each
// to write itself at a scrape.

import Synchronization

/// The type printed on a family's TYPE line.
public enum MetricKind: String, Sendable {
    case counter, gauge, histogram
}

/// What every family is asked at a scrape.
protocol Family: AnyObject, Sendable {
    var name: String { get }
    var help: String { get }
    var kind: MetricKind { get }
    func write(_ writer: inout ExpositionWriter)
}

/// A handle over atomic cells: what a family can have series of.
protocol Series: Sendable {
    associatedtype Shape: Sendable
    static var kind: MetricKind { get }
    static func cellCount(_ shape: Shape) -> Int
    init(cells: UnsafeMutablePointer<Cell>, shape: Shape)
    /// Whether it is not what it was at first.
    var hasMoved: Bool { get }
    func write(_ writer: inout ExpositionWriter, name: String, labels: LabelText)
}

/// The shape of series that have none.
struct NoShape: Sendable {}

/// A family with a single series and no labels; present from its declaration on, or, if it is quiet, once it has moved.
final class SingleFamily<Handle: Series>: Family {
    let name: String
    let help: String
    let series: Handle
    private let isQuiet: Bool

    init(name: String, help: String, shape: Handle.Shape, isQuiet: Bool = false) {
        self.isQuiet = isQuiet
        self.name = name
        self.help = help
        var cells = CellAllocator()
        series = Handle(cells: cells.allocate(Handle.cellCount(shape), single: true), shape: shape)
    }

    var kind: MetricKind { Handle.kind }

    func write(_ writer: inout ExpositionWriter) {
        guard !isQuiet || series.hasMoved else { return }
        writer.header(name: name, help: help, kind: kind)
        series.write(&writer, name: name, labels: .none)
    }
}

/// A family whose value is asked for at the scrape. Absent while the callback knows none.
final class CallbackFamily: Family {
    let name: String
    let help: String
    let kind: MetricKind
    private let read: @Sendable () -> Double?

    init(name: String, help: String, kind: MetricKind, read: @escaping @Sendable () -> Double?) {
        self.name = name
        self.help = help
        self.kind = kind
        self.read = read
    }

    func write(_ writer: inout ExpositionWriter) {
        guard let value = read() else { return }
        writer.header(name: name, help: help, kind: kind)
        writer.sample(name, suffix: "", labels: .none, value: value)
    }
}
