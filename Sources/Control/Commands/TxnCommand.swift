// txn: a transaction in text.

import Client
import CommandLineTools

extension ControlTool {
    func txnCommand() -> Command {
        let command = Command("txn [options]", "Txn processes all the requests in one transaction")
        let isInteractive = command.flags.add("interactive", short: "i", false, "Input transaction in interactive mode")
        command.runAsync = { [unowned self] invocation in
            guard invocation.arguments.isEmpty else { throw badArguments("txn command does not accept argument") }
            func prompt(_ text: String) {
                guard isInteractive.value else { return }
                invocation.console.print(text)
                invocation.console.flush()
            }
            var input = TxnInput()
            prompt("compares:")
            let comparisons = try input.comparisons()
            prompt("success requests (get, put, del):")
            let success = try input.operations()
            prompt("failure requests (get, put, del):")
            let failure = try input.operations()
            let client = try await self.client(invocation.console)
            let answer = try await attempt { try await client.transactionAnswer(Transaction(if: comparisons, then: success, else: failure)) }
            try self.printer(invocation.console).transaction(answer)
        }
        return command
    }
}

/// The text of a transaction, line by line.
struct TxnInput {
    var nextLine: () -> String? = { readLine(strippingNewline: false) }

    private mutating func block() throws -> [String] {
        var lines: [String] = []
        while true {
            guard let line = nextLine() else { throw CommandFailure("EOF", status: Status.invalidInput) }
            let trimmed = trim(line)
            if trimmed.isEmpty { return lines }
            lines.append(trimmed)
        }
    }

    mutating func comparisons() throws -> [Comparison] { try block().map(Self.comparison) }
    mutating func operations() throws -> [Operation] { try block().map(Self.operation) }

    // MARK: Comparisons

    /// `TARGET("key") OP "value"`
    static func comparison(_ line: String) throws -> Comparison {
        func malformed(_ why: String = "") -> CommandFailure {
            CommandFailure("malformed comparison: \(line)\(why)", status: Status.invalidInput)
        }
        guard let open = line.firstIndex(of: "(") else { throw malformed() }
        let target = String(line[..<open])
        var rest = line[line.index(after: open)...]
        func isBlank(_ character: Character) -> Bool { character == " " || character == "\t" }
        rest = rest.drop(while: isBlank)
        guard let key = quoted(&rest) else { throw malformed("; got \(target)(\"\")  \"\"") }
        // Blanks must stand where etcdctl's pattern has some.
        guard rest.first == ")", rest.dropFirst().first.map(isBlank) == true else {
            throw malformed("; got \(target)(\(GoText.quoted(key)))  \"\"")
        }
        rest = rest.dropFirst().drop(while: isBlank)
        let symbol = String(rest.prefix { !isBlank($0) })
        rest = rest.dropFirst(symbol.count)
        guard rest.first.map(isBlank) == true else { throw malformed("; got \(target)(\(GoText.quoted(key))) \(symbol) \"\"") }
        rest = rest.drop(while: isBlank)
        guard let value = quoted(&rest) else { throw malformed("; got \(target)(\(GoText.quoted(key))) \(symbol) \"\"") }
        let relation: Comparison.Relation
        switch symbol {
        case "=": relation = .equal
        case "!=": relation = .notEqual
        case "<": relation = .less
        case ">": relation = .greater
        // etcdctl crashes here.
        default: throw malformed(" (unknown op \(symbol))")
        }
        func number(_ parse: (String) -> Result<Int64, Numbers.Malformed>) throws -> Int64 {
            switch parse(String(decoding: value, as: UTF8.self)) {
            case .success(let number): return number
            case .failure: throw CommandFailure("invalid txn compare request: \(line)", status: Status.invalidInput)
            }
        }
        let operand: Comparison.Operand
        switch target {
        case "ver", "version": operand = .version(try number(Numbers.decimal))
        case "c", "create": operand = .createRevision(try number(Numbers.decimal))
        case "m", "mod": operand = .modRevision(try number(Numbers.decimal))
        case "val", "value": operand = .value(value)
        case "lease": operand = .lease(try number(Numbers.hexadecimal))
        default: throw malformed(" (unknown target \(target))")
        }
        return Comparison(key, relation, operand)
    }

    // MARK: Operations

