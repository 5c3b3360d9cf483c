// One entry of the Raft log as etcd-dump-logs shows it.

import CommandLineTools
import Wire

/// What an entry's data is, and its text.
enum EntryClass {
    case configuration
    case request(InternalRequestKind?, String)
    /// Of the key space before version 3.
    case old(String)
    case unknown

    init(_ entry: Entry) {
        guard entry.kind == .normal else {
            self = entry.kind == .configurationChange ? .configuration : .unknown
            return
        }
        self = entry.data.withUnsafeBytes { bytes in
            if let text = EntryText.request(bytes) { return .request((try? InternalRequest(decoding: bytes))?.kind, text) }
            return EntryText.old(bytes).map { .old($0) } ?? .unknown
        }
    }
}

/// Values of `--entry-type`.
struct EntryFilter {
    let text: String
    private var kinds: Set<String> = []

    static let all = [
        "ConfigChange", "Normal", "Request", "InternalRaftRequest", "IRRRange", "IRRPut", "IRRDeleteRange", "IRRTxn", "IRRCompaction",
        "IRRLeaseGrant", "IRRLeaseRevoke", "IRRLeaseCheckpoint",
    ]

    private static let requests: [InternalRequestKind: String] = [
        .range: "IRRRange", .put: "IRRPut", .deleteRange: "IRRDeleteRange", .txn: "IRRTxn", .compaction: "IRRCompaction",
        .leaseGrant: "IRRLeaseGrant", .leaseRevoke: "IRRLeaseRevoke", .leaseCheckpoint: "IRRLeaseCheckpoint",
    ]

    /// Names that are none are told and passed over.
    init(_ text: String, _ console: Console) {
        self.text = text
        for name in text.split(separator: ",").map(String.init) {
            if Self.all.contains(name) {
                kinds.insert(name)
            } else {
                console.print(
                    "[\(name)] is not a valid entry-type, ignored.\nPlease set entry-type to one or more of the following:\n"
                        + Self.all.joined(separator: ", "), to: .error)
            }
        }
    }

    func passes(_ entry: Entry, _ kind: EntryClass) -> Bool {
        switch kind {
        case .configuration: kinds.contains("ConfigChange")
        case .request(let request, _):
            kinds.contains("Normal") || kinds.contains("InternalRaftRequest") || request.flatMap { Self.requests[$0] }.map(kinds.contains) ?? false
        case .old: kinds.contains("Normal") || kinds.contains("Request")
        case .unknown: entry.kind == .normal && kinds.contains("Normal")
        }
    }
}

enum EntryText {
    static func line(_ entry: Entry, _ kind: EntryClass) -> String {
        let head = padded(entry.term, 4) + "\t" + padded(entry.index, 10)
        return switch kind {
        case .configuration: head + "\tconf\t" + (entry.data.withUnsafeBytes(change) ?? "???")
        case .request(_, let text), .old(let text): head + "\tnorm\t" + text
        case .unknown: head + "\tnorm\t???"
        }
    }

    private static func padded(_ number: UInt64, _ width: Int) -> String {
        let text = String(number)
        return String(repeating: " ", count: max(0, width - text.count)) + text
    }

    private static func change(_ bytes: UnsafeRawBufferPointer) -> String? {
        guard let change = try? ConfigurationChange(decoding: bytes) else { return nil }
        let method =
            switch change.kind {
            case .addVoter: "ConfChangeAddNode"
            case .remove: "ConfChangeRemoveNode"
            case .update: "ConfChangeUpdateNode"
            case .addLearner: "ConfChangeAddLearnerNode"
            }
        return "method=\(method) id=\(change.member)"
    }

    /// A proposal as text; nil if the bytes are none. A new password is not shown.
    static func request(_ bytes: UnsafeRawBufferPointer) -> String? {
        guard let text = ProtobufText.text(bytes, "etcdserverpb.InternalRaftRequest") else { return nil }
        guard let request = try? InternalRequest(decoding: bytes), request.kind == .authUserChangePassword,
            let inner = redacted(request.body), let start = text.firstRange(of: "auth_user_change_password:{")
        else { return text }
        return text[..<start.upperBound] + inner + "}"
    }

