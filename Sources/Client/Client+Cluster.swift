// Members of the cluster.

import Wire

extension Client {
    public func members(
        isLinearizable: Bool = true, timeout: Duration? = nil
    ) async throws(ClientError) -> Answer<MembersResponse> {
        try await answer(.memberList, timeout: timeout) { $0.field(1, isLinearizable) }
    }

    public func addMember(
        peerURLs: [String], isLearner: Bool = false, timeout: Duration? = nil
    ) async throws(ClientError) -> Answer<MemberAddResponse> {
        try await answer(.memberAdd, timeout: timeout) { sink in
            for url in peerURLs { sink.always(1, url) }
            sink.field(2, isLearner)
        }
    }

    public func removeMember(_ id: UInt64, timeout: Duration? = nil) async throws(ClientError) -> Answer<MembersResponse> {
        try await answer(.memberRemove, timeout: timeout) { $0.field(1, id) }
    }

    public func updateMember(
        _ id: UInt64, peerURLs: [String], timeout: Duration? = nil
    ) async throws(ClientError) -> Answer<MembersResponse> {
        try await answer(.memberUpdate, timeout: timeout) { sink in
            sink.field(1, id)
            for url in peerURLs { sink.always(2, url) }
        }
    }

    /// Makes a learner a voter.
    public func promoteMember(_ id: UInt64, timeout: Duration? = nil) async throws(ClientError) -> Answer<MembersResponse> {
        try await answer(.memberPromote, timeout: timeout) { $0.field(1, id) }
    }
}
