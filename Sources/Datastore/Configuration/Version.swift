// Every version this server tells anyone, in one place.

/// Versions of the server, of what it speaks, and of itself.
public enum Version {
    /// The etcd release whose behaviour this server has.
    public static let server = "3.7.1"
    /// The cluster version of a cluster of such members.
    public static let cluster = "3.7.0"
    /// The version of the storage schema.
    public static let storage = "3.7.0"
    /// The oldest cluster version that members of this version can be in.
    public static let minimumCluster = "3.0.0"
    /// Our own release.
    public static let martlet = "0.1.0"
    /// What stands where etcd tells the commit it was built from.
    public static let commit = "martlet-\(martlet)"
    /// What stands where etcd tells its Go version: the language we are built with.
    public static let runtime = "swift6"
    /// `major.minor` of the cluster version, as the metric etcd_cluster_version labels it.
    public static var clusterMajorMinor: String { String(cluster.prefix(upTo: cluster.lastIndex(of: ".")!)) }

    static var architecture: String {
        #if arch(x86_64)
            "amd64"
        #elseif arch(arm64)
            "arm64"
        #else
            "unknown"
        #endif
    }

    /// What `--version` prints. Launchers read the first line; the last one is ours.
    public static var text: String {
        """
        etcd Version: \(server)
        Git SHA: \(commit)
        Go Version: \(runtime)
        Go OS/Arch: linux/\(architecture)
        Martlet Version: \(martlet)

        """
    }
}
