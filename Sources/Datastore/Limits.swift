// Every bound of the server in one place. What a limit does when it is reached stands beside it.

import Wire

enum ServerLimits {
    /// Proposals on their way from a client to its answer. Beyond: `etcdserver: too many requests`.
    static let proposalsInFlightMax = 20_000
    /// Their bytes. Beyond: `etcdserver: too many requests`.
    static let proposalBytesInFlightMax = 512 << 20
    /// Room above those limits for what frees space or ends work: lease revokes and compactions. The server's own
    /// have as much again above clients'.
    static let proposalsReserved = 2_000
    /// Linearizable reads that wait for a quorum. Beyond: `etcdserver: too many requests`.
    static let readsInFlightMax = 50_000
    /// Changes of the members under way. Beyond: `etcdserver: too many requests`.
    static let configurationChangesMax = 64
    /// Tasks that wait for the consensus thread: health checks, reads of claims. Beyond, whoever asks is told
    /// `etcdserver: too many requests`.
    static let consensusTasksMax = 100_000
    /// Entries that may be committed and not applied yet (etcd's number). Beyond, `etcdserver: too many requests`.
    static let unappliedEntriesMax: UInt64 = 5_000
    /// Time for which the event loop evaluates one large transaction before it serves others.
    static let readSliceNanoseconds: UInt64 = 1_000_000
    /// Bytes of proposals taken into one round of the log: bounds the time to the next sync.
    static let roundBytesMax = 8 << 20
    /// Applied entries that a lone member keeps in memory: nobody will ask for them, and what is freed soon is used
    /// again while it is in the processor's cache.
    static let appliedEntryBytesKeptAlone = 4 << 20
    /// Bytes of committed entries handed to apply at once.
    static let applyBytesMax = 16 << 20
    /// Lists up to this size are answered at once, larger ones stream.
    static let rangeInlineBytesMax = 64 << 10
    /// Connections open at once on all ports, unless file descriptors allow fewer. Beyond: clients wait in the kernel's
    /// queue until one closes.
    static let connectionsMax = 65_536
    /// The part of them (one in so many) that each port has which is not the clients'.
    static let otherListenersShare = 8
    /// Answers of applied entries that are gathered before they are handed to the event loop; one answer may be longer.
    static let answerBatchBytesMax = 8 << 20
    /// Wait before a failed write of the store is tried again while the disk is full.
    static let diskFullRetryNanoseconds: UInt64 = 500_000_000
    /// Simple tokens kept at a time; beyond, the one that would expire first is forgotten.
    static let simpleTokensMax = 100_000
    /// Signed tokens whose signature is remembered as good; beyond, all are forgotten and checked anew.
    static let signedTokensKnownMax = 4096
    /// Password hashes waiting to be computed. Beyond: `etcdserver: too many requests`.
    static let passwordJobsMax = 256
    /// Lock, Campaign and Observe calls that wait, each with a watcher. Beyond: `etcdserver: too many requests`.
    static let claimsMax = 100_000
    /// TTL of the lease that is granted to a Lock or Campaign without one (etcd's session default).
    static let claimLeaseSeconds: Int64 = 60
    /// Clients that are counted by name, agent and address. Later ones are counted together as `other`.
    static let clientsCountedMax = 512
    /// Watch streams with a backlog that are told of, for each event loop.
    static let slowStreamsMax = 16
    /// Snapshot streams at a time, a thread each. Beyond: `etcdserver: too many requests`.
    static let snapshotsInFlightMax = 8
    /// Bytes of a snapshot made ahead of its call's event loop; then its thread waits.
    static let snapshotAheadBytes = 1 << 20
    /// Bytes of a snapshot handed to the transport ahead of the client.
    static let snapshotQueuedBytes = 512 << 10
    /// Bytes of a snapshot in one message, as etcd has it.
    static let snapshotChunkBytes = 32 << 10
    /// Page size of the database file, as etcd has it on most machines.
    static let snapshotPageBytes = 4096
    /// A snapshot whose client takes nothing for so long is aborted, because it holds back compaction.
    static let snapshotStallNanoseconds: UInt64 = 600_000_000_000
    /// Requests of the gateway that may wait where `--max-concurrent-streams` is reached; more are refused.
    static let gatewayCallsWaitingMax = 4096
    /// Answers of the gateway translated ahead of their reader; beyond, the call waits.
    static let gatewayOutputAheadBytes = 256 << 10
    /// Answers of the gateway up to this size go out whole and with their length, longer ones in pieces.
    static let gatewayAnswerInlineBytesMax = 64 << 10
    /// A piece of such an answer.
    static let gatewayOutputPieceBytes = 64 << 10
    /// How often the store's lock is tried while another process has it, and when the log says so.
    static let lockRetryNanoseconds: UInt64 = 50_000_000
    static let lockNoticeNanoseconds: UInt64 = 10_000_000_000
    /// How often a leader tells what is left of long leases, with the gate LeaseCheckpoint.
    static let leaseCheckpointSeconds: Int64 = 300
    /// Requests whose lines and spans wait to be written. Beyond: not recorded, counted.
    static let slowRequestsQueuedMax = 10_000
    /// Slow requests a second, and thread, that are described and recorded without `--slow-request-log-rate`. Beyond: counted.
    static let slowRequestsLookedAtPerSecond = 2_000
    /// The last requests, and as many of the slowest, kept for `/debug/martlet/requests`.
    static let requestsShownMax = 200
    /// Age at which one of the slowest is forgotten.
    static let slowestRequestsAgeNanoseconds: Int64 = 3_600_000_000_000
    /// So often a request is shown though it was fast.
    static let shownRequestIntervalNanoseconds: UInt64 = 200_000_000
    /// Position of `tracestate` among the registered metadata names.
    static let traceStateMetadata = 0
    /// Changes told of one request, and depth of transactions within transactions. Beyond: counted in the line.
    static let auditedChangesMax = 256
    static let auditedDepthMax = 8
    /// Time that open connections get to finish their calls when the server stops.
    static let drainMilliseconds: Int64 = 500
}

extension CallError {
    static let unknownAction = CallError(.unknown, "etcdserver: unknown method")
}
