// Sizes as log lines show them beside the exact number: `2.1 GB`, `25 kB`, `9 B`.

/// A size in decimal units: one digit after the point below ten, none above.
public func humanBytes(_ bytes: UInt64) -> String {
    guard bytes >= 10 else { return "\(bytes) B" }
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
    var unit = 0
    var scale: UInt64 = 1
    while unit + 1 < units.count && bytes / scale >= 1_000 {
        unit += 1
        scale *= 1_000
    }
    let tenths = UInt64((Double(bytes) / Double(scale) * 10 + 0.5).rounded(.down))
    if tenths >= 100 { return "\(UInt64((Double(tenths) / 10).rounded(.toNearestOrEven))) \(units[unit])" }
    return "\(tenths / 10).\(tenths % 10) \(units[unit])"
}
