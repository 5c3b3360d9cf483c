// An analysis as tables for people and as JSON for programs.

import Archive
import Wire

struct AnalysisReport {
    let analysis: Analysis
    let source: any RevisionSource
    let rows: Int

    private func sorted(_ groups: [String: Usage]) -> [(name: String, usage: Usage)] {
        groups.map { (name: $0.key, usage: $0.value) }.sorted {
            ($0.usage.historyBytes, $0.usage.keys, $1.name) > ($1.usage.historyBytes, $1.usage.keys, $0.name)
        }
    }

    private func perHour(_ bytes: Int) -> Int? { analysis.clock.seconds.map { Int(Double(bytes) * 3600 / Double($0)) } }

    // MARK: Text

    /// The first lines are Auger's.
    var text: String {
        var text = "\(source.path): \(source.kind.rawValue), \(sizeText(source.size))\n"
        text += "revision \(analysis.revision)" + (source.compacted > 0 ? ", compacted at \(source.compacted)" : ", never compacted")
        if analysis.clock.seconds != nil, let first = analysis.clock.first, let last = analysis.clock.last {
            text += ", revisions \(first.revision) to \(last.revision) are of \(Timestamp.text(first.seconds)) to \(Timestamp.text(last.seconds))"
        }
        text += "\n\nTotal kubernetes objects: \(analysis.total.keys)\n"
        text += "Total (all revisions) storage used by kubernetes objects: \(analysis.total.historyBytes)\n"
        text += "Current (latest revision) storage used by kubernetes objects: \(analysis.total.bytes)\n"
        if analysis.deletedKeys > 0 { text += "Deleted objects whose revisions are kept: \(analysis.deletedKeys)\n" }
        text += "\n" + groupTable("RESOURCE", analysis.resources)
        text += "\n" + groupTable("KIND", analysis.kinds)
        text += "\n" + groupTable("NAMESPACE", analysis.namespaces)
        text += "\nLargest objects:\n" + keyTable(analysis.largest, "BYTES") { $0.valueBytes }
        text += "\nLargest objects (byte size sum of all revisions):\n" + keyTable(analysis.largestHistory, "BYTES") { $0.historyValueBytes }
        if !analysis.mostRewritten.entries.isEmpty {
            text += "\nMost rewritten objects:\n" + keyTable(analysis.mostRewritten, "REVISIONS") { $0.revisions }
        }
        return text
    }

    private func groupTable(_ title: String, _ groups: [String: Usage]) -> String {
        let hasGrowth = analysis.clock.seconds != nil
        var columns: [(String, Table.Alignment)] = [(title, .left), ("KEYS", .right), ("NOW", .right), ("REVISIONS", .right), ("HISTORY", .right), ("SHARE", .right)]
        if hasGrowth { columns.append(("WRITTEN/H", .right)) }
        var table = Table(columns)
        var rest = Usage()
        let all = sorted(groups)
        for (index, group) in all.enumerated() {
            if index >= rows, all.count > rows + 1 {
                rest.add(group.usage)
                continue
            }
            table.add(cells(group.name.isEmpty ? "-" : group.name, group.usage))
        }
        if all.count > rows + 1 { table.add(cells("(\(all.count - rows) more)", rest)) }
        return table.text
    }

    private func cells(_ name: String, _ usage: Usage) -> [String] {
        let share = analysis.total.historyBytes == 0 ? 0 : Int((Double(usage.historyBytes) * 100 / Double(analysis.total.historyBytes)).rounded())
        let cells = [name, "\(usage.keys)", sizeText(usage.bytes), "\(usage.revisions)", sizeText(usage.historyBytes), "\(share)%"]
        return perHour(usage.writtenBytes).map { cells + [sizeText($0)] } ?? cells
    }

    private func keyTable(_ list: TopList<KeyUsage>, _ title: String, _ value: (KeyUsage) -> Int) -> String {
        list.entries.map { "\t\(value($0.element))\t\($0.element.key) (\($0.element.kind)\($0.element.isDeleted ? ", deleted" : ""))\n" }.joined()
    }

