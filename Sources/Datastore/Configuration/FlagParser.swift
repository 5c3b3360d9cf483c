// Reads a command line by the rules of Go's flag package: one dash or two, `-name value` or
// `-name=value`, switches bare or with `=`, the last repetition counts, `--` ends the flags.

/// What a command line says.
struct CommandLineFlags: Equatable {
    /// Text of each flag that was given.
    var values: [String: String] = [:]
    /// What stands after the flags.
    var positional: [String] = []
}

/// How reading can end early.
enum CommandLineError: Error, Equatable {
    case helpWanted
    case invalid(String)
}

extension CommandLineFlags {
    /// - Parameter arguments: without the program's name.
    init(parsing arguments: [String]) throws(CommandLineError) {
        var rest = arguments[...]
        while let argument = rest.first {
            guard argument.utf8.count >= 2, argument.hasPrefix("-") else { break }
            rest = rest.dropFirst()
            if argument == "--" { break }
            let body = argument.dropFirst(argument.hasPrefix("--") ? 2 : 1)
            guard let first = body.first, first != "-", first != "=" else {
                throw .invalid("bad flag syntax: \(argument)")
            }
            let name: Substring
            var value: String?
            if let equals = body.firstIndex(of: "=") {
                name = body[..<equals]
                value = String(body[body.index(after: equals)...])
            } else {
                name = body
            }
            try take(String(name), value, &rest)
        }
        positional = Array(rest)
    }

    private mutating func take(
        _ name: String, _ value: String?, _ rest: inout ArraySlice<String>
    ) throws(CommandLineError) {
        guard let flag = FlagTable.byName[name] else {
            if name == "help" || name == "h" { throw .helpWanted }
            throw .invalid("flag provided but not defined: -\(name)")
        }
        var text = value
        if text == nil && flag.kind.isSwitch { text = "true" }
        if text == nil { text = rest.popFirst() }
        guard let text else { throw .invalid("flag needs an argument: -\(name)") }
        do {
            try flag.kind.check(text)
        } catch {
            let what = flag.kind == .boolean ? "invalid boolean value" : "invalid value"
            let link = flag.kind == .boolean ? "for" : "for flag"
            throw .invalid("\(what) \(quoted(text)) \(link) -\(name): \(error.reason)")
        }
        // A list of gates adds to the lists before it; every other flag replaces.
        if flag.kind == .featureGates, let before = values[name] {
            values[name] = before + "," + text
        } else {
            values[name] = text
        }
    }
}

/// A text in double quotes with Go's escapes.
func quoted(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        case _ where scalar.value < 0x20 || scalar.value == 0x7f:
            let digits = String(scalar.value, radix: 16)
            result += "\\x" + (digits.count < 2 ? "0" : "") + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
