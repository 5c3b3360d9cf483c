// Every flag of etcd, one by one: that it is here with etcd's default, variable and file key, and that giving it does
// what the table in docs/configuration.md says, whichever way it is given.

import DatastoreTracing
import Foundation
import Testing

@testable import Datastore

struct FlagFact: CustomTestStringConvertible, Sendable {
    let name, variable, key, form, defaultText, state: String
    var testDescription: String { name }

    static let all: [FlagFact] = flagFacts.split(separator: "\n").map {
        let part = $0.split(separator: "|", omittingEmptySubsequences: false).map(String.init)
        return FlagFact(name: part[0], variable: part[1], key: part[2], form: part[3], defaultText: part[4], state: part[5])
    }
    static let here = all.filter { $0.state == "here" }
}

struct FlagTableTests {
    /// A value that is not the default, and what must be given with it.
    private static let samples: [String: (value: String, with: [String])] = [
        "heartbeat-interval": ("50", []), "election-timeout": ("2000", []),
        "listen-peer-urls": ("http://127.0.0.1:7", []), "listen-client-http-urls": ("http://127.0.0.1:7", []),
        "listen-client-urls": ("http://127.0.0.1:7", ["advertise-client-urls=http://a:7"]),
        "listen-metrics-urls": ("http://127.0.0.1:7", []), "advertise-client-urls": ("http://a:7", []),
        "initial-advertise-peer-urls": ("http://a:7", ["name=m"]), "initial-cluster": ("default=http://a:7", []),
        "feature-gates": ("LeaseCheckpoint=true", []), "auto-compaction-mode": ("revision", ["auto-compaction-retention=1"]),
        "auto-compaction-retention": ("1", []), "cors": ("http://a:7", []), "metrics": ("extensive", []),
        "log-outputs": ("stdout", []), "log-level": ("warn", []), "log-format": ("console", []),
        "auth-token": ("jwt,sign-method=HS256", []), "tls-min-version": ("TLS1.3", []), "tls-max-version": ("TLS1.3", []),
        "cipher-suites": ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", []), "discovery-endpoints": ("a:1,b:2", ["discovery-token=t"]),
        "discovery-token": ("t", ["discovery-endpoints=a:1"]), "initial-cluster-state": ("existing", []),
        "enable-log-rotation": ("true", ["log-outputs=/tmp/x.log"]), "discovery-fallback": ("", []), "logger": ("", []),
        "log-rotation-config-json": ("{\"maxsize\": 7}", ["enable-log-rotation=true", "log-outputs=/tmp/x.log"]), "audit-log-rotation-config-json": ("{\"maxsize\": 7}", []),
    ]

    private static func sample(_ flag: FlagSpecification) -> (value: String, with: [String]) {
        if let sample = samples[flag.name] { return sample }
        switch flag.kind {
        case .boolean: return (flag.defaultText == "true" ? "false" : "true", [])
        case .unsigned, .signed: return ("7", [])
        case .duration: return ("7s", [])
        case .choice(let values): return (values.last { $0 != flag.defaultText }!, [])
        default: return ("x", [])
        }
    }

