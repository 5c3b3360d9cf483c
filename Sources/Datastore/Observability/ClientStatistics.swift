// Who asks how much: requests, bytes and errors by client. A client is a name (certificate or user), a user agent and an
// address without its port; an API server with a hundred connections is one.

import DatastoreMetrics
import KeySpace
import Synchronization
import Transport
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// Who a client says and shows it is; empty where nothing is known.
struct ClientIdentity: Hashable, Sendable {
    /// The user of its token, or the common name of its certificate.
    var name = ""
    /// What it calls itself, without the remarks behind: `kube-apiserver/v1.36.0` of `kube-apiserver/v1.36.0 (linux/amd64) kubernetes/0123456`.
    var agent = ""
    var address = ""
}

/// The clients met since the start by number, bounded. Any thread.
final class ClientTable: Sendable {
    /// 0 is "not yet known", 1 everybody beyond the bound.
    static let other: UInt32 = 1

    private struct State {
        var numbers: [ClientIdentity: UInt32] = [:]
        var identities = [ClientIdentity(), ClientIdentity(name: "other", agent: "other", address: "other")]
    }

    private let state = Mutex(State())

    func number(of identity: ClientIdentity) -> UInt32 {
        state.withLock { state in
            if let known = state.numbers[identity] { return known }
            guard state.identities.count < ServerLimits.clientsCountedMax else { return Self.other }
            let number = UInt32(state.identities.count)
            state.identities.append(identity)
            state.numbers[identity] = number
            return number
        }
    }

    var identities: [ClientIdentity] { state.withLock { $0.identities } }
}

/// Counts of one event loop by client; written there, read anywhere. A trivial value, so that using one counts no references: the
/// cells are never freed.
struct ClientTraffic: @unchecked Sendable {
    // Unchecked: cells are atomic.
    enum Field: Int, CaseIterable { case requests, errors, receivedBytes, sentBytes, openCalls }

    private static let stride = 8
    private let cells: UnsafeMutablePointer<Atomic<Int>>

    init() {
        guard let memory = calloc(ServerLimits.clientsCountedMax * Self.stride, MemoryLayout<Atomic<Int>>.stride) else {
            fatalError("out of memory: client cells")
        }
        cells = memory.bindMemory(to: Atomic<Int>.self, capacity: ServerLimits.clientsCountedMax * Self.stride)
    }

    @inline(__always)
    func add(_ amount: Int, _ field: Field, of client: UInt32) {
        let cell = cells + Int(client) * Self.stride + field.rawValue
        cell.pointee.store(cell.pointee.load(ordering: .relaxed) &+ amount, ordering: .relaxed)
    }

    func value(_ field: Field, of client: Int) -> Int {
        cells[client * Self.stride + field.rawValue].load(ordering: .relaxed)
    }
}

/// The figures of all clients. Any thread.
final class ClientStatistics: Sendable {
    struct Row: Sendable {
        let identity: ClientIdentity
        var values: [Int]

        subscript(_ field: ClientTraffic.Field) -> Int { values[field.rawValue] }
    }

    let table = ClientTable()
    let loops: [ClientTraffic]
    private let seriesMax: Int
    private let sample = Mutex<(rows: [Row], labels: [SeriesLabels])>(([], []))

    init(loopCount: Int, seriesMax: Int) {
        loops = (0..<loopCount).map { _ in ClientTraffic() }
        self.seriesMax = seriesMax
    }

    /// Every client met since the start; the first row is whoever came beyond the bound.
    func rows() -> [Row] {
        let identities = table.identities
        return (1..<identities.count).map { number in
            Row(
                identity: identities[number],
                values: ClientTraffic.Field.allCases.map { field in loops.reduce(0) { $0 + $1.value(field, of: number) } })
        }
    }

    private func refresh() {
        var rows = rows()
        if rows.count > seriesMax + 1 {
            for row in rows[(seriesMax + 1)...] {
                for index in row.values.indices { rows[0].values[index] += row.values[index] }
            }
            rows.removeLast(rows.count - seriesMax - 1)
        }
        let fresh = rows
        sample.withLock { sample in
            sample.rows = fresh
            while sample.labels.count < fresh.count {
                let identity = fresh[sample.labels.count].identity
                sample.labels.append(
                    SeriesLabels([("client", identity.name), ("user_agent", identity.agent), ("address", identity.address)]))
            }
        }
    }

    func wire(_ registry: Registry) {
        registry.beforeScrape { [self] in refresh() }
        func family(_ name: String, _ help: String, _ kind: MetricKind, _ field: ClientTraffic.Field, showsZero: Bool = true) {
            registry.sampled(name, help: help, kind: kind) { [self] emit in
                let (rows, labels) = sample.withLock { $0 }
                for (row, labels) in zip(rows, labels) where row.identity.name != "other" || row[.requests] > 0 {
                    if showsZero || row[field] != 0 { emit(labels, Double(row[field])) }
                }
            }
        }
        family("martlet_client_requests_total", "Calls begun, by client.", .counter, .requests)
        family("martlet_client_errors_total", "Calls that ended with an error other than a cancel, by client.", .counter, .errors)
        family("martlet_client_received_bytes_total", "Bytes of messages received, by client.", .counter, .receivedBytes)
        family("martlet_client_sent_bytes_total", "Bytes of messages sent, by client.", .counter, .sentBytes)
        family("martlet_client_open_calls", "Calls in progress, watch streams among them, by client.", .gauge, .openCalls, showsZero: false)
    }

    // MARK: Who calls

    /// Finds out who a call comes from, once for a connection, and for each call that may bring a token.
    func identify(_ call: Call, _ node: Node) {
        var identity = ClientIdentity()
        let agent = call.metadata(.userAgent) ?? ""
        identity.agent = String(decoding: agent.utf8.prefix(80).prefix { $0 != UInt8(ascii: " ") }, as: UTF8.self)
        identity.address = Self.host(call.remoteAddress)
        identity.name = call.peerCommonName ?? ""
        guard node.keySpace.auth.isEnabled else { return call.keepClient(table.number(of: identity)) }
        if let who = try? node.credentials(call), !who.username.isEmpty { identity.name = who.username }
        call.client = table.number(of: identity)
    }

    /// An address without its port.
    private static func host(_ address: String) -> String {
        guard let colon = address.utf8.lastIndex(of: UInt8(ascii: ":")) else { return address }
        return String(address[..<colon])
    }
}
