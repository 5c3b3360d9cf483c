// Colours and the size of the window, where a person looks.

import CommandLineTools

#if canImport(Glibc)
import Glibc
#endif

/// Escapes on a terminal, nothing elsewhere: not in pipes and files, not where `NO_COLOR` is set, not on a terminal that has none.
struct Style {
    let isOn: Bool

    init(isOn: Bool) { self.isOn = isOn }

    init(_ console: Console, _ stream: Console.Stream) {
        self.init(isOn: console.isTerminal(stream) && Self.isWanted)
    }

    static var isWanted: Bool { (ProcessEnvironment.value("NO_COLOR") ?? "").isEmpty && ProcessEnvironment.value("TERM") ?? "dumb" != "dumb" }

    private func escape(_ code: String, _ text: String) -> String { isOn ? "\u{1b}[\(code)m\(text)\u{1b}[0m" : text }

    func bold(_ text: String) -> String { escape("1", text) }
    func dim(_ text: String) -> String { escape("2", text) }
    func red(_ text: String) -> String { escape("31", text) }
    func yellow(_ text: String) -> String { escape("33", text) }
}

/// The terminal's window.
enum Window {
    /// Rows and columns of the terminal that a descriptor is; a common size where it does not tell.
    static func size(_ descriptor: Int32) -> (rows: Int, columns: Int) {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_row > 0, size.ws_col > 0 else { return (24, 80) }
        return (Int(size.ws_row), Int(size.ws_col))
    }
}

/// One line on standard error that is written over as things go on. For people; nothing where nobody looks.
final class StatusLine {
    let isShown: Bool
    private var shown = ""

    init(isShown: Bool) { self.isShown = isShown }

    func show(_ text: String) {
        guard isShown, text != shown else { return }
        shown = text
        let columns = Window.size(STDERR_FILENO).columns
        write("\r\u{1b}[K" + text.prefix(max(1, columns - 1)))
    }

    /// Gives the line back to what comes next.
    func clear() {
        guard !shown.isEmpty else { return }
        shown = ""
        write("\r\u{1b}[K")
    }

    private func write(_ text: String) { _ = text.withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) } }
}
