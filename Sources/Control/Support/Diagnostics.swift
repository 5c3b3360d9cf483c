// Lines on standard error in the shape of etcd's logs, and hints for people.

import Client
import Wire

#if canImport(Glibc)
import Glibc
#endif

enum Diagnostics {
    /// One line of JSON. `fields` whose value is a number in digits stays a string unless it is `attempt`.
    static func log(_ level: String, _ logger: String, _ message: String, _ fields: [(String, String)]) {
        let sink = ByteSink(capacity: 256)
        sink.append("{\"level\":")
        sink.json(level)
        sink.append(",\"ts\":\"\(timestamp())\",\"logger\":")
        sink.json(logger)
        sink.append(",\"msg\":")
        sink.json(message)
        for (name, value) in fields {
            sink.append(",")
            sink.json(name)
            sink.append(":")
            if name == "attempt" { sink.append(value) } else { sink.json(value) }
        }
        sink.append("}\n")
        sink.withUnsafeBytes { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }

    /// `2026-11-21T10:00:00.000000Z`
    static func timestamp() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        var seconds = now.tv_sec
        gmtime_r(&seconds, &parts)
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let micros = String(now.tv_nsec / 1_000)
        return "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday))T\(two(parts.tm_hour)):\(two(parts.tm_min)):"
            + "\(two(parts.tm_sec)).\(String(repeating: "0", count: 6 - micros.count))\(micros)Z"
    }
}

/// What to do next, for people: shown where standard error is a terminal, before the error.
enum Hints {
    static func show(_ error: ClientError) {
        guard isatty(STDERR_FILENO) == 1, let hint = hint(error) else { return }
        let line = "Hint: \(hint)\n"
        _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
    }

    static func hint(_ error: ClientError) -> String? {
        let cause = error.connectionFailure ?? ""
        if cause.contains("connection refused") {
            return "nothing listens at the endpoint; is the server running, and is --endpoints (ETCDCTL_ENDPOINTS) right?"
        }
        if cause.contains("certificate") { return "the server's certificate is not accepted; check --cacert and the host name in --endpoints" }
        if cause.contains("connection closed before server preface") {
            return "the server hangs up at once; perhaps it wants TLS: use https:// in --endpoints, --cacert, --cert and --key"
        }
        if cause.contains("i/o timeout") { return "the endpoint does not answer; check the network, or raise --dial-timeout" }
        switch error.message {
        case CallError.noSpace.message:
            return "the quota is used up: compact and defragment, then 'martletctl alarm disarm'; or raise --quota-backend-bytes"
        case CallError.userEmpty.message: return "authentication is on: use --user NAME[:PASSWORD]"
        case CallError.permissionDenied.message: return "ask for the user's roles with 'martletctl user get NAME --detail'"
        case CallError.noLeader.message: return "no member leads; look at all of them with 'martletctl endpoint status --cluster -w table'"
        case CallError.compacted.message: return "older revisions are gone; 'martletctl endpoint status -w fields' shows the current one"
        case CallError.deadlineExceeded.message where cause.isEmpty:
            return "the server took longer than --command-timeout; 'martletctl endpoint health --cluster' shows which members answer"
        default: return nil
        }
    }
}
