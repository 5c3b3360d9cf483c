// What a martlet server tells of itself in JSON: /debug/martlet/resources and /debug/martlet/clients.

import Decoder

/// One row of such a page: its texts and its numbers by name.
struct PageRow: Sendable, Equatable {
    var texts: [String: String] = [:]
    var numbers: [String: Double] = [:]

    /// The rows of the list of that name; none where the body is something else.
    static func rows(_ body: [UInt8], _ list: String) -> [PageRow] {
        body.withUnsafeBytes { bytes in
            guard let document = try? JSONDocument(bytes), document.kind(document.root) == .object,
                let array = document.member(document.root, list), document.kind(array) == .array
            else { return [] }
            var rows: [PageRow] = []
            document.forEachElement(array) { element in
                guard document.kind(element) == .object else { return }
                var row = PageRow()
                document.forEachMember(element) { name, value in
                    switch document.kind(value) {
                    case .string: row.texts[document.string(name)] = document.string(value)
                    case .number: row.numbers[document.string(name)] = Double(String(decoding: document.bytes(value), as: UTF8.self))
                    default: break
                    }
                }
                rows.append(row)
            }
            return rows
        }
    }
}