    @Test func theTableHasEveryFlagAndNoOther() {
        #expect(
            Set(FlagTable.all.map(\.name)) == Set(FlagFact.all.filter { $0.state != "gone" }.map(\.name)))
    }

    @Test(arguments: FlagFact.here) func namesDefaultsAndKeys(fact: FlagFact) throws {
        let flag = try #require(FlagTable.byName[fact.name])
        if fact.variable != "-" { #expect(flag.environmentName == fact.variable) }
        #expect(FileKeys.key(of: flag)?.text ?? "-" == fact.key)
        if let key = FileKeys.key(of: flag) { #expect((key.form == .list) == (fact.form == "list")) }
        switch flag.kind {
        case _ where fact.defaultText == "*" && flag.name != "cors" && flag.name != "host-whitelist": break
        // 0 stands for a default there, too.
        case .duration where fact.defaultText == "0":
            #expect([.zero, .minutes(10)].contains(Nanoseconds(flag.defaultText)))
        case .duration: #expect(Nanoseconds(flag.defaultText) == Nanoseconds(fact.defaultText))
        default: #expect(flag.defaultText == fact.defaultText)
        }
        try flag.kind.check(flag.defaultText)
    }

    @Test(arguments: FlagFact.all.filter { $0.state == "gone" }) func whatEtcdDroppedIsUnknown(fact: FlagFact) {
        #expect(configure("--\(fact.name)=x").syntaxError == "flag provided but not defined: -\(fact.name)")
        let configuration = configure(environment: [fact.variable: "x"]).configuration
        #expect(configuration?.lines("unrecognized environment variable").count == 1)
        // Old keys of a file mean nothing, as any other that is not known.
        #expect(file("\(fact.key): [x]").configuration != nil)
    }

    @Test(arguments: FlagFact.all.filter { $0.state == "ignored" }) func whatEtcdIgnoresIsIgnored(fact: FlagFact) {
        for form in ["--\(fact.name)", "-\(fact.name)=anything"] {
            let configuration = configure(form).configuration
            #expect(configuration != nil && configuration?.hasLine("flag is accepted but") == false)
        }
    }

    @Test(arguments: FlagFact.here.filter { !["config-file", "version"].contains($0.name) })
    func aFlagDoesWhatTheTableSays(fact: FlagFact) throws {
        let flag = try #require(FlagTable.byName[fact.name])
        let sample = Self.sample(flag)
        guard !sample.value.isEmpty else { return }  // There is no other value that is taken.
        let others = sample.with.map { $0.split(separator: "=", maxSplits: 1).map(String.init) }
        let before = Configuration.parse(arguments: sample.with.map { "--" + $0 }, environment: [:]) { nil }
        var outcomes = [
            Configuration.parse(arguments: ["--\(flag.name)=\(sample.value)"] + sample.with.map { "--" + $0 }, environment: [:]) { nil },
            Configuration.parse(
                arguments: [],
                environment: Dictionary(uniqueKeysWithValues: [(flag.environmentName, sample.value)]
                    + others.map { (FlagTable.byName[$0[0]]!.environmentName, $0[1]) })
            ) { nil },
        ]
        if FileKeys.key(of: flag) != nil {
            let settings = [(flag.name, sample.value)] + others.map { ($0[0], $0[1]) }
            outcomes.append(file(settings.map { Self.yaml(FlagTable.byName[$0]!, $1) }.joined(separator: "\n")))
        }
        let effect = UnsupportedFlags.effect(of: flag.name)
        for outcome in outcomes {
            switch effect {
            case .refused where !sample.with.isEmpty:
                // Of several flags of a feature the first is told.
                #expect(outcome.refusal?.contains("--discovery-") == true)
            case .refused(let reason):
                #expect(outcome.refusal?.contains(flag.name) == true && outcome.refusal?.contains(reason) == true)
            case .ineffective(let reason):
                let line = DeferredLogLine.later(
                    .warn, "flag is accepted but has no effect in this build", [.string("flag", flag.name), .string("reason", reason)])
                #expect(outcome.configuration?.deferredLines.contains(line) == true)
            case .idle:
                #expect(outcome.configuration?.hasLine("flag is accepted but") == false)
            case .acts:
                let configuration = try #require(outcome.configuration)
                #expect(!configuration.hasLine("flag is accepted but"))
                // It has reached what the server is made from.
                #expect(settings(configuration) != before.configuration.map(settings))
            }
        }
        // All three ways come to the same.
        let results = outcomes.compactMap(\.configuration).map(settings)
        #expect(results.allSatisfy { $0 == results.first })
    }

    /// Everything but the lines for the log.
    private func settings(_ configuration: Configuration) -> [String] {
        Mirror(reflecting: configuration).children.filter { $0.label != "deferredLines" }.map { "\($0.label!): \($0.value)" }
    }

    private func file(_ text: String) -> ParseOutcome {
        Configuration.parse(
            arguments: ["--config-file=f"], environment: [:], defaultHost: { nil },
            readFile: { _ throws(FileReadError) in Array(text.utf8) })
    }

    private static func yaml(_ flag: FlagSpecification, _ value: String) -> String {
        let key = FileKeys.key(of: flag)!
        let text: String =
            switch flag.kind {
            case .boolean, .unsigned, .signed: value
            case .duration: String(Nanoseconds(value)!.count)
            default: key.form == .list ? "[" + value.split(separator: ",").map { quoted(String($0)) }.joined(separator: ", ") + "]" : quoted(value)
            }
        return key.path.enumerated().map { String(repeating: "  ", count: $0.offset) + $0.element + ":" }
            .joined(separator: "\n") + " " + text
    }

    @Test func gatesAreEtcds() {
        let facts = gateFacts.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(Set(facts.map { $0[0] }) == Set(FeatureGate.allCases.map(\.rawValue) + ["AllAlpha", "AllBeta"]))
        for fact in facts {
            guard let gate = FeatureGate(rawValue: fact[0]) else { continue }
            #expect(gate.stage.rawValue == fact[1] && String(gate.isOnByDefault) == fact[2])
        }
    }

    // MARK: The documentation

    /// With MARTLET_WRITE_DOCS set, writes the table instead of comparing it.
    @Test func theDocumentedTableIsThis() throws {
        let path = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appending(path: "../../../docs/configuration.md").standardizedFileURL.path
        let page = try String(contentsOfFile: path, encoding: .utf8)
        let begin = "<!-- flags: made by FlagTableTests -->\n"
        let end = "<!-- end of flags -->\n"
        let head = try #require(page.range(of: begin))
        let tail = try #require(page.range(of: end))
        let table = Self.table()
        if ProcessInfo.processInfo.environment["MARTLET_WRITE_DOCS"] != nil {
            let text = page[..<head.upperBound] + table + page[tail.lowerBound...]
            try String(text).write(toFile: path, atomically: true, encoding: .utf8)
        } else {
            #expect(
                String(page[head.upperBound..<tail.lowerBound]) == table,
                "MARTLET_WRITE_DOCS=1 swift test --filter theDocumentedTableIsThis writes it")
        }
    }

    private static func table() -> String {
        func words(_ effect: FlagEffect) -> String {
            switch effect {
            case .acts: "acts"
            case .idle(let reason): "idle: \(reason)"
            case .ineffective(let reason): "accepted without effect: \(reason)"
            case .refused(let reason): "refused: \(reason)"
            }
        }
        func code(_ text: String) -> String { text.isEmpty ? "" : "`\(text)`" }
        var text = ""
        for section in FlagSection.allCases where section != .ignored {
            text += "\n### \(section.rawValue)\n| Flag | Default | Key in a file | What it does here |\n|---|---|---|---|\n"
            for flag in FlagTable.all where flag.section == section {
                let key = FileKeys.key(of: flag)
                let keyText = key.map { $0.text == flag.name ? "" : code($0.text) } ?? "none"
                text += "| `--\(flag.name)` | \(code(flag.defaultText)) | \(keyText)\(key?.form == .list ? " (list)" : "") | \(words(UnsupportedFlags.effect(of: flag.name))) |\n"
            }
        }
        text += "\n### Feature gates\n| Gate | Stage | Default | What it does here |\n|---|---|---|---|\n"
        for gate in FeatureGate.allCases {
            text += "| `\(gate.rawValue)` | \(gate.stage.rawValue) | \(gate.isOnByDefault) | \(words(UnsupportedFlags.effect(of: gate))) |\n"
        }
        return text + "\n"
    }
}
