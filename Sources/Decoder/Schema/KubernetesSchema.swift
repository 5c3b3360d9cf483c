// Kubernetes' messages and kinds as the table tells them. The table is searched, not parsed whole: a message's rows
// are read when an object first needs them, so that start costs next to nothing.

import CKubernetesSchema
import Synchronization

/// What an apiVersion and a kind name.
public struct KubernetesKind: Sendable, Hashable {
    public enum Scope: Sendable { case namespaced, cluster, none }
    public enum Role: Sendable { case object, list, options, virtual }

    public let apiVersion: String
    public let kind: String
    /// The message that it is stored as: `apps/v1.Deployment`.
    public let message: String
    /// `deployments`; empty for what is no resource.
    public let plural: String
    public let scope: Scope
    public let role: Role
    /// Where its objects are kept with the default prefix: `/registry/deployments/`; empty if nowhere.
    public let prefix: String
    /// The apiVersion in which the newest release keeps it.
    public let storageVersion: String
    /// The value is JSON, not protobuf.
    public let isStoredAsJSON: Bool
    /// The last release that knows it; nil: the newest does.
    public let lastRelease: String?
}

/// The table. Thread-safe; use `shared`.
public final class KubernetesSchema: Sendable {
    public static let shared = KubernetesSchema()

    private let text: Lines
    /// Where each message's line begins.
    private let messages: [String: Int]
    /// By apiVersion, a tab, and kind.
    private let kindsByName: [String: KubernetesKind]
    private let plans = Mutex<[String: MessagePlan]>([:])

    private init() {
        text = Lines(
            bytes: UnsafeRawBufferPointer(start: martlet_kubernetes_schema(), count: martlet_kubernetes_schema_size()))
        var messages: [String: Int] = [:]
        var kinds: [String: KubernetesKind] = [:]
        messages.reserveCapacity(1600)
        kinds.reserveCapacity(500)
        var offset = 0
        while let line = text.line(at: offset) {
            if line.first == UInt8(ascii: "M") {
                messages[text.cells(line)[1]] = offset
            } else if line.first == UInt8(ascii: "K"), let kind = KubernetesKind(cells: text.cells(line)) {
                kinds[kind.apiVersion + "\t" + kind.kind] = kind
            }
            offset = line.endIndex + 1
        }
        self.messages = messages
        kindsByName = kinds
    }

    public var kinds: some Collection<KubernetesKind> { kindsByName.values }
    public var messageNames: some Collection<String> { messages.keys }

    /// Nil for a kind that no release of the table has, as custom resources.
    public func kind(apiVersion: String, kind: String) -> KubernetesKind? {
        if let known = kindsByName[apiVersion + "\t" + kind] { return known }
        // Options of requests and events of watches belong to every group, those of custom resources as well.
        guard let shared = kindsByName["v1\t" + kind], shared.message.hasPrefix("meta/v1."), shared.role != .object else { return nil }
        return KubernetesKind(shared, apiVersion: apiVersion)
    }

    /// How to read and write a message; nil if the table has none of this name.
    func plan(_ message: String) -> MessagePlan? {
        plans.withLock { plans in
            if let plan = plans[message] { return plan }
            guard messages[message] != nil else { return nil }
            return PlanBuilder.build(message, known: &plans) { rows(of: $0) }
        }
    }

    /// For objects of kinds that the table has not: everything in them is unknown.
    var planWithoutFields: MessagePlan {
        plans.withLock { plans in
            PlanBuilder.build(Self.noFields, known: &plans) { _ in [["M", Self.noFields], ["0", "", "", "meta/v1.TypeMeta", "oavi"]] }
        }
    }

    private static let noFields = "an unknown message"

    /// The rows of a message: its own first, then a field each.
    private func rows(of message: String) -> [[String]]? {
        guard var offset = messages[message] else { return nil }
        var rows: [[String]] = []
        while let line = text.line(at: offset) {
            let isField = line.first.map { $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") } ?? false
            guard rows.isEmpty || isField else { break }
            rows.append(text.cells(line))
            offset = line.endIndex + 1
        }
        return rows
    }
}

/// Tab-separated lines in memory that lives as long as the process.
private struct Lines: @unchecked Sendable {
    // Unchecked: constant bytes of the program.
    let bytes: UnsafeRawBufferPointer

    func line(at offset: Int) -> Slice<UnsafeRawBufferPointer>? {
        guard offset < bytes.count else { return nil }
        var end = offset
        while end < bytes.count, bytes[end] != UInt8(ascii: "\n") { end += 1 }
        return bytes[offset..<end]
    }

    func cells(_ line: Slice<UnsafeRawBufferPointer>) -> [String] {
        line.split(separator: UInt8(ascii: "\t"), omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
    }
}

extension KubernetesKind {
    /// The same kind in another group.
    fileprivate init(_ shared: KubernetesKind, apiVersion: String) {
        self.apiVersion = apiVersion
        kind = shared.kind
        message = shared.message
        plural = shared.plural
        scope = shared.scope
        role = shared.role
        prefix = shared.prefix
        storageVersion = apiVersion
        isStoredAsJSON = shared.isStoredAsJSON
        lastRelease = shared.lastRelease
    }

    fileprivate init?(cells: [String]) {
        guard cells.count >= 11 else { return nil }
        apiVersion = cells[1]
        kind = cells[2]
        message = cells[3]
        plural = cells[4] == "-" ? "" : cells[4]
        scope = cells[5] == "N" ? .namespaced : cells[5] == "C" ? .cluster : .none
        switch cells[7] {
        case "object": role = .object
        case "list": role = .list
        case "options": role = .options
        default: role = .virtual
        }
        prefix = cells[8] == "-" ? "" : cells[8]
        storageVersion = cells[9] == "-" ? cells[1] : cells[9]
        isStoredAsJSON = cells[10] == "json"
        lastRelease = cells.count > 11 && !cells[11].isEmpty ? cells[11] : nil
    }
}
