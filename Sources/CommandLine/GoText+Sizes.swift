// Sizes as Go's programs print them.

extension GoText {
    /// Bytes as go-humanize prints them: `25 kB`, `2.1 GB`.
    public static func bytes(_ bytes: UInt64) -> String {
        guard bytes >= 10 else { return "\(bytes) B" }
        let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
        var unit = 0
        var scale = 1.0
        while Double(bytes) / scale >= 1000, unit < units.count - 1 {
            scale *= 1000
            unit += 1
        }
        let value = (Double(bytes) / scale * 10 + 0.5).rounded(.down) / 10
        // One decimal below ten.
        let tenths = Int64((value * 10).rounded())
        return value < 10 ? "\(tenths / 10).\(tenths % 10) \(units[unit])" : "\(Int64(value.rounded(.toNearestOrEven))) \(units[unit])"
    }
}
