// Keys of Kubernetes' objects taken apart: /registry/[group/]resource/[namespace/]name.

/// Views into a key that an API server made; nothing is copied.
///
/// The API server has no rule that tells resources from groups and namespaces but its own tables. What holds for all
/// of its keys: a group has a point in its name and a resource has none; an object without a namespace has one part
/// behind its resource, one with a namespace has two.
public struct ResourceKey {
    /// What stands before the resource: `/registry`.
    public let prefix: UnsafeRawBufferPointer
    /// `example.com`; empty for nearly all built-in resources, whose keys do not name it.
    public let group: UnsafeRawBufferPointer
    /// As the key has it: `pods`, `minions`, `services/specs`.
    public let resource: UnsafeRawBufferPointer
    /// Empty for objects of the whole cluster.
    public let namespace: UnsafeRawBufferPointer
    public let name: UnsafeRawBufferPointer

    /// - Parameter prefixLength: bytes of the API server's `--etcd-prefix`; nil: the first part of the path.
    /// - Returns: nil for what is no object's key.
    public init?(_ key: UnsafeRawBufferPointer, prefixLength: Int? = nil) {
        var path = Path(key)
        if let prefixLength {
            guard prefixLength < key.count, key[prefixLength] == Path.separator else { return nil }
            path.at = prefixLength + 1
        } else {
            if key.first == Path.separator { path.at = 1 }
            guard path.next() != nil else { return nil }
        }
        prefix = path.passed
        let rest = path.rest
        guard let part = ResourcePart(rest), !part.isPaired || part.count > part.firstCount else { return nil }
        path.at += part.count + 1
        if part.hasGroup {
            group = UnsafeRawBufferPointer(rebasing: rest[..<part.firstCount])
            resource = UnsafeRawBufferPointer(rebasing: rest[(part.firstCount + 1)..<part.count])
        } else {
            group = UnsafeRawBufferPointer(start: nil, count: 0)
            resource = UnsafeRawBufferPointer(rebasing: rest[..<part.count])
        }
        guard let next = path.next() else {
            // A name at the end of the key has no separator behind it.
            name = path.rest
            namespace = UnsafeRawBufferPointer(start: nil, count: 0)
            guard !name.isEmpty, name.first != Path.separator else { return nil }
            return
        }
        namespace = next
        name = path.rest
        guard !name.isEmpty, name.first != Path.separator else { return nil }
    }

    /// The resource as the API has it: `nodes` for `minions`, `services` for `services/specs`.
    public var apiResource: UnsafeRawBufferPointer {
        guard group.isEmpty else { return resource }
        switch resource.first {
        case UInt8(ascii: "m"): return renamed("minions", "nodes")
        case UInt8(ascii: "c"): return renamed("controllers", "replicationcontrollers")
        case UInt8(ascii: "i"): return renamed("ingress", "ingresses")
        case UInt8(ascii: "p"): return renamed("podsecuritypolicy", "podsecuritypolicies")
        case UInt8(ascii: "s"):
            if Self.isEqual(resource, "services/specs") { return Self.view("services") }
            return renamed("services/endpoints", "endpoints")
        default: return resource
        }
    }

    private func renamed(_ old: StaticString, _ new: StaticString) -> UnsafeRawBufferPointer {
        Self.isEqual(resource, old) ? Self.view(new) : resource
    }

    private static func view(_ text: StaticString) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)
    }

    private static func isEqual(_ bytes: UnsafeRawBufferPointer, _ text: StaticString) -> Bool { equalBytes(bytes, view(text)) }

    /// The parts of a key, from left to right.
    private struct Path {
        static let separator = UInt8(ascii: "/")
        let key: UnsafeRawBufferPointer
        var at = 0

        init(_ key: UnsafeRawBufferPointer) { self.key = key }

        /// The part up to the next separator; nil if there is none, or nothing in front of it.
        mutating func next() -> UnsafeRawBufferPointer? {
            var end = at
            while end < key.count, key[end] != Self.separator { end += 1 }
            guard end < key.count, end > at else { return nil }
            let part = UnsafeRawBufferPointer(rebasing: key[at..<end])
            at = end + 1
            return part
        }

        var rest: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: key[min(at, key.count)...]) }
        var passed: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: key[..<(at - 1)]) }
    }
}
