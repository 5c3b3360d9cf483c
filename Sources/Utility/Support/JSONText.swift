// Strings in JSON.

import Wire

enum JSONText {
    static func quoted(_ text: String) -> String {
        let sink = ByteSink(capacity: text.utf8.count + 16)
        sink.json(text)
        return String(decoding: sink.bytes, as: UTF8.self)
    }

    static func list(_ texts: [String]) -> String { "[" + texts.map(quoted).joined(separator: ",") + "]" }
}
