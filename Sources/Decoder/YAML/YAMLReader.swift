// YAML to JSON: read with libyaml, scalars taken by the rules of YAML 1.1 as kubectl takes them.

import CYAML
import Wire

/// Turns the first document of a text into JSON.
// A class: optimised, Swift 6.3 makes an initializer of the noncopyable value release an object that it does not own.
public final class YAMLReader {
    private let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
    private var event = yaml_event_t()
    private var hasEvent = false
    private let sink: ByteSink
    /// Where in the output each anchor's value stands.
    private var anchors: [String: Range<Int>] = [:]
    private let start: Int

    /// Appends the document as JSON on one line; `null` for an empty text.
    ///
    /// - Throws: with the line in the reason and the offset of the byte.
    public static func appendJSON(_ yaml: UnsafeRawBufferPointer, to sink: ByteSink) throws(DecodingError) {
        guard yaml.count <= DecoderLimits.valueBytesMax else { throw DecodingError("a document of more than \(DecoderLimits.valueBytesMax) bytes") }
        let mark = sink.count
        do throws(DecodingError) {
            let reader = YAMLReader(yaml, sink)
            try reader.document()
        } catch {
            sink.truncate(to: mark)
            throw error
        }
    }

    private init(_ text: UnsafeRawBufferPointer, _ sink: ByteSink) {
        precondition(yaml_parser_initialize(parser) == 1, "no memory for a YAML parser")
        // An empty text has no address of its own, but libyaml wants one.
        let bytes = text.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? UnsafePointer(bitPattern: 1)!
        yaml_parser_set_input_string(parser, bytes, text.count)
        self.sink = sink
        start = sink.count
    }

    deinit {
        var event = event
        if hasEvent { yaml_event_delete(&event) }
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    private func advance() throws(DecodingError) {
        if hasEvent {
            yaml_event_delete(&event)
            hasEvent = false
        }
        guard yaml_parser_parse(parser, &event) == 1 else {
            let problem = parser.pointee.problem.map { String(cString: $0) } ?? "the text is not YAML"
            let mark = parser.pointee.problem_mark
            throw DecodingError("line \(mark.line + 1): \(problem)", offset: Int(mark.index))
        }
        hasEvent = true
    }

    private func fail(_ reason: String) -> DecodingError {
        DecodingError("line \(event.start_mark.line + 1): \(reason)", offset: Int(event.start_mark.index))
    }

    private func document() throws(DecodingError) {
        while true {
            try advance()
            switch event.type {
            case YAML_STREAM_START_EVENT, YAML_DOCUMENT_START_EVENT: continue
            case YAML_STREAM_END_EVENT: return sink.append("null" as StaticString)
            default: return try node(depth: 1)
            }
        }
    }

    private func node(depth: Int) throws(DecodingError) {
        guard depth <= DecoderLimits.depthMax else { throw fail("values lie more than \(DecoderLimits.depthMax) deep in each other") }
        guard sink.count - start <= DecoderLimits.valueBytesMax else { throw fail("the document unfolds to more than \(DecoderLimits.valueBytesMax) bytes") }
        let begin = sink.count
        let anchor: String?
        switch event.type {
        case YAML_ALIAS_EVENT:
            let name = String(cString: event.data.alias.anchor)
            guard let range = anchors[name] else { throw fail("unknown anchor '\(name)'") }
            let copy = Array(sink.bytes[range])
            sink.append(copy)
            return
        case YAML_SCALAR_EVENT:
            anchor = event.data.scalar.anchor.map { String(cString: $0) }
            appendScalar()
        case YAML_SEQUENCE_START_EVENT:
            anchor = event.data.sequence_start.anchor.map { String(cString: $0) }
            sink.append(byte: UInt8(ascii: "["))
            try advance()
            var isFirst = true
            while event.type != YAML_SEQUENCE_END_EVENT {
                if !isFirst { sink.append(byte: UInt8(ascii: ",")) }
                isFirst = false
                try node(depth: depth + 1)
                try advance()
            }
            sink.append(byte: UInt8(ascii: "]"))
        case YAML_MAPPING_START_EVENT:
            anchor = event.data.mapping_start.anchor.map { String(cString: $0) }
            try mapping(depth: depth)
        default:
            throw fail("a value is missing")
        }
        if let anchor { anchors[anchor] = begin..<sink.count }
    }

    private func mapping(depth: Int) throws(DecodingError) {
        sink.append(byte: UInt8(ascii: "{"))
        try advance()
        var isFirst = true
        while event.type != YAML_MAPPING_END_EVENT {
            guard event.type == YAML_SCALAR_EVENT else { throw fail("a key must be one word") }
            if !isFirst { sink.append(byte: UInt8(ascii: ",")) }
            isFirst = false
            let data = event.data.scalar
            let isMerge =
                data.style == YAML_PLAIN_SCALAR_STYLE && data.length == 2 && data.value[0] == UInt8(ascii: "<")
                && data.value[1] == UInt8(ascii: "<")
            sink.jsonString(UnsafeRawBufferPointer(start: data.value, count: data.length))
            sink.append(byte: UInt8(ascii: ":"))
            try advance()
            // With a word behind it, it is a key as any other.
            if isMerge, event.type != YAML_SCALAR_EVENT { throw fail("merge keys are not supported") }
            try node(depth: depth + 1)
            try advance()
        }
        sink.append(byte: UInt8(ascii: "}"))
    }

    /// A plain scalar may be a number, a truth value or nothing; a quoted or tagged one is a string.
    private func appendScalar() {
        let data = event.data.scalar
        let bytes = UnsafeRawBufferPointer(start: data.value, count: data.length)
        let tag = data.tag.map { String(cString: $0) }
        let isBinary = tag == "tag:yaml.org,2002:binary"
        guard data.style == YAML_PLAIN_SCALAR_STYLE, tag == nil || tag!.hasPrefix("tag:yaml.org,2002:") && tag != "tag:yaml.org,2002:str", !isBinary else {
            return sink.jsonString(bytes)
        }
        let text = String(decoding: bytes, as: UTF8.self)
        if let json = PlainScalars.json(text) { sink.append(json) } else { sink.jsonString(bytes) }
    }
}
