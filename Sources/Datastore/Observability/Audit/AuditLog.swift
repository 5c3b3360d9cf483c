// The audit log: who changed which key when, one JSON line per change to a rotating file of its own. Off unless it is given a file.

import DatastoreMetrics
import DatastoreTracing
import Transport
import Wire

/// What is audited and where that goes.
public struct AuditSettings: Sendable, Equatable {
    /// Path of the file; empty for no audit log.
    public let path: String
    public let rotation: LogRotation
    /// Only changes of keys with one of these beginnings, and what concerns no key; all if empty.
    public let prefixes: [String]
    /// Only these methods, such as `Put` or `etcdserverpb.KV/Put`; all that change something if empty.
    public let methods: [String]

    public var isEnabled: Bool { !path.isEmpty }
}

/// Lines are made on event loops and written by a thread; a queue that is full drops them, counts them and says so.
final class AuditLog: Sendable {
    private let file: RecordFile
    private let prefixes: [[UInt8]]
    private let methods: Set<String>

    init(_ settings: AuditSettings, log: Log) throws(LogOpenError) {
        file = try RecordFile(path: settings.path, rotation: settings.rotation.policy, name: "audit log", log: log)
        prefixes = settings.prefixes.map { Array($0.utf8) }
        methods = Set(settings.methods.map { $0.hasPrefix("/") ? String($0.dropFirst()) : $0 })
    }

    func wire(_ registry: Registry) {
        registry.callback(
            "martlet_audit_lines_dropped_total", help: "Lines of the audit log lost because its queue was full or its file failed.",
            kind: .counter
        ) { [file] in Double(file.dropped) }
        registry.callback("martlet_audit_queue_bytes", help: "Bytes of the audit log that wait to be written.", kind: .gauge) { [file] in
            Double(file.queuedBytes)
        }
    }

    func reopen() { file.reopen() }
    func close() { file.close() }

    /// Methods that change something.
    private static let changing: Set<String> = [
        "Put", "DeleteRange", "Txn", "Compact", "LeaseGrant", "LeaseRevoke", "MemberAdd", "MemberRemove", "MemberUpdate", "MemberPromote",
        "AuthEnable", "AuthDisable", "UserAdd", "UserDelete", "UserChangePassword", "UserGrantRole", "UserRevokeRole", "RoleAdd",
        "RoleDelete", "RoleGrantPermission", "RoleRevokePermission", "Alarm", "Defragment", "Downgrade", "MoveLeader", "Lock", "Unlock",
        "Campaign", "Proclaim", "Resign",
    ]

    func audits(service: String, method: String) -> Bool {
        guard Self.changing.contains(method) else { return false }
        return methods.isEmpty || methods.contains(method) || methods.contains("\(service)/\(method)")
    }

    /// Whether a change touches keys that are asked for.
    private func concerns(_ change: AuditEntry.Change) -> Bool {
        prefixes.contains { prefix in
            if change.key.starts(with: prefix) { return true }
            guard !change.rangeEnd.isEmpty else { return false }
            // A range from below the prefix that reaches into it; an end of one zero byte means all that follows.
            let startsBefore = change.key.lexicographicallyPrecedes(prefix)
            return startsBefore && (change.rangeEnd == [0] || prefix.lexicographicallyPrecedes(change.rangeEnd))
        }
    }

    /// Names of what the server does by itself, in the place of a method's.
    enum OwnChange: String {
        case leaseExpiry = "martlet/LeaseExpiry"
        case autoCompaction = "martlet/AutoCompaction"

        fileprivate var shortName: String { String(rawValue.dropFirst("martlet/".count)) }
    }

    func audits(_ change: OwnChange) -> Bool {
        methods.isEmpty || methods.contains(change.rawValue) || methods.contains(change.shortName)
    }

    /// A change that no client has asked for. Told by the member that leads.
    func write(_ entry: AuditEntry, _ change: OwnChange, error: CallError?) {
        guard audits(change) else { return }
        write(entry, (error?.code ?? .ok, error?.message ?? ""), method: change.rawValue) { _ in }
    }

    func write(_ entry: AuditEntry, _ call: Call, _ ending: (code: StatusCode, message: String), method: String, _ node: Node) {
        write(entry, ending, method: method) { sink in
            member("user", node.userName(call), sink)
            member("client-cn", call.peerCommonName ?? "", sink)
            member("address", call.remoteAddress, sink)
            member("user-agent", call.metadata(.userAgent) ?? "", sink)
        }
    }

