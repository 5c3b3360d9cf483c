// Feature gates: names with a stage and a default, turned on and off by `--feature-gates`.

/// The gates of this server.
public enum FeatureGate: String, Sendable, CaseIterable {
    case stopGRPCServiceOnDefrag = "StopGRPCServiceOnDefrag"
    case txnModeWriteWithSharedBuffer = "TxnModeWriteWithSharedBuffer"
    case initialCorruptCheck = "InitialCorruptCheck"
    case compactHashCheck = "CompactHashCheck"
    case leaseCheckpoint = "LeaseCheckpoint"
    case leaseCheckpointPersist = "LeaseCheckpointPersist"
    case setMemberLocalAddr = "SetMemberLocalAddr"
    case fastLeaseKeepAlive = "FastLeaseKeepAlive"
    case priorityRequest = "PriorityRequest"

    /// How mature a gate is.
    public enum Stage: String, Sendable {
        case alpha = "ALPHA"
        case beta = "BETA"
    }

    public var stage: Stage {
        switch self {
        case .txnModeWriteWithSharedBuffer, .fastLeaseKeepAlive: .beta
        default: .alpha
        }
    }

    /// What holds when nobody says otherwise: beta gates are on, alpha gates off.
    public var isOnByDefault: Bool { stage == .beta }
}

/// The state of all gates.
public struct FeatureGates: Sendable, Equatable {
    /// Gates that were set by name, in the order of their names; what the start-up line shows.
    public private(set) var explicit: [String: Bool] = [:]
    private var groups: [FeatureGate.Stage: Bool] = [:]

    public init() {}

    /// Whether `gate` is on.
    public func isOn(_ gate: FeatureGate) -> Bool {
        explicit[gate.rawValue] ?? groups[gate.stage] ?? gate.isOnByDefault
    }

    /// `A=true,B=false`: gates set explicitly.
    public var text: String {
        explicit.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
    }

    struct Invalid: Error, Equatable {
        let reason: String
    }

    /// Reads `A=true,B=false`; blanks around names and values do not count, empty items are skipped.
    static func parse(_ text: String) throws(Invalid) -> FeatureGates {
        var gates = FeatureGates()
        for item in text.split(separator: ",").map({ trimmed($0) }) where !item.isEmpty {
            guard let equals = item.firstIndex(of: "=") else {
                throw Invalid(reason: "missing bool value for \(item)")
            }
            let name = trimmed(item[..<equals])
            let value = trimmed(item[item.index(after: equals)...])
            guard let isOn = parseBoolean(value) else {
                throw Invalid(
                    reason: "invalid value of \(name)=\(value), err: strconv.ParseBool: parsing \(quoted(value)): "
                        + "invalid syntax")
            }
            switch name {
            case "AllAlpha": gates.groups[.alpha] = isOn
            case "AllBeta": gates.groups[.beta] = isOn
            case _ where FeatureGate(rawValue: name) != nil: gates.explicit[name] = isOn
            default: throw Invalid(reason: "unrecognized feature gate: \(name)")
            }
        }
        return gates
    }
}
