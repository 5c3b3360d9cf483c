// Messages about members, versions, alarms and the state of a member: rare, so read and written as
// plain values.

/// etcdserverpb.Member
public struct MemberDescription: Sendable, Equatable {
    public var id: MemberID
    public var name: String
    public var peerURLs: [String]
    public var clientURLs: [String]
    public var isLearner: Bool

    public init(id: MemberID, name: String = "", peerURLs: [String], clientURLs: [String] = [], isLearner: Bool = false) {
        self.id = id
        self.name = name
        self.peerURLs = peerURLs
        self.clientURLs = clientURLs
        self.isLearner = isLearner
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, id.rawValue)
        sink.field(2, name)
        for url in peerURLs { sink.always(3, url) }
        for url in clientURLs { sink.always(4, url) }
        sink.field(5, isLearner)
    }
}

/// membershippb.ClusterMemberAttrSetRequest
public struct MemberAttributesRequest: Sendable, Equatable {
    public var member: MemberID
    public var name: String
    public var clientURLs: [String]

    public init(member: MemberID, name: String, clientURLs: [String]) {
        self.member = member
        self.name = name
        self.clientURLs = clientURLs
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, member.rawValue)
        sink.message(2) {
            $0.field(1, name)
            for url in clientURLs { $0.always(2, url) }
        }
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        self.init(member: .none, name: "", clientURLs: [])
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: member = MemberID(try reader.uint64(type))
            case 2:
                var inner = ProtobufReader(try reader.bytes(type))
                while let (field, type) = try inner.next() {
                    switch field {
                    case 1: name = try inner.string(type)
                    case 2: clientURLs.append(try inner.string(type))
                    default: try inner.skip(type, field: field)
                    }
                }
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// membershippb.ClusterVersionSetRequest and DowngradeVersionTestRequest: one version text.
public struct VersionRequest: Sendable, Equatable {
    public var version: String
    public init(version: String) { self.version = version }

    public func encode(to sink: ByteSink) { sink.field(1, version) }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        version = ""
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            if field == 1 { version = try reader.string(type) } else { try reader.skip(type, field: field) }
        }
    }
}

/// membershippb.DowngradeInfoSetRequest
public struct DowngradeInfoRequest: Sendable, Equatable {
    public var enabled = false
    public var version = ""

    public init(enabled: Bool, version: String) {
        self.enabled = enabled
        self.version = version
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, enabled)
        sink.field(2, version)
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: enabled = try reader.bool(type)
            case 2: version = try reader.string(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// etcdserverpb.AlarmType. An open set: a number that has no name can be raised, listed and disarmed like the others, and means nothing else.
public struct AlarmKind: RawRepresentable, Sendable, Hashable {
    public let rawValue: Int32
    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let none = AlarmKind(rawValue: 0)
    public static let noSpace = AlarmKind(rawValue: 1)
    public static let corrupt = AlarmKind(rawValue: 2)

    public var name: String {
        switch self {
        case .none: "NONE"
        case .noSpace: "NOSPACE"
        case .corrupt: "CORRUPT"
        default: String(rawValue)
        }
    }

    /// Whether it is one of those that this version knows.
    public var isKnown: Bool { (0...2).contains(rawValue) }
}

/// etcdserverpb.AlarmMember
public struct AlarmMember: Sendable, Hashable, Comparable {
    public var member: MemberID
    public var alarm: AlarmKind

    public init(member: MemberID, alarm: AlarmKind) {
        self.member = member
        self.alarm = alarm
    }

    public static func < (a: Self, b: Self) -> Bool {
        (a.alarm.rawValue, a.member) < (b.alarm.rawValue, b.member)
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, member.rawValue)
        sink.field(2, Int64(alarm.rawValue))
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        self.init(member: .none, alarm: .none)
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: member = MemberID(try reader.uint64(type))
            case 2: alarm = AlarmKind(rawValue: try reader.int32(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// etcdserverpb.AlarmRequest
public struct AlarmRequest: Sendable, Equatable {
    public enum Action: Int32, Sendable { case get = 0, activate = 1, deactivate = 2 }

    /// Nil for a number that is none of them.
    public var action: Action? = .get
    public var member = MemberID.none
    public var alarm = AlarmKind.none

    public init(action: Action, member: MemberID = .none, alarm: AlarmKind = .none) {
        self.action = action
        self.member = member
        self.alarm = alarm
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, Int64(action?.rawValue ?? 0))
        sink.field(2, member.rawValue)
        sink.field(3, Int64(alarm.rawValue))
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: action = Action(rawValue: try reader.int32(type))
            case 2: member = MemberID(try reader.uint64(type))
            case 3: alarm = AlarmKind(rawValue: try reader.int32(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// A request of which only one integer field matters: HashKV (1 revision), MoveLeader (1 targetID),
/// MemberList (1 linearizable), MemberRemove and MemberPromote (1 ID).
public struct SingleNumberRequest {
    public var value: UInt64 = 0

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            if field == 1 { value = try reader.uint64(type) } else { try reader.skip(type, field: field) }
        }
    }
}

/// etcdserverpb.StatusResponse
public struct StatusResponse: Sendable {
    public var version = ""
    public var dbSize: Int64 = 0
    public var leader = MemberID.none
    public var raftIndex: LogIndex = 0
    public var raftTerm: Term = 0
    public var raftAppliedIndex: LogIndex = 0
    public var errors: [String] = []
    public var dbSizeInUse: Int64 = 0
    public var isLearner = false
    public var storageVersion = ""
    public var dbSizeQuota: Int64 = 0
    public var downgradeEnabled = false
    public var downgradeTarget = ""

    public init() {}

    /// Writes the fields after the header.
    public func encode(to sink: ByteSink) {
        sink.field(2, version)
        sink.field(3, dbSize)
        sink.field(4, leader.rawValue)
        sink.field(5, raftIndex)
        sink.field(6, raftTerm)
        sink.field(7, raftAppliedIndex)
        for error in errors { sink.always(8, error) }
        sink.field(9, dbSizeInUse)
        sink.field(10, isLearner)
        sink.field(11, storageVersion)
        sink.field(12, dbSizeQuota)
        sink.message(13) {
            $0.field(1, downgradeEnabled)
            $0.field(2, downgradeTarget)
        }
    }
}

extension MemberDescription {
    /// The JSON that configuration changes and the store's `members` bucket hold:
    /// `{"id":1,"peerURLs":[…],"isLearner":true,"name":"…","clientURLs":[…]}`, empty parts left out.
    public func json() -> [UInt8] {
        let sink = ByteSink(capacity: 256)
        sink.append("{\"id\":" as StaticString)
        sink.append(String(id.rawValue))
        sink.append(",\"peerURLs\":" as StaticString)
        sink.json(peerURLs)
        if isLearner { sink.append(",\"isLearner\":true" as StaticString) }
        if !name.isEmpty {
            sink.append(",\"name\":" as StaticString)
            sink.json(name)
        }
        if !clientURLs.isEmpty {
            sink.append(",\"clientURLs\":" as StaticString)
            sink.json(clientURLs)
        }
        sink.append("}" as StaticString)
        return sink.array()
    }

    /// Nil if the bytes are no member description.
    public init?(json bytes: [UInt8]) {
        guard let value = try? JSONValue(parsing: bytes), let id = value["id"]?.uint64 else { return nil }
        self.init(
            id: MemberID(id), name: value["name"]?.string ?? "", peerURLs: value["peerURLs"]?.strings ?? [],
            clientURLs: value["clientURLs"]?.strings ?? [], isLearner: value["isLearner"]?.bool ?? false)
    }
}
