// Flags by name, and reading them from arguments as pflag does.

/// A set of flags. Belongs to one thread.
public final class FlagSet {
    /// In the order in which they were added.
    public private(set) var all: [any Flag] = []
    private var byName: [String: any Flag] = [:]

    public init() {}

    public subscript(_ name: String) -> (any Flag)? { byName[name] }

    /// Adds a flag.
    ///
    /// - Parameters:
    ///   - short: one letter, for `-f`.
    ///   - implied: what `--flag` without a value stands for; a truth value's is `true`.
    /// - Returns: what its value is read from.
    @discardableResult
    public func add<Value: FlagValue>(
        _ name: String, short: Character? = nil, _ defaultValue: Value, _ usage: String, implied: String? = nil
    ) -> TypedFlag<Value> {
        precondition(byName[name] == nil, "the flag --\(name) is there twice")
        let flag = TypedFlag(name: name, short: short, defaultValue: defaultValue, usage: usage, implied: implied)
        all.append(flag)
        byName[name] = flag
        return flag
    }

    /// All flags have their defaults again.
    public func reset() { for flag in all { flag.reset() } }

    /// Reads arguments that have nothing to do with a tree of commands.
    ///
    /// - Returns: what is not a flag.
    public func parse(_ arguments: [String], stopsAtFirstArgument: Bool = false) throws(CommandLineError) -> [String] {
        var parser = FlagParser(flags: all, stopsAtFirstArgument: stopsAtFirstArgument)
        try parser.parse(arguments)
        return parser.operands
    }
}

/// Reads one command line. `-h` and `--help` end it where no flag of that name is known.
struct FlagParser {
    private let byName: [String: any Flag]
    private let byShort: [Character: any Flag]
    private let stopsAtFirstArgument: Bool
    private(set) var operands: [String] = []
    /// How many operands stood before `--`.
    private(set) var operandsBeforeDash: Int?
    /// What the user is to be told of flags that are going away.
    private(set) var notes: [String] = []

    /// - Parameter flags: a name that occurs twice means the first.
    init(flags: [any Flag], stopsAtFirstArgument: Bool) {
        byName = Dictionary(flags.map { ($0.name, $0) }) { first, _ in first }
        byShort = Dictionary(flags.compactMap { flag in flag.short.map { ($0, flag) } }) { first, _ in first }
        self.stopsAtFirstArgument = stopsAtFirstArgument
    }

    mutating func parse(_ arguments: [String]) throws(CommandLineError) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                operandsBeforeDash = operands.count
                operands += rest
                return
            }
            if argument.hasPrefix("--") {
                try long(argument, &rest)
            } else if argument.hasPrefix("-"), argument != "-" {
                try short(argument, &rest)
            } else {
                operands.append(argument)
                if stopsAtFirstArgument {
                    operands += rest
                    return
                }
            }
        }
    }

    private mutating func long(_ argument: String, _ rest: inout ArraySlice<String>) throws(CommandLineError) {
        let body = argument.dropFirst(2)
        guard body.first != "-", body.first != "=" else { throw CommandLineError("bad flag syntax: \(argument)") }
        let equals = body.firstIndex(of: "=")
        let name = String(body[..<(equals ?? body.endIndex)])
        guard let flag = byName[name] else { throw CommandLineError("unknown flag: --\(name)") }
        if let equals {
            try set(flag, String(body[body.index(after: equals)...]))
        } else if let implied = flag.textWithoutValue {
            try set(flag, implied)
        } else if let next = rest.popFirst() {
            try set(flag, next)
        } else {
            throw CommandLineError("flag needs an argument: \(argument)")
        }
    }

    /// `-f value`, `-fvalue`, `-f=value`, and several without values together.
    private mutating func short(_ argument: String, _ rest: inout ArraySlice<String>) throws(CommandLineError) {
        var letters = argument.dropFirst()
        while let letter = letters.first {
            let group = "-" + letters
            letters.removeFirst()
            guard let flag = byShort[letter] else { throw CommandLineError("unknown shorthand flag: \(GoText.quoted(letter)) in \(group)") }
            if letters.first == "=", letters.count > 1 {
                return try set(flag, String(letters.dropFirst()))
            } else if let implied = flag.textWithoutValue {
                try set(flag, implied)
            } else if !letters.isEmpty {
                return try set(flag, String(letters))
            } else if let next = rest.popFirst() {
                return try set(flag, next)
            } else {
                throw CommandLineError("flag needs an argument: \(GoText.quoted(letter)) in \(group)")
            }
        }
    }

    private mutating func set(_ flag: any Flag, _ value: String) throws(CommandLineError) {
        let isFirst = !flag.isGiven
        try flag.set(value)
        if isFirst, !flag.deprecation.isEmpty { notes.append("Flag --\(flag.name) has been deprecated, \(flag.deprecation)") }
    }
}
