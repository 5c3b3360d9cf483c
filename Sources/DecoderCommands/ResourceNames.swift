// From a key to the resource, namespace and name that Kubernetes means by it.

import Decoder
import Wire

/// `/registry/pods/default/web` is the pod `web` in `default`.
struct KeyName: Equatable {
    /// As kubectl has it: `pods`, `deployments.apps`, `widgets.example.com`; `(other)` for keys that are not of objects.
    var resource: String
    /// Empty for what has none.
    var namespace = ""
    var name = ""

    static let other = "(other)"
}

/// Reads keys, and adds the groups that keys of built-in resources do not name.
struct ResourceNames {
    private var groups: [String: String] = [:]

    init(_ schema: KubernetesSchema = .shared) {
        for kind in schema.kinds where kind.role == .object && !kind.prefix.isEmpty && kind.apiVersion == kind.storageVersion {
            let parts = kind.storageVersion.split(separator: "/")
            if parts.count == 2 { groups[kind.plural] = String(parts[0]) }
        }
        // Events are of two groups; their keys are those of the core.
        groups["events"] = nil
    }

    func name(of key: UnsafeRawBufferPointer) -> KeyName {
        func text(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }
        guard key.first == UInt8(ascii: "/"), let parts = ResourceKey(key) else { return KeyName(resource: KeyName.other, name: text(key)) }
        let resource = text(parts.apiResource)
        let group = parts.group.isEmpty ? groups[resource] : text(parts.group)
        return KeyName(resource: group.map { "\(resource).\($0)" } ?? resource, namespace: text(parts.namespace), name: text(parts.name))
    }
}
