// `get -o k8s`: what a Kubernetes API server stored, decoded. Values that are no Kubernetes objects are shown as they are.

import Client
import CommandLineTools
import Decoder
import Wire

/// Shows the values of a range decoded. Keeps its memory between values; one thread.
final class ObjectView {
    private let decoder = ObjectDecoder()
    private let object = ByteSink(capacity: 64 << 10)
    private let text = ByteSink(capacity: 64 << 10)
    /// Memory kept between objects.
    private static let keptBytes = 1 << 20

    /// One value, looked at.
    private enum Content {
        /// JSON is in `object`; `damage` if not all of it could be read.
        case object(damage: String?)
        case encrypted(provider: String, version: String, keyName: String)
        /// `damage` if it was an object.
        case other(damage: String?)
    }

    private func read(_ value: [UInt8], _ key: [UInt8], _ console: Console) -> Content {
        value.withUnsafeBytes { bytes in
            if case .encrypted(let provider, let version, let keyName) = StoredForm(bytes) {
                return .encrypted(provider: provider, version: version, keyName: keyName)
            }
            object.clear(keeping: Self.keptBytes)
            switch StoredForm(bytes) {
            case .protobuf: break
            // Others store JSON as well: an object says its kind.
            case .json, .cbor: if ObjectIdentity(bytes) == nil { return .other(damage: nil) }
            case .encrypted, .other: return .other(damage: nil)
            }
            let faults = decoder.appendReadableJSON(bytes, to: object)
            let name = String(decoding: key, as: UTF8.self)
            for warning in decoder.warnings.texts { console.print("warning: \(name): \(warning)", to: .error) }
            guard let fault = faults.first else { return .object(damage: nil) }
            return object.count > 0 ? .object(damage: "\(fault)") : .other(damage: "\(fault)")
        }
    }

    /// Documents of YAML, each behind a comment with its key.
    ///
    /// - Returns: keys of values that are damaged.
    func showYAML(_ kvs: [KeyValue], _ console: Console, withKeys: Bool) -> [String] {
        var damaged: [String] = []
        for (index, kv) in kvs.enumerated() {
            text.clear(keeping: Self.keptBytes)
            if index > 0 { text.append("---\n") }
            if withKeys { text.append("# \(Self.printable(kv.key))\n") }
            switch read(kv.value, kv.key, console) {
            case .object(let damage):
                if let damage {
                    damaged.append(Self.printable(kv.key))
                    text.append("# damaged, shown as far as it can be read: \(damage)\n")
                }
                let mark = text.count
                do { try YAMLWriter.append(json: object.bytes, to: text) } catch {
                    // JSON is YAML too.
                    text.truncate(to: mark)
                    text.append(object.bytes)
                    text.append("\n")
                }
            case .encrypted(let provider, let version, let keyName):
                text.append("# encrypted by \(provider) \(version) with the key \(keyName); martlet-decoder opens it with --encryption-provider-config\n")
            case .other(let damage):
                if let damage {
                    damaged.append(Self.printable(kv.key))
                    text.append("# damaged: \(damage)\n")
                }
                kv.value.withUnsafeBytes { text.append($0) }
                text.append("\n")
            }
            console.write(text.bytes)
        }
        return damaged
    }

    /// The JSON of `get -w json` with a member `object`, or `encrypted`, where `value` was.
    func showJSON(_ response: GetResponse, _ printer: Printer) -> [String] {
        var damaged: [String] = []
        let line = ByteSink(capacity: 64 << 10)
        line.append("{\"header\":\(printer.json(response.header))")
        for (index, kv) in response.kvs.enumerated() {
            line.append(index == 0 ? ",\"kvs\":[" : ",")
            var bare = kv
            bare.value = []
            let content = read(kv.value, kv.key, printer.console)
            if case .other = content { bare.value = kv.value }
            // Without the brace that closes it.
            line.append(String(printer.json(bare).dropLast()))
            switch content {
            case .object(let damage):
                line.append(",\"object\":")
                line.append(object.bytes)
                if let damage {
                    damaged.append(Self.printable(kv.key))
                    line.append(",\"damage\":\(printer.jsonText(damage))")
                }
            case .encrypted(let provider, let version, let keyName):
                line.append(",\"encrypted\":{\"provider\":\(printer.jsonText(provider)),\"version\":\(printer.jsonText(version)),")
                line.append("\"key\":\(printer.jsonText(keyName))}")
            case .other(let damage):
                if let damage {
                    damaged.append(Self.printable(kv.key))
                    line.append(",\"damage\":\(printer.jsonText(damage))")
                }
            }
            line.append("}")
        }
        if !response.kvs.isEmpty { line.append("]") }
        if response.more { line.append(",\"more\":true") }
        if response.count != 0 { line.append(",\"count\":\(response.count)") }
        line.append("}\n")
        printer.console.write(line.bytes)
        return damaged
    }

    /// A key on one line, whatever its bytes are.
    static func printable(_ key: [UInt8]) -> String {
        if key.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) { return String(decoding: key, as: UTF8.self) }
        return GoText.quoted(key)
    }
}
