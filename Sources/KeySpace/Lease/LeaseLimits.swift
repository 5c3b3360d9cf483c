// Every bound of the lease store in one place.

public enum LeaseLimits {
    /// Longest TTL, in seconds.
    public static let ttlMax: Int64 = KeySpaceLimits.leaseTTLMax
    /// Leases that one pass of the expiry timer takes up; passes are made every 500 ms. Enough for 10,000 leases that
    /// end together to be gone within a second.
    public static let expiredPerPass = 8_192
    /// Revokes of expired leases proposed and not yet answered: they share the syncs of the log, and clients' writes
    /// never wait for more of them than this.
    public static let revokesInFlightMax = 256
    /// Wait before a revoke that failed is proposed again.
    static let failedRevokeDelayNanoseconds: UInt64 = 500_000_000
    /// From this many leases on a new leader spreads expiries that fall together.
    static let spreadLeasesMin = 1000
    /// Expiries in any one second after such spreading: less than what can be revoked, so that a pile-up does not
    /// delay the leases behind it.
    static let spreadExpiriesPerSecond = 750
    /// Leases that one proposal of checkpoints names.
    static let checkpointsPerProposal = 1000
    /// Keys of a lease that are found by looking at all of them; beyond, a hash table is made.
    static let linearKeys = 16
}
