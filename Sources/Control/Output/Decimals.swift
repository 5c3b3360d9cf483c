// Numbers with decimals.

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
