// The data directory of a member, opened: log, store, and what they say about who this member is.

import DatastoreTracing
import KeySpace
import Raft
import Storage
import Wire

/// Everything that is on disk, in memory and consistent. Made once at start, before any thread runs.
final class OpenedMember: @unchecked Sendable {
    // Unchecked: immutable after the initialiser; what it holds says itself who may use it.
    let memberID: MemberID
    let clusterID: ClusterID
    let keySpace: KeySpace
    let maintenance: StoreMaintenance
    let tokens: AuthTokens
    let wal: WriteAheadLog
    /// The Raft value as of the last stop, for the consensus thread to take over.
    let raft: RaftNode
    let appliedIndex: LogIndex
    let snapshotIndex: LogIndex
    /// The directory held a member before.
    let isRestart: Bool

    /// - Parameters:
    ///   - fileSystem: where the data directory is; it has been prepared (`DataDirectory.prepare`).
    ///   - signer: makes and checks signed tokens; nil for simple ones.
    init(
        _ configuration: Configuration, on fileSystem: any FileSystem = PosixFileSystem(), options: MemberOptions = MemberOptions(),
        signer: TokenSigner?, log: Log, metrics: NodeMetrics
    ) throws {
        let memberDirectory = configuration.dataDirectory + "/member"
        let storeDirectory = memberDirectory + "/store"
        try fileSystem.createDirectory(memberDirectory)

        // The store's lock keeps a second process out before anything is looked at.
        var logOptions = options.store
        logOptions.skipsSync = configuration.unsafeNoFsync
        let store = try DataDirectory.openStore(
            fileSystem, storeDirectory, logOptions, log, resourcePrefixes: configuration.monitoring.resourcePrefixes)
        store.observeLock(waits: metrics.storeLock.waits, holds: metrics.storeLock.holds)

        let initialMembers = DataDirectory.initialMembers(configuration)
        var walOptions = options.log
        walOptions.skipsSync = configuration.unsafeNoFsync
        walOptions.maximumFiles = configuration.raft.walFilesMaximum == 0 ? .max : Int(configuration.raft.walFilesMaximum)
        var contents: WALContents
        if WriteAheadLog.exists(fileSystem, configuration.walDirectory) {
            (wal, contents) = try WriteAheadLog.open(
                fileSystem: fileSystem, directory: configuration.walDirectory, options: walOptions)
            for path in contents.repaired { log.info("repaired", .string("path", path)) }
            for name in contents.ignored { log.warn("ignored file in WAL directory", .string("path", name)) }
        } else {
            let position = store.appliedPosition
            guard position.index == 0 else {
                throw StartError(
                    "the store in \(storeDirectory) has entries up to \(position.index), but there is no write-ahead log in \(configuration.walDirectory)")
            }
            if let refusal = configuration.initialCluster.refusal(
                name: configuration.name, advertisedPeerURLs: configuration.advertisePeerURLs)
            {
                throw StartError(refusal.description)
            }
            guard configuration.initialClusterState == .new else {
                throw StartError("--initial-cluster-state=existing is not supported by this build: it has no peer transport")
            }
            guard let own = initialMembers.first(where: { $0.name == configuration.name }) else {
                throw StartError("couldn't find local name \"\(configuration.name)\" in the initial cluster configuration")
            }
            if !configuration.unsafeNoFsync {
                // The names above the files outlast a power loss before anything in the files is promised to.
                try fileSystem.syncDirectory(configuration.dataDirectory)
                // Who may not read what is above it cannot sync that either.
                try? fileSystem.syncDirectory(parentDirectory(of: configuration.dataDirectory))
            }
            let cluster = ClusterID(Identity.clusterID(initialMemberIDs: initialMembers.map(\.id.rawValue)))
            let metadata = WALMetadata(memberID: own.id, clusterID: cluster)
            wal = try WriteAheadLog.create(
                fileSystem: fileSystem, directory: configuration.walDirectory, metadata: metadata, options: walOptions)
            contents = WALContents(metadata: metadata)
        }
        isRestart = !contents.entries.isEmpty || contents.snapshot.index > 0
        if !isRestart {
            // Also after a first start that ended between creating the log and writing to it.
            let bootstrap = DataDirectory.bootstrap(initialMembers)
            try wal.append(hardState: bootstrap.hardState, entries: bootstrap.entries)
            try wal.sync()
            contents.hardState = bootstrap.hardState
            contents.entries = bootstrap.entries
        }
        memberID = contents.metadata.memberID
        clusterID = contents.metadata.clusterID
        snapshotIndex = contents.snapshot.index

        // Membership and leases come from the store's metadata, as of the last entry that it holds.
        var view = ClusterView()
        for bucket in [MetaBucket.members, .membersRemoved, .cluster, .alarm] {
            for (key, value) in store.metaEntries(bucket) { view.restore(bucket: bucket, key: key, value: value) }
        }
        var auth = AuthView()
        for bucket in [MetaBucket.auth, .authUsers, .authRoles] {
            for (key, value) in store.metaEntries(bucket) {
                do throws(ProtobufError) {
                    try auth.restore(bucket: bucket, key: key, value: value)
                } catch {
                    throw StartError("a record of the bucket \(bucket.name) cannot be read: \(error)")
                }
            }
        }
        tokens = AuthTokens(configuration.authentication, signer: signer)
        let heartbeat = configuration.raft.heartbeatMilliseconds
        let minimumTTL = (UInt64(configuration.raft.electionTicks) * 3 / 2 * heartbeat + 999) / 1000
        let leases = LeaseStore(
            minimumTTL: Int64(minimumTTL),
            revokeTimeoutNanoseconds: 5_000_000_000 + 2 * configuration.raft.electionMilliseconds * 1_000_000)
        for value in store.metaEntries(.lease).values { try value.withUnsafeBytes { try leases.restore($0) } }
        if leases.count > 0 { store.forEachAttachedKey { key, lease in leases.attach(key: key.bytes, to: lease) } }
        log.info("kvstore restored", .int("current-rev", store.currentRevision))
        keySpace = KeySpace(
            store: store, leases: leases, cluster: ClusterState(view),
            headers: ResponseHeaderEncoder(cluster: clusterID, member: memberID),
            quota: configuration.backend.quotaBytes.map { Int($0) },
            learnersMax: Int(clamping: configuration.maxLearners),
            metrics: ApplyMetrics(mvcc: metrics.mvcc, lease: metrics.lease, server: metrics.server),
            auth: AuthState(auth), authSecrets: tokens, log: log
        ) { error in
            log.fatal("a stored record cannot be read; the process ends so that nothing wrong is answered", .error(error.description))
        }
        if let version = view.version { metrics.server.setClusterVersion(String(version.prefix { $0 != "." }) + "." + String(version.split(separator: ".").dropFirst().first ?? ""), replacing: nil) }
        let pace = configuration.maintenance.pacesCompaction
            ? CompactionPace(
                versions: Int(clamping: configuration.maintenance.compactionBatchLimit),
                pauseNanoseconds: UInt64(max(0, configuration.maintenance.compactionSleepInterval.count))) : nil
        if configuration.features.isOn(.initialCorruptCheck) {
            log.info("starting initial corruption check", .string("local-member-id", memberID.description))
            do { try store.verifyLog() } catch { throw StartError("found damage at the initial corruption check: \(error)") }
            log.info("initial corruption checking passed; no corruption", .string("local-member-id", memberID.description))
        }
        let checkPeriod = configuration.maintenance.corruptCheckPeriod
        maintenance = StoreMaintenance(
            store: store, pace: pace, verificationInterval: checkPeriod > .zero ? UInt64(checkPeriod.count) : nil
        ) { MaintenanceLog.write($0, log, metrics, store) }

        try Self.catchUp(wal, &contents, store, view, log)
        if configuration.backend.forcesNewCluster, isRestart {
            try ForcedCluster.rewrite(wal, &contents, applied: store.appliedPosition.index, view, log)
        }
        (raft, appliedIndex) = try Self.restore(contents, store: store, view: view, configuration: configuration)
        if isRestart {
            log.info(
                "restarting local member", .string("local-member-id", memberID.description),
                .string("cluster-id", clusterID.description), .uint64("commit-index", contents.hardState.commit))
        } else {
            log.info(
                "starting local member", .string("local-member-id", memberID.description),
                .string("cluster-id", clusterID.description))
        }
    }

