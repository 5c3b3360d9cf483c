// The Kubernetes resource that a key belongs to, as people write it: `/registry/pods/default/a` is of `pods`,
// `/registry/apps.example.com/widgets/default/a` of `widgets.apps.example.com`.

import Wire

enum KubernetesResource {
    private static let prefix = Array("/registry/".utf8)

    /// Nil for a key that is none of an API server's, or too short to tell.
    static func name(ofKey key: [UInt8]) -> String? {
        guard key.starts(with: prefix) else { return nil }
        return key.withUnsafeBytes { key in
            let path = UnsafeRawBufferPointer(rebasing: key[prefix.count...])
            guard let part = ResourcePart(path) else {
                // A range may begin with the bare name.
                return path.isEmpty || path.contains(UInt8(ascii: "/")) ? nil : String(validating: path, as: UTF8.self)
            }
            let name = UnsafeRawBufferPointer(rebasing: path[..<part.count])
            guard part.hasGroup, part.count > part.firstCount else { return String(validating: name, as: UTF8.self) }
            return String(validating: path[(part.firstCount + 1)..<part.count], as: UTF8.self).flatMap { resource in
                String(validating: path[..<part.firstCount], as: UTF8.self).map { "\(resource).\($0)" }
            }
        }
    }
}
