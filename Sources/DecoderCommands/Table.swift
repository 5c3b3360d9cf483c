// Columns of text, and numbers that people can read.

/// A table with a heading: texts to the left, numbers to the right.
struct Table {
    enum Alignment { case left, right }
    private let columns: [(title: String, alignment: Alignment)]
    private var rows: [[String]] = []

    init(_ columns: [(String, Alignment)]) { self.columns = columns.map { (title: $0.0, alignment: $0.1) } }

    mutating func add(_ cells: [String]) {
        precondition(cells.count == columns.count)
        rows.append(cells)
    }

    var isEmpty: Bool { rows.isEmpty }

    var text: String {
        let all = [columns.map(\.title)] + rows
        let widths = columns.indices.map { column in all.map { $0[column].unicodeScalars.count }.max() ?? 0 }
        var text = ""
        for row in all {
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.unicodeScalars.count)
                line += columns[column].alignment == .left ? cell + padding : padding + cell
                if column < row.count - 1 { line += "   " }
            }
            while line.last == " " { line.removeLast() }
            text += line + "\n"
        }
        return text
    }
}

/// `1.2 GB`, as etcd's tools write sizes.
func sizeText(_ bytes: some BinaryInteger) -> String {
    var value = Double(bytes)
    let units = ["B", "kB", "MB", "GB", "TB", "PB"]
    var unit = 0
    while value >= 999.5, unit < units.count - 1 {
        value /= 1000
        unit += 1
    }
    if unit == 0 || value >= 9.95 { return "\(Int64(value.rounded())) \(units[unit])" }
    let tenths = Int64((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) \(units[unit])"
}
