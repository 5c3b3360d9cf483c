// Templates of --template and fields of --filter: the part of Go's text/template that such uses need.

import CommandLineTools
import Wire

/// A text with actions in double braces.
///
/// Actions: `.Value.metadata.name`, `$`, texts, numbers, pipelines with `index`, `len`, `eq`, `ne`, `and`, `or`, `not`, `print`,
/// `printf`; `if`, `else`, `else if`, `with`, `range`, `end`; comments; `{{-` and `-}}`. What is missing prints as `<no value>`.
/// Numbers print as they are written, where Go's would turn large ones into powers of ten.
struct Template {
    private indirect enum Node {
        case text(Substring)
        case pipeline([Call])
        case branch(Branch, [Call], then: [Node], otherwise: [Node])
    }

    private enum Branch { case condition, with, range }

    /// A function with arguments, or one argument alone. The value of the call before is its last argument.
    private struct Call {
        var arguments: [Argument]
    }

    private indirect enum Argument {
        case field([Substring])
        case root([Substring])
        case literal(JSONValue)
        case function(Substring)
        case group([Call])
    }

    private let nodes: [Node]

    init(_ text: String) throws(CommandFailure) {
        var parser = Parser(try Parser.tokens(text))
        nodes = try parser.nodes(depth: 0, isNested: false).nodes
    }

    /// A field alone: `.Value.metadata.namespace`.
    init(field: String) throws(CommandFailure) { try self.init("{{" + field + "}}") }

    func text(_ data: JSONValue) throws(CommandFailure) -> String {
        var output = ""
        try Template.run(nodes, data, data, &output)
        return output
    }

    // MARK: Parsing

    private struct Parser {
        enum Token {
            case text(Substring)
            case action(Substring)
        }

        private let tokens: [Token]
        private var at = 0

        init(_ tokens: [Token]) { self.tokens = tokens }

        static func fail(_ text: String) -> CommandFailure { CommandFailure("template: \(text)") }

        static func tokens(_ text: String) throws(CommandFailure) -> [Token] {
            var tokens: [Token] = []
            var rest = Substring(text)
            var trimsNext = false
            while true {
                let open = rest.range(of: "{{")
                var plain = rest[..<(open?.lowerBound ?? rest.endIndex)]
                if trimsNext { plain = plain.drop { $0.isWhitespace } }
                guard let open else {
                    if !plain.isEmpty { tokens.append(.text(plain)) }
                    return tokens
                }
                rest = rest[open.upperBound...]
                guard let close = Parser.end(of: rest) else { throw fail("unclosed action") }
                var action = rest[..<close]
                rest = rest[rest.index(close, offsetBy: 2)...]
                if action.first == "-", action.dropFirst().first?.isWhitespace == true {
                    action = action.dropFirst()
                    while plain.last?.isWhitespace == true { plain.removeLast() }
                }
                trimsNext = action.last == "-" && action.dropLast().last?.isWhitespace == true
                if trimsNext { action = action.dropLast() }
                if !plain.isEmpty { tokens.append(.text(plain)) }
                action = action.trimmed
                if !(action.hasPrefix("/*") && action.hasSuffix("*/")) { tokens.append(.action(action)) }
            }
        }

        /// Where an action's `}}` is, past texts in quotes.
        private static func end(of text: Substring) -> Substring.Index? {
            var quote: Character?
            var index = text.startIndex
            while index < text.endIndex {
                let character = text[index]
                if let open = quote {
                    if character == "\\", open == "\"" {
                        index = text.index(after: index)
                        guard index < text.endIndex else { return nil }
                    } else if character == open {
                        quote = nil
                    }
                } else if character == "\"" || character == "`" {
                    quote = character
                } else if text[index...].hasPrefix("}}") {
                    return index
                }
                index = text.index(after: index)
            }
            return nil
        }

        enum End { case end, otherwise(Substring), text }

        mutating func nodes(depth: Int, isNested: Bool) throws(CommandFailure) -> (nodes: [Node], end: End) {
            guard depth < ToolLimits.templateDepthMax else { throw Parser.fail("actions lie more than \(ToolLimits.templateDepthMax) deep in each other") }
            var nodes: [Node] = []
            while at < tokens.count {
                let token = tokens[at]
                at += 1
                guard case .action(let action) = token else {
                    if case .text(let text) = token { nodes.append(.text(text)) }
                    continue
                }
                let word = action.prefix { $0.isLetter }
                let rest = action.dropFirst(word.count).trimmed
                switch word {
                case "if", "with", "range":
                    nodes.append(try branch(word == "if" ? .condition : word == "with" ? .with : .range, rest, depth: depth))
                case "else":
                    guard isNested else { throw Parser.fail("unexpected {{else}}") }
                    return (nodes, .otherwise(rest))
                case "end":
                    guard isNested else { throw Parser.fail("unexpected {{end}}") }
                    return (nodes, .end)
                default: nodes.append(.pipeline(try Parser.pipeline(action)))
                }
            }
            guard !isNested else { throw Parser.fail("unexpected EOF") }
            return (nodes, .text)
        }

