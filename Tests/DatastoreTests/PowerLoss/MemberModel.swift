// What a member holds, as naively as possible: the oracle of the power cuts.

import StorageSimulation
import Wire

/// A request of a random history.
enum MemberStep: Sendable {
    case put(key: String, value: String, lease: Int64)
    case delete(key: String, end: String)
    /// Creates the key; if it is there, deletes it and puts the other one instead.
    case swap(key: String, other: String, value: String)
    case grant(Int64)
    case revoke(Int64)
    case compact(Int64)
    case alarm(member: UInt64, isOn: Bool)
}

struct MemberModel: Equatable, Sendable {
    struct Item: Equatable, Sendable {
        var value: String
        var created: Int64
        var modified: Int64
        var version: Int64
        var lease: Int64
    }

    /// An alarm that forbids nothing, since it has no name.
    static let alarm = AlarmKind(rawValue: 77)

    private(set) var revision: Int64 = 1
    private(set) var compacted: Int64 = 0
    private(set) var items: [String: Item] = [:]
    private(set) var leases: Set<Int64> = []
    private(set) var alarms: Set<UInt64> = []

    /// Whether the member would do it. Nothing changes if not.
    mutating func apply(_ step: MemberStep) -> Bool {
        switch step {
        case .put(let key, let value, let lease):
            guard lease == 0 || leases.contains(lease) else { return false }
            revision += 1
            set(key, value, lease)
        case .delete(let key, let end):
            let gone = items.keys.filter { $0 >= key && $0 < end }
            guard !gone.isEmpty else { return true }
            revision += 1
            for key in gone { items[key] = nil }
        case .swap(let key, let other, let value):
            revision += 1
            if items[key] == nil {
                set(key, value, 0)
            } else {
                items[key] = nil
                set(other, value, 0)
            }
        case .grant(let lease): return leases.insert(lease).inserted
        case .revoke(let lease):
            guard leases.remove(lease) != nil else { return false }
            let gone = items.filter { $0.value.lease == lease }.keys
            guard !gone.isEmpty else { return true }
            revision += 1
            for key in gone { items[key] = nil }
        case .compact(let target):
            guard target > compacted, target <= revision else { return false }
            compacted = target
        case .alarm(let member, let isOn):
            if isOn { alarms.insert(member) } else { alarms.remove(member) }
        }
        return true
    }

    private mutating func set(_ key: String, _ value: String, _ lease: Int64) {
        let old = items[key]
        items[key] = Item(
            value: value, created: old?.created ?? revision, modified: revision, version: (old?.version ?? 0) + 1, lease: lease)
    }

    /// Something that the member may do next.
    func randomStep(_ random: inout SplitMix64) -> MemberStep {
        func key() -> String { "key/\(random.below(12))" }
        func value() -> String { String(repeating: "v", count: random.oneIn(10) ? random.below(6000) : random.below(200)) + "\(random.next())" }
        // Now and then one that is not there.
        func lease() -> Int64 { random.oneIn(6) ? 99 : leases.sorted().randomElement(using: &random) ?? 99 }
        switch random.below(20) {
        case 0..<8: return .put(key: key(), value: value(), lease: random.oneIn(3) ? lease() : 0)
        case 8..<10:
            let ends = [key(), key()].sorted()
            return .delete(key: ends[0], end: random.oneIn(3) ? ends[1] : ends[0] + "\0")
        case 10..<13:
            let first = key()
            return .swap(key: first, other: first + "/other", value: value())
        case 13..<15: return .grant(Int64(random.below(8) + 1))
        case 15: return .revoke(lease())
        case 16: return .compact(max(1, compacted + Int64(random.below(Int(revision - compacted) + 3))))
        default: return .alarm(member: UInt64(random.below(4) + 1), isOn: random.oneIn(2))
        }
    }
}

extension MemberStep {
    /// The request and its message.
    var request: (kind: InternalRequestKind, body: ByteSink) {
        let sink = ByteSink(capacity: 128)
        switch self {
        case .put(let key, let value, let lease):
            Self.put(key, value, lease, to: sink)
            return (.put, sink)
        case .delete(let key, let end):
            sink.field(1, key)
            sink.field(2, end)
            return (.deleteRange, sink)
        case .swap(let key, let other, let value):
            sink.message(1) { sink in
                sink.field(2, 1 as Int64)
                sink.field(3, key)
                sink.always(5, 0)
            }
            sink.message(2) { $0.message(2) { Self.put(key, value, 0, to: $0) } }
            sink.message(3) { $0.message(3) { $0.field(1, key) } }
            sink.message(3) { $0.message(2) { Self.put(other, value, 0, to: $0) } }
            return (.txn, sink)
        case .grant(let lease):
            LeaseGrantRequest(ttl: 100_000, id: lease).encode(to: sink)
            return (.leaseGrant, sink)
        case .revoke(let lease):
            sink.field(1, lease)
            return (.leaseRevoke, sink)
        case .compact(let revision):
            sink.field(1, revision)
            return (.compaction, sink)
        case .alarm(let member, let isOn):
            AlarmRequest(action: isOn ? .activate : .deactivate, member: MemberID(member), alarm: MemberModel.alarm).encode(to: sink)
            return (.alarm, sink)
        }
    }

    private static func put(_ key: String, _ value: String, _ lease: Int64, to sink: ByteSink) {
        sink.field(1, key)
        sink.field(2, value)
        sink.field(3, lease)
    }
}