    static func operation(_ line: String) throws -> Operation {
        func invalid() -> CommandFailure { CommandFailure("invalid txn request: \(line)", status: Status.invalidInput) }
        let words = try words(line)
        guard words.count > 1 else { throw CommandFailure("invalid txn compare request: \(line)", status: Status.invalidInput) }
        let flags = FlagSet()
        func arguments() throws -> [String] {
            do throws(CommandLineError) { return try flags.parse(Array(words.dropFirst())) } catch { throw invalid() }
        }
        switch words[0] {
        case "get":
            let get = GetFlags(flags)
            return .get(try get.request(try arguments()))
        case "put":
            let put = PutFlags(flags)
            return .put(try put.request(try arguments()) { [] })
        case "del":
            let delete = DeleteFlags(flags)
            return .delete(try delete.request(try arguments()))
        default: throw invalid()
        }
    }

    /// Words between blanks; `'…'` is taken as it is, `"…"` as Go reads it.
    static func words(_ line: String) throws -> [String] {
        var words: [String] = []
        var rest = line[...]
        while true {
            rest = rest.drop { $0 == " " || $0 == "\t" }
            guard let first = rest.first else { return words }
            if first == "'" {
                let inner = rest.dropFirst()
                guard let end = inner.firstIndex(of: "'") else {
                    throw CommandFailure("invalid txn request: \(line)", status: Status.invalidInput)
                }
                words.append(String(inner[..<end]))
                rest = inner[inner.index(after: end)...]
            } else if first == "\"" {
                guard let text = quoted(&rest) else {
                    throw CommandFailure("invalid txn request: \(line)", status: Status.invalidInput)
                }
                words.append(String(decoding: text, as: UTF8.self))
            } else {
                let word = rest.prefix { $0 != " " && $0 != "\t" }
                words.append(String(word))
                rest = rest.dropFirst(word.count)
            }
        }
    }

    /// A Go string in double quotes at the front, and what it stands for.
    static func quoted(_ rest: inout Substring) -> [UInt8]? {
        guard rest.first == "\"" else { return nil }
        var bytes: [UInt8] = []
        var scalars = rest.unicodeScalars.dropFirst()
        while let scalar = scalars.popFirst() {
            switch scalar {
            case "\"":
                rest = rest[scalars.startIndex...]
                return bytes
            case "\\":
                guard let escape = scalars.popFirst() else { return nil }
                func number(_ digits: Int, _ radix: Int, _ first: String = "") -> UInt32? {
                    var text = first
                    for _ in 0..<digits { text.unicodeScalars.append(scalars.popFirst() ?? " ") }
                    return UInt32(text, radix: radix)
                }
                switch escape {
                case "a": bytes.append(7)
                case "b": bytes.append(8)
                case "f": bytes.append(12)
                case "n": bytes.append(10)
                case "r": bytes.append(13)
                case "t": bytes.append(9)
                case "v": bytes.append(11)
                case "\\", "\"": bytes.append(UInt8(escape.value))
                case "x":
                    guard let value = number(2, 16) else { return nil }
                    bytes.append(UInt8(value))
                case "0"..."7":
                    guard let value = number(2, 8, String(escape)), value < 256 else { return nil }
                    bytes.append(UInt8(value))
                case "u", "U":
                    guard let value = number(escape == "u" ? 4 : 8, 16), let made = Unicode.Scalar(value) else { return nil }
                    bytes += Array(String(Character(made)).utf8)
                default: return nil
                }
            default: bytes += Array(String(Character(scalar)).utf8)
            }
        }
        return nil
    }
}

func trim(_ text: String) -> String {
    var rest = text[...]
    while rest.first?.isWhitespace == true { rest.removeFirst() }
    while rest.last?.isWhitespace == true { rest.removeLast() }
    return String(rest)
}

extension Printer {
    func transaction(_ answer: Answer<TransactionResponse>) throws {
        try show(answer, "TxnResponse") { response in
            header(response.header)
            field("Succeeded", response.succeeded)
            for operation in response.responses {
                switch operation {
                case .get(let get): getFields(get)
                case .put(let put): putFields(put)
                case .delete(let delete): deleteFields(delete)
                case .transaction, .none: field("Unknown", quoted: "")
                }
            }
        } simple: { response in
            line(response.succeeded ? "SUCCESS" : "FAILURE")
            for operation in response.responses {
                line("")
                switch operation {
                case .get(let get): for kv in get.kvs { keyValue(kv) }
                case .put(let put): putSimple(put)
                case .delete(let delete): deleteSimple(delete)
                case .transaction, .none: continue
                }
            }
        }
    }
}
