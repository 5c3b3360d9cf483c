// The tables of `top`: which columns they have, and how members' rows become one.

import CommandLineTools

/// A column of figures.
struct TopColumn: Sendable {
    enum Kind: Sendable {
        /// The figure itself.
        case level
        /// Its growth in a second.
        case rate
    }
    enum Form: Sendable { case count, bytes }

    /// What `--sort` calls it.
    let name: String
    let title: String
    /// Members of the page's rows that it is the sum of.
    let fields: [String]
    let kind: Kind
    let form: Form
    /// Each member has all of it, as it has applied the same log: the largest counts, not the sum.
    let isShared: Bool

    init(_ name: String, _ title: String, _ fields: [String], _ kind: Kind, _ form: Form = .count, isShared: Bool = false) {
        self.name = name
        self.title = title
        self.fields = fields
        self.kind = kind
        self.form = form
        self.isShared = isShared
    }

    func text(_ value: Double) -> String {
        switch form {
        case .count: kind == .level ? fixed(value, 0) : rateText(value)
        case .bytes: value < 1 && kind == .rate ? "0 B" : GoText.bytes(UInt64(max(0, value)))
        }
    }
}

/// A rate for people: a decimal where it is small.
func rateText(_ value: Double) -> String { fixed(value, value < 10 && value > 0 ? 1 : 0) }

/// A kind of row and its columns.
struct TopTable: Sendable {
    let title: String
    /// Texts that name a row: members of the page's rows, and their titles.
    let names: [(field: String, title: String)]
    let columns: [TopColumn]
    /// By what rows are sorted when nothing is said: the sum of these columns.
    let busy: [String]

    static let resources = TopTable(
        title: "Resources", names: [("resource", "RESOURCE")],
        columns: [
            TopColumn("keys", "KEYS", ["keys"], .level, isShared: true),
            TopColumn("size", "SIZE", ["live_bytes"], .level, .bytes, isShared: true),
            TopColumn("history", "HISTORY", ["history_bytes"], .level, .bytes, isShared: true),
            TopColumn("largest", "LARGEST", ["largest_bytes"], .level, .bytes, isShared: true),
            TopColumn("puts", "PUTS/S", ["puts"], .rate, isShared: true),
            TopColumn("deletes", "DELETES/S", ["deletes"], .rate, isShared: true),
            TopColumn("gets", "GETS/S", ["gets", "transaction_reads"], .rate),
            TopColumn("lists", "LISTS/S", ["lists"], .rate),
            TopColumn("watchers", "WATCHERS", ["watchers"], .level),
            TopColumn("events", "EVENTS/S", ["watch_events"], .rate),
            TopColumn("written", "WRITTEN/S", ["put_bytes"], .rate, .bytes, isShared: true),
            TopColumn("read", "READ/S", ["get_bytes", "list_bytes", "watch_bytes"], .rate, .bytes),
        ],
        busy: ["puts", "deletes", "gets", "lists", "events"])

    static let clients = TopTable(
        title: "Clients", names: [("client", "CLIENT"), ("user_agent", "USER AGENT"), ("address", "ADDRESS")],
        columns: [
            TopColumn("requests", "REQUESTS/S", ["requests"], .rate), TopColumn("errors", "ERRORS/S", ["errors"], .rate),
            TopColumn("received", "RECEIVED/S", ["received_bytes"], .rate, .bytes), TopColumn("sent", "SENT/S", ["sent_bytes"], .rate, .bytes),
            TopColumn("open", "OPEN", ["open_calls"], .level), TopColumn("total", "REQUESTS", ["requests"], .level),
        ],
        busy: ["requests"])

    /// What `--sort` takes.
    static var sortNames: [String] { ["busy", "name"] + (resources.columns + clients.columns).map(\.name) }

    struct Row: Sendable, Equatable {
        var names: [String]
        var values: [Double]
    }

    /// The rows of all members as one list.
    ///
    /// - Parameter members: the page's rows before and now, and the seconds between.
    func rows(_ members: [(last: [PageRow], current: [PageRow], seconds: Double)]) -> [Row] {
        func key(_ row: PageRow) -> [String] { names.map { row.texts[$0.field] ?? "" } }
        func sum(_ row: PageRow?, _ column: TopColumn) -> Double { column.fields.reduce(0) { $0 + (row?.numbers[$1] ?? 0) } }
        var merged: [[String]: [Double]] = [:]
        for member in members {
            let before = Dictionary(member.last.map { (key($0), $0) }) { first, _ in first }
            for row in member.current {
                let names = key(row)
                var values = merged[names] ?? Array(repeating: 0, count: columns.count)
                for (index, column) in columns.enumerated() {
                    let now = sum(row, column)
                    let value = column.kind == .level ? now : TopMember.growth(sum(before[names], column), now) / member.seconds
                    values[index] = column.isShared ? max(values[index], value) : values[index] + value
                }
                merged[names] = values
            }
        }
        // What has nothing and does nothing is not worth a line.
        return merged.filter { $0.value.contains { $0 != 0 } }.map { Row(names: $0.key, values: $0.value) }
    }

    /// The largest first; where equal, by their first column, then by name. A column that the table has not is as if none was named.
    func sorted(_ rows: [Row], by name: String) -> [Row] {
        let before: (Row, Row) -> Bool = { $0.names.lexicographicallyPrecedes($1.names) }
        if name == "name" { return rows.sorted(by: before) }
        let chosen = columns.contains { $0.name == name } ? [name] : busy
        let indices = columns.indices.filter { chosen.contains(columns[$0].name) }
        func weight(_ row: Row) -> Double { indices.reduce(0) { $0 + row.values[$1] } }
        return rows.sorted { a, b in
            let (first, second) = (weight(a), weight(b))
            if first != second { return first > second }
            if a.values[0] != b.values[0] { return a.values[0] > b.values[0] }
            return before(a, b)
        }
    }

    /// Rows as cells, at most so many.
    func cells(_ rows: [Row], limit: Int) -> [[String]] {
        rows.prefix(limit).map { row in
            row.names.map { $0.isEmpty ? "-" : String($0.prefix(40)) } + zip(columns, row.values).map { $0.text($1) }
        }
    }

    var header: [String] { names.map(\.title) + columns.map(\.title) }
}

/// Columns without frames: texts to the left, figures to the right.
enum PlainTable {
    static func lines(_ header: [String], _ rows: [[String]], leftColumns: Int, _ style: Style) -> [String] {
        let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max()! }
        func line(_ cells: [String]) -> String {
            var text = cells.enumerated().map { index, cell in
                let padding = String(repeating: " ", count: widths[index] - cell.count)
                return index < leftColumns ? cell + padding : padding + cell
            }.joined(separator: "  ")
            while text.last == " " { text.removeLast() }
            return text
        }
        return [style.bold(line(header))] + rows.map(line)
    }
}
