// The stack trace that lines of level error and above carry.

import CShims

enum StackTrace {
    /// Where the line was written, then the frames of the stack, each as symbol and place.
    static func current(function: String, caller: String) -> String {
        var text = function + "\n\t" + caller
        var addresses = [UnsafeMutableRawPointer?](repeating: nil, count: TracingLimits.stackFramesMaximum)
        let count = Int(martlet_stack_frames(&addresses, Int32(addresses.count)))
        // The first frames are this function and the logger's own.
        for address in addresses[..<count].dropFirst(3) {
            guard let address else { continue }
            var symbol: UnsafePointer<CChar>?
            var object: UnsafePointer<CChar>?
            var offset = 0
            guard martlet_describe_frame(address, &symbol, &object, &offset) != 0 else { continue }
            text += "\n" + (symbol.map { String(cString: $0) } ?? "?")
            text += "\n\t" + baseName(object.map { String(cString: $0) } ?? "?") + "+0x" + String(offset, radix: 16)
        }
        return text
    }

    private static func baseName(_ path: String) -> Substring {
        path.split(separator: "/").last ?? path[...]
    }
}
