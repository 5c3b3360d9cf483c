// Proposals: a leader appends them, a follower passes them on, anybody else refuses.

import Wire

extension RaftNode {
    /// Proposes one entry. On a leader it is in the log when this returns; call `ready()` once for many.
    public mutating func propose(_ data: consuming [UInt8]) throws(RaftError) {
        if role == .leader {
            try admit(payloadBytes: data.count)
            log.append(term: term, data: data)
            replicationIsDue = true
        } else {
            try forward([Entry(term: 0, index: 0, data: data)])
        }
    }

    /// Proposes several entries, all or none.
    public mutating func propose(_ batch: [[UInt8]]) throws(RaftError) {
        if batch.isEmpty { throw .proposalDropped(.empty) }
        if role == .leader {
            try admit(payloadBytes: batch.reduce(0) { $0 + $1.count })
            for data in batch { log.append(term: term, data: data) }
            replicationIsDue = true
        } else {
            try forward(batch.map { Entry(term: 0, index: 0, data: $0) })
        }
    }

    /// Proposes a change of the members. It may come out of the log as an empty entry instead, if another one
    /// is under way.
    public mutating func proposeConfigurationChange(_ change: ConfigurationChange) throws(RaftError) {
        let sink = ByteSink()
        change.encode(to: sink)
        try propose(configurationChange: .configurationChange, data: Array(sink.bytes))
    }

    /// Proposes several changes at once, through a joint configuration if need be.
    public mutating func proposeConfigurationChange(_ change: ConfigurationChangeV2) throws(RaftError) {
        let sink = ByteSink()
        change.encode(to: sink)
        try propose(configurationChange: .configurationChangeV2, data: Array(sink.bytes))
    }

    private mutating func propose(configurationChange kind: EntryKind, data: [UInt8]) throws(RaftError) {
        let entry = Entry(kind: kind, term: 0, index: 0, data: data)
        if role == .leader {
            try appendProposals([entry])
        } else {
            try forward([entry])
        }
    }

    private mutating func forward(_ entries: [Entry], from origin: MemberID = .none) throws(RaftError) {
        guard role == .follower else {
            info("\(id) no leader at term \(term); dropping proposal")
            throw .proposalDropped(.campaigning)
        }
        guard leader != .none else {
            info("\(id) no leader at term \(term); dropping proposal")
            throw .proposalDropped(.noLeader)
        }
        if configuration.disableProposalForwarding {
            info("\(id) not forwarding to leader \(leader) at term \(term); dropping proposal")
            throw .proposalDropped(.forwardingDisabled)
        }
        send(Message(kind: .propose, to: leader, from: origin, entries: entries))
    }

    /// A follower passed proposals on.
    mutating func takeForwardedProposal(_ message: Message) throws(RaftError) {
        if message.entries.isEmpty { throw .proposalDropped(.empty) }
        if role == .leader {
            try appendProposals(message.entries)
        } else {
            // The sender's idea of the leader is old; ours may be better.
            try forward(message.entries, from: message.from)
        }
    }

    private mutating func appendProposals(_ entries: [Entry]) throws(RaftError) {
        try admit(payloadBytes: entries.reduce(0) { $0 + $1.data.count })
        for entry in entries {
            if entry.kind == .normal || admit(configurationChange: entry) {
                log.append(kind: entry.kind, term: term, data: entry.data)
            } else {
                log.append(term: term, data: [])
            }
        }
        replicationIsDue = true
    }

    /// Whether this leader may take in entries of this size together.
    @inline(__always)
    private mutating func admit(payloadBytes: Int) throws(RaftError) {
        if transferee != .none {
            if logsDebug {
                debug("\(id) [term \(term)] transfer leadership to \(transferee) is in progress; dropping proposal")
            }
            throw .proposalDropped(.transferringLeadership)
        }
        // Removed and not stepped down: nothing may be added to a log that is no longer ours.
        if tracker.place(of: id) == nil { throw .proposalDropped(.removedFromConfiguration) }
        // The first one always fits, however large; and empty ones always do, as they end joint configurations.
        if uncommittedBytes > 0, payloadBytes > 0, uncommittedBytes > configuration.maxUncommittedBytes - payloadBytes {
            throw .proposalDropped(.uncommittedLimit)
        }
        uncommittedBytes += payloadBytes
    }

    /// One change at a time: the next may be proposed when the last is applied (§4.1 of the dissertation).
    private mutating func admit(configurationChange entry: Entry) -> Bool {
        let change: ConfigurationChangeV2
        do throws(ProtobufError) {
            change = try ConfigurationChangeV2(decoding: entry)
        } catch {
            info("\(id) ignoring conf change that cannot be decoded at config \(tracker.configuration.logText)")
            return false
        }
        let isJoint = tracker.configuration.isJoint
        let refusal: String? =
            if pendingConfigurationIndex > log.applied {
                "possible unapplied conf change at index \(pendingConfigurationIndex) (applied to \(log.applied))"
            } else if isJoint, !change.leavesJoint {
                "must transition out of joint config first"
            } else if !isJoint, change.leavesJoint {
                "not in joint state; refusing empty conf change"
            } else {
                nil
            }
        if let refusal {
            info("\(id) ignoring conf change \(change.logText) at config \(tracker.configuration.logText): \(refusal)")
            return false
        }
        pendingConfigurationIndex = log.lastIndex + 1
        return true
    }
}

extension ConfigurationChangeV2 {
    /// Reads the change that an entry holds, whichever form it has.
    public init(decoding entry: Entry) throws(ProtobufError) {
        var result: Result<ConfigurationChangeV2, ProtobufError> = .failure(.invalidTag)
        entry.data.withUnsafeBytes { bytes in
            do throws(ProtobufError) {
                switch entry.kind {
                case .configurationChange: result = .success(.init(try ConfigurationChange(decoding: bytes)))
                case .configurationChangeV2: result = .success(try .init(decoding: bytes))
                case .normal: break
                }
            } catch {
                result = .failure(error)
            }
        }
        self = try result.get()
    }

    /// As the scripts of the tests write it: `v1 l2 r3 u4`.
    public var logText: String {
        let singles = changes.map { single in
            switch single.kind {
            case .addVoter: "v\(single.member)"
            case .addLearner: "l\(single.member)"
            case .remove: "r\(single.member)"
            case .update: "u\(single.member)"
            }
        }
        return "{" + singles.joined(separator: " ") + "}"
    }
}
