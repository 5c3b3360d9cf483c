// raftpb on the wire and in the WAL. Written as etcd up to 3.6 writes it: numbers always, even when zero
// (proto2 with non-nullable fields); read with any field missing and in any order.

extension Entry {
    public func encode(to sink: ByteSink) {
        sink.always(1, kind.rawValue)
        sink.always(2, term)
        sink.always(3, index)
        if !data.isEmpty { sink.field(4, data) }
    }

    /// Size of what `encode(to:)` writes.
    public var encodedSize: Int {
        3 + varintSize(kind.rawValue) + varintSize(term) + varintSize(index)
            + (data.isEmpty ? 0 : lengthDelimitedSize(data.count))
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self.init(term: 0, index: 0)
        while let (field, type) = try reader.next() {
            switch field {
            case 1:
                guard let kind = EntryKind(rawValue: try reader.uint64(type)) else { throw .invalidTag }
                self.kind = kind
            case 2: term = try reader.uint64(type)
            case 3: index = try reader.uint64(type)
            case 4: data = try reader.array(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

extension HardState {
    public func encode(to sink: ByteSink) {
        sink.always(1, term)
        sink.always(2, vote.rawValue)
        sink.always(3, commit)
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self.init()
        while let (field, type) = try reader.next() {
            switch field {
            case 1: term = try reader.uint64(type)
            case 2: vote = MemberID(try reader.uint64(type))
            case 3: commit = try reader.uint64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

extension ConfigurationState {
    public func encode(to sink: ByteSink) {
        for id in voters { sink.always(1, id.rawValue) }
        for id in learners { sink.always(2, id.rawValue) }
        for id in votersOutgoing { sink.always(3, id.rawValue) }
        for id in learnersNext { sink.always(4, id.rawValue) }
        sink.always(5, autoLeave ? 1 : 0)
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self.init()
        var lists: [[UInt64]] = [[], [], [], []]
        while let (field, type) = try reader.next() {
            switch field {
            case 1...4: try reader.repeatedUInt64(type, into: &lists[field - 1])
            case 5: autoLeave = try reader.bool(type)
            default: try reader.skip(type, field: field)
            }
        }
        voters = lists[0].map { MemberID($0) }
        learners = lists[1].map { MemberID($0) }
        votersOutgoing = lists[2].map { MemberID($0) }
        learnersNext = lists[3].map { MemberID($0) }
    }
}

extension SnapshotMetadata {
    public func encode(to sink: ByteSink) {
        sink.message(1) { configuration.encode(to: $0) }
        sink.always(2, index)
        sink.always(3, term)
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self.init()
        while let (field, type) = try reader.next() {
            switch field {
            case 1: configuration = try ConfigurationState(decoding: try reader.bytes(type))
            case 2: index = try reader.uint64(type)
            case 3: term = try reader.uint64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

extension Snapshot {
    public func encode(to sink: ByteSink) {
        if !data.isEmpty { sink.field(1, data) }
        sink.message(2) { metadata.encode(to: $0) }
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self.init()
        while let (field, type) = try reader.next() {
            switch field {
            case 1: data = try reader.array(type)
            case 2: metadata = try SnapshotMetadata(decoding: try reader.bytes(type))
            default: try reader.skip(type, field: field)
            }
        }
    }
}

extension Message {
    public func encode(to sink: ByteSink) {
        sink.always(1, kind.rawValue)
        sink.always(2, to.rawValue)
        sink.always(3, from.rawValue)
        sink.always(4, term)
        sink.always(5, logTerm)
        sink.always(6, index)
        for entry in entries { sink.message(7, size: entry.encodedSize) { entry.encode(to: $0) } }
        sink.always(8, commit)
        if let snapshot { sink.message(9) { snapshot.encode(to: $0) } }
        sink.always(10, reject ? 1 : 0)
        sink.always(11, rejectHint)
        if !context.isEmpty { sink.field(12, context) }
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self.init(kind: .hup)
        while let (field, type) = try reader.next() {
            switch field {
            case 1:
                guard let kind = MessageKind(rawValue: try reader.uint64(type)) else { throw .invalidTag }
                self.kind = kind
            case 2: to = MemberID(try reader.uint64(type))
            case 3: from = MemberID(try reader.uint64(type))
            case 4: term = try reader.uint64(type)
            case 5: logTerm = try reader.uint64(type)
            case 6: index = try reader.uint64(type)
            case 7: entries.append(try Entry(decoding: try reader.bytes(type)))
            case 8: commit = try reader.uint64(type)
            case 9: snapshot = try Snapshot(decoding: try reader.bytes(type))
            case 10: reject = try reader.bool(type)
            case 11: rejectHint = try reader.uint64(type)
            case 12: context = try reader.array(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

extension ConfigurationChange {
    public func encode(to sink: ByteSink) {
        sink.always(1, id)
        sink.always(2, kind.rawValue)
        sink.always(3, member.rawValue)
        if !context.isEmpty { sink.field(4, context) }
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self.init(kind: .addVoter, member: .none)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: id = try reader.uint64(type)
            case 2:
                guard let kind = ConfigurationChangeKind(rawValue: try reader.uint64(type)) else { throw .invalidTag }
                self.kind = kind
            case 3: member = MemberID(try reader.uint64(type))
            case 4: context = try reader.array(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

extension ConfigurationChangeV2 {
    public func encode(to sink: ByteSink) {
        if transition != .auto { sink.always(1, transition.rawValue) }
        for change in changes {
            sink.message(2) {
                $0.always(1, change.kind.rawValue)
                $0.always(2, change.member.rawValue)
            }
        }
        if !context.isEmpty { sink.field(3, context) }
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        self.init()
        while let (field, type) = try reader.next() {
            switch field {
            case 1:
                guard let transition = ConfigurationTransition(rawValue: try reader.uint64(type)) else { throw .invalidTag }
                self.transition = transition
            case 2:
                var inner = ProtobufReader(try reader.bytes(type))
                var change = Single(kind: .addVoter, member: .none)
                while let (field, type) = try inner.next() {
                    switch field {
                    case 1:
                        guard let kind = ConfigurationChangeKind(rawValue: try inner.uint64(type)) else { throw .invalidTag }
                        change.kind = kind
                    case 2: change.member = MemberID(try inner.uint64(type))
                    default: try inner.skip(type, field: field)
                    }
                }
                changes.append(change)
            case 3: context = try reader.array(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}
