// A flag: its name, its help and the value it has.

/// What all flags have in common, whatever their value is; `TypedFlag` is the only one.
public protocol Flag: AnyObject {
    var name: String { get }
    var short: Character? { get }
    /// Help. A word in `backticks` is the name of the value.
    var usage: String { get }
    /// Works, but help and completion do not show it.
    var isHidden: Bool { get set }
    /// What to use instead; not empty: using the flag says so, and nothing shows it.
    var deprecation: String { get set }
    /// The command refuses to run without it.
    var isRequired: Bool { get set }
    /// Values that completion proposes.
    var proposedValues: [String] { get set }
    /// It was on the command line or, where these are read, in the environment.
    var isGiven: Bool { get }

    /// `string`, `int`; empty for truth values.
    var typeName: String { get }
    /// The default as help shows it; nil where it says nothing.
    var defaultText: String? { get }
    /// The value now, as text.
    var text: String { get }
    /// What `--flag` without a value stands for; nil: it needs one.
    var textWithoutValue: String? { get }

    /// Takes one occurrence of it; from then on it is given.
    func take(_ text: String) throws(FlagValueError)
    /// Its default again, and not given.
    func reset()
}

extension Flag {
    /// `-f, --file` in errors.
    var shownName: String { short.map { "-\($0), --\(name)" } ?? "--\(name)" }

    /// Gives it a value.
    ///
    /// - Throws: pflag's text.
    public func set(_ value: String) throws(CommandLineError) {
        do throws(FlagValueError) { try take(value) } catch {
            throw CommandLineError("invalid argument \(GoText.quoted(value)) for \(GoText.quoted(shownName)) flag: \(error)")
        }
    }
}

/// A flag with a value of a type.
public final class TypedFlag<Value: FlagValue>: Flag {
    public let name: String
    public let short: Character?
    public let usage: String
    public var isHidden = false
    public var deprecation = "" { didSet { if !deprecation.isEmpty { isHidden = true } } }
    public var isRequired = false
    public var proposedValues: [String] = []
    public private(set) var isGiven = false
    public let defaultValue: Value
    public private(set) var value: Value
    private let implied: String?

    /// - Parameter implied: what the flag without a value stands for.
    init(name: String, short: Character?, defaultValue: Value, usage: String, implied: String?) {
        precondition(!name.isEmpty && !name.hasPrefix("-") && !name.contains("="), "'\(name)' cannot be a flag")
        self.name = name
        self.short = short
        self.usage = usage
        self.defaultValue = defaultValue
        self.implied = implied
        value = defaultValue
    }

    public var typeName: String { Value.typeName }
    public var text: String { value.flagText }
    public var textWithoutValue: String? { implied ?? Value.impliedText }
    public var defaultText: String? {
        guard !defaultValue.isZero else { return nil }
        return Value.typeName == "string" ? GoText.quoted(defaultValue.flagText) : defaultValue.flagText
    }

    public func take(_ text: String) throws(FlagValueError) {
        try value.take(text, isFirst: !isGiven)
        isGiven = true
    }

    public func reset() {
        value = defaultValue
        isGiven = false
    }
}