    // MARK: JSON

    func appendJSON(to sink: ByteSink) {
        let writer = ReportJSON(sink)
        writer.object {
            writer.member("source", source.path)
            writer.member("sourceKind", source.kind.rawValue)
            writer.member("sourceBytes", Int(clamping: source.size))
            writer.member("revision", Int(analysis.revision))
            writer.member("compactRevision", Int(source.compacted))
            if let first = analysis.clock.first, let last = analysis.clock.last, let seconds = analysis.clock.seconds {
                writer.member("clock") {
                    writer.member("firstRevision", Int(first.revision))
                    writer.member("firstTime", Timestamp.text(first.seconds))
                    writer.member("lastRevision", Int(last.revision))
                    writer.member("lastTime", Timestamp.text(last.seconds))
                    writer.member("seconds", Int(seconds))
                }
            }
            writer.member("total") {
                members(analysis.total, writer)
                writer.member("deletedKeys", analysis.deletedKeys)
            }
            for (title, name, groups) in [("resources", "resource", analysis.resources), ("kinds", "kind", analysis.kinds), ("namespaces", "namespace", analysis.namespaces)] {
                writer.list(title, sorted(groups)) { group in
                    writer.member(name, group.name)
                    members(group.usage, writer)
                }
            }
            for (title, list) in [("largest", analysis.largest), ("largestHistory", analysis.largestHistory), ("mostRewritten", analysis.mostRewritten)] {
                writer.list(title, list.entries.map(\.element)) { key in
                    writer.member("key", key.key)
                    writer.member("kind", key.kind)
                    if key.isDeleted { writer.member("deleted", true) }
                    writer.member("valueBytes", key.valueBytes)
                    writer.member("revisions", key.revisions)
                    writer.member("historyValueBytes", key.historyValueBytes)
                    writer.member("version", Int(key.version))
                }
            }
        }
        sink.append(byte: UInt8(ascii: "\n"))
    }

    private func members(_ usage: Usage, _ writer: ReportJSON) {
        writer.member("keys", usage.keys)
        writer.member("bytes", usage.bytes)
        writer.member("revisions", usage.revisions)
        writer.member("historyBytes", usage.historyBytes)
        if let growth = perHour(usage.writtenBytes) { writer.member("writtenBytesPerHour", growth) }
    }
}

/// Writes JSON member by member, on one line.
final class ReportJSON {
    private let sink: ByteSink
    private var needsComma = false

    init(_ sink: ByteSink) { self.sink = sink }

    func object(_ body: () -> Void) {
        sink.append("{" as StaticString)
        needsComma = false
        body()
        sink.append("}" as StaticString)
        needsComma = true
    }

    private func name(_ name: String) {
        if needsComma { sink.append("," as StaticString) }
        sink.json(name)
        sink.append(":" as StaticString)
        needsComma = true
    }

    func member(_ name: String, _ value: String) {
        self.name(name)
        sink.json(value)
    }

    func member(_ name: String, _ value: Int) {
        self.name(name)
        sink.append(String(value))
    }

    func member(_ name: String, _ value: Bool) {
        self.name(name)
        sink.append(value ? "true" : "false")
    }

    /// A value that is JSON already.
    func member(_ name: String, json value: UnsafeRawBufferPointer) {
        self.name(name)
        sink.append(value)
    }

    func member(_ name: String, _ body: () -> Void) {
        self.name(name)
        object(body)
    }

    func list<Element>(_ name: String, _ elements: [Element], _ body: (Element) -> Void) {
        self.name(name)
        sink.append("[" as StaticString)
        for (index, element) in elements.enumerated() {
            if index > 0 { sink.append("," as StaticString) }
            object { body(element) }
        }
        sink.append("]" as StaticString)
        needsComma = true
    }
}
