// What a flag is: the table of all flags is data, and one parser reads it.

/// The type of a flag's value.
enum FlagKind: Sendable, Equatable {
    case boolean
    case string
    case unsigned(bits: Int)
    case signed
    case duration
    /// Comma-separated, duplicates dropped, sorted.
    case strings
    /// Comma-separated URLs, duplicates dropped, sorted; empty for none.
    case urls
    /// URLs or `*`.
    case origins
    case choice([String])
    case featureGates
    /// Accepted like a boolean, with or without any value; means nothing.
    case ignored

    /// Whether the flag may stand without a value.
    var isSwitch: Bool { self == .boolean || self == .ignored }
}

/// The section of the help text.
enum FlagSection: String, Sendable, CaseIterable {
    case member = "Member"
    case clustering = "Clustering"
    case security = "Security"
    case authentication = "Auth"
    case monitoring = "Profiling and Monitoring"
    case logging = "Logging"
    case tracing = "Distributed tracing"
    case features = "Features"
    case unsafe = "Unsafe feature"
    case ignored = ""
}

/// One flag.
struct FlagSpecification: Sendable {
    let name: String
    let kind: FlagKind
    /// The text the flag has when it is not given.
    let defaultText: String
    let section: FlagSection
    let help: String

    init(_ name: String, _ kind: FlagKind, _ defaultText: String, _ section: FlagSection, _ help: String) {
        self.name = name
        self.kind = kind
        self.defaultText = defaultText
        self.section = section
        self.help = help
    }

    /// `ETCD_LISTEN_PEER_URLS` for `listen-peer-urls`.
    var environmentName: String {
        "ETCD_" + String(name.uppercased().map { $0 == "-" ? "_" : $0 })
    }
}

/// All flags of the server.
enum FlagTable {
    static let all = member + cluster + security + operation
    static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
    static let byEnvironmentName = Dictionary(uniqueKeysWithValues: all.map { ($0.environmentName, $0) })
}
