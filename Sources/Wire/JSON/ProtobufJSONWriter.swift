// Protobuf to JSON without a tree: bytes of a message go in as they come, JSON text goes out. Protobuf's JSON mapping with proto field
// names and without unset fields (https://protobuf.dev/programming-guides/json).

/// Translates one message after the other. The input may be cut anywhere; what is kept between the pieces is a few words.
public struct ProtobufJSONWriter {
    public enum Failure: Error, Equatable {
        case malformed(ProtobufError)
        /// A repeated field whose elements do not stand together, or a field that comes twice: its JSON would repeat a member.
        case scattered
    }

    /// Messages in each other. Answers nest as deep as transactions do, two levels each.
    public static let depthMax = 1024

    private struct Frame {
        let shape: UnsafePointer<MessageShape>
        /// Where the message ends, counted from the start of the outermost.
        let end: Int
        var hasMembers = false
        /// Number of the repeated field whose bracket is open, 0 for none.
        var openArray = 0
        /// A bit per number below 64 that was written.
        var seen: UInt64 = 0
    }

    private enum Step {
        case tag
        case length
        case scalar
        case unknownVarint, skip(left: Int)
        case base64(left: Int), text(left: Int)
        /// Numbers of a packed field up to here.
        case packed(end: Int)
        case finished
    }

    private var frames: [Frame] = []
    private var step = Step.finished
    private var position = 0
    private var field: UnsafePointer<FieldShape>?
    // A variable-length number that is being gathered.
    private var value: UInt64 = 0
    private var shift: UInt64 = 0
    // Bytes of a group of three that is not whole.
    private var carry: (UInt8, UInt8) = (0, 0)
    private var carried = 0
    /// Escape `<`, `>` and `&` in texts.
    private var escapesHTML = false

    public init() {}

    /// True when the message that was begun is written to its end.
    public var isFinished: Bool { if case .finished = step { true } else { false } }

    /// Begins a message of `length` bytes.
    ///
    /// - Parameter escapesHTML: whether texts are escaped as Go's encoding/json does with what it embeds.
    public mutating func begin(_ type: MessageType, length: Int, escapesHTML: Bool = false, to sink: ByteSink) {
        precondition(isFinished && length >= 0)
        self.escapesHTML = escapesHTML
        position = 0
        step = .tag
        frames.removeAll(keepingCapacity: true)
        frames.append(Frame(shape: type.shape, end: length))
        sink.append(byte: UInt8(ascii: "{"))
        closeEnded(to: sink)
    }

    /// The next bytes of the message: no more than were announced.
    public mutating func write(_ bytes: UnsafeRawBufferPointer, to sink: ByteSink) throws(Failure) {
        var index = 0
        while index < bytes.count {
            switch step {
            case .finished: throw .malformed(.truncated)
            case .tag, .length, .scalar, .unknownVarint, .packed:
                let byte = bytes[index]
                index += 1
                position += 1
                guard position <= frames[frames.count - 1].end else { throw .malformed(.truncated) }
                if shift == 63, byte > 1 { throw .malformed(.varintTooLong) }
                value |= UInt64(byte & 0x7f) << shift
                if byte >= 0x80 {
                    shift += 7
                    if shift > 63 { throw .malformed(.varintTooLong) }
                    if position == frames[frames.count - 1].end { throw .malformed(.truncated) }
                    continue
                }
                let number = value
                value = 0
                shift = 0
                try take(number, to: sink)
            case .skip(let left):
                let size = min(left, bytes.count - index)
                index += size
                position += size
                step = left == size ? .tag : .skip(left: left - size)
            case .base64(let left):
                let size = min(left, bytes.count - index)
                base64(UnsafeRawBufferPointer(rebasing: bytes[index..<index + size]), isLast: left == size, to: sink)
                index += size
                position += size
                step = left == size ? .tag : .base64(left: left - size)
            case .text(let left):
                let size = min(left, bytes.count - index)
                sink.jsonText(UnsafeRawBufferPointer(rebasing: bytes[index..<index + size]), escapesHTML: escapesHTML)
                index += size
                position += size
                if left == size { sink.append(byte: UInt8(ascii: "\"")) }
                step = left == size ? .tag : .text(left: left - size)
            }
            if case .tag = step { closeEnded(to: sink) }
        }
        // All bytes are here, but not all that they announce.
        if let outermost = frames.first, position == outermost.end { throw .malformed(.truncated) }
    }

    // MARK: Parts

    private mutating func take(_ number: UInt64, to sink: ByteSink) throws(Failure) {
        switch step {
        case .tag: try tag(number)
        case .length: try length(number, to: sink)
        case .unknownVarint: step = .tag
        case .scalar:
            step = .tag
            try scalar(number, to: sink)
        case .packed(let end):
            try scalar(number, to: sink)
            if position == end { step = .tag } else if position > end { throw .malformed(.truncated) }
        case .skip, .base64, .text, .finished: preconditionFailure("no number is read here")
        }
    }

    private mutating func tag(_ number: UInt64) throws(Failure) {
        guard number >> 3 > 0, number >> 3 < 1 << 29, let type = WireType(rawValue: UInt8(number & 7)) else { throw .malformed(.invalidTag) }
        field = frames[frames.count - 1].shape.pointee.field(number: Int(number >> 3))
        let isNumber = field.map { $0.pointee.kind != .bytes && $0.pointee.kind != .string && $0.pointee.kind != .message } ?? false
        switch type {
        case .varint:
            if !isNumber { field = nil }
            step = field == nil ? .unknownVarint : .scalar
        case .bytes:
            if isNumber, !field.unsafelyUnwrapped.pointee.isRepeated { field = nil }
            step = .length
        case .fixed64: try skip(8)
        case .fixed32: try skip(4)
        case .startGroup, .endGroup: throw .malformed(.invalidTag)
        }
    }

