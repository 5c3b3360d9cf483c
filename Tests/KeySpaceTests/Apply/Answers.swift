// Answers as plain values: what the model expects, and what a decoder of the test's own reads from the bytes.

struct Pair: Equatable {
    var key: [UInt8]
    var created: Int64 = 0
    var modified: Int64 = 0
    var version: Int64 = 0
    var value: [UInt8] = []
    var lease: Int64 = 0
}

struct Header: Equatable {
    var cluster: UInt64 = 0
    var member: UInt64 = 0
    var revision: Int64 = 0
    var term: UInt64 = 0
}

indirect enum Answer: Equatable {
    case range(Header, pairs: [Pair], more: Bool, count: Int64)
    case put(Header, previous: Pair?)
    case delete(Header, deleted: Int64, previous: [Pair])
    case txn(Header, succeeded: Bool, [Answer])
    case grant(Header, id: Int64, ttl: Int64)
    case alarms(Header, [[Int64]])
    /// Only a header: compaction, revoke, checkpoint.
    case bare(Header)
}

struct Malformed: Error {}

/// All fields of a message in order.
struct Fields {
    private(set) var all: [(field: Int, number: UInt64, data: [UInt8])] = []

    init(_ bytes: [UInt8]) throws {
        var at = 0
        func varint() throws -> UInt64 {
            var value: UInt64 = 0
            var shift: UInt64 = 0
            while true {
                guard at < bytes.count, shift < 64 else { throw Malformed() }
                let byte = bytes[at]
                at += 1
                value |= UInt64(byte & 0x7f) << shift
                shift += 7
                if byte < 0x80 { return value }
            }
        }
        while at < bytes.count {
            let tag = try varint()
            switch tag & 7 {
            case 0: all.append((Int(tag >> 3), try varint(), []))
            case 2:
                let length = Int(try varint())
                guard bytes.count - at >= length else { throw Malformed() }
                all.append((Int(tag >> 3), 0, Array(bytes[at..<at + length])))
                at += length
            default: throw Malformed()
            }
        }
    }

    func number(_ field: Int) -> Int64 { Int64(bitPattern: all.last { $0.field == field }?.number ?? 0) }
    func data(_ field: Int) -> [UInt8]? { all.last { $0.field == field }?.data }
    func each(_ field: Int) -> [[UInt8]] { all.filter { $0.field == field }.map(\.data) }

    /// Nothing but the known fields.
    func only(_ fields: Int...) throws -> Fields {
        guard all.allSatisfy({ fields.contains($0.field) }) else { throw Malformed() }
        return self
    }
}

extension Header {
    init(_ bytes: [UInt8]?) throws {
        guard let bytes else { throw Malformed() }
        let fields = try Fields(bytes).only(1, 2, 3, 4)
        self.init(
            cluster: UInt64(bitPattern: fields.number(1)), member: UInt64(bitPattern: fields.number(2)),
            revision: fields.number(3), term: UInt64(bitPattern: fields.number(4)))
    }
}

extension Pair {
    init(_ bytes: [UInt8]) throws {
        let fields = try Fields(bytes).only(1, 2, 3, 4, 5, 6)
        self.init(
            key: fields.data(1) ?? [], created: fields.number(2), modified: fields.number(3), version: fields.number(4),
            value: fields.data(5) ?? [], lease: fields.number(6))
    }
}

extension Answer {
    static func range(_ bytes: [UInt8]) throws -> Answer {
        let fields = try Fields(bytes).only(1, 2, 3, 4)
        return .range(
            try Header(fields.data(1)), pairs: try fields.each(2).map(Pair.init), more: fields.number(3) != 0,
            count: fields.number(4))
    }

    static func put(_ bytes: [UInt8]) throws -> Answer {
        let fields = try Fields(bytes).only(1, 2)
        return .put(try Header(fields.data(1)), previous: try fields.data(2).map(Pair.init))
    }

    static func delete(_ bytes: [UInt8]) throws -> Answer {
        let fields = try Fields(bytes).only(1, 2, 3)
        return .delete(try Header(fields.data(1)), deleted: fields.number(2), previous: try fields.each(3).map(Pair.init))
    }

    static func txn(_ bytes: [UInt8]) throws -> Answer {
        let fields = try Fields(bytes).only(1, 2, 3)
        let operations = try fields.each(3).map { bytes -> Answer in
            let operation = try Fields(bytes).only(1, 2, 3, 4)
            guard operation.all.count == 1 else { throw Malformed() }
            let (field, _, data) = operation.all[0]
            return switch field {
            case 1: try range(data)
            case 2: try put(data)
            case 3: try delete(data)
            default: try txn(data)
            }
        }
        return .txn(try Header(fields.data(1)), succeeded: fields.number(2) != 0, operations)
    }

    static func decode(_ bytes: [UInt8], to request: RequestCase) throws -> Answer {
        switch request {
        case .range: return try range(bytes)
        case .put: return try put(bytes)
        case .delete: return try delete(bytes)
        case .txn: return try txn(bytes)
        case .grant:
            let fields = try Fields(bytes).only(1, 2, 3)
            return .grant(try Header(fields.data(1)), id: fields.number(2), ttl: fields.number(3))
        case .alarm:
            let fields = try Fields(bytes).only(1, 2)
            return .alarms(try Header(fields.data(1)), try fields.each(2).map { bytes in
                let alarm = try Fields(bytes).only(1, 2)
                return [alarm.number(1), alarm.number(2)]
            })
        case .compact, .revoke, .checkpoint:
            return .bare(try Header(try Fields(bytes).only(1).data(1)))
        }
    }
}
