// Who a member is: IDs computed from peer URLs and the cluster token, the same on every member.

import Wire

/// Member and cluster IDs.
public enum Identity {
    /// The ID of a member with these peer URLs.
    ///
    /// - Parameter unixSeconds: the moment at which a member was added at run time; nil for those of the
    ///   initial cluster.
    public static func memberID(peerURLs: [String], clusterToken: String, unixSeconds: Int64? = nil) -> UInt64 {
        var text = peerURLs.sorted().joined() + clusterToken
        if let unixSeconds { text += String(unixSeconds) }
        return firstEightBytes(SHA1.digest(Array(text.utf8)))
    }

    /// The ID of a cluster that began with these members.
    public static func clusterID(initialMemberIDs: [UInt64]) -> UInt64 {
        let bytes = initialMemberIDs.sorted().flatMap { id in withUnsafeBytes(of: id.bigEndian, Array.init) }
        return firstEightBytes(SHA1.digest(bytes))
    }

    private static func firstEightBytes(_ digest: [UInt8]) -> UInt64 {
        digest.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
