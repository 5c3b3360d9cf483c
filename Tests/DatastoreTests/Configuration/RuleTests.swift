// Defaults, and the rules that bind several flags.

import DatastoreTracing
import Testing

@testable import Datastore

struct ConfigurationRuleTests {
    @Test func defaultsAreEtcds() throws {
        let configuration = try #require(configure().configuration)
        #expect(configuration.name == "default" && configuration.dataDirectory == "default.etcd")
        #expect(configuration.walDirectory == "default.etcd/member/wal" && !configuration.isWALDedicated)
        #expect(configuration.lines("'data-dir' was empty; using default").first?.fields == [.string("data-dir", "default.etcd")])
        #expect(configuration.hasLine("it isn't recommended to use default name"))
        #expect(configuration.raft.heartbeatMilliseconds == 100 && configuration.raft.electionTicks == 10)
        #expect(configuration.raft.snapshotCount == 10_000 && configuration.raft.snapshotCatchUpEntries == 5_000)
        #expect(configuration.raft.preVote && configuration.strictReconfigurationCheck)
        #expect(configuration.backend.quotaBytes == 2_147_483_648)
        #expect(configuration.backend.batchInterval == .milliseconds(100) && configuration.backend.batchLimit == 10_000)
        #expect(configuration.limits.requestBytesMaximum == 1_572_864)
        #expect(configuration.limits.receiveBytesMaximum == 1_572_864 + 524_288)
        #expect(configuration.limits.transactionOperationsMaximum == 128)
        #expect(configuration.limits.concurrentStreamsMaximum == .max)
        #expect(configuration.keepalive.pingInterval == .hours(2) && configuration.keepalive.sendsPings)
        #expect(configuration.listenClientURLs.map(\.text) == ["http://localhost:2379"])
        #expect(configuration.listenPeerURLs.map(\.text) == ["http://localhost:2380"])
        #expect(configuration.listenMetricsURLs.isEmpty && configuration.listenClientHTTPURLs.isEmpty)
        #expect(configuration.corsOrigins == ["*"] && configuration.hostWhitelist == ["*"])
        #expect(configuration.initialClusterState == .new && configuration.initialClusterToken == "etcd-cluster")
        #expect(configuration.compaction.policy == .off && configuration.compaction.mode == .periodic)
        #expect(configuration.maintenance.watchProgressNotifyInterval == .minutes(10))
        #expect(configuration.maintenance.compactionBatchLimit == 1_000)
        #expect(configuration.warningApplyDuration == .milliseconds(100))
        #expect(configuration.warningUnaryRequestDuration == .milliseconds(300))
        #expect(configuration.logging.level == .info && configuration.logging.format == .json)
        #expect(configuration.logging.outputs == .standardError && configuration.logging.rotation == nil)
        #expect(configuration.authentication.token == .simple && configuration.authentication.bcryptCost == 10)
        #expect(!configuration.metricsAreExtensive && !configuration.servesProfiles && configuration.servesGateway)
        #expect(configuration.deferredLines.last?.message == "Running: ")
        #expect(configuration.deferredLines.last?.fields == [.strings("args", ["martlet"])])
    }

