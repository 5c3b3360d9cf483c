// `--config-file`: precedence, types, hostile documents.

import DatastoreTracing
import StorageSimulation
import Testing

@testable import Datastore

struct ConfigurationFileTests {
    private func load(_ text: String, _ arguments: [String] = [], environment: [String: String] = [:]) -> ParseOutcome {
        Configuration.parse(
            arguments: ["--config-file=/etc/c.yaml"] + arguments, environment: environment, defaultHost: { nil },
            readFile: { path throws(FileReadError) in
                guard path == "/etc/c.yaml" else { throw FileReadError(reason: "open \(path): no such file or directory") }
                return Array(text.utf8)
            })
    }

    @Test func theFileDecidesAlone() throws {
        let configuration = try #require(
            load(
                "name: from-file\nmax-txn-ops: 9", ["--name=flag", "--max-txn-ops=3", "--snapshot-count=77"],
                environment: ["ETCD_DATA_DIR": "/d", "ETCD_NAME": "conflict", "ETCD_BOGUS": "1"]
            ).configuration)
        #expect(configuration.name == "from-file" && configuration.limits.transactionOperationsMaximum == 9)
        #expect(configuration.raft.snapshotCount == 10_000 && configuration.dataDirectory == "from-file.etcd")
        #expect(!configuration.hasLine("unrecognized") && !configuration.hasLine("recognized"))
        #expect(configuration.initialCluster.text == "from-file=http://localhost:2380")
        let line = configuration.deferredLines.first { $0.message.hasPrefix("loaded server configuration, other") }
        #expect(line?.fields == [.string("path", "/etc/c.yaml")] && line?.level == .info)
    }

    @Test func aVariableNamesTheFile() {
        let outcome = Configuration.parse(
            arguments: ["--name=flag"], environment: ["ETCD_CONFIG_FILE": "/f"], defaultHost: { nil },
            readFile: { _ throws(FileReadError) in Array("name: x".utf8) })
        #expect(outcome.configuration?.name == "x")
        // An empty one names none, and so does an empty flag.
        #expect(configure(environment: ["ETCD_CONFIG_FILE": ""]).configuration?.name == "default")
        #expect(configure("--config-file=").configuration?.name == "default")
    }

    @Test func syntaxOfFlagsAndVersionComeFirst() {
        #expect(load("name: [", ["--bogus"]).syntaxError == "flag provided but not defined: -bogus")
        #expect(load("name: [", ["--max-txn-ops=x"]).syntaxError != nil)
        #expect(load("name: x", ["stray"]).refusal == "\"stray\" is not a valid flag")
        guard case .printAndExit(_, _, 0) = load("name: [", ["--version"]) else {
            Issue.record("no version")
            return
        }
    }

    @Test func filesThatCannotBeRead() {
        #expect(configure("--config-file=/nonexistent/f").refusal == "open /nonexistent/f: no such file or directory")
        #expect(configure("--config-file=/tmp").refusal == "read /tmp: is a directory")
        #expect(
            configure("--config-file=/dev/zero").refusal
                == "error converting YAML to JSON: yaml: line 1: the document is larger than 1048576 bytes")
    }

    @Test func emptyDocumentsLeaveTheDefaults() {
        for text in ["", "\n# nothing\n", "---\n", "---\n...\n", "null", "{}"] {
            #expect(load(text).configuration?.name == "default", "\(text)")
        }
    }

    @Test func listenWithoutAdvertiseIsTakenFromAFile() {
        let configuration = load("listen-client-urls: http://127.0.0.1:7").configuration
        #expect(configuration?.listenClientURLs.map(\.text) == ["http://127.0.0.1:7"])
        #expect(configuration?.advertiseClientURLs.map(\.text) == ["http://localhost:2379"])
    }

    @Test func formsOfValues() throws {
        let configuration = try #require(
            load(
                """
                # JSON is YAML, anchors and merges work, unknown keys mean nothing.
                base: &base {reuse-port: yes}
                socket-options: {<<: *base, reuse-address: ON}
                NAME: folded
                log-outputs: ["stdout", "/a,b.log"]
                listen-client-urls: "http://127.0.0.1:2, http://127.0.0.1:1"
                advertise-client-urls: >-
                  http://a:1
                snapshot-count: 0x10
                max-txn-ops: 1e2
                quota-backend-bytes: -1
                max-wals: 1_0
                heartbeat-interval: 010
                warning-apply-duration: 2000000000
                host-whitelist: "b,a"
                pre-vote: off
                initial-cluster-token: !!str 12
                data-dir: null
                wal-dir: ~
                auto-compaction-retention: "1"
                something: {else: [1, 2]}
                snapshot-count: 8
                """
            ).configuration)
        #expect(configuration.name == "folded" && configuration.dataDirectory == "folded.etcd" && !configuration.isWALDedicated)
        #expect(configuration.socketReusesPort && configuration.socketReusesAddress && !configuration.raft.preVote)
        #expect(configuration.logging.outputTexts == ["/a,b.log", "stdout"])
        #expect(configuration.listenClientURLs.map(\.text) == ["http://127.0.0.1:1", "http://127.0.0.1:2"])
        #expect(configuration.raft.snapshotCount == 8 && configuration.raft.heartbeatMilliseconds == 8)
        #expect(configuration.limits.transactionOperationsMaximum == 100 && configuration.raft.walFilesMaximum == 10)
        #expect(configuration.backend.quotaBytes == nil && configuration.warningApplyDuration == .seconds(2))
        #expect(configuration.hostWhitelist == ["a", "b"] && configuration.initialClusterToken == "12")
        #expect(configuration.compaction.policy == .period(.hours(1)))
        #expect(load(#"{"name": "j", "feature-gates": "LeaseCheckpoint=true"}"#).configuration?.features.isOn(.leaseCheckpoint) == true)
    }

    @Test(arguments: [
        ("name: [a]", 1, "array", "name", "string"), ("\nname: 12", 2, "number 12", "name", "string"),
        ("snapshot-count: '5'", 1, "string", "snapshot-count", "uint64"),
        ("snapshot-count: 1.5", 1, "number 1.5", "snapshot-count", "uint64"),
        ("snapshot-count: -1", 1, "number -1", "snapshot-count", "uint64"),
        ("snapshot-count: 18446744073709551616", 1, "number 18446744073709551616", "snapshot-count", "uint64"),
        ("max-concurrent-streams: 4294967296", 1, "number 4294967296", "max-concurrent-streams", "uint32"),
        ("quota-backend-bytes: 9223372036854775808", 1, "number 9223372036854775808", "quota-backend-bytes", "int64"),
        ("a: 1\n\npre-vote: maybe", 3, "string", "pre-vote", "bool"), ("pre-vote: 1", 1, "number 1", "pre-vote", "bool"),
        ("log-outputs: stderr", 1, "string", "log-outputs", "list of strings"),
        ("log-outputs:\n- a\n- 5", 3, "number 5", "log-outputs", "string"),
        ("warning-apply-duration: 10m", 1, "string", "warning-apply-duration", "duration, a whole number of nanoseconds"),
        ("auto-compaction-retention: 1", 1, "number 1", "auto-compaction-retention", "string"),
        ("client-transport-security: 5", 1, "number 5", "client-transport-security", "block of settings"),
        ("client-transport-security:\n  cert-file: 5", 2, "number 5", "client-transport-security.cert-file", "string"),
        ("host-whitelist: [a]", 1, "array", "host-whitelist", "string"),
    ])
    func typesAreNotConverted(text: String, line: Int, found: String, key: String, wanted: String) {
        #expect(
            load(text).refusal
                == "error unmarshaling JSON: while decoding JSON: line \(line): cannot unmarshal \(found) into field \(key) of type \(wanted)")
    }

    @Test(arguments: [
        ("- a", "error unmarshaling JSON: while decoding JSON: line 1: cannot unmarshal array into a configuration"),
        ("a: b: c", "error converting YAML to JSON: yaml: line 1: mapping values are not allowed in this context"),
        ("name: a\n  foo: b", "error converting YAML to JSON: yaml: line 2: mapping values are not allowed in this context"),
        ("\tname: a", "error converting YAML to JSON: yaml: line 1: found character that cannot start any token"),
        ("name: *x", "error converting YAML to JSON: yaml: line 1: unknown anchor 'x' referenced"),
        ("? [a]\n: b", "error converting YAML to JSON: yaml: line 1: invalid map key"),
        ("<<: 5", "error converting YAML to JSON: yaml: line 1: map merge requires map or sequence of maps as the value"),
        ("initial-cluster-state: bogus", "unexpected clusterState \"bogus\""),
        ("feature-gates: Bogus=true", "unrecognized feature gate: Bogus"),
        ("cors: nothing", "line 1: invalid value \"nothing\" for cors: URL scheme must be http, https, unix, or unixs: nothing"),
        ("heartbeat-interval: 0", "--heartbeat-interval must be >0 (set to 0ms)"),
        ("client-transport-security: {allowed-cn: a}", "error unmarshaling JSON: while decoding JSON: line 1: cannot unmarshal string into field client-transport-security.allowed-cn of type list of strings"),
        ("client-transport-security: {skip-client-san-verification: 1}", "error unmarshaling JSON: while decoding JSON: line 1: cannot unmarshal number 1 into field client-transport-security.skip-client-san-verification of type bool"),
    ])
    func refusals(text: String, reason: String) {
        #expect(load(text).refusal == reason)
    }

    @Test func settingsOfClientsWithoutAFlag() throws {
        let text = """
            listen-client-urls: https://127.0.0.1:1
            advertise-client-urls: https://127.0.0.1:1
            client-transport-security: {cert-file: c, key-file: k, allowed-cn: [b, "a,c", b], skip-client-san-verification: true%@}
            """
        let tls = try #require(load(text.replacing("%@", with: "")).configuration).clientTLS
        #expect(tls.allowedCommonNames == ["a,c", "b"] && tls.skipsAddressVerification)
        let none = try #require(load("client-transport-security: {allowed-cn: [], skip-client-san-verification: null}").configuration).clientTLS
        #expect(none.allowedCommonNames.isEmpty && !none.skipsAddressVerification)
        #expect(
            load(text.replacing("%@", with: ", allowed-hostname: [h]")).startFailure
                == "AllowedCNs and AllowedHostnames are mutually exclusive (cns=[\"a,c\" \"b\"], hostnames=[\"h\"])")
        // Neither is a flag.
        #expect(configure("--client-cert-allowed-cn=a").syntaxError != nil)
    }

    @Test func badURLsAreToldOnStandardError() {
        guard case .printAndExit("", let text, 1) = load("listen-peer-urls: ftp://a:1") else {
            Issue.record("started")
            return
        }
        #expect(text == "unexpected error setting up listen-peer-urls: URL scheme must be http, https, unix, or unixs: ftp://a:1\n")
    }

    // MARK: Hostile documents

    @Test func aliasesDoNotUnfold() {
        // 2^60 texts if every alias were a copy.
        var text = "a0: &a0 [x, x]\n"
        for level in 1...60 { text += "a\(level): &a\(level) [*a\(level - 1), *a\(level - 1)]\n" }
        #expect(load(text + "name: x\n").configuration?.name == "x")
        #expect(load(text + "log-outputs: *a60\n").refusal?.hasSuffix("cannot unmarshal array into field log-outputs of type string") == true)
        var merges = "a0: &a0 {x: 1, y: 2}\n"
        for level in 1...60 { merges += "a\(level): &a\(level)\n  <<: [*a\(level - 1), *a\(level - 1)]\n" }
        #expect(load(merges).refusal?.hasSuffix("more than 20000 values") == true)
    }

    @Test func depthAndSizeAreBounded() {
        #expect(load(String(repeating: "[", count: 100_000)).refusal?.hasSuffix("nested deeper than 32 levels") == true)
        #expect(load(String(repeating: "- ", count: 5_000)).refusal?.hasSuffix("nested deeper than 32 levels") == true)
        #expect(load(String(repeating: "{a: ", count: 5_000)).refusal?.hasSuffix("nested deeper than 32 levels") == true)
        #expect(load("a: [" + String(repeating: "x,", count: 30_000) + "]").refusal?.hasSuffix("more than 20000 values") == true)
        #expect(load(String(repeating: "a", count: 1 << 20) + ": b").refusal?.contains("larger than") == true)
        #expect(load("a: &a [*a]").refusal?.hasSuffix("unknown anchor 'a' referenced") == true)
    }

    @Test func randomBytesDoNoHarm() {
        var generator = SplitMix64(seed: 0x5EED)
        let pieces = ["name: ", "a", "[", "]", "{", "}", "\n", "  ", "- ", "&x ", "*x", "<<: ", "\"", "'", "!!str ", "log-outputs: ", "1", "\t", "|\n", ": ", "\u{0}", "é", "%", "---\n", "socket-options: ", "reuse-port: ", "true", ","]
        for _ in 0..<3_000 {
            let text = (0..<Int.random(in: 0..<24, using: &generator)).map { _ in pieces.randomElement(using: &generator)! }.joined()
            _ = load(text)
            _ = YAMLScalar(text: text, isPlain: true, tag: nil).value
        }
        for _ in 0..<500 {
            let bytes = (0..<64).map { _ in UInt8.random(in: 0...255, using: &generator) }
            _ = try? YAMLReader.read(bytes)
        }
    }

    @Test func scalarsMeanWhatYAMLSays() {
        func value(_ text: String) -> YAMLScalar.Value { YAMLScalar(text: text, isPlain: true, tag: nil).value }
        for text in ["", "~", "null", "NULL"] { #expect(value(text) == .null) }
        for text in ["y", "Yes", "TRUE", "on"] { #expect(value(text) == .boolean(true)) }
        for text in ["n", "NO", "false", "Off"] { #expect(value(text) == .boolean(false)) }
        #expect(value("0o17") == .integer(negative: false, magnitude: 15) && value("-0x1f") == .integer(negative: true, magnitude: 31))
        #expect(value("+1_000") == .integer(negative: false, magnitude: 1_000))
        #expect(value("1.5e3") == .float(1_500) && value("-.inf") == .float(-.infinity) && value("1.") == .float(1))
        for text in ["yEs", "1h", "0x1p3", "infinity", "1.2.3", "-", "+", ".", "http://a:1", "12:30"] { #expect(value(text) == .string(text)) }
        #expect(YAMLScalar(text: "true", isPlain: false, tag: nil).value == .string("true"))
    }
}
