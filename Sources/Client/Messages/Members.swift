// Members of the cluster, and their states.

import Wire

public struct Member: Sendable, Equatable {
    public var id: UInt64 = 0
    /// Empty until the member has started.
    public var name = ""
    public var peerURLs: [String] = []
    public var clientURLs: [String] = []
    public var isLearner = false

    public init() {}

    init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: id = try reader.uint64(type)
            case 2: name = try reader.string(type)
            case 3: peerURLs.append(try reader.string(type))
            case 4: clientURLs.append(try reader.string(type))
            case 5: isLearner = try reader.bool(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// The answer of MemberList and of every change of the members but MemberAdd.
public struct MembersResponse: ResponseMessage {
    public var header = Header()
    public var members: [Member] = []

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: members.append(try Member(try reader.bytes(type)))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct MemberAddResponse: ResponseMessage {
    public var header = Header()
    public var member = Member()
    public var members: [Member] = []

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: member = try Member(try reader.bytes(type))
            case 3: members.append(try Member(try reader.bytes(type)))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct MemberStatusResponse: ResponseMessage {
    public var header = Header()
    public var version = ""
    public var dbSize: Int64 = 0
    public var leader: UInt64 = 0
    public var raftIndex: UInt64 = 0
    public var raftTerm: UInt64 = 0
    public var raftAppliedIndex: UInt64 = 0
    public var errors: [String] = []
    public var dbSizeInUse: Int64 = 0
    public var isLearner = false
    public var storageVersion = ""
    public var dbSizeQuota: Int64 = 0
    public var downgradeTargetVersion = ""
    public var isDowngradeEnabled = false

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: version = try reader.string(type)
            case 3: dbSize = try reader.int64(type)
            case 4: leader = try reader.uint64(type)
            case 5: raftIndex = try reader.uint64(type)
            case 6: raftTerm = try reader.uint64(type)
            case 7: raftAppliedIndex = try reader.uint64(type)
            case 8: errors.append(try reader.string(type))
            case 9: dbSizeInUse = try reader.int64(type)
            case 10: isLearner = try reader.bool(type)
            case 11: storageVersion = try reader.string(type)
            case 12: dbSizeQuota = try reader.int64(type)
            case 13:
                var inner = ProtobufReader(try reader.bytes(type))
                while let (field, type) = try inner.next() {
                    switch field {
                    case 1: isDowngradeEnabled = try inner.bool(type)
                    case 2: downgradeTargetVersion = try inner.string(type)
                    default: try inner.skip(type, field: field)
                    }
                }
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct HashResponse: ResponseMessage {
    public var header = Header()
    public var hash: UInt32 = 0
    public var compactRevision: Int64 = 0
    public var hashRevision: Int64 = 0

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: hash = UInt32(truncatingIfNeeded: try reader.uint64(type))
            case 3: compactRevision = try reader.int64(type)
            case 4: hashRevision = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct AlarmResponse: ResponseMessage {
    public struct Alarm: Sendable, Equatable {
        public var memberID: UInt64 = 0
        /// 1: no space; 2: corrupt.
        public var kind: UInt64 = 0

        public var name: String {
            switch kind {
            case 0: "NONE"
            case 1: "NOSPACE"
            case 2: "CORRUPT"
            default: "\(kind)"
            }
        }
    }

    public var header = Header()
    public var alarms: [Alarm] = []

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2:
                var alarm = Alarm()
                var inner = ProtobufReader(try reader.bytes(type))
                while let (field, type) = try inner.next() {
                    switch field {
                    case 1: alarm.memberID = try inner.uint64(type)
                    case 2: alarm.kind = try inner.uint64(type)
                    default: try inner.skip(type, field: field)
                    }
                }
                alarms.append(alarm)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

public struct DowngradeResponse: ResponseMessage {
    public var header = Header()
    public var version = ""

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: version = try reader.string(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// A part of a snapshot.
public struct SnapshotPart: ResponseMessage {
    public var header = Header()
    public var remainingBytes: UInt64 = 0
    public var blob: [UInt8] = []
    /// Of the store; empty before etcd 3.6.
    public var version = ""

    public init(_ bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: header = try Header(try reader.bytes(type))
            case 2: remainingBytes = try reader.uint64(type)
            case 3: blob = try reader.array(type)
            case 4: version = try reader.string(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}
