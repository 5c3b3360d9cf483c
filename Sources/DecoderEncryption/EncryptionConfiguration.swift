// An API server's EncryptionConfiguration: reads it, and opens values with its keys.

import Decoder
import Wire

/// The keys of an EncryptionConfiguration.
public struct EncryptionConfiguration: Sendable {
    private struct Key: Sendable {
        let provider: String
        let name: String
        let secret: [UInt8]
    }

    private var keys: [Key] = []

    /// Providers and key names, as `aescbc key1`, in the order of the configuration.
    public var keyNames: [String] { keys.map { "\($0.provider) \($0.name)" } }

    /// - Parameter text: YAML or JSON, as given to `--encryption-provider-config`.
    /// - Throws: with the field that is wrong.
    public init(_ text: UnsafeRawBufferPointer) throws(DecodingError) {
        let json = ByteSink()
        try YAMLReader.appendJSON(text, to: json)
        let document = try JSONDocument(json.bytes)
        guard let resources = document.member(document.root, "resources"), document.kind(resources) == .array else {
            throw DecodingError("the encryption configuration has no list of resources")
        }
        var index = 0
        try document.forEachElement(resources) { resource throws(DecodingError) in
            try read(document, resource, "resources[\(index)]")
            index += 1
        }
    }

    private mutating func read(_ document: JSONDocument, _ resource: Int, _ path: String) throws(DecodingError) {
        guard let providers = document.member(resource, "providers"), document.kind(providers) == .array else {
            throw DecodingError("a list of providers is missing", path: path)
        }
        var index = 0
        try document.forEachElement(providers) { provider throws(DecodingError) in
            for name in ["aescbc", "aesgcm", "secretbox"] {
                guard let settings = document.member(provider, name) else { continue }
                try read(document, settings, provider: name, "\(path).providers[\(index)].\(name)")
            }
            index += 1
        }
    }

    private mutating func read(_ document: JSONDocument, _ settings: Int, provider: String, _ path: String) throws(DecodingError) {
        guard let list = document.member(settings, "keys"), document.kind(list) == .array else {
            throw DecodingError("a list of keys is missing", path: path)
        }
        var index = 0
        try document.forEachElement(list) { key throws(DecodingError) in
            let path = "\(path).keys[\(index)]"
            func text(_ name: String) throws(DecodingError) -> String {
                guard let node = document.member(key, name), document.kind(node) == .string else {
                    throw DecodingError("a text is missing", path: "\(path).\(name)")
                }
                return document.string(node)
            }
            guard let secret = Base64.decode(try text("secret").utf8.filter { $0 != 0x0a && $0 != 0x0d }) else {
                throw DecodingError("the secret is not base64", path: "\(path).secret")
            }
            let sizes = provider == "secretbox" ? [32] : [16, 24, 32]
            guard sizes.contains(secret.count) else {
                throw DecodingError("a secret of \(secret.count) bytes where \(provider) takes \(sizes.map(String.init).joined(separator: ", "))", path: "\(path).secret")
            }
            keys.append(Key(provider: provider, name: try text("name"), secret: secret))
            index += 1
        }
    }

    /// Opens a value that is encrypted at rest; gives any other back as it is.
    ///
    /// - Parameter key: the value's key in the datastore, with the API server's prefix: `aesgcm` takes it into account.
    /// - Throws: when the configuration has no such key, the key does not fit, or the provider is one whose keys are elsewhere.
    public func open(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(DecodingError) -> [UInt8] {
        guard case .encrypted(let provider, let version, let keyName) = StoredForm(value) else { return Array(value) }
        let what = "the value is encrypted by \(provider) \(version) with the key \(keyName)"
        guard version == "v1", ["aescbc", "aesgcm", "secretbox"].contains(provider) else {
            throw DecodingError(provider == "kms" ? "\(what), which only its KMS plugin can open" : "\(what), which is not supported", offset: 0)
        }
        let candidates = keys.filter { $0.provider == provider && $0.name == keyName }
        guard !candidates.isEmpty else { throw DecodingError("\(what), which the configuration has not", offset: 0) }
        // Behind k8s:enc:provider:version:name:
        var colons = 0
        guard let end = value.firstIndex(where: { byte in
            if byte == UInt8(ascii: ":") { colons += 1 }
            return colons == 5
        }) else { throw DecodingError(what, offset: 0) }
        let sealed = UnsafeRawBufferPointer(rebasing: value[(end + 1)...])
        for candidate in candidates {
            let plain: [UInt8]? =
                switch provider {
                case "aescbc": Cipher.openAESCBC(sealed, key: candidate.secret)
                case "aesgcm": Cipher.openAESGCM(sealed, key: candidate.secret, additional: key)
                default: Cipher.openSecretbox(sealed, key: candidate.secret)
                }
            // CBC has no seal: a wrong key gives good padding now and then, but no object.
            guard let plain, provider != "aescbc" || plain.withUnsafeBytes({ StoredForm($0) }) != .other else { continue }
            return plain
        }
        throw DecodingError("\(what), but the configuration's key does not open it\(provider == "aesgcm" ? " (or it lies under another key of the datastore)" : "")", offset: end + 1)
    }
}