    private func write(
        _ entry: AuditEntry, _ ending: (code: StatusCode, message: String), method: String, _ appendCaller: (ByteSink) -> Void
    ) {
        guard !entry.isEmpty else { return }
        var changes = entry.done
        if !prefixes.isEmpty, !entry.changes.isEmpty {
            changes = changes.filter(concerns)
            guard !changes.isEmpty || entry.more > 0 else { return }
        }
        // A transaction whose other branch was taken has changed nothing, but somebody tried to.
        let sink = ByteSink(capacity: 512)
        sink.append("{\"ts\":\"" as StaticString)
        sink.append(timestampText(Int64(WallClock.nanoseconds())))
        sink.append("\",\"method\":" as StaticString)
        sink.json(method)
        appendCaller(sink)
        for (name, value) in entry.subject { member(name, value, sink) }
        if !entry.changes.isEmpty { append(changes, sink) }
        if entry.more > 0 { sink.append(",\"more-changes\":\(entry.more)") }
        if let succeeded = entry.succeeded { sink.append(",\"succeeded\":\(succeeded)") }
        if entry.revision > 0 { sink.append(",\"revision\":\(entry.revision)") }
        sink.append(",\"result\":" as StaticString)
        sink.json(ending.code.name)
        if ending.code != .ok { member("error", ending.message, sink) }
        switch ending.code {
        case .cancelled, .deadlineExceeded, .unavailable:
            // The caller was not told, and the change may come to pass all the same.
            sink.append(",\"outcome\":\"unknown\"" as StaticString)
        default: break
        }
        sink.append("}\n" as StaticString)
        file.write(sink.array())
    }

    private func append(_ changes: [AuditEntry.Change], _ sink: ByteSink) {
        sink.append(",\"changes\":[" as StaticString)
        for (position, change) in changes.enumerated() {
            if position > 0 { sink.append("," as StaticString) }
            sink.append("{\"op\":\"\(change.operation)\"")
            key("key", change.key, sink)
            if change.rangeEnd == [0] {
                sink.append(",\"to-the-end\":true" as StaticString)
            } else if !change.rangeEnd.isEmpty {
                if Self.isPrefix(change.key, change.rangeEnd) {
                    sink.append(",\"prefix\":true" as StaticString)
                } else {
                    key("range-end", change.rangeEnd, sink)
                }
            }
            if change.lease != 0 { member("lease", String(UInt64(bitPattern: change.lease), radix: 16), sink) }
            sink.append("}" as StaticString)
        }
        sink.append("]" as StaticString)
    }

    /// Whether a range is that of all keys with a prefix.
    static func isPrefix(_ key: [UInt8], _ end: [UInt8]) -> Bool {
        guard let last = key.lastIndex(where: { $0 < 0xff }) else { return false }
        return end == key[..<last] + [key[last] + 1]
    }

    private func member(_ name: String, _ value: String, _ sink: ByteSink) {
        guard !value.isEmpty else { return }
        sink.append("," as StaticString)
        sink.json(name)
        sink.append(":" as StaticString)
        sink.json(value)
    }

    /// As text where it is text; otherwise in base 64, under a name that says so.
    private func key(_ name: String, _ bytes: [UInt8], _ sink: ByteSink) {
        if let text = String(validating: bytes, as: UTF8.self) {
            sink.append(",\"\(name)\":")
            sink.json(text)
        } else {
            sink.append(",\"\(name)-base64\":\"")
            sink.append(bytes.withUnsafeBytes { Base64.encode($0) })
            sink.append("\"" as StaticString)
        }
    }
}

/// Makes an audit entry of each request before its handler sees it, so that refused ones are told too.
final class AuditedMethod: MethodHandler {
    private let inner: any MethodHandler
    private let audit: AuditLog
    private let kind: InternalRequestKind?
    private let method: String

    init(_ inner: any MethodHandler, _ audit: AuditLog, method: String) {
        self.inner = inner
        self.audit = audit
        self.method = method
        kind =
            switch method {
            case "Put": .put
            case "DeleteRange": .deleteRange
            case "Txn": .txn
            case "Compact": .compaction
            case "LeaseGrant": .leaseGrant
            case "LeaseRevoke": .leaseRevoke
            default: nil
            }
    }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        RequestNotes.make(call)?.audit = AuditEntry(kind, method: method, bytes)
        inner.message(call, bytes)
    }

    func opened(_ call: Call) { inner.opened(call) }
    func halfClosed(_ call: Call) { inner.halfClosed(call) }
    func writable(_ call: Call) { inner.writable(call) }
    func cancelled(_ call: Call, _ reason: CancelReason) { inner.cancelled(call, reason) }
}
