// Everything the server is told from outside, as plain typed values. Made once, by `parse`, and passed inwards.

import DatastoreTracing

/// The configuration of a server: immutable, validated, complete.
public struct Configuration: Sendable, Equatable {
    // Member
    public let name: String
    /// Never empty: `<name>.etcd` when not given.
    public let dataDirectory: String
    /// `<data directory>/member/wal` unless given.
    public let walDirectory: String
    /// Whether the log has a directory of its own.
    public let isWALDedicated: Bool
    public let raft: RaftSettings
    public let limits: RequestLimits
    public let backend: BackendSettings

    // Listeners and what is told to others
    public let listenClientURLs: [EndpointURL]
    /// HTTP-only listeners; when there are any, the client URLs serve gRPC only.
    public let listenClientHTTPURLs: [EndpointURL]
    public let listenPeerURLs: [EndpointURL]
    public let listenMetricsURLs: [EndpointURL]
    public let advertiseClientURLs: [EndpointURL]
    public let advertisePeerURLs: [EndpointURL]
    public let clientTLS: TLSOptions
    public let peerTLS: TLSOptions
    public let tlsParameters: TLSParameters
    public let keepalive: KeepaliveSettings
    public let socketReusesPort: Bool
    public let socketReusesAddress: Bool
    /// The JSON gateway under /v3/.
    public let servesGateway: Bool
    /// `*` or the allowed origins.
    public let corsOrigins: [String]
    /// `*` or the allowed Host values of plain HTTP.
    public let hostWhitelist: [String]

    // Cluster
    public let initialCluster: InitialCluster
    public let initialClusterState: InitialClusterState
    public let initialClusterToken: String
    public let discovery: DiscoverySettings
    public let strictReconfigurationCheck: Bool
    public let maxLearners: Int64
    public let compaction: AutoCompaction
    public let features: FeatureGates

    // Operation
    public let servesProfiles: Bool
    /// Whether gRPC handling times are measured.
    public let metricsAreExtensive: Bool
    public let monitoring: MonitoringSettings
    public let logging: LogSettings
    public let tracing: TraceExport
    public let audit: AuditSettings
    /// Lines a second about slow requests; 0 samples them as all other lines.
    public let slowRequestLinesPerSecond: UInt64
    public let warningApplyDuration: Nanoseconds
    public let warningUnaryRequestDuration: Nanoseconds
    public let authentication: AuthenticationSettings
    public let maintenance: MaintenanceSettings
    /// Skips every fsync: data is lost with the machine.
    public let unsafeNoFsync: Bool

    /// Whether there are files that SIGHUP opens anew.
    public var logsToFiles: Bool { !logging.outputs.files.isEmpty || audit.isEnabled }

    /// Lines about the configuration, to be logged in this order when there is a logger.
    public let deferredLines: [DeferredLogLine]
}

/// What is counted by resource and by client.
public struct MonitoringSettings: Sendable, Equatable {
    /// What keys of resources begin with.
    public let resourcePrefixes: [String]
    /// Resources and clients with series of their own.
    public let resourceSeriesMax: Int
    public let clientSeriesMax: Int
    /// Calls are counted by method and client, and their steps noted.
    public let observesRequests: Bool
}

/// Raft's clock and log.
public struct RaftSettings: Sendable, Equatable {
    public let heartbeatMilliseconds: UInt64
    public let electionMilliseconds: UInt64
    /// Election timeout in ticks of one heartbeat.
    public var electionTicks: Int { Int(electionMilliseconds / heartbeatMilliseconds) }
    public let advancesInitialElectionTicks: Bool
    public let preVote: Bool
    /// Applied entries between two snapshots.
    public let snapshotCount: UInt64
    /// Entries kept behind a snapshot for slow followers.
    public let snapshotCatchUpEntries: UInt64
    /// Snapshot files kept; 0 keeps all.
    public let snapshotFilesMaximum: UInt64
    /// Log segments kept; 0 keeps all.
    public let walFilesMaximum: UInt64
    public let peerReadTimeout: Nanoseconds
    public let peerWriteTimeout: Nanoseconds
}

