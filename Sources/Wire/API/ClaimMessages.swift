// Messages of the Lock and Election services (v3lockpb, v3electionpb): requests as views into the received
// bytes. Field numbers: v3lock.proto and v3election.proto of the v3 API.

/// v3lockpb.LockRequest, v3electionpb.CampaignRequest (with a value) and LeaderRequest (name alone).
public struct ClaimRequest {
    public var name = UnsafeRawBufferPointer(start: nil, count: 0)
    /// 0: the server grants one.
    public var lease: Int64 = 0
    public var value = UnsafeRawBufferPointer(start: nil, count: 0)

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: name = try reader.bytes(type)
            case 2: lease = try reader.int64(type)
            case 3: value = try reader.bytes(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// v3lockpb.UnlockRequest
public struct UnlockRequest {
    public var key = UnsafeRawBufferPointer(start: nil, count: 0)

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            if field == 1 { key = try reader.bytes(type) } else { try reader.skip(type, field: field) }
        }
    }
}

/// v3electionpb.LeaderKey: what a won election is proclaimed and resigned with.
public struct LeaderKey {
    public var name = UnsafeRawBufferPointer(start: nil, count: 0)
    public var key = UnsafeRawBufferPointer(start: nil, count: 0)
    /// The key's create revision.
    public var revision: Int64 = 0
    public var lease: Int64 = 0

    public init(
        name: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, revision: Int64, lease: Int64
    ) {
        self.name = name
        self.key = key
        self.revision = revision
        self.lease = lease
    }

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: name = try reader.bytes(type)
            case 2: key = try reader.bytes(type)
            case 3: revision = try reader.int64(type)
            case 4: lease = try reader.int64(type)
            default: try reader.skip(type, field: field)
            }
        }
    }

    public func encode(to sink: ByteSink) {
        sink.field(1, name)
        sink.field(2, key)
        sink.field(3, revision)
        sink.field(4, lease)
    }
}

/// v3electionpb.ProclaimRequest and ResignRequest (without a value).
public struct LeaderKeyRequest {
    /// Nil if the field is missing.
    public var leader: LeaderKey?
    public var value = UnsafeRawBufferPointer(start: nil, count: 0)

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: leader = try LeaderKey(decoding: try reader.bytes(type))
            case 2: value = try reader.bytes(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// The parts of an encoded mvccpb.KeyValue that its readers here ask for.
public struct KeyValueView {
    public var key = UnsafeRawBufferPointer(start: nil, count: 0)
    public var createRevision: Int64 = 0
    public var modRevision: Int64 = 0
    public var value = UnsafeRawBufferPointer(start: nil, count: 0)

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() {
            switch field {
            case 1: key = try reader.bytes(type)
            case 2: createRevision = try reader.int64(type)
            case 3: modRevision = try reader.int64(type)
            case 5: value = try reader.bytes(type)
            default: try reader.skip(type, field: field)
            }
        }
    }
}

/// A message as a program reads it that looks for a few fields only: the server, when it is its own client.
public struct MessageView {
    private let bytes: UnsafeRawBufferPointer

    public init(decoding bytes: UnsafeRawBufferPointer) throws(ProtobufError) {
        var reader = ProtobufReader(bytes)
        while let (field, type) = try reader.next() { try reader.skip(type, field: field) }
        self.bytes = bytes
    }

    /// The number in a field; 0 without it.
    public func number(_ wanted: Int) -> Int64 {
        var reader = ProtobufReader(bytes)
        // The initializer has read these bytes to the end.
        while let (field, type) = (try? reader.next()) ?? nil {
            if field == wanted, type == .varint { return Int64(bitPattern: (try? reader.varint()) ?? 0) }
            guard (try? reader.skip(type, field: field)) != nil else { break }
        }
        return 0
    }

    /// The messages (or bytes) of a field, in order.
    public func messages(_ wanted: Int) -> [UnsafeRawBufferPointer] {
        var found: [UnsafeRawBufferPointer] = []
        var reader = ProtobufReader(bytes)
        while let (field, type) = (try? reader.next()) ?? nil {
            if field == wanted, type == .bytes, let message = try? reader.bytes() {
                found.append(message)
            } else {
                guard (try? reader.skip(type, field: field)) != nil else { break }
            }
        }
        return found
    }

    /// The first message of a field, to look into.
    public func view(_ wanted: Int) -> MessageView? { messages(wanted).first.flatMap { try? MessageView(decoding: $0) } }

    // MARK: Of a response

    /// The revision in the header.
    public var headerRevision: Int64 { view(1)?.number(3) ?? 0 }

    /// The first key that operation number `position` of a transaction, a range, has answered with.
    public func firstKey(ofOperation position: Int) -> UnsafeRawBufferPointer? {
        let operations = messages(3)
        guard position < operations.count else { return nil }
        return (try? MessageView(decoding: operations[position]))?.view(1)?.messages(2).first
    }
}
