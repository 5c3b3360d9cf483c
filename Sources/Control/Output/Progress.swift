// A bar on standard error while something long goes on.

import CommandLineTools

/// For people; nothing where nobody looks.
final class Progress {
    private let line: StatusLine
    private let what: String
    private let inBytes: Bool
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private var last: ContinuousClock.Instant

    /// - Parameter inBytes: what is counted; otherwise pieces.
    init(_ console: Console, _ what: String, inBytes: Bool = false) {
        line = StatusLine(isShown: console.isTerminal(.error))
        self.what = what
        self.inBytes = inBytes
        start = clock.now
        last = start - .seconds(1)
    }

    func show(_ done: UInt64, of total: UInt64) {
        guard line.isShown, clock.now - last >= .milliseconds(100) || done == total else { return }
        last = clock.now
        line.show(Self.text(what, done, total, seconds: (last - start) / .seconds(1), inBytes: inBytes))
    }

    func end() { line.clear() }

    static func text(_ what: String, _ done: UInt64, _ total: UInt64, seconds: Double, inBytes: Bool) -> String {
        let share = total == 0 ? 1 : min(1, Double(done) / Double(total))
        let filled = Int(share * 30)
        let bar = String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled)
        let speed = seconds > 0 ? Double(done) / seconds : 0
        func amount(_ number: UInt64) -> String { inBytes ? GoText.bytes(number) : String(number) }
        return "\(what) [\(bar)] \(Int(share * 100))% \(amount(done)) of \(amount(total)), \(inBytes ? GoText.bytes(UInt64(speed)) : fixed(speed, 0))/s"
    }
}
