// How far a long command is: a line on standard error that is written over, for people; nothing where that is no terminal.

import CommandLineTools

final class Progress {
    private let console: Console
    private let isShown: Bool
    private let what: String
    private let total: UInt64
    private var done: UInt64 = 0
    private var percent = -1

    /// - Parameter total: bytes that will be told with `add`.
    init(_ console: Console, _ what: String, total: UInt64) {
        self.console = console
        self.what = what
        self.total = max(total, 1)
        isShown = total >= UtilityLimits.bytesWorthABar && console.isTerminal(.error)
    }

    deinit { if percent >= 0 { console.write("\r\u{1b}[K", to: .error) } }

    func add(_ bytes: Int) {
        done += UInt64(bytes)
        guard isShown else { return }
        let now = Int(min(done, total) * 100 / total)
        guard now != percent else { return }
        percent = now
        let bar = String(repeating: "#", count: now * 30 / 100) + String(repeating: ".", count: 30 - now * 30 / 100)
        console.write("\r\(what) [\(bar)] \(now)% of \(GoText.bytes(total)) ", to: .error)
    }
}
