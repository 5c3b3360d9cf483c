// What a member does once it is up: it says its name and client URLs through the log, and the leader
// decides the cluster's version.

import KeySpace
import Wire

extension Node {
    /// Returns when this member's attributes are applied, which needs a leader. Tries until it works.
    func publish() async throws {
        let sink = ByteSink(capacity: 256)
        MemberAttributesRequest(
            member: memberID, name: configuration.name, clientURLs: configuration.advertiseClientURLs.map(\.text)
        ).encode(to: sink)
        let body = sink.array()
        while true {
            let error = await withCheckedContinuation { (continuation: CheckedContinuation<CallError?, Never>) in
                body.withUnsafeBytes { view in
                    propose(.memberAttributesSet, view) { continuation.resume(returning: $0) }
                }
            }
            guard let error else { break }
            if consensus.isStopping { throw StartError("the server stopped before it had published itself: \(error.message)") }
            log.warn(
                "failed to publish local member to cluster through raft", .string("local-member-id", memberID.description),
                .error(error.message))
            try await Task.sleep(for: .milliseconds(100))
        }
        StartupLog.published(log, self, timeout: requestTimeoutNanoseconds)
    }

    /// The cluster's version was applied.
    func clusterVersionChanged(from previous: String?, to version: String) {
        let label = String(version.prefix(upTo: version.lastIndex(of: ".") ?? version.endIndex))
        let previousLabel = previous.map { String($0.prefix(upTo: $0.lastIndex(of: ".") ?? $0.endIndex)) }
        metrics.server.setClusterVersion(label, replacing: previousLabel)
        log.info(
            previous == nil ? "set initial cluster version" : "updated cluster version",
            .string("cluster-id", clusterID.description), .string("local-member-id", memberID.description),
            .string("cluster-version", label))
        log.info("enabled capabilities for version", .string("cluster-version", label))
        // The storage's version follows at once.
        reviewVersions()
    }
}
