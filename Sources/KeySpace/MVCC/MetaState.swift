// What the store keeps beside keys: leases, alarms, members, cluster version, auth. Small, whole in memory.

/// The buckets of etcd's database that are not `key`.
public enum MetaBucket: UInt8, CaseIterable, Sendable {
    case meta = 0, lease, alarm, cluster, members, membersRemoved, auth, authUsers, authRoles

    /// The bucket's name in etcd's database.
    public var name: String {
        switch self {
        case .meta: "meta"
        case .lease: "lease"
        case .alarm: "alarm"
        case .cluster: "cluster"
        case .members: "members"
        case .membersRemoved: "members_removed"
        case .auth: "auth"
        case .authUsers: "authUsers"
        case .authRoles: "authRoles"
        }
    }
}

/// Buckets of byte strings. Each bucket is a value of its own, so that a checkpoint may keep a copy while entries
/// change another one.
struct MetaState: Sendable {
    private var buckets: [[[UInt8]: [UInt8]]] = Array(repeating: [:], count: MetaBucket.allCases.count)
    /// Bytes of all keys and values.
    private(set) var byteCount = 0

    subscript(bucket: MetaBucket) -> [[UInt8]: [UInt8]] { buckets[Int(bucket.rawValue)] }

    mutating func put(_ bucket: MetaBucket, _ key: [UInt8], _ value: [UInt8]) {
        byteCount += key.count + value.count
        if let old = buckets[Int(bucket.rawValue)].updateValue(value, forKey: key) { byteCount -= key.count + old.count }
    }

    mutating func delete(_ bucket: MetaBucket, _ key: [UInt8]) {
        if let old = buckets[Int(bucket.rawValue)].removeValue(forKey: key) { byteCount -= key.count + old.count }
    }
}