    /// A log whose end was lost, while the store still has what it led to: what the store holds was committed, so
    /// the log begins anew behind it.
    private static func catchUp(
        _ wal: WriteAheadLog, _ contents: inout WALContents, _ store: MVCCStore, _ view: ClusterView, _ log: Log
    ) throws {
        let applied = store.appliedPosition
        let last = contents.entries.last?.index ?? contents.snapshot.index
        guard applied.index >= contents.snapshot.index else {
            throw StartError(
                "the write-ahead log begins behind entry \(contents.snapshot.index), but the store only has entries up to \(applied.index); if etcd has run here since, move the directory member/store away, and the database of etcd is imported again")
        }
        guard applied.index > last else { return }
        log.warn(
            "the write-ahead log ends before what the store holds; it goes on from there", .uint64("log-last-index", last),
            .uint64("store-applied-index", applied.index))
        let snapshot = SnapshotMetadata(index: applied.index, term: applied.term, configuration: membership(view))
        contents.hardState.term = max(contents.hardState.term, applied.term)
        contents.hardState.commit = applied.index
        try wal.append(hardState: contents.hardState, entries: [])
        try wal.saveSnapshot(snapshot)
        contents.snapshot = WALSnapshot(index: snapshot.index, term: snapshot.term, configuration: snapshot.configuration)
        contents.entries = []
    }

