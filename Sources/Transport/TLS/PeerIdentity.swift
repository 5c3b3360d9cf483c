// Who is at the other end of an encrypted connection: found out once, at its handshake.

/// Also the event that tells the handlers behind TLS; it comes before the first byte.
public struct PeerIdentity: Sendable, Equatable {
    /// Common name of the verified certificate; nil when none was asked for, or it has none.
    public let commonName: String?
}
