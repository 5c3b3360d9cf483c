// How a string is written in YAML, from what its characters allow (the analysis that libyaml's emitter makes).

/// The four ways in use.
enum ScalarStyle { case plain, singleQuoted, doubleQuoted, literal }

struct ScalarAnalysis {
    private(set) var isMultiline = false
    private var allowsPlain = true
    private var allowsSingle = true
    private var allowsLiteral = true

    init(_ scalars: [Unicode.Scalar]) {
        guard let first = scalars.first else {
            allowsLiteral = false
            return
        }
        var hasIndicator = scalars.starts(with: "---".unicodeScalars) || scalars.starts(with: "...".unicodeScalars)
        var hasBreak = false, hasSpecial = false, breakThenSpace = false, spaceThenBreak = false
        var afterSpace = false, afterBreak = false, afterBlank = true
        for (index, scalar) in scalars.enumerated() {
            let isBeforeBlank = index + 1 == scalars.count || Self.isBlank(scalars[index + 1])
            if index == 0 {
                switch scalar {
                case "#", ",", "[", "]", "{", "}", "&", "*", "!", "|", ">", "'", "\"", "%", "@", "`": hasIndicator = true
                case "?", ":", "-": if isBeforeBlank { hasIndicator = true }
                default: break
                }
            } else if scalar == ":" {
                if isBeforeBlank { hasIndicator = true }
            } else if scalar == "#" {
                if afterBlank { hasIndicator = true }
            }
            if !Self.isPrintable(scalar) { hasSpecial = true }
            let isBreak = Self.isBreak(scalar)
            if scalar == " " {
                if afterBreak { breakThenSpace = true }
            } else if isBreak {
                hasBreak = true
                if afterSpace { spaceThenBreak = true }
            }
            afterSpace = scalar == " "
            afterBreak = isBreak
            afterBlank = Self.isBlank(scalar)
        }
        isMultiline = hasBreak
        let last = scalars.last!
        if first == " " || last == " " || Self.isBreak(first) || Self.isBreak(last) { allowsPlain = false }
        if last == " " { allowsLiteral = false }
        if breakThenSpace {
            allowsPlain = false
            allowsSingle = false
        }
        if spaceThenBreak || hasSpecial {
            allowsPlain = false
            allowsSingle = false
            allowsLiteral = false
        }
        if hasBreak || hasIndicator { allowsPlain = false }
    }

    /// - Parameters:
    ///   - isString: a plain scalar would be read back as a string.
    ///   - isSimpleKey: before a colon on one line.
    func style(isString: Bool, hasLineEnd: Bool, isSimpleKey: Bool) -> ScalarStyle {
        var style: ScalarStyle = hasLineEnd ? .literal : isString ? .plain : .doubleQuoted
        if isSimpleKey, isMultiline { style = .doubleQuoted }
        if style == .plain, !allowsPlain { style = .singleQuoted }
        if style == .singleQuoted, !allowsSingle { style = .doubleQuoted }
        if style == .literal, !allowsLiteral || isSimpleKey { style = .doubleQuoted }
        return style
    }

    static func isBreak(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x0a, 0x0d, 0x85, 0x2028, 0x2029: true
        default: false
        }
    }

    private static func isBlank(_ scalar: Unicode.Scalar) -> Bool { scalar == " " || scalar == "\t" || isBreak(scalar) }

    /// Tabs and what lies beyond the first 65,536 characters are escaped.
    static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x0a, 0x20...0x7e, 0xa0...0xd7ff, 0xe000...0xfefe, 0xff00...0xfffd: true
        default: false
        }
    }
}