    /// Who votes, as the store's metadata knows it.
    private static func membership(_ view: ClusterView) -> ConfigurationState {
        ConfigurationState(
            voters: view.sortedMembers.filter { !$0.isLearner }.map(\.id),
            learners: view.sortedMembers.filter(\.isLearner).map(\.id))
    }

    /// The Raft value where the store stands: entries up to there are part of it, later ones will be applied.
    private static func restore(
        _ contents: WALContents, store: MVCCStore, view: ClusterView, configuration: Configuration
    ) throws -> (RaftNode, LogIndex) {
        let applied = max(store.appliedPosition.index, contents.snapshot.index)
        var hardState = contents.hardState
        // What the store holds was committed, even if the log was not told before the stop.
        hardState.commit = max(hardState.commit, applied)
        var membership = contents.snapshot.configuration ?? ConfigurationState()
        if applied > contents.snapshot.index || membership.voters.isEmpty {
            membership = Self.membership(view)
        }
        var settings = RaftConfiguration(
            id: contents.metadata.memberID, electionTicks: configuration.raft.electionTicks, preVote: configuration.raft.preVote,
            seed: contents.metadata.memberID.rawValue ^ WallClock.milliseconds())
        settings.maxApplyingBytes = ServerLimits.applyBytesMax
        settings.logsDebug = configuration.logging.level == .debug
        let raft = try RaftNode(
            settings,
            restoring: RestoredState(
                hardState: hardState, configuration: membership,
                snapshot: SnapshotMetadata(
                    index: contents.snapshot.index, term: contents.snapshot.term,
                    configuration: contents.snapshot.configuration ?? ConfigurationState()),
                entries: contents.entries,
                applied: applied))
        return (raft, applied)
    }

    /// After the last thread has stopped: what the next start needs is written, then the files are closed.
    func close(_ log: Log) {
        maintenance.stop()
        keySpace.store.close()
    }
}

/// Sizes of files and the like, which tests make smaller than an operator could.
struct MemberOptions: Sendable {
    var store = RevisionLogOptions()
    var log = WALOptions()
}

/// What a data directory holds, and how a new one begins.
enum DataDirectory {
    /// The members of `--initial-cluster`, in ascending order of their IDs.
    static func initialMembers(_ configuration: Configuration) -> [MemberDescription] {
        configuration.initialCluster.members.map { name, urls in
            let texts = urls.map(\.text).sorted()
            let id = Identity.memberID(peerURLs: texts, clusterToken: configuration.initialClusterToken)
            return MemberDescription(id: MemberID(id), name: name, peerURLs: texts)
        }
        .sorted { $0.id < $1.id }
    }

    /// The first entries of a new cluster's log: every member is added, committed before anybody votes.
    static func bootstrap(_ members: [MemberDescription]) -> (hardState: HardState, entries: [Entry]) {
        let entries = members.enumerated().map { offset, member in
            let sink = ByteSink(capacity: 256)
            ConfigurationChange(kind: .addVoter, member: member.id, context: member.json()).encode(to: sink)
            return Entry(kind: .configurationChange, term: 1, index: LogIndex(offset + 1), data: sink.array())
        }
        return (HardState(term: 1, commit: LogIndex(entries.count)), entries)
    }
}
