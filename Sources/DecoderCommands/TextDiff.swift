// Two texts line by line, shown as diff -u shows them.

/// A unified difference.
enum TextDiff {
    private enum Line { case same(Substring), removed(Substring), added(Substring) }

    /// The hunks; empty if the texts are equal.
    static func unified(_ old: String, _ new: String) -> String {
        guard old != new else { return "" }
        let lines = compare(split(old), split(new))
        var text = ""
        var oldLine = 1
        var newLine = 1
        var index = 0
        while index < lines.count {
            guard let change = lines[index...].firstIndex(where: { if case .same = $0 { false } else { true } }) else { break }
            let start = max(index, change - ToolLimits.diffContext)
            // On to where there is no change for twice the context.
            var end = change + 1
            var next = end
            while next < lines.count, next - end < 2 * ToolLimits.diffContext {
                if case .same = lines[next] {} else { end = next + 1 }
                next += 1
            }
            let stop = min(lines.count, end + ToolLimits.diffContext)
            for line in lines[index..<start] { if case .same = line { oldLine += 1; newLine += 1 } }
            var body = ""
            var counts = (old: 0, new: 0)
            for line in lines[start..<stop] {
                switch line {
                case .same(let text):
                    body += " " + text + "\n"
                    counts.old += 1
                    counts.new += 1
                case .removed(let text):
                    body += "-" + text + "\n"
                    counts.old += 1
                case .added(let text):
                    body += "+" + text + "\n"
                    counts.new += 1
                }
            }
            func range(_ line: Int, _ count: Int) -> String { count == 1 ? "\(line)" : "\(count == 0 ? line - 1 : line),\(count)" }
            text += "@@ -\(range(oldLine, counts.old)) +\(range(newLine, counts.new)) @@\n" + body
            oldLine += counts.old
            newLine += counts.new
            index = stop
        }
        return text
    }

    private static func split(_ text: String) -> [Substring] {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        return lines
    }

    private static func compare(_ old: [Substring], _ new: [Substring]) -> [Line] {
        var head = 0
        while head < old.count, head < new.count, old[head] == new[head] { head += 1 }
        var tail = 0
        while tail < old.count - head, tail < new.count - head, old[old.count - 1 - tail] == new[new.count - 1 - tail] { tail += 1 }
        let (a, b) = (old[head..<old.count - tail], new[head..<new.count - tail])
        var lines = old[..<head].map { Line.same($0) }
        if a.count + b.count > ToolLimits.diffLinesMax {
            lines += a.map { .removed($0) } + b.map { .added($0) }
        } else {
            let difference = Array(b).difference(from: Array(a))
            var removals = Set<Int>()
            var insertions: [Int: Substring] = [:]
            for change in difference {
                switch change {
                case .remove(let offset, _, _): removals.insert(offset)
                case .insert(let offset, let line, _): insertions[offset] = line
                }
            }
            var i = 0
            var j = 0
            while i < a.count || j < b.count {
                if i < a.count, removals.contains(i) {
                    lines.append(.removed(a[a.startIndex + i]))
                    i += 1
                } else if let line = insertions[j] {
                    lines.append(.added(line))
                    j += 1
                } else {
                    lines.append(.same(a[a.startIndex + i]))
                    i += 1
                    j += 1
                }
            }
        }
        return lines + old[(old.count - tail)...].map { Line.same($0) }
    }
}
