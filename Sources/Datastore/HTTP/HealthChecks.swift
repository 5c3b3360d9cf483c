// /health, /livez and /readyz: what is checked, in which order, and how it is said.

import KeySpace
import Transport
import Wire

final class HealthChecks: Sendable {
    private let node: Node

    init(_ node: Node) { self.node = node }

    // MARK: /health

    func health(_ request: HTTPRequest, _ responder: HTTPResponder) {
        let query = QueryItems(request.query)
        let excluded = Set(query.values("exclude"))
        let isSerializable = query.values("serializable").first == "true"
        let node = node
        @Sendable func answer(_ reason: String?, _ message: String = "") {
            if let reason {
                node.metrics.health.failures.increment()
                node.log.warn(message, .string("reason", reason))
                let sink = ByteSink(capacity: 128)
                sink.append("{\"health\":\"false\",\"reason\":" as StaticString)
                sink.json(reason)
                sink.append("}" as StaticString)
                node.log.warn("/health error", .string("output", String(decoding: sink.bytes, as: UTF8.self)), .int("status-code", 503))
                responder.respond(.error(503, String(decoding: sink.bytes, as: UTF8.self)))
            } else {
                node.metrics.health.successes.increment()
                node.log.debug("/health OK", [.int("status-code", 200)])
                responder.respond(
                    HTTPResponse(
                        status: 200, headers: ["Content-Type": "text/plain; charset=utf-8"],
                        body: Array("{\"health\":\"true\",\"reason\":\"\"}".utf8)))
            }
        }
        for alarm in node.keySpace.cluster.current.alarms.sorted() where !excluded.contains(alarm.alarm.name) {
            return answer("ALARM \(alarm.alarm == .none || !alarm.alarm.isKnown ? "UNKNOWN" : alarm.alarm.name)", "serving /health false due to an alarm")
        }
        if isSerializable { return answer(nil) }
        if node.consensus.leader == .none { return answer("RAFT NO LEADER", "serving /health false; no leader") }
        node.confirmRead { error in answer(error.map { "RANGE ERROR:\($0.message)" }, "serving /health false; Range fails") }
    }

    // MARK: /livez, /readyz

    private enum Check: String, CaseIterable {
        case dataCorruption = "data_corruption"
        case serializableRead = "serializable_read"
        case linearizableRead = "linearizable_read"
        case nonLearner = "non_learner"
    }

    func live(_ request: HTTPRequest, check: String?, _ responder: HTTPResponder) {
        serve(request, type: "livez", [.serializableRead], only: check, responder)
    }

    func ready(_ request: HTTPRequest, check: String?, _ responder: HTTPResponder) {
        serve(request, type: "readyz", Check.allCases, only: check, responder)
    }

    private func serve(_ request: HTTPRequest, type: String, _ all: [Check], only: String?, _ responder: HTTPResponder) {
        guard request.method == "GET" else {
            var response = HTTPResponse.error(405, "Method Not Allowed")
            response.headers.add("Allow", "GET")
            return responder.respond(response)
        }
        let query = QueryItems(request.query)
        let isVerbose = query.has("verbose")
        var checks = all
        if let only {
            checks = all.filter { $0.rawValue == only }
            guard !checks.isEmpty else { return responder.respond(.notFound) }
        } else {
            let excluded = query.values("exclude").filter { !$0.isEmpty }
            checks = all.filter { !excluded.contains($0.rawValue) }
            let unknown = excluded.filter { name in !all.contains { $0.rawValue == name } }
            if !unknown.isEmpty {
                node.log.warn("some health checks cannot be excluded", .string("missing-health-checks", unknown.joined(separator: ", ")))
            }
        }
        let metrics = node.metrics.health
        let (node, path) = (node, request.path)
        @Sendable func finish(_ results: [(check: String, failure: String?)]) {
            var lines = ""
            var isHealthy = true
            for result in results {
                metrics.record(type: type, name: result.check, success: result.failure == nil)
                if let failure = result.failure {
                    isHealthy = false
                    lines += "[-]\(result.check) failed: \(failure)\n"
                } else {
                    lines += "[+]\(result.check) ok\n"
                }
            }
            let headers: HTTPFields = ["Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"]
            if isHealthy {
                node.log.debug("Health check OK", [.string("path", path), .int("status-code", 200)])
                responder.respond(HTTPResponse(status: 200, headers: headers, body: Array(((isVerbose ? lines : "") + "ok\n").utf8)))
            } else {
                node.log.error(
                    "Health check error", [.string("path", path), .string("reason", lines), .int("status-code", 503)])
                responder.respond(HTTPResponse(status: 503, headers: headers, body: Array((lines + "\n").utf8)))
            }
        }
        var results: [(check: String, failure: String?)] = []
        var confirmsRead = false
        for check in checks {
            switch check {
            case .dataCorruption:
                let isCorrupt = node.keySpace.cluster.hasAlarm(.corrupt)
                results.append((check.rawValue, isCorrupt ? "alarm activated: CORRUPT" : nil))
            case .serializableRead: results.append((check.rawValue, nil))
            case .nonLearner: results.append((check.rawValue, node.consensus.isLearner ? "not supported for learner" : nil))
            case .linearizableRead: confirmsRead = true
            }
        }
        guard confirmsRead else { return finish(results) }
        let local = results
        node.confirmRead { error in finish(local + [(Check.linearizableRead.rawValue, error?.message)]) }
    }
}

extension Node {
    /// Finds out whether a linearizable read could be served now. `completion` runs on any thread.
    func confirmRead(_ completion: @escaping @Sendable (CallError?) -> Void) {
        if consensus.servesLocally { return completion(nil) }
        if consensus.isStopping { return completion(.stopped) }
        if !inbox.run({ consensus in consensus.confirmRead(completion) }) { completion(.tooManyRequests) }
    }
}

/// The items of a URL's query, decoded.
struct QueryItems {
    private var items: [(name: String, value: String)] = []

    init(_ query: String?) {
        for part in (query ?? "").split(separator: "&") {
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            // An item with a broken escape is left out, as Go does.
            guard let name = Self.decode(pair[0]), let value = Self.decode(pair.count > 1 ? pair[1] : "") else { continue }
            items.append((name, value))
        }
    }

    func values(_ name: String) -> [String] { items.filter { $0.name == name }.map(\.value) }
    func has(_ name: String) -> Bool { items.contains { $0.name == name } }

    private static func decode(_ text: Substring) -> String? {
        var bytes: [UInt8] = []
        var iterator = text.utf8.makeIterator()
        while let byte = iterator.next() {
            switch byte {
            case UInt8(ascii: "+"): bytes.append(0x20)
            case UInt8(ascii: "%"):
                guard let high = iterator.next().flatMap(hexDigit), let low = iterator.next().flatMap(hexDigit) else { return nil }
                bytes.append(high << 4 | low)
            default: bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}
