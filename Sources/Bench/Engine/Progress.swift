// The line that says how far a run is; on a terminal only.

#if canImport(Glibc)
import Glibc
#endif

/// Belongs to the engine's loop while a run goes on.
final class Progress: @unchecked Sendable {
    let isShown: Bool
    private let label: String
    private var isDrawn = false
    private var last: (moment: UInt64, count: Int) = (0, 0)
    private var rate = 0.0

    init(_ label: String) {
        self.label = label
        isShown = isatty(STDERR_FILENO) == 1
    }

    func show(part: Double, count: Int, errors: UInt64, now: UInt64, tail: () -> UInt64) {
        guard isShown, now > last.moment + 200_000_000 else { return }
        if last.moment > 0 { rate = Double(count - last.count) * 1e9 / Double(now - last.moment) }
        last = (now, count)
        let width = 24
        let filled = Int(min(max(part, 0), 1) * Double(width))
        let bar = String(repeating: "█", count: filled) + String(repeating: "·", count: width - filled)
        var line = "\r\(label) [\(bar)] \(Int(min(max(part, 0), 1) * 100))%  \(NumberFormat.count(Double(count)))"
        line += "  \(NumberFormat.count(rate))/s  p99 \(NumberFormat.time(Double(tail())))"
        if errors > 0 { line += "  \(errors) errors" }
        write(line + "\u{1b}[K")
        isDrawn = true
    }

    func hide() {
        if isDrawn { write("\r\u{1b}[K") }
        isDrawn = false
    }

    private func write(_ text: String) {
        var text = text
        _ = text.withUTF8 { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
