// Keys of Kubernetes' objects.

import Testing
import Wire

@Suite struct ResourceKeyTests {
    private func parts(_ key: String, prefixLength: Int? = nil) -> [String]? {
        Array(key.utf8).withUnsafeBytes { bytes in
            ResourceKey(bytes, prefixLength: prefixLength).map { key in
                [key.prefix, key.group, key.resource, key.namespace, key.name, key.apiResource].map { String(decoding: $0, as: UTF8.self) }
            }
        }
    }

    @Test(arguments: [
        ("/registry/pods/default/web-0", ["/registry", "", "pods", "default", "web-0", "pods"]),
        ("/registry/namespaces/kube-system", ["/registry", "", "namespaces", "", "kube-system", "namespaces"]),
        ("/registry/minions/node-1", ["/registry", "", "minions", "", "node-1", "nodes"]),
        ("/registry/services/specs/default/kubernetes", ["/registry", "", "services/specs", "default", "kubernetes", "services"]),
        ("/registry/services/endpoints/default/kubernetes", ["/registry", "", "services/endpoints", "default", "kubernetes", "endpoints"]),
        ("/registry/controllers/a/b", ["/registry", "", "controllers", "a", "b", "replicationcontrollers"]),
        ("/registry/ingress/a/b", ["/registry", "", "ingress", "a", "b", "ingresses"]),
        ("/registry/ranges/serviceips", ["/registry", "", "ranges", "", "serviceips", "ranges"]),
        ("/registry/clusterroles/system:node", ["/registry", "", "clusterroles", "", "system:node", "clusterroles"]),
        ("/registry/apiregistration.k8s.io/apiservices/v1.apps", ["/registry", "apiregistration.k8s.io", "apiservices", "", "v1.apps", "apiservices"]),
        ("/registry/example.com/widgets/ns/w", ["/registry", "example.com", "widgets", "ns", "w", "widgets"]),
        ("/registry/example.com/services/specs", ["/registry", "example.com", "services", "", "specs", "services"]),
        ("/registry/example.com/minions/x", ["/registry", "example.com", "minions", "", "x", "minions"]),
        ("kubernetes.io/pods/a/b", ["kubernetes.io", "", "pods", "a", "b", "pods"]),
        ("/registry/pods/a/b/c", ["/registry", "", "pods", "a", "b/c", "pods"]),
    ])
    func objects(_ key: String, _ expected: [String]) { #expect(parts(key) == expected) }

    @Test func longPrefix() {
        #expect(parts("/a/b/registry/pods/x/y", prefixLength: 13) == ["/a/b/registry", "", "pods", "x", "y", "pods"])
        #expect(parts("/a/b/registryx/pods/x/y", prefixLength: 13) == nil)
        #expect(parts("/a", prefixLength: 13) == nil)
    }

    @Test(arguments: [
        "", "/", "compact_rev_key", "/registry", "/registry/", "/registry/pods", "/registry/pods/", "/registry/pods/default/", "/registry//x",
        "/registry/services/specs", "/registry/services/specs/", "/registry/example.com/", "/registry/example.com/widgets", "//registry/pods/a/b",
        "/registry/pods//x",
    ])
    func others(_ key: String) { #expect(parts(key) == nil) }
}
