// What `top` shows, as lines of text.

import CommandLineTools

/// Puts the parts together.
struct TopScreen {
    enum Part: String, CaseIterable {
        case members, resources, clients, calls

        static var list: String { allCases.map(\.rawValue).joined(separator: ", ") }
    }

    let sort: String
    let limit: Int
    let style: Style
    /// Empty: all that there is; calls only where there is nothing better.
    var parts: Set<Part> = []

    func lines(_ members: [TopMember]) -> [String] {
        var lines: [String] = []
        func part(_ title: String, _ body: [String]) {
            if !lines.isEmpty { lines.append("") }
            if !title.isEmpty { lines.append(style.bold(title)) }
            lines += body
        }
        if wants(.members) { part("", memberLines(members)) }
        let bare = members.filter { $0.current != nil && $0.current?.resources == nil }
        if wants(.resources) { table(.resources, members, \.resources).map { part($0.0, $0.1) } }
        if wants(.clients) { table(.clients, members, \.clients).map { part($0.0, $0.1) } }
        if parts.isEmpty ? !bare.isEmpty : parts.contains(.calls) {
            for member in parts.isEmpty ? bare : members where member.current != nil {
                part("Calls of \(member.endpoint), per second:", callLines(member))
            }
        }
        if !bare.isEmpty, wants(.resources) || wants(.clients) {
            part("", ["\(bare.map(\.endpoint).joined(separator: ", ")): no figures by resource or client, which only martlet servers have."])
        }
        return lines
    }

    private func wants(_ part: Part) -> Bool { parts.isEmpty || parts.contains(part) }

    // MARK: Parts

    private func memberLines(_ members: [TopMember]) -> [String] {
        let header = [
            "ENDPOINT", "LEADER", "KEYS", "DB SIZE", "IN USE", "READS/S", "WRITES/S", "EVENTS/S", "WATCHERS", "STREAMS", "FSYNC P99", "PENDING",
            "MEMORY",
        ]
        var lines = PlainTable.lines(header, members.map(memberRow), leftColumns: 1, style)
        for member in members where member.current == nil { lines.append(style.red("\(member.endpoint): \(member.problem)")) }
        return lines
    }

    private func memberRow(_ member: TopMember) -> [String] {
        guard member.current != nil else { return [member.endpoint, "unreachable"] + Array(repeating: "-", count: 11) }
        func rate(_ names: String...) -> String {
            let rates = names.compactMap { member.rate($0) }
            return rates.isEmpty ? "-" : rateText(rates.reduce(0, +))
        }
        func count(_ name: String) -> String { member.value(name).map { fixed($0, 0) } ?? "-" }
        func bytes(_ name: String) -> String { member.value(name).map { GoText.bytes(UInt64(max(0, $0))) } ?? "-" }
        return [
            member.endpoint, member.value("etcd_server_is_leader") == 1 ? "yes" : "no", count("etcd_debugging_mvcc_keys_total"),
            bytes("etcd_mvcc_db_total_size_in_bytes"), bytes("etcd_mvcc_db_total_size_in_use_in_bytes"), rate("etcd_mvcc_range_total"),
            rate("etcd_mvcc_put_total", "etcd_mvcc_delete_total", "etcd_mvcc_txn_total"), rate("etcd_debugging_mvcc_events_total"),
            count("etcd_debugging_mvcc_watcher_total"), count("etcd_debugging_mvcc_watch_stream_total"),
            Self.bound(member.percentile99("etcd_disk_wal_fsync_duration_seconds")), count("etcd_server_proposals_pending"),
            bytes("process_resident_memory_bytes"),
        ]
    }

    /// A bucket's bound: `<2ms`.
    static func bound(_ seconds: Double?) -> String {
        guard let seconds else { return "-" }
        guard seconds.isFinite else { return ">8s" }
        return seconds < 1 ? "<\(fixed(seconds * 1000, 0))ms" : "<\(fixed(seconds, 0))s"
    }

    private func table(_ table: TopTable, _ members: [TopMember], _ page: KeyPath<TopLook, [PageRow]?>) -> (String, [String])? {
        let pages = members.compactMap { member -> (last: [PageRow], current: [PageRow], seconds: Double)? in
            guard let current = member.current?[keyPath: page], let seconds = member.seconds else { return nil }
            return (member.last?[keyPath: page] ?? [], current, seconds)
        }
        guard !pages.isEmpty else { return nil }
        let rows = table.sorted(table.rows(pages), by: sort)
        let more = rows.count > limit ? ", \(limit) of \(rows.count)" : ""
        return ("\(table.title)\(more):", PlainTable.lines(table.header, table.cells(rows, limit: limit), leftColumns: table.names.count, style))
    }

    private func callLines(_ member: TopMember) -> [String] {
        let methods = member.methods
        guard !methods.isEmpty else { return ["  none"] }
        return methods.prefix(limit).map { "\(padded(rateText($0.rate), 12))  \($0.name)" }
    }

    // MARK: Width

    /// So many columns of a line; escapes take none.
    static func clipped(_ line: String, _ columns: Int) -> String {
        var result = ""
        var width = 0
        var isEscape = false
        for character in line {
            if character == "\u{1b}" { isEscape = true }
            if isEscape {
                result.append(character)
                if character == "m" { isEscape = false }
                continue
            }
            guard width < columns else { continue }
            width += 1
            result.append(character)
        }
        return result
    }
}
