// Flags of features that this build does not have, each with the reason. Where serving without the feature would
// be dangerous the server refuses to start; elsewhere it says that the flag has no effect. Whoever adds a feature
// removes its flags here; the table in docs/configuration.md is made from this.

/// What giving a flag does.
enum FlagEffect: Equatable {
    case acts
    /// As in etcd, where one member alone gives it no occasion.
    case idle(reason: String)
    /// Taken and checked, then without effect; a line in the log says so.
    case ineffective(reason: String)
    /// The server does not start.
    case refused(reason: String)
}

/// What cannot be asked of this build.
enum UnsupportedFlags {
    private static let discovery = "there is no discovery yet: name the members in --initial-cluster"

    /// Flags that decide over a cluster: never silently ignored.
    private static let refusedDiscovery = [
        "discovery-srv": discovery, "discovery-token": discovery, "discovery-endpoints": discovery,
    ]

    private static let noBolt = "the store is a log of its own, not a bbolt file"
    private static let alone = "one member has nobody to compare its data with"
    private static let noPeers = "one member has nobody to talk to"
    private static let noDiscovery = "belongs to discovery, which is not there yet"
    private static let noDial = "the gateway is inside the server, which does not dial itself"

    /// Flags without an occasion while there is one member.
    private static let idle: [String: String] = [
        "compact-hash-check-time": alone,
        "downgrade-check-time": "a lone member has nothing to wait for",
        "raft-read-timeout": noPeers, "raft-write-timeout": noPeers,
        "initial-election-tick-advance": "a lone member does not wait for an election",
        "peer-client-cert-file": noPeers, "peer-client-key-file": noPeers,
    ]

    /// Flags that are checked and then mean nothing here.
    private static let ineffective: [String: String] = [
        "backend-bbolt-freelist-type": noBolt, "backend-batch-interval": noBolt, "backend-batch-limit": noBolt,
        "max-snapshots": "there are no .snap files: the store itself is the snapshot",
        "v2-deprecation": "there is no v2 store",
        "logger": "there is one logger, and its name is zap",
        "client-cert-file": noDial, "client-key-file": noDial,
        "discovery-dial-timeout": noDiscovery, "discovery-request-timeout": noDiscovery,
        "discovery-keepalive-time": noDiscovery, "discovery-keepalive-timeout": noDiscovery,
        "discovery-insecure-transport": noDiscovery, "discovery-insecure-skip-tls-verify": noDiscovery,
        "discovery-cert": noDiscovery, "discovery-key": noDiscovery, "discovery-cacert": noDiscovery,
        "discovery-user": noDiscovery, "discovery-password": noDiscovery, "discovery-fallback": noDiscovery,
        "discovery-srv-name": noDiscovery,
    ]

    /// What turning a gate on or off does.
    static func effect(of gate: FeatureGate) -> FlagEffect {
        switch gate {
        case .leaseCheckpoint, .initialCorruptCheck: .acts
        case .leaseCheckpointPersist: .idle(reason: "checkpoints are always stored, as in etcd from cluster version 3.6 on")
        case .compactHashCheck: .idle(reason: alone)
        case .setMemberLocalAddr: .idle(reason: noPeers)
        case .fastLeaseKeepAlive: .idle(reason: "a lone member has applied what it has acknowledged")
        case .stopGRPCServiceOnDefrag: .ineffective(reason: "defragmentation does not block the service")
        case .txnModeWriteWithSharedBuffer: .ineffective(reason: "transactions have no buffer that could be copied")
        case .priorityRequest: .ineffective(reason: "lease revokes and compactions always have room of their own")
        }
    }

    /// What giving the flag does, with a value that is not the one that turns it off.
    static func effect(of name: String) -> FlagEffect {
        if let reason = refusedDiscovery[name] { return .refused(reason: reason) }
        if let reason = ineffective[name] { return .ineffective(reason: reason) }
        if let reason = idle[name] { return .idle(reason: reason) }
        return .acts
    }

    static func checkDiscovery(_ values: FlagValues) throws(ConfigurationError) {
        try refuse(refusedDiscovery, values)
    }

    private static func refuse(_ names: [String: String], _ values: FlagValues) throws(ConfigurationError) {
        for (name, reason) in names.sorted(by: { $0.key < $1.key }) where isOn(name, values) {
            throw ConfigurationError("--\(name) is not supported by this build: \(reason)")
        }
    }

    /// The lines about flags that were given and mean nothing.
    static func notes(_ values: FlagValues, _ features: FeatureGates) -> [DeferredLogLine] {
        var notes: [(flag: String, reason: String)] = ineffective.sorted { $0.key < $1.key }
            .filter { values.isGiven($0.key) && !values.isDefault($0.key) }.map { ($0.key, $0.value) }
        for gate in FeatureGate.allCases where features.explicit[gate.rawValue] == !gate.isOnByDefault {
            if case .ineffective(let reason) = effect(of: gate) { notes.append(("feature-gates=\(gate.rawValue)", reason)) }
        }
        return notes.map {
            .later(
                .warn, "flag is accepted but has no effect in this build",
                [.string("flag", $0.flag), .string("reason", $0.reason)])
        }
    }

    /// Given, and not with the value that turns it off.
    private static func isOn(_ name: String, _ values: FlagValues) -> Bool {
        FlagTable.byName[name]?.kind == .boolean ? values.boolean(name) : !values.string(name).isEmpty
    }
}
