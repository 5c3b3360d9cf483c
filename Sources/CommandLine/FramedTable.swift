// Tables in the frames of etcdctl 3.7.

/// Header cells are centred, others right-aligned; one blank on each side.
public enum FramedTable {
    public static func text(_ header: [String], _ rows: [[String]]) -> String {
        let header = header.map { $0.uppercased().replacing("_", with: " ") }
        let widths = header.indices.map { column in ([header] + rows).map { $0[column].count }.max()! }
        func rule(_ left: String, _ middle: String, _ right: String) -> String {
            left + widths.map { String(repeating: "─", count: $0 + 2) }.joined(separator: middle) + right + "\n"
        }
        func row(_ cells: [String], _ align: (String, Int) -> String) -> String {
            "│" + zip(cells, widths).map { " " + align($0, $1) + " " }.joined(separator: "│") + "│\n"
        }
        var text = rule("┌", "┬", "┐")
        text += row(header) { cell, width in
            let slack = width - cell.count
            return String(repeating: " ", count: slack / 2) + cell + String(repeating: " ", count: slack - slack / 2)
        }
        if !rows.isEmpty { text += rule("├", "┼", "┤") }
        for cells in rows { text += row(cells) { String(repeating: " ", count: $1 - $0.count) + $0 } }
        return text + rule("└", "┴", "┘")
    }
}