/// Bounds on what clients may ask.
public struct RequestLimits: Sendable, Equatable {
    public let requestBytesMaximum: UInt64
    /// What gRPC accepts: a request and room for its wrapping.
    public var receiveBytesMaximum: UInt64 { requestBytesMaximum + 512 * 1_024 }
    public let transactionOperationsMaximum: UInt64
    public let concurrentStreamsMaximum: UInt32
}

/// Settings of the store.
public struct BackendSettings: Sendable, Equatable {
    public static let defaultQuotaBytes: Int64 = 2 * 1_024 * 1_024 * 1_024
    /// As given: 0 is the default, negative is none.
    public let quotaFlagBytes: Int64
    /// The quota in force; nil means none.
    public var quotaBytes: Int64? {
        quotaFlagBytes < 0 ? nil : quotaFlagBytes == 0 ? Self.defaultQuotaBytes : quotaFlagBytes
    }
    /// The NOSPACE alarm is taken back when there is space again. Ours: etcd always waits for an operator.
    public let quotaDisarmsItself: Bool
    public let batchInterval: Nanoseconds
    public let batchLimit: Int64
    /// As given; a bbolt file's notion that means nothing to a revision log.
    public let freelistType: String
    public let locksMemory: Bool
    public let bootstrapDefragThresholdMegabytes: UInt64
    /// Takes every other member out of the cluster at the start.
    public let forcesNewCluster: Bool
}

/// gRPC keepalive policy.
public struct KeepaliveSettings: Sendable, Equatable {
    /// The shortest ping interval tolerated from a client; zero tolerates all.
    public let clientPingIntervalMinimum: Nanoseconds
    /// Period of our own pings; they are off when this or the timeout is not positive.
    public let pingInterval: Nanoseconds
    public let pingTimeout: Nanoseconds
    public var sendsPings: Bool { pingInterval > .zero && pingTimeout > .zero }
}

/// How a first start makes its cluster.
public enum InitialClusterState: String, Sendable {
    case new, existing
}

/// How a cluster is found by a discovery service.
public struct DiscoverySettings: Sendable, Equatable {
    public let token: String
    public let endpoints: [String]
    public let dialTimeout: Nanoseconds
    public let requestTimeout: Nanoseconds
    public let keepaliveTime: Nanoseconds
    public let keepaliveTimeout: Nanoseconds
    public let usesInsecureTransport: Bool
    public let skipsVerification: Bool
    public let certificatePath: String
    public let keyPath: String
    public let authorityPath: String
    public let user: String
    public let password: String
}

/// Where and how to log.
public struct LogSettings: Sendable, Equatable {
    public let level: LogLevel
    public let format: LogFormat
    public let outputs: LogOutputs
    /// Texts of the outputs, as the start-up line shows them.
    public let outputTexts: [String]
    public let rotation: LogRotation?
}

/// Where and how to send traces; nil service parts are absent.
public struct TraceExport: Sendable, Equatable {
    public let isEnabled: Bool
    public let address: String
    public let serviceName: String
    public let instanceID: String
    /// Root spans sampled per million.
    public let samplesPerMillion: Int64
}

/// Tokens and password hashes.
public struct AuthenticationSettings: Sendable, Equatable {
    public let token: AuthToken
    public let bcryptCost: Int
    public let simpleTokenTTLSeconds: UInt64
}

/// Periods and sizes of background work.
public struct MaintenanceSettings: Sendable, Equatable {
    public let corruptCheckPeriod: Nanoseconds
    public let compactHashCheckPeriod: Nanoseconds
    public let compactionBatchLimit: Int64
    /// Whether limit or interval were given: otherwise compaction goes at a pace of our own, which is faster and kinder.
    public let pacesCompaction: Bool
    public let compactionSleepInterval: Nanoseconds
    public let watchProgressNotifyInterval: Nanoseconds
    /// Zero disables the monitor.
    public let downgradeCheckPeriod: Nanoseconds
}
