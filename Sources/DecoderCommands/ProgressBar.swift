// How far a long read is, on a terminal.

import Archive
import CommandLineTools

/// A line on standard error that is written over; nothing where that is no terminal.
final class ProgressBar {
    private let console: Console
    private let isShown: Bool
    private let total: UInt64
    private var lastPercent = -1
    private var isDrawn = false
    private static let width = 30

    /// Shows how much of a source is read in each pass.
    init(_ source: any RevisionSource, _ console: Console) {
        self.console = console
        total = max(source.size, 1)
        // A file of this size takes long enough to be looked at.
        isShown = console.isTerminal(.error) && source.size > 32 << 20
        guard isShown else { return }
        source.progress = { [unowned self] bytes in show(bytes) }
    }

    private func show(_ bytes: UInt64) {
        // What is free or index is not read, so the end comes early.
        let percent = Int(min(bytes, total) * 100 / total)
        guard percent != lastPercent else { return }
        lastPercent = percent
        let filled = percent * ProgressBar.width / 100
        let bar = String(repeating: "#", count: filled) + String(repeating: "-", count: ProgressBar.width - filled)
        console.write("\r[\(bar)] \(percent < 10 ? "  " : percent < 100 ? " " : "")\(percent)% of \(sizeText(total))", to: .error)
        isDrawn = true
    }

    /// Takes the line away.
    func finish() {
        if isDrawn { console.write("\r\u{1b}[K", to: .error) }
        isDrawn = false
    }
}
