// A flag: its name, its help and the value it has.

/// What all flags have in common, whatever their value is.
public class Flag {
    public let name: String
    public let short: Character?
    /// Help. A word in `backticks` is the name of the value.
    public let usage: String
    /// Works, but help and completion do not show it.
    public var isHidden = false
    /// What to use instead; not empty: using the flag says so, and nothing shows it.
    public var deprecation = "" { didSet { if !deprecation.isEmpty { isHidden = true } } }
    /// The command refuses to run without it.
    public var isRequired = false
    /// Values that completion proposes.
    public var proposedValues: [String] = []
    /// It was on the command line or, where these are read, in the environment.
    public internal(set) var isGiven = false

    fileprivate init(name: String, short: Character?, usage: String) {
        precondition(!name.isEmpty && !name.hasPrefix("-") && !name.contains("="), "'\(name)' cannot be a flag")
        self.name = name
        self.short = short
        self.usage = usage
    }

    /// `string`, `int`; empty for truth values.
    public var typeName: String { preconditionFailure("a flag has a type") }
    /// The default as help shows it; nil where it says nothing.
    public var defaultText: String? { preconditionFailure("a flag has a type") }
    /// The value now, as text.
    public var text: String { preconditionFailure("a flag has a type") }
    /// What `--flag` without a value stands for; nil: it needs one.
    public var textWithoutValue: String? { preconditionFailure("a flag has a type") }
    func take(_ text: String) throws(FlagValueError) { preconditionFailure("a flag has a type") }
    func reset() { preconditionFailure("a flag has a type") }

    /// `-f, --file` in errors.
    var shownName: String { short.map { "-\($0), --\(name)" } ?? "--\(name)" }

    /// Gives it a value.
    ///
    /// - Throws: pflag's text.
    public func set(_ value: String) throws(CommandLineError) {
        do throws(FlagValueError) { try take(value) } catch {
            throw CommandLineError("invalid argument \(GoText.quoted(value)) for \(GoText.quoted(shownName)) flag: \(error)")
        }
        isGiven = true
    }
}

/// A flag with a value of a type.
public final class TypedFlag<Value: FlagValue>: Flag {
    public let defaultValue: Value
    public private(set) var value: Value
    private let implied: String?

    /// - Parameter implied: what the flag without a value stands for.
    init(name: String, short: Character?, defaultValue: Value, usage: String, implied: String?) {
        self.defaultValue = defaultValue
        self.implied = implied
        value = defaultValue
        super.init(name: name, short: short, usage: usage)
    }

    public override var typeName: String { Value.typeName }
    public override var text: String { value.flagText }
    public override var textWithoutValue: String? { implied ?? Value.impliedText }
    public override var defaultText: String? {
        guard !defaultValue.isZero else { return nil }
        return Value.typeName == "string" ? GoText.quoted(defaultValue.flagText) : defaultValue.flagText
    }

    override func take(_ text: String) throws(FlagValueError) { try value.take(text, isFirst: !isGiven) }

    override func reset() {
        value = defaultValue
        isGiven = false
    }
}
