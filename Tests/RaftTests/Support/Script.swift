// A text script: comments, commands and, indented below each command, what it led to.
//
// Lines that begin with `#` or are empty are kept. A line that begins with `> ` is a command. All others are
// the expected trace; with MARTLET_REWRITE=1 they are written anew.

import Foundation

struct Script {
    let url: URL
    let text: String

    static var directory: URL {
        URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Scripts")
    }

    static var names: [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? []
        return files.filter { $0.hasSuffix(".txt") }.sorted()
    }

    init(named name: String) throws {
        url = Self.directory.appendingPathComponent(name)
        text = try String(contentsOf: url, encoding: .utf8)
    }

    /// The script with every command's trace as `run` gives it.
    func rewritten(_ run: (String) -> [String]) -> String {
        var lines: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
            if line.hasPrefix("> ") {
                lines.append(line)
                lines += run(String(line.dropFirst(2))).map { "  " + $0 }
            } else if line.isEmpty || line.hasPrefix("#") {
                lines.append(line)
            }
        }
        return lines.joined(separator: "\n")
    }

    func rewrite(_ text: String) throws { try text.write(to: url, atomically: true, encoding: .utf8) }
}