    @Test func zerosStandForDefaults() throws {
        let configuration = try #require(
            configure(
                "--snapshot-count=0", "--snapshot-catchup-entries=0", "--warning-unary-request-duration=0",
                "--watch-progress-notify-interval=0s", "--compaction-sleep-interval=0", "--backend-batch-interval=0s"
            ).configuration)
        #expect(configuration.raft.snapshotCount == 10_000 && configuration.hasLine("updating snapshot-count to default"))
        #expect(configuration.raft.snapshotCatchUpEntries == 5_000)
        #expect(configuration.warningUnaryRequestDuration == .milliseconds(300))
        #expect(configuration.maintenance.watchProgressNotifyInterval == .minutes(10))
        #expect(configuration.maintenance.compactionSleepInterval == .milliseconds(10))
        #expect(configuration.backend.batchInterval == .milliseconds(100))
    }

    @Test func lowPeerTimeoutsAreRaised() {
        let configuration = configure("--raft-read-timeout=1s", "--raft-write-timeout=9s").configuration
        #expect(configuration?.raft.peerReadTimeout == .seconds(5) && configuration?.raft.peerWriteTimeout == .seconds(9))
        #expect(configuration?.hasLine("raft-read-timeout increased to minimum value: 5s") == true)
    }

    @Test func largeRequestsWarn() {
        #expect(
            configure("--max-request-bytes=20485760").configuration?.lines("exceeded recommended request limit").first?
                .fields == [
                    .uint64("max-request-bytes", 20_485_760), .string("max-request-size", "20 MB"),
                    .uint64("recommended-request-bytes", 10_485_760), .string("recommended-request-size", "10 MB"),
                ])
    }

    @Test func quotasHaveThreeForms() {
        #expect(configure("--quota-backend-bytes=-1").configuration?.backend.quotaBytes == nil)
        #expect(configure("--quota-backend-bytes=53248").configuration?.backend.quotaBytes == 53_248)
        #expect(configure("--quota-backend-bytes", "-1").configuration != nil)
    }

    @Test(arguments: [
        (["--heartbeat-interval=0"], "--heartbeat-interval must be >0 (set to 0ms)"),
        (["--election-timeout=0"], "--election-timeout must be >0 (set to 0ms)"),
        (["--heartbeat-interval=201"],
            "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[201ms]"),
        (["--heartbeat-interval=18446744073709551615"],
            "--election-timeout[1000ms] should be at least as 5 times as --heartbeat-interval[18446744073709551615ms]"),
        (["--election-timeout=50001"], "--election-timeout[50001ms] is too long, and should be set less than 50000ms"),
        (["--feature-gates=LeaseCheckpointPersist=true"],
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"),
        (["--compact-hash-check-time=0s"], "--compact-hash-check-time must be >0 (set to 0s)"),
        (["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
            "min version (TLS1.3) is greater than max version (TLS1.2)"),
        (["--tls-min-version=TLS1.1"], "unexpected TLS version \"TLS1.1\" (must be one of: TLS1.2, TLS1.3)"),
        (["--cipher-suites=TLS_AES_128_GCM_SHA256", "--tls-min-version=TLS1.3"],
            "cipher suites cannot be configured when only TLS1.3 is enabled"),
        (["--enable-distributed-tracing", "--distributed-tracing-sampling-rate=1000001"],
            "distributed tracing sampling rate must be between 0 and 1000000 per million (set to 1000001)"),
        (["--auto-compaction-mode="], "undefined auto-compaction-mode"),
        (["--auto-compaction-mode=x"], "unknown auto-compaction-mode \"x\""),
        (["--enable-log-rotation"], "--log-outputs requires a single file path when --log-rotate-config-json is defined"),
        (["--enable-log-rotation", "--log-outputs=/a,/b"],
            "--log-outputs requires a single file path when --log-rotate-config-json is defined"),
        (["--enable-log-rotation", "--log-outputs=/a", "--log-rotation-config-json={"],
            "improperly formatted log rotation config"),
        (["--enable-log-rotation", "--log-outputs=/a", "--log-rotation-config-json={\"maxsize\":\"x\"}"],
            "invalid log rotation config"),
        (["--log-outputs=default,/a"], "multi logoutput for \"default\" is not supported yet"),
        (["--log-level=loud"], "unrecognized level: \"loud\""),
        (["--log-format=xml"], "unknown log format: xml, supported values json, console"),
        (["--logger=capnslog"], "unknown logger option \"capnslog\""),
        (["--discovery-token=t"], "both --discovery-token and --discovery-endpoints must be set"),
        (["--discovery-fallback=proxy"], "v2 proxy is deprecated, and discovery fallback must be \"exit\""),
    ] as [([String], String)])
    func brokenRulesAreTold(arguments: [String], reason: String) {
        #expect(Configuration.parse(arguments: arguments, environment: [:]) { nil }.refusal == reason)
    }

    @Test(arguments: [
        (["--cipher-suites=NOPE"], "unexpected TLS cipher suite \"NOPE\""),
        (["--auto-compaction-retention=x"], "error parsing CompactionRetention: time: invalid duration \"x\""),
        (["--auto-compaction-retention=-1"], "error parsing CompactionRetention: time: missing unit in duration \"-1\""),
        (["--auto-compaction-retention=9223372036854775807"],
            "error parsing CompactionRetention: \"9223372036854775807\" hours are too many"),
        (["--auth-token=kerberos"], "auth: invalid auth options"),
        (["--auth-token=jwt"], "auth: invalid auth options"),
        (["--auth-token=jwt,sign-method=XX"], "auth: invalid auth options"),
    ] as [([String], String)])
    func whatEtcdFindsAtTheStartIsToldAsItTellsIt(arguments: [String], reason: String) {
        #expect(Configuration.parse(arguments: arguments, environment: [:]) { nil }.startFailure == reason)
    }

    @Test func whatNeedsPeersIsRefused() {
        #expect(
            configure("--initial-cluster=default=http://localhost:2380,b=http://localhost:9").refusal?
                .contains("not supported by this build") == true)
    }

    @Test func harmlessFlagsOfMissingFeaturesWarn() {
        let configuration = configure("--max-snapshots=3", "--v2-deprecation=gone").configuration
        #expect(
            configuration?.lines("flag is accepted but has no effect in this build").map(\.fields.first)
                == [.string("flag", "max-snapshots"), .string("flag", "v2-deprecation")])
        #expect(configuration?.hasLine("--v2-deprecation is deprecated and scheduled for removal") == true)
        #expect(configuration?.hasLine("--max-snapshots is deprecated") == true)
    }

    @Test func compactionReadsHoursRevisionsAndDurations() throws {
        func policy(_ mode: String, _ retention: String) throws -> AutoCompaction.Policy {
            try AutoCompaction(mode: mode, retention: retention).policy
        }
        #expect(try policy("periodic", "1") == .period(.hours(1)))
        #expect(try policy("periodic", "5m") == .period(.minutes(5)))
        #expect(try policy("revision", "1000") == .revisions(1_000))
        #expect(try policy("revision", "0") == .off)
        #expect(try policy("periodic", "-1h") == .off)
        #expect(try AutoCompaction(mode: "periodic", retention: "0").retention.description == "0s")
    }

    @Test func gatesCombineBySpecificity() throws {
        func gates(_ text: String) throws -> FeatureGates { try FeatureGates.parse(text) }
        #expect(try gates("").isOn(.fastLeaseKeepAlive) && !gates("").isOn(.leaseCheckpoint))
        let all = try gates("AllAlpha=true, LeaseCheckpoint = false ,,")
        #expect(all.isOn(.priorityRequest) && !all.isOn(.leaseCheckpoint) && all.isOn(.fastLeaseKeepAlive))
        #expect(all.text == "LeaseCheckpoint=false")
        #expect(try !gates("AllBeta=false").isOn(.txnModeWriteWithSharedBuffer))
        #expect(try gates("InitialCorruptCheck=false,InitialCorruptCheck=1").isOn(.initialCorruptCheck))
        #expect(throws: FeatureGates.Invalid(reason: "missing bool value for X")) { try gates("X") }
        #expect(throws: FeatureGates.Invalid.self) { try gates("LeaseCheckpoint=maybe") }
        // Repeated flags add up, as one list would.
        let configuration = configure("--feature-gates=LeaseCheckpoint=true", "--feature-gates=LeaseCheckpointPersist=true").configuration
        #expect(configuration?.features.isOn(.leaseCheckpoint) == true)
        #expect(configure("--feature-gates=LeaseCheckpoint=true").configuration?.hasLine("Detected that checkpointing") == true)
    }

    @Test func tokensHaveOptions() throws {
        var lines: [DeferredLogLine] = []
        let token = try AuthToken("jwt,sign-method=RS256,pub-key=/p,priv-key=/k,ttl=10m,odd=1", lines: &lines)
        #expect(
            token == .jwt(JWTOptions(signMethod: "RS256", publicKeyPath: "/p", privateKeyPath: "/k", ttl: .minutes(10))))
        #expect(lines.first?.fields == [.string("option", "odd")])
        #expect(try AuthToken("jwt,sign-method=ES256", lines: &lines) == .jwt(JWTOptions(signMethod: "ES256", publicKeyPath: "", privateKeyPath: "", ttl: .minutes(5))))
    }

    @Test func aBadHashCostFallsBack() {
        let configuration = configure("--bcrypt-cost=99").configuration
        #expect(configuration?.authentication.bcryptCost == 10)
        #expect(configuration?.hasLine("use default bcrypt cost instead of the invalid given cost") == true)
    }

    @Test func rotationIsRead() throws {
        let rotation = try LogRotation(#" {"maxsize": 5, "maxage":1,"maxbackups": 2, "localtime": true, "compress":false, "other": "x", "maxage": null} "#)
        #expect(rotation.megabytesMaximum == 5 && rotation.ageDaysMaximum == 1 && rotation.backupsMaximum == 2)
        #expect(rotation.usesLocalTime && !rotation.compresses)
        #expect(try LogRotation("{}").megabytesMaximum == 0)
        for text in ["", "[]", "{\"a\"}", "{\"a\":1,}", "{\"a\":1} x"] {
            #expect(throws: ConfigurationError("improperly formatted log rotation config")) { try LogRotation(text) }
        }
    }

    @Test func logsGoWhereTheyAreTold() throws {
        let configuration = try #require(
            configure("--log-outputs=stdout,/tmp/x,/tmp/x", "--log-level=DEBUG", "--log-format=console").configuration)
        #expect(configuration.logging.level == .debug && configuration.logging.format == .console)
        #expect(configuration.logging.outputs.destinations == [.file("/tmp/x"), .standardOutput])
        #expect(configuration.logging.outputTexts == ["/tmp/x", "stdout"])
        #expect(configuration.servesProfiles)
    }

    @Test func metricsAreBasicUnlessExtensive() {
        #expect(configure("--metrics=extensive").configuration?.metricsAreExtensive == true)
        #expect(configure("--metrics=whatever").configuration?.metricsAreExtensive == false)
    }

    @Test func theStartLineShowsEverything() throws {
        let configuration = try #require(configure("--name=m").configuration)
        let fields = configuration.startFields(memberInitialized: false, processorLimit: 2, processors: 2)
        let expected = """
            advertise-client-urls auto-compaction-interval auto-compaction-mode auto-compaction-retention
            compact-check-time-interval corrupt-check-time-interval cors data-dir discovery-cacert
            discovery-cert discovery-dial-timeout discovery-endpoints discovery-insecure-skip-tls-verify
            discovery-insecure-transport discovery-keepalive-time discovery-keepalive-timeout discovery-key
            discovery-request-timeout discovery-token discovery-user downgrade-check-interval election-timeout
            etcd-version feature-gates force-new-cluster git-sha go-arch go-os go-version heartbeat-interval
            host-whitelist initial-advertise-peer-urls initial-cluster initial-cluster-state
            initial-cluster-token initial-corrupt-check initial-election-tick-advance listen-client-urls
            listen-metrics-urls listen-peer-urls local-address max-concurrent-streams max-cpu-available
            max-cpu-set max-learners max-request-bytes max-snapshots max-wals member-dir member-initialized name
            pre-vote quota-backend-bytes snapshot-catchup-entries snapshot-count v2-deprecation wal-dir
            wal-dir-dedicated
            """
        #expect(fields.map(\.name).sorted() == expected.split(whereSeparator: \.isWhitespace).map(String.init))
        #expect(fields.first == .string("etcd-version", "3.7.1"))
        #expect(fields.contains(.string("election-timeout", "1s")) && fields.contains(.int("quota-backend-bytes", 2_147_483_648)))
        #expect(fields.contains(.string("wal-dir", "")) && fields.contains(.string("auto-compaction-retention", "0s")))
    }

    @Test(arguments: [
        "--unsafe-no-fsync --listen-peer-urls=http://localhost:0 --listen-client-urls=http://127.0.0.1:45123 --advertise-client-urls=http://127.0.0.1:45123 --data-dir=/tmp/x",
        "--name etcd0 --data-dir /d --listen-client-urls http://0.0.0.0:2379 --advertise-client-urls http://0.0.0.0:2379 --listen-peer-urls http://0.0.0.0:2380 --initial-advertise-peer-urls http://etcd0:2380 --initial-cluster etcd0=http://etcd0:2380 --initial-cluster-state new --initial-cluster-token t --max-request-bytes 33554432 --logger zap --log-outputs stderr",
        "--name=node --listen-client-urls=unix://localhost:20000 --advertise-client-urls=unix://localhost:20000 --listen-peer-urls=unix://localhost:20001 --initial-advertise-peer-urls=unix://localhost:20001 --initial-cluster=node=unix://localhost:20001 --snapshot-count=5000 --watch-progress-notify-interval=5s",
        "-name=m -quota-backend-bytes=53248 -auto-compaction-mode=periodic -auto-compaction-retention=5m -enable-pprof -log-level=debug -metrics=extensive -listen-metrics-urls=http://127.0.0.1:2381 -peer-cert-file=/x -peer-key-file=/y -peer-trusted-ca-file=/z -peer-client-cert-auth=true -snapshot-count=10000",
    ])
    func launchersCommandLinesStart(line: String) {
        let arguments = line.split(separator: " ").map(String.init)
        let configuration = Configuration.parse(arguments: arguments, environment: ["PATH": "/bin"]) { nil }.configuration
        #expect(configuration != nil)
        #expect(
            configuration?.initialCluster.refusal(
                name: configuration!.name, advertisedPeerURLs: configuration!.advertisePeerURLs) == nil)
    }

    @Test func connectionsFitTheDescriptors() throws {
        #expect(try FileDescriptorBudget.clientConnections(limit: 1_024) == 874)
        #expect(throws: ConfigurationError.self) { try FileDescriptorBudget.clientConnections(limit: 150) }
    }

    @Test func refusalsEndTheProcess() async {
        await #expect(processExitsWith: .exitCode(1)) {
            _ = Configuration.parse(arguments: ["stray"], environment: [:]) { nil }.configurationOrExit()
        }
        await #expect(processExitsWith: .exitCode(2)) {
            _ = Configuration.parse(arguments: ["--bogus"], environment: [:]) { nil }.configurationOrExit()
        }
        await #expect(processExitsWith: .exitCode(0)) {
            _ = Configuration.parse(arguments: ["--version"], environment: [:]) { nil }.configurationOrExit()
        }
    }

    @Test func versionsAgree() {
        #expect(Version.clusterMajorMinor == "3.7")
        #expect(Version.server.hasPrefix(Version.clusterMajorMinor) && Version.storage.hasPrefix(Version.clusterMajorMinor))
    }
}
