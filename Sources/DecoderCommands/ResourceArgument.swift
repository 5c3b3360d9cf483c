// From what users call a resource to where its objects are kept.

import CommandLineTools
import Decoder

/// `pods`, `po`, `Deployment`, `deployments.apps`, `widgets.example.com`.
struct ResourceArgument {
    /// Where its objects are: `/registry/deployments/`.
    let prefix: String
    /// Nil: only the keys tell.
    let isNamespaced: Bool?

    /// What kubectl takes for the names of common resources.
    private static let shortNames = [
        "cm": "configmaps", "cronjob": "cronjobs", "cj": "cronjobs", "crd": "customresourcedefinitions", "crds": "customresourcedefinitions",
        "csr": "certificatesigningrequests", "deploy": "deployments", "ds": "daemonsets", "ep": "endpoints", "ev": "events",
        "hpa": "horizontalpodautoscalers", "ing": "ingresses", "limits": "limitranges", "netpol": "networkpolicies", "no": "nodes",
        "ns": "namespaces", "pc": "priorityclasses", "pdb": "poddisruptionbudgets", "po": "pods", "pv": "persistentvolumes",
        "pvc": "persistentvolumeclaims", "quota": "resourcequotas", "rc": "replicationcontrollers", "rs": "replicasets",
        "sa": "serviceaccounts", "sc": "storageclasses", "sts": "statefulsets", "svc": "services",
    ]

    /// - Parameter registry: the API server's `--etcd-prefix`.
    /// - Throws: for a name without a point that no built-in resource has.
    init(_ text: String, registry: String, _ schema: KubernetesSchema = .shared) throws(CommandFailure) {
        let parts = text.lowercased().split(separator: ".", maxSplits: 1)
        let group = parts.count == 2 ? String(parts[1]) : nil
        let first = parts.first.map(String.init) ?? ""
        let plain = Self.shortNames[first] ?? first
        let candidates = schema.kinds.filter { kind in
            kind.role == .object && !kind.prefix.isEmpty && (kind.plural == plain || kind.kind.lowercased() == plain)
                && (group == nil || kind.apiVersion.split(separator: "/").dropLast().first.map(String.init) ?? "" == group)
        }
        let base = registry.hasSuffix("/") ? String(registry.dropLast()) : registry
        // Of several groups, the one that is stored under the plain name, as kubectl's core comes first.
        if let kind = candidates.min(by: { ($0.apiVersion == $0.storageVersion ? 0 : 1, $0.prefix.count, $0.prefix) < ($1.apiVersion == $1.storageVersion ? 0 : 1, $1.prefix.count, $1.prefix) }) {
            prefix = base + kind.prefix.dropFirst("/registry".count)
            isNamespaced = kind.scope == .namespaced
            return
        }
        guard let group else { throw CommandFailure("there is no resource type \"\(text)\"; a custom resource is named with its group: widgets.example.com") }
        prefix = "\(base)/\(group)/\(plain)/"
        isNamespaced = nil
    }
}
