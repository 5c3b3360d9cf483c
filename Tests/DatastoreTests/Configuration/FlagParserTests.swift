// The syntax of flags.

import StorageSimulation
import Testing

@testable import Datastore

struct FlagParserTests {
    @Test func everyWayToWriteAFlagIsRead() {
        for arguments in [["--name", "a b"], ["-name", "a b"], ["--name=a b"], ["-name=a b"]] {
            let outcome = Configuration.parse(arguments: arguments, environment: [:]) { nil }
            #expect(outcome.configuration?.name == "a b", "\(arguments)")
        }
    }

    @Test func switchesTakeValuesOnlyWithAnEqualsSign() {
        #expect(configure("--pre-vote=false").configuration?.raft.preVote == false)
        #expect(configure("--pre-vote=F").configuration?.raft.preVote == false)
        #expect(configure("--unsafe-no-fsync").configuration?.unsafeNoFsync == true)
        #expect(configure("--unsafe-no-fsync", "false").refusal == "\"false\" is not a valid flag")
    }

    @Test func theLastRepetitionCounts() {
        #expect(configure("--name=a", "--name", "b", "-name=c").configuration?.name == "c")
    }

    @Test(arguments: [
        (["--bogus"], "flag provided but not defined: -bogus"),
        (["-bogus=1"], "flag provided but not defined: -bogus"),
        (["--experimental-corrupt-check-time=1s"], "flag provided but not defined: -experimental-corrupt-check-time"),
        (["--discovery=http://x"], "flag provided but not defined: -discovery"),
        (["---name"], "bad flag syntax: ---name"),
        (["--=x"], "bad flag syntax: --=x"),
        (["--name"], "flag needs an argument: -name"),
        (["--snapshot-count", "x"], "invalid value \"x\" for flag -snapshot-count: parse error"),
        (["--snapshot-count=-1"], "invalid value \"-1\" for flag -snapshot-count: parse error"),
        (["--snapshot-count=+1"], "invalid value \"+1\" for flag -snapshot-count: parse error"),
        (["--snapshot-count="], "invalid value \"\" for flag -snapshot-count: parse error"),
        (["--snapshot-count=18446744073709551616"],
            "invalid value \"18446744073709551616\" for flag -snapshot-count: value out of range"),
        (["--max-concurrent-streams=4294967296"],
            "invalid value \"4294967296\" for flag -max-concurrent-streams: strconv.ParseUint: parsing \"4294967296\": value out of range"),
        (["--quota-backend-bytes=1.5"], "invalid value \"1.5\" for flag -quota-backend-bytes: parse error"),
        (["--pre-vote=maybe"], "invalid boolean value \"maybe\" for -pre-vote: parse error"),
        (["--warning-apply-duration=100"], "invalid value \"100\" for flag -warning-apply-duration: parse error"),
        (["--initial-cluster-state=old"], "invalid value \"old\" for flag -initial-cluster-state: invalid value"),
        (["--feature-gates=Nope=true"],
            "invalid value \"Nope=true\" for flag -feature-gates: unrecognized feature gate: Nope"),
        (["--listen-client-urls=localhost:2379"],
            "invalid value \"localhost:2379\" for flag -listen-client-urls: URL scheme must be http, https, unix, or unixs: localhost:2379"),
        (["--name=a", "--snapshot-count", "\"q\\\n"],
            "invalid value \"\\\"q\\\\\\n\" for flag -snapshot-count: parse error"),
    ] as [([String], String)])
    func mistakesAreToldInGosWords(arguments: [String], message: String) {
        #expect(Configuration.parse(arguments: arguments, environment: [:]) { nil }.syntaxError == message)
    }

    @Test func strayArgumentsAreRefused() {
        #expect(configure("stray", "--name=x").refusal == "\"stray\" is not a valid flag")
        #expect(configure("--name=x", "-").refusal == "\"-\" is not a valid flag")
        #expect(configure("--name=x", "--", "--name=y").refusal == "\"--name=y\" is not a valid flag")
        #expect(configure("stray", "--version").refusal != nil)
    }

    @Test func versionPrintsEtcdsFirstAndOurs() throws {
        guard case .printAndExit(let stdout, "", 0) = configure("--version") else {
            Issue.record("no version")
            return
        }
        let lines = stdout.split(separator: "\n").map(String.init)
        #expect(lines[0] == "etcd Version: 3.7.1")
        #expect(lines[1].hasPrefix("Git SHA: ") && lines[2].hasPrefix("Go Version: "))
        #expect(lines[3] == "Go OS/Arch: linux/\(Version.architecture)")
        #expect(lines[4] == "Martlet Version: \(Version.martlet)")
        #expect(lines.count == 5 && stdout.hasSuffix("\n"))
        #expect(configure("--version=false").configuration != nil)
        #expect(configure("--version", "--bogus").syntaxError != nil)
    }

    @Test func helpGoesToBothStreams() {
        for flag in ["--help", "-help", "-h", "--h"] {
            guard case .printAndExit(let stdout, let stderr, 0) = configure(flag) else {
                Issue.record("no help for \(flag)")
                continue
            }
            #expect(stderr.hasPrefix("Usage:\n"))
            for specification in FlagTable.all where specification.section != .ignored {
                #expect(stdout.contains("  --\(specification.name) '"))
            }
        }
    }

    @Test func everyDefaultIsAValueOfItsFlag() throws {
        #expect(FlagTable.all.count == 138)
        for flag in FlagTable.all where flag.kind != .ignored { try flag.kind.check(flag.defaultText) }
    }

    @Test func ignoredFlagsMeanNothing() {
        #expect(configure("--v", "--snapshot=junk", "--test.coverprofile=x", "--name=n").configuration?.name == "n")
    }

    @Test(arguments: [
        ("0", 0), ("0x10", 16), ("0X1f", 31), ("0b101", 5), ("0o17", 15), ("017", 15), ("0x1_0", 16), ("007", 7),
    ] as [(String, UInt64)])
    func numbersMayHaveARadix(text: String, value: UInt64) throws {
        #expect(try parseUnsigned(text) == value)
    }

    @Test(arguments: ["", "+1", " 1", "1 ", "0x", "1_0", "0x1__0", "08", "0b2", "1e3", "٣"])
    func whatIsNoNumberIsRefused(text: String) {
        #expect(throws: FlagValueError.parse) { try parseUnsigned(text) }
    }

    @Test func signedNumbersHaveTheirRange() throws {
        #expect(try parseSigned("-9223372036854775808") == .min)
        #expect(try parseSigned("+5") == 5)
        #expect(throws: FlagValueError.range) { try parseSigned("9223372036854775808") }
        #expect(throws: FlagValueError.parse) { try parseSigned("--5") }
    }

    @Test func noArgumentsCrashTheParser() {
        var random = SplitMix64(seed: 0x5EED_0004)
        let pieces = ["-", "--", "=", "name", "listen-client-urls", "http://", "[::1]", ":", "0", "ü", " ", "\n", "a=b", ",", "1h", "feature-gates", "auth-token", "initial-cluster", "unix://", "log-rotation-config-json", "{\"", "true"]
        for _ in 0..<3_000 {
            let arguments = (0..<Int.random(in: 0..<5, using: &random)).map { _ in
                (0..<Int.random(in: 0..<6, using: &random)).map { _ in pieces.randomElement(using: &random)! }.joined()
            }
            _ = Configuration.parse(arguments: arguments, environment: ["ETCD_NAME": arguments.first ?? ""]) { nil }
        }
    }
}
