// The replicated knowledge about the cluster itself: members, who was removed, the cluster version, a
// downgrade under way, alarms. Small and rarely changed: a value behind a lock, copied out whole.

import Synchronization
import Wire

/// A copy of the cluster's description at one moment.
public struct ClusterView: Sendable, Equatable {
    public var members: [MemberID: MemberDescription] = [:]
    public var removed: Set<MemberID> = []
    /// `3.7.0`; nil until the leader has decided it.
    public var version: String?
    public var downgradeEnabled = false
    public var downgradeTarget = ""
    public var alarms: Set<AlarmMember> = []

    public init() {}

    /// Members in ascending order of their ID.
    public var sortedMembers: [MemberDescription] { members.values.sorted { $0.id < $1.id } }

    public func hasAlarm(_ kind: AlarmKind) -> Bool { alarms.contains { $0.alarm == kind } }
}

/// Keys and values of the cluster's description in the store's metadata (etcd's encodings).
public enum ClusterKeys {
    public static let clusterVersion = Array("clusterVersion".utf8)
    public static let downgrade = Array("downgrade".utf8)
    public static let removedValue = Array("removed".utf8)

    public static func key(_ member: MemberID) -> [UInt8] { Array(member.description.utf8) }
}

/// One change of the description, as a pure function of the state before it; what must be stored is
/// returned as records.
public enum ClusterRecord: Equatable, Sendable {
    case put(bucket: MetaBucket, key: [UInt8], value: [UInt8])
    case delete(bucket: MetaBucket, key: [UInt8])
}

extension ClusterView {
    /// Restores the view from stored metadata.
    public mutating func restore(bucket: MetaBucket, key: [UInt8], value: [UInt8]) {
        switch bucket {
        case .members:
            if let member = MemberDescription(json: value) { members[member.id] = member }
        case .membersRemoved:
            if let id = UInt64(String(decoding: key, as: UTF8.self), radix: 16) { removed.insert(MemberID(id)) }
        case .cluster where key == ClusterKeys.clusterVersion:
            version = String(decoding: value, as: UTF8.self)
        case .cluster where key == ClusterKeys.downgrade:
            if let json = try? JSONValue(parsing: value) {
                downgradeEnabled = json["enabled"]?.bool ?? false
                downgradeTarget = json["target-version"]?.string ?? ""
            }
        case .alarm:
            if let alarm = key.withUnsafeBytes({ try? AlarmMember(decoding: $0) }) { alarms.insert(alarm) }
        default:
            break
        }
    }

    /// Applies a membership change that consensus has committed. An error changes nothing.
    public mutating func apply(_ change: ConfigurationChange, learnersMax: Int = KeySpaceLimits.learnersMaxDefault) throws(CallError) -> [ClusterRecord] {
        if removed.contains(change.member) { throw .memberNotFound }
        switch change.kind {
        case .addVoter where MemberDescription.isPromotion(json: change.context):
            guard var member = members[change.member] else { throw .memberNotFound }
            guard member.isLearner else { throw .memberNotLearner }
            member.isLearner = false
            return store(member)
        case .addVoter, .addLearner:
            guard var member = MemberDescription(json: change.context), member.id == change.member else { throw .memberBadURLs }
            if members[change.member] != nil { throw .memberExists }
            try checkUnused(member.peerURLs, besides: change.member)
            member.isLearner = change.kind == .addLearner
            if member.isLearner, members.values.count(where: \.isLearner) >= learnersMax { throw .tooManyLearners }
            return store(member)
        case .remove:
            guard members.removeValue(forKey: change.member) != nil else { throw .memberNotFound }
            removed.insert(change.member)
            return [
                .delete(bucket: .members, key: ClusterKeys.key(change.member)),
                .put(bucket: .membersRemoved, key: ClusterKeys.key(change.member), value: ClusterKeys.removedValue),
            ]
        case .update:
            guard var member = members[change.member] else { throw .memberNotFound }
            guard let update = MemberDescription(json: change.context) else { throw .memberBadURLs }
            try checkUnused(update.peerURLs, besides: change.member)
            member.peerURLs = update.peerURLs
            return store(member)
        }
    }