    private mutating func skip(_ length: Int) throws(Failure) {
        guard length <= frames[frames.count - 1].end - position else { throw .malformed(.truncated) }
        step = length == 0 ? .tag : .skip(left: length)
    }

    private mutating func length(_ number: UInt64, to sink: ByteSink) throws(Failure) {
        guard number <= UInt64(frames[frames.count - 1].end - position) else { throw .malformed(.truncated) }
        let length = Int(number)
        guard let field else { return try skip(length) }
        let isShown = length > 0 || field.pointee.isRepeated || field.pointee.union >= 0
        switch field.pointee.kind {
        case .message:
            guard frames.count < Self.depthMax else { throw .malformed(.tooDeep) }
            try open(field, to: sink)
            sink.append(byte: UInt8(ascii: "{"))
            frames.append(Frame(shape: field.pointee.message.unsafelyUnwrapped, end: position + length))
            step = .tag
        case .bytes, .string:
            guard isShown else {
                step = .tag
                return
            }
            try open(field, to: sink)
            sink.append(byte: UInt8(ascii: "\""))
            if length == 0 {
                sink.append(byte: UInt8(ascii: "\""))
                step = .tag
            } else {
                step = field.pointee.kind == .bytes ? .base64(left: length) : .text(left: length)
            }
        default: step = length == 0 ? .tag : .packed(end: position + length)
        }
    }

    /// Everything in front of a value: what is open is closed or continued, then the name.
    private mutating func open(_ field: UnsafePointer<FieldShape>, to sink: ByteSink) throws(Failure) {
        let top = frames.count - 1
        let number = field.pointee.number
        if frames[top].openArray == number {
            sink.append(byte: UInt8(ascii: ","))
            return
        }
        if frames[top].openArray != 0 {
            sink.append(byte: UInt8(ascii: "]"))
            frames[top].openArray = 0
        }
        let bit: UInt64 = number < 64 ? 1 << UInt64(number) : 0
        guard frames[top].seen & bit == 0 else { throw .scattered }
        frames[top].seen |= bit
        if frames[top].hasMembers { sink.append(byte: UInt8(ascii: ",")) }
        frames[top].hasMembers = true
        sink.append(field.pointee.key)
        if field.pointee.isRepeated {
            sink.append(byte: UInt8(ascii: "["))
            frames[top].openArray = number
        }
    }

    private mutating func scalar(_ number: UInt64, to sink: ByteSink) throws(Failure) {
        let field = field.unsafelyUnwrapped
        guard number != 0 || field.pointee.isRepeated || field.pointee.union >= 0 else { return }
        try open(field, to: sink)
        switch field.pointee.kind {
        case .bool: sink.append(number != 0 ? "true" : "false" as StaticString)
        case .int64: sink.jsonQuoted(Int64(bitPattern: number))
        case .uint64: sink.jsonQuoted(number)
        case .int32: sink.decimal(Int64(Int32(truncatingIfNeeded: number)))
        case .uint32: sink.decimal(UInt64(UInt32(truncatingIfNeeded: number)))
        case .enumeration:
            let value = Int32(truncatingIfNeeded: number)
            if let name = field.pointee.enumeration.unsafelyUnwrapped.pointee.name(of: value) {
                sink.append(byte: UInt8(ascii: "\""))
                sink.append(name)
                sink.append(byte: UInt8(ascii: "\""))
            } else {
                sink.decimal(Int64(value))
            }
        case .bytes, .string, .message: preconditionFailure("not a number")
        }
    }

    /// Ends every message that ends here.
    private mutating func closeEnded(to sink: ByteSink) {
        while let frame = frames.last, frame.end == position {
            if frame.openArray != 0 { sink.append(byte: UInt8(ascii: "]")) }
            sink.append(byte: UInt8(ascii: "}"))
            frames.removeLast()
        }
        if frames.isEmpty { step = .finished }
    }

    private mutating func base64(_ bytes: UnsafeRawBufferPointer, isLast: Bool, to sink: ByteSink) {
        var index = 0
        // A group begun with the piece before.
        while carried > 0, index < bytes.count {
            let byte = bytes[index]
            index += 1
            if carried == 1 {
                carry.1 = byte
                carried = 2
            } else {
                withUnsafeBytes(of: (carry.0, carry.1, byte)) { JSONBase64.encodeGroups($0, to: sink) }
                carried = 0
            }
        }
        let whole = (bytes.count - index) / 3 * 3
        if whole > 0 { JSONBase64.encodeGroups(UnsafeRawBufferPointer(rebasing: bytes[index..<index + whole]), to: sink) }
        index += whole
        if index < bytes.count {
            carry.0 = bytes[index]
            carried = 1
            if index + 1 < bytes.count {
                carry.1 = bytes[index + 1]
                carried = 2
            }
        }
        guard isLast else { return }
        if carried > 0 { JSONBase64.encodeRest(carry.0, carried == 2 ? carry.1 : nil, to: sink) }
        carried = 0
        sink.append(byte: UInt8(ascii: "\""))
    }
}
