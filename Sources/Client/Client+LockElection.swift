// Locks and elections as services of the server. For helpers that look after their lease see `Mutex` and `Election`.

import Wire

extension Client {
    /// Waits for a lock, which is held as long as the lease lives.
    public func lock(_ name: [UInt8], lease: Int64, timeout: Duration? = nil) async throws(ClientError) -> Answer<LockResponse> {
        try await answer(.lock, timeout: timeout) {
            $0.field(1, name)
            $0.field(2, lease)
        }
    }

    /// - Parameter key: as `lock` answered it.
    public func unlock(_ key: [UInt8], timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await answer(.unlock, timeout: timeout) { $0.field(1, key) }
    }

    /// Waits to be the leader.
    public func campaign(
        _ name: [UInt8], lease: Int64, value: [UInt8], timeout: Duration? = nil
    ) async throws(ClientError) -> Answer<CampaignResponse> {
        try await answer(.campaign, timeout: timeout) {
            $0.field(1, name)
            $0.field(2, lease)
            $0.field(3, value)
        }
    }

    /// Changes the leader's value.
    public func proclaim(_ leader: LeadershipKey, value: [UInt8], timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await answer(.proclaim, timeout: timeout) { sink in
            sink.message(1) { leader.encode(to: $0) }
            sink.field(2, value)
        }
    }

    /// - Throws: `election: no leader`, when there is none.
    public func leader(of name: [UInt8], timeout: Duration? = nil) async throws(ClientError) -> Answer<LeaderResponse> {
        try await answer(.leader, timeout: timeout) { $0.field(1, name) }
    }

    public func resign(_ leader: LeadershipKey, timeout: Duration? = nil) async throws(ClientError) -> Answer<HeaderResponse> {
        try await answer(.resign, timeout: timeout) { sink in sink.message(1) { leader.encode(to: $0) } }
    }
}