        private mutating func branch(_ kind: Branch, _ condition: Substring, depth: Int) throws(CommandFailure) -> Node {
            let pipeline = try Parser.pipeline(condition)
            let (then, end) = try nodes(depth: depth + 1, isNested: true)
            guard case .otherwise(let rest) = end else { return .branch(kind, pipeline, then: then, otherwise: []) }
            if rest.hasPrefix("if ") {
                return .branch(kind, pipeline, then: then, otherwise: [try branch(.condition, rest.dropFirst(3), depth: depth + 1)])
            }
            let (otherwise, last) = try nodes(depth: depth + 1, isNested: true)
            guard case .end = last else { throw Parser.fail("expected end; found {{else}}") }
            return .branch(kind, pipeline, then: then, otherwise: otherwise)
        }

        private static func pipeline(_ text: Substring) throws(CommandFailure) -> [Call] {
            var rest = text.trimmed
            let calls = try calls(&rest, depth: 0)
            guard rest.isEmpty else { throw fail("unexpected \(GoText.quoted(String(rest.prefix(20)))) in operand") }
            return calls
        }

        private static func calls(_ rest: inout Substring, depth: Int) throws(CommandFailure) -> [Call] {
            guard depth < ToolLimits.templateDepthMax else { throw fail("parentheses are nested too deeply") }
            var calls: [Call] = []
            var call = Call(arguments: [])
            while true {
                rest = rest.trimmed
                guard let first = rest.first, first != ")" else { break }
                switch first {
                case "|":
                    rest.removeFirst()
                    guard !call.arguments.isEmpty else { throw fail("missing value for command") }
                    calls.append(call)
                    call = Call(arguments: [])
                case "(":
                    rest.removeFirst()
                    let inner = try Parser.calls(&rest, depth: depth + 1)
                    guard rest.first == ")" else { throw fail("unclosed left paren") }
                    rest.removeFirst()
                    call.arguments.append(.group(inner))
                default: call.arguments.append(try argument(&rest))
                }
            }
            guard !call.arguments.isEmpty else { throw fail("missing value for command") }
            return calls + [call]
        }

        private static func argument(_ rest: inout Substring) throws(CommandFailure) -> Argument {
            if rest.first == "\"" || rest.first == "`" {
                let quote = rest.removeFirst()
                var text = ""
                while let character = rest.popFirst() {
                    if character == quote { return .literal(.string(text)) }
                    if character == "\\", quote == "\"", let next = rest.popFirst() {
                        text.append(next == "n" ? "\n" : next == "t" ? "\t" : next)
                    } else {
                        text.append(character)
                    }
                }
                throw fail("unterminated quoted string")
            }
            let word = rest.prefix { !$0.isWhitespace && $0 != "|" && $0 != "(" && $0 != ")" }
            rest = rest.dropFirst(word.count)
            switch word {
            case "true": return .literal(.bool(true))
            case "false": return .literal(.bool(false))
            case "nil": return .literal(.null)
            default: break
            }
            if word.hasPrefix(".") { return .field(try path(word.dropFirst(), word)) }
            if word == "$" { return .root([]) }
            if word.hasPrefix("$.") { return .root(try path(word.dropFirst(2), word)) }
            if let first = word.first, first.isNumber || first == "-", Double(String(word)) != nil { return .literal(.number(String(word))) }
            guard Template.functions.contains(String(word)) else { throw fail("function \(GoText.quoted(String(word))) not defined") }
            return .function(word)
        }

        private static func path(_ text: Substring, _ word: Substring) throws(CommandFailure) -> [Substring] {
            guard !text.isEmpty else { return [] }
            let names = text.split(separator: ".", omittingEmptySubsequences: false)
            guard names.allSatisfy({ !$0.isEmpty && $0.allSatisfy { $0.isLetter || $0.isNumber || $0 == "_" } }) else {
                throw fail("bad field \(GoText.quoted(String(word))); use index for names with other characters")
            }
            return names
        }
    }

    // MARK: Running

    private static let functions: Set<String> = ["index", "len", "eq", "ne", "and", "or", "not", "print", "printf"]

    private static func run(_ nodes: [Node], _ dot: JSONValue, _ root: JSONValue, _ output: inout String) throws(CommandFailure) {
        for node in nodes {
            guard output.utf8.count < ToolLimits.templateBytesMax else { throw Parser.fail("the output is too long") }
            switch node {
            case .text(let text): output += text
            case .pipeline(let calls): output += shown(try value(calls, dot, root))
            case .branch(let kind, let calls, let then, let otherwise):
                let value = try value(calls, dot, root)
                guard isTrue(value) else {
                    try run(otherwise, dot, root, &output)
                    continue
                }
                switch (kind, value) {
                case (.condition, _): try run(then, dot, root, &output)
                case (.with, let value): try run(then, value, root, &output)
                case (.range, .array(let elements)): for element in elements { try run(then, element, root, &output) }
                case (.range, .object(let members)):
                    for member in members.sorted(by: { $0.name < $1.name }) { try run(then, member.value, root, &output) }
                case (.range, let value): throw Parser.fail("range can't iterate over \(shown(value))")
                }
            }
        }
    }

