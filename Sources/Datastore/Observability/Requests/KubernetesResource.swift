// The Kubernetes resource that a key belongs to, as API servers name keys: `/registry/pods/default/a` is of `pods`,
// `/registry/apps.example.com/widgets/default/a` of `widgets.apps.example.com`.

enum KubernetesResource {
    private static let prefix = Array("/registry/".utf8)
    /// Kinds of which the first part of the key names a family: `services/specs`, `services/endpoints`.
    private static let families = ["services"]

    /// Nil for a key that is none of an API server's, or too short to tell.
    static func name(ofKey key: [UInt8]) -> String? {
        guard key.starts(with: prefix) else { return nil }
        let parts = key[prefix.count...].split(separator: UInt8(ascii: "/"), maxSplits: 2, omittingEmptySubsequences: false)
        guard let first = parts.first, !first.isEmpty, let text = String(validating: first, as: UTF8.self) else { return nil }
        guard parts.count > 1, !parts[1].isEmpty, let second = String(validating: parts[1], as: UTF8.self) else { return text }
        if text.utf8.contains(UInt8(ascii: ".")) { return "\(second).\(text)" }
        return families.contains(text) ? "\(text)/\(second)" : text
    }
}
