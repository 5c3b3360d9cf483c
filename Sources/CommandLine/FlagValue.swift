// The types that a flag's value may have, with the spellings and errors of Go's strconv.

/// A type of flag.
public protocol FlagValue {
    /// In help, behind the flag's name.
    static var typeName: String { get }
    /// What the flag without a value stands for.
    static var impliedText: String? { get }
    /// Takes one occurrence of the flag.
    mutating func take(_ text: String, isFirst: Bool) throws(FlagValueError)
    var flagText: String { get }
    /// Help does not show it as default.
    var isZero: Bool { get }
}

extension FlagValue {
    public static var impliedText: String? { nil }
}

extension String: FlagValue {
    public static var typeName: String { "string" }
    public mutating func take(_ text: String, isFirst: Bool) { self = text }
    public var flagText: String { self }
    public var isZero: Bool { isEmpty }
}

extension Bool: FlagValue {
    public static var typeName: String { "" }
    public static var impliedText: String? { "true" }
    public mutating func take(_ text: String, isFirst: Bool) throws(FlagValueError) {
        switch text {
        case "1", "t", "T", "true", "TRUE", "True": self = true
        case "0", "f", "F", "false", "FALSE", "False": self = false
        default: throw FlagValueError("strconv.ParseBool: parsing \(GoText.quoted(text)): invalid syntax")
        }
    }
    public var flagText: String { self ? "true" : "false" }
    public var isZero: Bool { !self }
}

extension FlagValue where Self: FixedWidthInteger {
    public mutating func take(_ text: String, isFirst: Bool) throws(FlagValueError) {
        let function = Self.isSigned ? "ParseInt" : "ParseUint"
        switch GoText.integer(text, as: Self.self) {
        case .value(let value): self = value
        case .syntax: throw FlagValueError("strconv.\(function): parsing \(GoText.quoted(text)): invalid syntax")
        case .range: throw FlagValueError("strconv.\(function): parsing \(GoText.quoted(text)): value out of range")
        }
    }
    public var flagText: String { String(self) }
    public var isZero: Bool { self == 0 }
}

extension Int: FlagValue { public static var typeName: String { "int" } }
extension Int32: FlagValue { public static var typeName: String { "int32" } }
extension Int64: FlagValue { public static var typeName: String { "int" } }
extension UInt: FlagValue { public static var typeName: String { "uint" } }
extension UInt32: FlagValue { public static var typeName: String { "uint32" } }
extension UInt64: FlagValue { public static var typeName: String { "uint" } }

extension Double: FlagValue {
    public static var typeName: String { "float" }
    public mutating func take(_ text: String, isFirst: Bool) throws(FlagValueError) {
        guard let value = Double(text) else { throw FlagValueError("strconv.ParseFloat: parsing \(GoText.quoted(text)): invalid syntax") }
        self = value
    }
    public var flagText: String { self == rounded() && magnitude < 1e15 ? String(Int64(self)) : String(self) }
    public var isZero: Bool { self == 0 }
}

extension Duration: FlagValue {
    public static var typeName: String { "duration" }
    public mutating func take(_ text: String, isFirst: Bool) throws(FlagValueError) { self = try GoText.duration(text) }
    public var flagText: String { GoText.text(self) }
    public var isZero: Bool { self == .zero }
}

/// Strings separated by commas; further occurrences of the flag add to them. The first replaces the default.
extension [String]: FlagValue {
    public static var typeName: String { "strings" }
    public mutating func take(_ text: String, isFirst: Bool) throws(FlagValueError) {
        let values = try GoText.commaSeparated(text)
        self = isFirst ? values : self + values
    }
    public var flagText: String { "[" + map(GoText.commaField).joined(separator: ",") + "]" }
    public var isZero: Bool { isEmpty }
}

/// Strings that may hold commas: each occurrence of the flag is one.
public struct VerbatimStrings: FlagValue, Equatable, Sendable {
    public var strings: [String]
    public init(_ strings: [String] = []) { self.strings = strings }
    public static var typeName: String { "stringArray" }
    public mutating func take(_ text: String, isFirst: Bool) { strings = isFirst ? [text] : strings + [text] }
    public var flagText: String { "[" + strings.map(GoText.commaField).joined(separator: ",") + "]" }
    public var isZero: Bool { strings.isEmpty }
}