    private static func value(_ calls: [Call], _ dot: JSONValue, _ root: JSONValue) throws(CommandFailure) -> JSONValue {
        var last: JSONValue?
        for call in calls {
            var values: [JSONValue] = []
            var name: Substring?
            for (index, argument) in call.arguments.enumerated() {
                switch argument {
                case .function(let function):
                    guard index == 0 else { throw Parser.fail("\(function) is a function, not a value; parentheses are missing") }
                    name = function
                case .field(let path): values.append(field(path, dot))
                case .root(let path): values.append(field(path, root))
                case .literal(let value): values.append(value)
                case .group(let calls): values.append(try value(calls, dot, root))
                }
            }
            if let last { values.append(last) }
            if let name {
                last = try apply(name, values)
            } else {
                guard values.count == 1 else { throw Parser.fail("can't give argument to non-function") }
                last = values[0]
            }
        }
        return last!
    }

    private static func field(_ path: [Substring], _ value: JSONValue) -> JSONValue {
        path.reduce(value) { value, name in value[String(name)] ?? .null }
    }

    private static func apply(_ name: Substring, _ values: [JSONValue]) throws(CommandFailure) -> JSONValue {
        func need(_ count: Int) throws(CommandFailure) {
            guard values.count >= count else { throw Parser.fail("wrong number of args for \(name): want at least \(count) got \(values.count)") }
        }
        switch name {
        case "index":
            try need(1)
            return try values.dropFirst().reduce(.success(values[0])) { (result: Result<JSONValue, CommandFailure>, key) in
                guard case .success(let value) = result else { return result }
                switch (value, key) {
                case (.array(let elements), .number(let text)):
                    guard let index = Int(text), elements.indices.contains(index) else { return .failure(Parser.fail("index out of range: \(text)")) }
                    return .success(elements[index])
                case (_, .string(let name)): return .success(value[name] ?? .null)
                default: return .failure(Parser.fail("cannot index \(shown(value)) with \(shown(key))"))
                }
            }.get()
        case "len":
            try need(1)
            switch values[0] {
            case .string(let text): return .number(String(text.utf8.count))
            case .array(let elements): return .number(String(elements.count))
            case .object(let members): return .number(String(members.count))
            default: throw Parser.fail("len of type \(shown(values[0]))")
            }
        case "eq":
            try need(2)
            return .bool(values.dropFirst().contains(values[0]))
        case "ne":
            try need(2)
            return .bool(values[0] != values[1])
        case "and":
            try need(1)
            return values.first { !isTrue($0) } ?? values[values.count - 1]
        case "or":
            try need(1)
            return values.first(where: isTrue) ?? values[values.count - 1]
        case "not":
            try need(1)
            return .bool(!isTrue(values[0]))
        case "print": return .string(values.map(shown).joined(separator: " "))
        default:
            try need(1)
            return .string(formatted(shown(values[0]), values.dropFirst()))
        }
    }

    /// `%s`, `%v`, `%d` print the next value, `%q` in quotes; `%%` a percent sign.
    private static func formatted(_ format: String, _ values: ArraySlice<JSONValue>) -> String {
        var rest = values
        var output = ""
        var isVerb = false
        for character in format {
            guard isVerb else {
                if character == "%" { isVerb = true } else { output.append(character) }
                continue
            }
            isVerb = false
            switch character {
            case "%": output.append("%")
            case "q": output += rest.popFirst().map { GoText.quoted(shown($0)) } ?? "%!q(MISSING)"
            case "s", "v", "d": output += rest.popFirst().map(shown) ?? "%!\(character)(MISSING)"
            default: output += "%!\(character)(" + (rest.popFirst().map(shown) ?? "") + ")"
            }
        }
        return output
    }

    private static func isTrue(_ value: JSONValue) -> Bool {
        switch value {
        case .null: false
        case .bool(let value): value
        case .number(let text): Double(text) != 0
        case .string(let text): !text.isEmpty
        case .array(let elements): !elements.isEmpty
        case .object(let members): !members.isEmpty
        }
    }

    /// As Go prints it.
    private static func shown(_ value: JSONValue) -> String {
        switch value {
        case .null: "<no value>"
        case .bool(let value): value ? "true" : "false"
        case .number(let text): text
        case .string(let text): text
        case .array(let elements): "[" + elements.map(shown).joined(separator: " ") + "]"
        case .object(let members):
            "map[" + members.sorted { $0.name < $1.name }.map { "\($0.name):\(shown($0.value))" }.joined(separator: " ") + "]"
        }
    }
}

extension Substring {
    fileprivate var trimmed: Substring {
        var text = drop { $0.isWhitespace }
        while text.last?.isWhitespace == true { text.removeLast() }
        return text
    }

    /// Where another text begins and ends in it.
    fileprivate func range(of wanted: String) -> Range<Index>? {
        var index = startIndex
        while index < endIndex {
            if self[index...].hasPrefix(wanted) { return index..<self.index(index, offsetBy: wanted.count) }
            index = self.index(after: index)
        }
        return nil
    }
}
