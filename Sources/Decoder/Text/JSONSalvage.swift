// JSON that breaks off or goes wrong: everything before that, with what is open closed.

import Wire

enum JSONSalvage {
    /// Appends the text up to the last value that is whole; nothing if none is.
    static func append(_ text: UnsafeRawBufferPointer, to sink: ByteSink) -> [DecodingError] {
        let failure: DecodingError
        do throws(DecodingError) {
            try JSONCompactor.append(text, to: sink)
            return []
        } catch {
            failure = error
        }
        guard let repaired = closed(UnsafeRawBufferPointer(rebasing: text[..<min(failure.offset ?? 0, text.count)])) else { return [failure] }
        do throws(DecodingError) {
            try repaired.withUnsafeBytesThrowing { bytes throws(DecodingError) in try JSONCompactor.append(bytes, to: sink) }
        } catch {
            return [failure, error]
        }
        return [failure]
    }

    /// The text up to the end of its last whole member or element, and the brackets that are open there.
    ///
    /// - Parameter text: valid as far as it goes.
    private static func closed(_ text: UnsafeRawBufferPointer) -> [UInt8]? {
        var open: [UInt8] = []
        var kept = 0
        var openAtKept: [UInt8] = []
        var at = 0
        /// In an object, between its brace or a comma and the colon.
        var isBeforeColon = false
        func keep(_ end: Int) {
            kept = end
            openAtKept = open
        }
        while at < text.count {
            switch text[at] {
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                let isObject = text[at] == UInt8(ascii: "{")
                guard open.count < DecoderLimits.depthMax else { at = text.count; continue }
                open.append(isObject ? UInt8(ascii: "}") : UInt8(ascii: "]"))
                isBeforeColon = isObject
                at += 1
                keep(at)
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                open.removeLast()
                isBeforeColon = false
                at += 1
                keep(at)
            case UInt8(ascii: ","):
                isBeforeColon = open.last == UInt8(ascii: "}")
                at += 1
            case UInt8(ascii: ":"):
                isBeforeColon = false
                at += 1
            case let byte where JSONSyntax.isSpace(byte): at += 1
            case UInt8(ascii: "\""):
                guard (try? JSONSyntax.string(text, &at)) != nil else { at = text.count; continue }
                if !isBeforeColon { keep(at) }
            default:
                // A number or a word: whole only with something behind it.
                while at < text.count, !JSONSyntax.isSpace(text[at]), !",:]}".utf8.contains(text[at]) { at += 1 }
                if at < text.count { keep(at) }
            }
        }
        guard kept > 0 else { return nil }
        return Array(text[..<kept]) + openAtKept.reversed()
    }
}
