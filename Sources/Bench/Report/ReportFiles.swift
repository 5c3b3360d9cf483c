// Where reports go: `--report json=run.json`. Files appear whole or not at all.

import CommandLineTools

#if canImport(Glibc)
import Glibc
#endif

enum ReportForm: String, CaseIterable, Sendable { case text, json, csv, html }

/// One `--report`.
struct ReportTarget: Equatable, Sendable {
    var form: ReportForm
    /// Nil: standard output, instead of the text report.
    var path: String?

    /// - Parameter text: `json`, `json=FILE`, or a file whose name ends in a form's name.
    init?(_ text: String) {
        if let form = ReportForm(rawValue: text) {
            self.form = form
            return
        }
        if let equals = text.firstIndex(of: "="), let form = ReportForm(rawValue: String(text[..<equals])) {
            let path = String(text[text.index(after: equals)...])
            guard !path.isEmpty else { return nil }
            self.form = form
            self.path = path
            return
        }
        let extensions: [(String, ReportForm)] = [(".txt", .text), (".json", .json), (".csv", .csv), (".html", .html)]
        guard let found = extensions.first(where: { text.hasSuffix($0.0) && text.utf8.count > $0.0.utf8.count }) else { return nil }
        form = found.1
        path = text
    }
}

enum ReportFiles {
    /// Writes a file aside, makes it durable and puts it in its place.
    static func write(_ text: String, to path: String) throws(CommandFailure) {
        let aside = "\(path).part-\(getpid())"
        func fail(_ what: String) -> CommandFailure {
            let reason = String(cString: strerror(errno))
            unlink(aside)
            return CommandFailure("cannot write the report \(path): \(what): \(reason)")
        }
        let file = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else { throw fail("open") }
        let bytes = Array(text.utf8)
        var written = 0
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { Glibc.write(file, $0.baseAddress! + written, bytes.count - written) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                let failure = fail("write")
                close(file)
                throw failure
            }
            written += count
        }
        guard fsync(file) == 0 || errno == EINVAL || errno == EROFS else {
            let failure = fail("fsync")
            close(file)
            throw failure
        }
        guard close(file) == 0 else { throw fail("close") }
        guard rename(aside, path) == 0 else { throw fail("rename") }
    }
}
