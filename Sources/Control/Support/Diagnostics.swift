// Lines on standard error in the shape of etcd's logs, and hints for people.

import Client
import Synchronization
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

    /// A line of plain text.
    static func say(_ line: String) { _ = (line + "\n").withCString { write(STDERR_FILENO, $0, strlen($0)) } }

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
    private static var isWanted: Bool { isatty(STDERR_FILENO) == 1 }
    private static let isWaitingTold = Atomic<Bool>(false)

    static func show(_ error: ClientError) {
        guard isWanted, let hint = hint(error) else { return }
        tell(hint)
    }

    /// A command that has no limit waits for a connection: once, why.
    static func waiting(_ failure: FailedConnection) {
        guard isWanted, failure.isWaitedFor, failure.failures > 2 || failure.reason.contains("timeout") else { return }
        guard !isWaitingTold.exchange(true, ordering: .relaxed) else { return }
        let cause = failure.reason.split(separator: "Error while dialing: ", maxSplits: 1).last.map { $0.hasSuffix("\"") ? String($0.dropLast()) : String($0) }
        Diagnostics.say("\(failure.endpoint) cannot be reached (\(cause ?? failure.reason)); trying on, Ctrl-C ends.")
    }

    static func tell(_ hint: String) { Diagnostics.say("\(Style(isOn: isWanted && Style.isWanted).yellow("Hint:")) \(hint)") }

    static func hint(_ error: ClientError) -> String? {
        let cause = error.connectionFailure ?? ""
        if cause.contains("connection refused") {
            return "nothing listens at the endpoint; is the server running, and is --endpoints (ETCDCTL_ENDPOINTS) right?"
        }
        if cause.contains("no address") { return "the name in --endpoints has no address; check its spelling and the name service" }
        if cause.contains("certificate") || cause.contains("CERTIFICATE") {
            return "the server's certificate is not accepted; check --cacert and the host name in --endpoints"
        }
        if cause.contains("connection closed before server preface") {
            return "the server hangs up at once; perhaps it wants TLS: use https:// in --endpoints, --cacert, --cert and --key"
        }
        if cause.contains("i/o timeout") {
            return "the endpoint does not answer; check the network and whether a gRPC server is there, or raise --dial-timeout"
        }
        switch error.message {
        case CallError.noSpace.message:
            return "the quota is used up: compact and defragment, then 'martletctl alarm disarm'; or raise --quota-backend-bytes"
        case CallError.userEmpty.message: return "authentication is on: use --user NAME[:PASSWORD]"
        case CallError.authFailed.message: return "check --user and --password; root can set another with 'martletctl user passwd NAME'"
        case CallError.permissionDenied.message: return "ask for the user's roles with 'martletctl user get NAME --detail'"
        case CallError.noLeader.message: return "no member leads; look at all of them with 'martletctl endpoint status --cluster -w table'"
        case CallError.compacted.message: return "older revisions are gone; 'martletctl endpoint status -w fields' shows the current one"
        case CallError.leaseNotFound.message: return "it has expired or was revoked; 'martletctl lease list' shows those that live"
        case let text where text.contains("keepalive ping failed"):
            return "the server stopped answering in the middle; 'martletctl endpoint health --cluster' shows which members answer"
        case let text where text.contains("message larger than max"): return "raise --max-recv-bytes or --max-request-bytes, or use --limit"
        case CallError.deadlineExceeded.message where cause.isEmpty:
            return "the server took longer than --command-timeout; 'martletctl endpoint health --cluster' shows which members answer"
        default: return nil
        }
    }
}