    /// A password change, its fields without the password itself; nil if there is none.
    private static func redacted(_ body: UnsafeRawBufferPointer) -> String? {
        let sink = ByteSink(capacity: body.count + 32)
        var hasPassword = false
        var reader = ProtobufReader(body)
        while let (field, type) = try? reader.next() {
            guard type == .bytes, let value = try? reader.bytes(type) else { return nil }
            if field == 2, !value.isEmpty {
                hasPassword = true
                sink.field(2, "<value removed>")
            } else {
                sink.field(field, value)
            }
        }
        return hasPassword ? ProtobufText.text(sink.bytes, "etcdserverpb.AuthUserChangePasswordRequest") : nil
    }

    // MARK: The old key space

    private struct OldRequest {
        var method = ""
        var path = ""
        var value = ""
        var time: Int64 = 0
    }

    /// A request of etcd's version 2 API, as logs of etcd up to 3.5 have them; nil if the bytes are none.
    static func old(_ bytes: UnsafeRawBufferPointer) -> String? {
        guard ProtobufText.text(bytes, "etcdserverpb.Request") != nil else { return nil }
        var request = OldRequest()
        do throws(ProtobufError) {
            var reader = ProtobufReader(bytes)
            while let (field, type) = try reader.next() {
                switch field {
                case 2: request.method = try reader.string(type)
                case 3: request.path = try reader.string(type)
                case 4: request.value = try reader.string(type)
                case 15: request.time = try reader.int64(type)
                default: try reader.skip(type, field: field)
                }
            }
        } catch {
            return nil
        }
        switch request.method {
        case "": return "noop"
        case "SYNC": return "method=SYNC time=\(GoText.quoted(utcText(request.time)))"
        case "QGET", "DELETE": return "method=\(request.method) path=\(excerpt(request.path, 64, 64))"
        default: return "method=\(request.method) path=\(excerpt(request.path, 64, 64)) val=\(excerpt(request.value, 128, 0))"
        }
    }

    /// The first and last bytes of a long text.
    private static func excerpt(_ text: String, _ before: Int, _ after: Int) -> String {
        let bytes = Array(text.utf8)
        guard before + after <= bytes.count else { return GoText.quoted(bytes) }
        return GoText.quoted(bytes[..<before]) + "..." + GoText.quoted(bytes[(bytes.count - after)...])
    }

    /// `1970-01-01 00:00:00.000000001 +0000 UTC`
    private static func utcText(_ nanoseconds: Int64) -> String {
        let (days, rest) = floored(nanoseconds, by: 86_400_000_000_000)
        // Civil date of a day count, after Howard Hinnant.
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let day = shifted - era * 146_097
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365
        let dayOfYear = day - (365 * year + year / 4 - year / 100)
        let month = (5 * dayOfYear + 2) / 153
        let civil = (year: year + era * 400 + (month < 10 ? 0 : 1), month: month < 10 ? month + 3 : month - 9, day: dayOfYear - (153 * month + 2) / 5 + 1)
        func digits(_ number: Int64, _ count: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let seconds = rest / 1_000_000_000
        var fraction = digits(rest % 1_000_000_000, 9)
        while fraction.last == "0" { fraction.removeLast() }
        return "\(digits(civil.year, 4))-\(digits(civil.month, 2))-\(digits(civil.day, 2)) "
            + "\(digits(seconds / 3600, 2)):\(digits(seconds / 60 % 60, 2)):\(digits(seconds % 60, 2))\(fraction.isEmpty ? "" : "." + fraction) +0000 UTC"
    }

    private static func floored(_ value: Int64, by divisor: Int64) -> (Int64, Int64) {
        let quotient = value / divisor - (value % divisor < 0 ? 1 : 0)
        return (quotient, value - quotient * divisor)
    }
}
