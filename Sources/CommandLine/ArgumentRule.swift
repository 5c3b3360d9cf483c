// How many arguments a command takes, and which flags go together.

/// A check of a command's arguments, with cobra's texts.
public enum ArgumentRule {
    case any
    case none
    case exactly(Int)
    case atLeast(Int)
    case atMost(Int)
    case between(Int, Int)
    /// Throws what is wrong.
    case custom((Command, [String]) throws -> Void)

    func check(_ command: Command, _ arguments: [String]) throws {
        let count = arguments.count
        switch self {
        case .any: return
        case .none:
            if count > 0 { throw CommandLineError("unknown command \(GoText.quoted(arguments[0])) for \(GoText.quoted(command.path))") }
        case .exactly(let wanted):
            if count != wanted { throw CommandLineError("accepts \(wanted) arg(s), received \(count)") }
        case .atLeast(let least):
            if count < least { throw CommandLineError("requires at least \(least) arg(s), only received \(count)") }
        case .atMost(let most):
            if count > most { throw CommandLineError("accepts at most \(most) arg(s), received \(count)") }
        case .between(let least, let most):
            if count < least || count > most { throw CommandLineError("accepts between \(least) and \(most) arg(s), received \(count)") }
        case .custom(let check): try check(command, arguments)
        }
    }
}

/// Flags that depend on each other, by name.
public enum FlagGroup {
    case allOrNone([String])
    case atMostOne([String])
    case atLeastOne([String])

    func check(_ flags: [any Flag]) throws(CommandLineError) {
        func given(_ names: [String]) -> [String] { names.filter { name in flags.contains { $0.name == name && $0.isGiven } } }
        func list(_ names: [String]) -> String { "[" + names.joined(separator: " ") + "]" }
        switch self {
        case .allOrNone(let names):
            let given = given(names)
            guard !given.isEmpty, given.count < names.count else { return }
            let missing = names.filter { !given.contains($0) }.sorted()
            throw CommandLineError("if any flags in the group \(list(names)) are set they must all be set; missing \(list(missing))")
        case .atMostOne(let names):
            let given = given(names).sorted()
            guard given.count > 1 else { return }
            throw CommandLineError("if any flags in the group \(list(names)) are set none of the others can be; \(list(given)) were all set")
        case .atLeastOne(let names):
            guard given(names).isEmpty else { return }
            throw CommandLineError("at least one of the flags in the group \(list(names)) is required")
        }
    }
}
