// Numbers as Go's strconv reads them.

import CommandLineTools

enum Numbers {
    struct Malformed: Error, CustomStringConvertible { let description: String }

    private static func parse<Number: FixedWidthInteger>(_ text: String, _ radix: Int, _ function: String) -> Result<Number, Malformed> {
        if let number = Number(text, radix: radix), !text.hasPrefix("+") || Number.isSigned { return .success(number) }
        var digits = text[...]
        if Number.isSigned, digits.hasPrefix("-") || digits.hasPrefix("+") { digits.removeFirst() }
        let isNumber = !digits.isEmpty && digits.allSatisfy { $0.isASCII && $0.hexDigitValue.map { $0 < radix } ?? false }
        let reason = isNumber ? "value out of range" : "invalid syntax"
        return .failure(Malformed(description: "strconv.\(function): parsing \(GoText.quoted(text)): \(reason)"))
    }

    static func decimal(_ text: String) -> Result<Int64, Malformed> { parse(text, 10, "ParseInt") }
    static func hexadecimal(_ text: String) -> Result<Int64, Malformed> { parse(text, 16, "ParseInt") }
    static func identity(_ text: String) -> Result<UInt64, Malformed> { parse(text, 16, "ParseUint") }
}

/// A lease's identity from the command line.
func leaseID(_ text: String) throws -> Int64 {
    switch Numbers.hexadecimal(text) {
    case .success(let id): return id
    case .failure(let error): throw badArguments("bad lease ID arg (\(error)), expecting ID in Hex")
    }
}
