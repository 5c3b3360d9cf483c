// Tables in the frames of etcdctl 3.7.

/// Header cells are centred, others right-aligned; one blank on each side.
enum Table {
    static func text(_ header: [String], _ rows: [[String]]) -> String {
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
        for cells in rows { text += row(cells, padded) }
        return text + rule("└", "┴", "┘")
    }
}

/// Bytes as go-humanize prints them: `25 kB`, `2.1 GB`.
func humanBytes(_ bytes: UInt64) -> String {
    guard bytes >= 10 else { return "\(bytes) B" }
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
    var unit = 0
    var scale = 1.0
    while Double(bytes) / scale >= 1000, unit < units.count - 1 {
        scale *= 1000
        unit += 1
    }
    let value = (Double(bytes) / scale * 10 + 0.5).rounded(.down) / 10
    if value < 10 { return "\(fixed(value, 1)) \(units[unit])" }
    return "\(fixed(value, 0)) \(units[unit])"
}

/// A number with so many decimals, as printf rounds it.
func fixed(_ value: Double, _ decimals: Int) -> String {
    var scale = 1.0
    for _ in 0..<decimals { scale *= 10 }
    let scaled = (value * scale).rounded(.toNearestOrEven)
    let whole = Int64(scaled.magnitude / scale)
    let sign = scaled < 0 ? "-" : ""
    guard decimals > 0 else { return sign + String(Int64(scaled.magnitude)) }
    let part = String(Int64(scaled.magnitude) - whole * Int64(scale))
    return "\(sign)\(whole)." + String(repeating: "0", count: decimals - part.count) + part
}