    private mutating func store(_ member: MemberDescription) -> [ClusterRecord] {
        members[member.id] = member
        return [.put(bucket: .members, key: ClusterKeys.key(member.id), value: member.json())]
    }

    private func checkUnused(_ urls: [String], besides own: MemberID) throws(CallError) {
        for member in members.values where member.id != own && member.peerURLs.contains(where: urls.contains) {
            throw .peerURLExists
        }
    }

    /// A member has started and says its name and where clients reach it.
    public mutating func apply(_ request: MemberAttributesRequest) -> [ClusterRecord] {
        guard var member = members[request.member] else { return [] }
        member.name = request.name
        member.clientURLs = request.clientURLs
        members[member.id] = member
        return [.put(bucket: .members, key: ClusterKeys.key(member.id), value: member.json())]
    }

    public mutating func apply(clusterVersion: String) -> [ClusterRecord] {
        version = clusterVersion
        return [.put(bucket: .cluster, key: ClusterKeys.clusterVersion, value: Array(clusterVersion.utf8))]
    }

    public mutating func apply(_ request: DowngradeInfoRequest) -> [ClusterRecord] {
        downgradeEnabled = request.enabled
        downgradeTarget = request.enabled ? request.version : ""
        let sink = ByteSink()
        sink.append("{\"target-version\":" as StaticString)
        sink.json(downgradeTarget)
        sink.append(",\"enabled\":" as StaticString)
        sink.append(request.enabled ? "true}" as StaticString : "false}")
        return [.put(bucket: .cluster, key: ClusterKeys.downgrade, value: sink.array())]
    }

    /// Applies an alarm request; returns the alarms that its answer lists.
    public mutating func apply(_ request: AlarmRequest) -> (listed: [AlarmMember], records: [ClusterRecord]) {
        guard let action = request.action else { return ([], []) }
        let kind = request.alarm
        switch action {
        case .get:
            return (alarms.filter { kind == .none || $0.alarm == kind }.sorted(), [])
        case .activate:
            guard kind != .none else { return ([], []) }
            let alarm = AlarmMember(member: request.member, alarm: kind)
            guard alarms.insert(alarm).inserted else { return ([alarm], []) }
            return ([alarm], [.put(bucket: .alarm, key: Self.key(alarm), value: [])])
        case .deactivate:
            let alarm = AlarmMember(member: request.member, alarm: kind)
            guard alarms.remove(alarm) != nil else { return ([], []) }
            return ([alarm], [.delete(bucket: .alarm, key: Self.key(alarm))])
        }
    }

    private static func key(_ alarm: AlarmMember) -> [UInt8] {
        let sink = ByteSink(capacity: 16)
        alarm.encode(to: sink)
        return sink.array()
    }
}

extension MemberDescription {
    /// Whether the context of a change says that a learner becomes a voter.
    public static func isPromotion(json bytes: [UInt8]) -> Bool {
        (try? JSONValue(parsing: bytes))?["isPromote"]?.bool ?? false
    }
}

/// The view in force: replaced by the apply thread, read by everybody.
public final class ClusterState: Sendable {
    private let view: Mutex<ClusterView>
    private let alarmMask = Atomic<UInt32>(0)

    public init(_ view: ClusterView = ClusterView()) {
        self.view = Mutex(view)
        publishAlarms(view)
    }

    public var current: ClusterView { view.withLock { $0 } }

    /// Read on every write request, hence without the lock.
    @inline(__always)
    public func hasAlarm(_ kind: AlarmKind) -> Bool {
        alarmMask.load(ordering: .relaxed) & (1 << UInt32(kind.rawValue)) != 0
    }

    @inline(__always)
    public var hasAnyAlarm: Bool { alarmMask.load(ordering: .relaxed) != 0 }

    /// Changes the view; an error leaves it as it was.
    public func update<R>(_ change: (inout ClusterView) throws(CallError) -> R) throws(CallError) -> R {
        var copy = current
        let result = try change(&copy)
        view.withLock { $0 = copy }
        publishAlarms(copy)
        return result
    }

    private func publishAlarms(_ view: ClusterView) {
        var mask: UInt32 = 0
        for alarm in view.alarms where alarm.alarm.isKnown { mask |= 1 << UInt32(alarm.alarm.rawValue) }
        alarmMask.store(mask, ordering: .relaxed)
    }
}
