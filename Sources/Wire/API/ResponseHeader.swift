// The header that nearly every response begins with.

/// Encodes response headers; what does not change is encoded once.
public struct ResponseHeaderEncoder: Sendable {
    private let identity: [UInt8]

    public init(cluster: ClusterID, member: MemberID) {
        let sink = ByteSink(capacity: 32)
        sink.field(1, cluster.rawValue)
        sink.field(2, member.rawValue)
        identity = sink.array()
    }

    /// Appends field 1 of a response: the header with identity, revision (0 leaves it out) and term.
    @inline(__always)
    public func append(to sink: ByteSink, revision: Int64, term: Term) {
        let size = identity.count + varintFieldSize(UInt64(bitPattern: revision)) + varintFieldSize(term)
        sink.reserve(size + 12)
        sink.tag(1, .bytes)
        sink.varint(UInt64(size))
        sink.append(identity)
        sink.field(3, revision)
        sink.field(4, term)
    }

    /// Appends the header of a response inside a transaction's: only the revision is set there.
    public static func appendInner(to sink: ByteSink, revision: Int64) {
        sink.tag(1, .bytes)
        sink.varint(UInt64(varintFieldSize(UInt64(bitPattern: revision))))
        sink.field(3, revision)
    }
}
