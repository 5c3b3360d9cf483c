// One command line of a script: a name, arguments, `key=value` options and lists in parentheses.

import Raft
import Wire

struct ScriptCommand {
    struct Failure: Error, CustomStringConvertible {
        let description: String
        init(_ description: String) { self.description = description }
    }

    /// Chooses among the messages in flight.
    struct Filter {
        var from: MemberID?
        var to: MemberID?
        var kind: String?

        func matches(_ message: Message) -> Bool {
            (from == nil || message.from == from) && (to == nil || message.to == to)
                && (kind == nil || message.kind.logName == kind)
        }
    }

    let name: String
    private let words: [String]
    private let options: [String: String]

    init(_ line: String) {
        var words: [String] = []
        var options: [String: String] = [:]
        // Parentheses keep their blanks.
        var word = ""
        var depth = 0
        for character in line + " " {
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            if character == " ", depth == 0 {
                if let sign = word.firstIndex(of: "=") {
                    options[String(word[..<sign])] = String(word[word.index(after: sign)...])
                } else if !word.isEmpty {
                    words.append(word)
                }
                word = ""
            } else {
                word.append(character)
            }
        }
        name = words.first ?? ""
        self.words = Array(words.dropFirst())
        self.options = options
    }

    func member(_ position: Int) throws -> MemberID {
        guard position < words.count, let number = UInt64(words[position]) else {
            throw Failure("argument \(position + 1) must be a member")
        }
        return MemberID(number)
    }

    func members(_ position: Int) throws -> [MemberID] {
        position < words.count ? try parse(words[position]) : []
    }

    func list(_ key: String) throws -> [MemberID] { try options[key].map(parse) ?? [] }

    func groups() throws -> [[MemberID]] { try words.map(parse) }

    private func parse(_ text: String) throws -> [MemberID] {
        try text.filter { $0 != "(" && $0 != ")" }.split(separator: " ").map {
            guard let number = UInt64($0) else { throw Failure("\($0) is no member") }
            return MemberID(number)
        }
    }

    func number(_ position: Int) throws -> Int {
        guard position < words.count, let number = Int(words[position]) else {
            throw Failure("argument \(position + 1) must be a number")
        }
        return number
    }

    /// The last argument if it is a number behind a member, or the only one of `tick-all`.
    var count: Int {
        let position = name == "tick-all" ? 0 : 1
        return position < words.count ? Int(words[position]) ?? 1 : 1
    }

    func text(after position: Int) -> String { words.dropFirst(position).joined(separator: " ") }
    func option(_ key: String) -> Int? { options[key].flatMap(Int.init) }

    func filter() -> Filter {
        Filter(
            from: option("from").map { MemberID(UInt64($0)) }, to: option("to").map { MemberID(UInt64($0)) },
            kind: options["kind"])
    }

    func logLevel() throws -> LogLine.Level {
        switch words.first {
        case "debug": .debug
        case "info": .info
        case "none": .error
        default: throw Failure("log debug, info or none")
        }
    }

    /// `change 1 v4 l5 r2 u1 [joint|explicit]`; without changes it leaves a joint configuration.
    func change() throws -> ConfigurationChangeV2 {
        var change = ConfigurationChangeV2()
        for word in words.dropFirst() {
            switch word {
            case "joint": change.transition = .jointImplicit
            case "explicit": change.transition = .jointExplicit
            default: change.changes.append(try single(word))
            }
        }
        return change
    }

    func changeV1() throws -> ConfigurationChange {
        let single = try single(text(after: 1))
        return ConfigurationChange(kind: single.kind, member: single.member)
    }

    private func single(_ word: String) throws -> ConfigurationChangeV2.Single {
        let kinds: [Character: ConfigurationChangeKind] = ["v": .addVoter, "l": .addLearner, "r": .remove, "u": .update]
        guard let first = word.first, let kind = kinds[first], let number = UInt64(word.dropFirst()) else {
            throw Failure("\(word) is no change")
        }
        return .init(kind: kind, member: MemberID(number))
    }

    /// `step 1 from=2 kind=MsgHeartbeat term=3 index=4 logterm=2 commit=7`: a message that nobody sent.
    func message() throws -> Message {
        guard let kind = (0...23).compactMap({ MessageKind(rawValue: $0) }).first(where: { $0.logName == options["kind"] })
        else { throw Failure("no such kind") }
        func value(_ key: String) -> UInt64 { UInt64(option(key) ?? 0) }
        var entries: [Entry] = []
        if option("entry") != nil { entries = [Entry(term: value("entry-term"), index: value("entry"))] }
        return Message(
            kind: kind, to: try member(0), from: MemberID(value("from")), term: value("term"), logTerm: value("logterm"),
            index: value("index"), entries: entries, commit: value("commit"), reject: value("reject") == 1,
            rejectHint: value("hint"))
    }
}
