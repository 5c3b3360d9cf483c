// A YAML document as a tree, read with libyaml. JSON is YAML, so it reads that too.

import CYAML

/// A node of a document. Aliases share the node they stand for, so that a document cannot unfold into more
/// memory than it has bytes.
struct YAMLNode: Sendable {
    indirect enum Content: Sendable {
        case scalar(YAMLScalar)
        case sequence([YAMLNode])
        case mapping([(key: String, value: YAMLNode)])
    }

    let content: Content
    /// Counted from 1.
    let line: Int

    /// The members of a mapping; nil for anything else.
    var members: [(key: String, value: YAMLNode)]? {
        if case .mapping(let members) = content { members } else { nil }
    }
}

/// Why a document cannot be read.
struct YAMLError: Error, Equatable {
    let line: Int
    let problem: String
}

/// Bounds of a document: a configuration has some hundred lines.
enum YAMLLimits {
    /// Beyond: the file is refused before it is read further.
    static let bytesMax = 1 << 20
    /// Beyond: refused, as are more nodes.
    static let depthMax = 32
    static let nodesMax = 20_000
}

/// Reads the first document of a text.
// A class: optimised, Swift 6.3 makes an initializer of the noncopyable value release an object that it does not own.
final class YAMLReader {
    /// On the heap: libyaml keeps a pointer to it in itself.
    private let parser = UnsafeMutablePointer<yaml_parser_t>.allocate(capacity: 1)
    private var event = yaml_event_t()
    private var hasEvent = false
    private var anchors: [String: YAMLNode] = [:]
    private var nodes = 0

    /// The document's root, or nil when there is none.
    static func read(_ bytes: [UInt8]) throws(YAMLError) -> YAMLNode? {
        guard bytes.count <= YAMLLimits.bytesMax else {
            throw YAMLError(line: 1, problem: "the document is larger than \(YAMLLimits.bytesMax) bytes")
        }
        // libyaml keeps a pointer to the text, so that it must stay where it is until the end.
        let text = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: max(bytes.count, 1))
        defer { text.deallocate() }
        _ = text.initialize(from: bytes)
        let reader = YAMLReader(text.baseAddress!, count: bytes.count)
        return try reader.document()
    }

    private init(_ text: UnsafePointer<UInt8>, count: Int) {
        precondition(yaml_parser_initialize(parser) == 1, "no memory for a YAML parser")
        yaml_parser_set_input_string(parser, text, count)
    }

    deinit {
        var event = event
        if hasEvent { yaml_event_delete(&event) }
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    // MARK: Events

    private var line: Int { Int(event.start_mark.line) + 1 }

    private func advance() throws(YAMLError) {
        if hasEvent {
            yaml_event_delete(&event)
            hasEvent = false
        }
        guard yaml_parser_parse(parser, &event) == 1 else {
            let problem = parser.pointee.problem.map { String(cString: $0) } ?? "the text is not YAML"
            throw YAMLError(line: Int(parser.pointee.problem_mark.line) + 1, problem: problem)
        }
        hasEvent = true
    }

    private func fail(_ problem: String) -> YAMLError { YAMLError(line: line, problem: problem) }

    private func document() throws(YAMLError) -> YAMLNode? {
        while true {
            try advance()
            switch event.type {
            case YAML_STREAM_START_EVENT, YAML_DOCUMENT_START_EVENT: continue
            case YAML_STREAM_END_EVENT: return nil
            default: return try node(depth: 0)
            }
        }
    }

    /// The node that begins with the current event; afterwards its last event is current.
    private func node(depth: Int) throws(YAMLError) -> YAMLNode {
        nodes += 1
        guard depth <= YAMLLimits.depthMax else { throw fail("nested deeper than \(YAMLLimits.depthMax) levels") }
        guard nodes <= YAMLLimits.nodesMax else { throw fail("more than \(YAMLLimits.nodesMax) values") }
        let line = line
        switch event.type {
        case YAML_ALIAS_EVENT:
            let name = String(cString: event.data.alias.anchor)
            guard let node = anchors[name] else { throw fail("unknown anchor '\(name)' referenced") }
            return node
        case YAML_SCALAR_EVENT:
            let anchor = event.data.scalar.anchor.map { String(cString: $0) }
            return remember(YAMLNode(content: .scalar(scalar()), line: line), anchor)
        case YAML_SEQUENCE_START_EVENT:
            let anchor = event.data.sequence_start.anchor.map { String(cString: $0) }
            var items: [YAMLNode] = []
            try advance()
            while event.type != YAML_SEQUENCE_END_EVENT {
                items.append(try node(depth: depth + 1))
                try advance()
            }
            return remember(YAMLNode(content: .sequence(items), line: line), anchor)
        case YAML_MAPPING_START_EVENT:
            let anchor = event.data.mapping_start.anchor.map { String(cString: $0) }
            return remember(YAMLNode(content: .mapping(try members(depth: depth)), line: line), anchor)
        default:
            throw fail("a value is missing")
        }
    }

    private func remember(_ node: YAMLNode, _ anchor: String?) -> YAMLNode {
        if let anchor { anchors[anchor] = node }
        return node
    }

    private func members(depth: Int) throws(YAMLError) -> [(key: String, value: YAMLNode)] {
        var members: [(key: String, value: YAMLNode)] = []
        // Members of `<<` come before all others: the last one of a name counts.
        var merged: [(key: String, value: YAMLNode)] = []
        try advance()
        while event.type != YAML_MAPPING_END_EVENT {
            let key = try node(depth: depth + 1)
            guard case .scalar(let scalar) = key.content else { throw YAMLError(line: key.line, problem: "invalid map key") }
            try advance()
            let value = try node(depth: depth + 1)
            if scalar.text == "<<", scalar.isPlain {
                merged += try merging(value)
                guard merged.count <= YAMLLimits.nodesMax else { throw fail("more than \(YAMLLimits.nodesMax) values") }
            } else {
                members.append((scalar.text, value))
            }
            try advance()
        }
        return merged + members
    }

    private func merging(_ node: YAMLNode) throws(YAMLError) -> [(key: String, value: YAMLNode)] {
        switch node.content {
        case .mapping(let members): return members
        case .sequence(let items):
            // The first of several wins.
            var members: [(key: String, value: YAMLNode)] = []
            for item in items.reversed() {
                guard let more = item.members else { break }
                members += more
                guard members.count <= YAMLLimits.nodesMax else { throw fail("more than \(YAMLLimits.nodesMax) values") }
            }
            return members
        case .scalar: throw YAMLError(line: node.line, problem: "map merge requires map or sequence of maps as the value")
        }
    }

    private func scalar() -> YAMLScalar {
        let data = event.data.scalar
        let text = String(decoding: UnsafeBufferPointer(start: data.value, count: data.length), as: UTF8.self)
        return YAMLScalar(
            text: text, isPlain: data.style == YAML_PLAIN_SCALAR_STYLE, tag: data.tag.map { String(cString: $0) })
    }
}
