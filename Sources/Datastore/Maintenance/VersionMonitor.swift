// What cluster and storage version should be, looked at when this member begins to lead and every four seconds:
// the cluster's follows the lowest member or a downgrade's target, the storage's follows the cluster's.

import DatastoreTracing
import KeySpace
import Wire

/// `major.minor`, and a patch level that comparisons of cluster versions leave out.
struct MinorVersion: Equatable, Comparable, CustomStringConvertible {
    let major: Int64
    let minor: Int64

    init(_ major: Int64, _ minor: Int64) {
        self.major = major
        self.minor = minor
    }

    /// Reads `X.Y` or a semantic version `X.Y.Z[-pre][+build]`; nil for anything else.
    init?(_ text: String) {
        if let version = Self.semantic(text) ?? Self.semantic(text + ".0") { self = version } else { return nil }
    }

    private static func semantic(_ text: String) -> MinorVersion? {
        // Build data and pre-release tag are taken off in this order, whatever they hold.
        let core = text.split(separator: "+", maxSplits: 1, omittingEmptySubsequences: false)[0]
            .split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)[0]
        let parts = core.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3 else { return nil }
        var numbers: [Int64] = []
        for part in parts {
            guard !part.isEmpty, part.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = Int64(part) else { return nil }
            numbers.append(number)
        }
        return MinorVersion(numbers[0], numbers[1])
    }

    static func < (a: Self, b: Self) -> Bool { (a.major, a.minor) < (b.major, b.minor) }

    /// The version that a cluster of this version may be downgraded to.
    var oneBelow: MinorVersion { MinorVersion(major, minor - 1) }

    /// As the cluster's version is stored.
    var stored: String { "\(major).\(minor).0" }
    var description: String { "\(major).\(minor)" }
}

extension MinorVersion {
    /// The cluster version that a leader should set; nil leaves it as it is.
    ///
    /// - Parameter lowest: the lowest server version among the members; nil if one of them does not say.
    static func decide(cluster: MinorVersion?, lowest: MinorVersion?, downgradeTarget: MinorVersion?) -> MinorVersion? {
        guard let cluster else { return lowest ?? MinorVersion(Version.minimumCluster) }
        guard let lowest else { return nil }
        if let target = downgradeTarget {
            guard target == cluster || target == cluster.oneBelow, target == lowest || target == lowest.oneBelow else { return nil }
            return target == cluster ? nil : target
        }
        return cluster < lowest ? lowest : nil
    }
}

extension Node {
    /// On any thread; proposes what has to change.
    func reviewVersions() {
        let view = keySpace.cluster.current
        let cluster = view.version.flatMap { MinorVersion($0) }
        if consensus.leader == memberID {
            let target = view.downgradeEnabled ? MinorVersion(view.downgradeTarget) : nil
            // A member that cannot be asked for its version holds every change back.
            let lowest = view.members.count == 1 ? MinorVersion(Version.server) : nil
            if let next = MinorVersion.decide(cluster: cluster, lowest: lowest, downgradeTarget: target) { setClusterVersion(next, from: cluster) }
        }
        // An older schema knows no storage version.
        guard let cluster, cluster >= MinorVersion(3, 6) else { return }
        let change = storageVersion.change(to: cluster.stored)
        guard change.changed else { return }
        log.info(
            "cluster version differs from storage version.", .string("cluster-version", cluster.stored),
            .string("storage-version", change.previous ?? ""))
        log.info("updated storage version", .string("new-storage-version", cluster.stored))
        if view.downgradeEnabled {
            log.info(
                "the server is ready to downgrade", .string("target-version", view.downgradeTarget),
                .string("current-version", Version.server))
        }
    }

    private func setClusterVersion(_ version: MinorVersion, from previous: MinorVersion?) {
        if let previous {
            log.info("updating cluster version using v3 API", .string("from", "\(previous)"), .string("to", "\(version)"))
        } else {
            log.info("setting up initial cluster version using v3 API", .string("cluster-version", "\(version)"))
        }
        let sink = ByteSink(capacity: 16)
        VersionRequest(version: version.stored).encode(to: sink)
        withExtendedLifetime(sink) {
            propose(.clusterVersionSet, sink.bytes) { [log] error in
                if let error { log.warn("failed to update cluster version", .error(error.message)) }
            }
        }
    }
}
