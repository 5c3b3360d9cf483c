// The ETCD_… variables.

import DatastoreTracing
import Testing

@testable import Datastore

struct EnvironmentTests {
    @Test func variablesStandBetweenFlagsAndDefaults() {
        let environment = ["ETCD_NAME": "from-env", "ETCD_MAX_TXN_OPS": "7", "PATH": "/bin"]
        let configuration = configure("--data-dir=/d", environment: environment).configuration
        #expect(configuration?.name == "from-env")
        #expect(configuration?.limits.transactionOperationsMaximum == 7)
        #expect(configuration?.walDirectory == "/d/member/wal")
        let lines = configuration?.lines("recognized and used environment variable") ?? []
        #expect(
            lines.map(\.fields) == [
                [.string("variable-name", "ETCD_MAX_TXN_OPS"), .string("variable-value", "7")],
                [.string("variable-name", "ETCD_NAME"), .string("variable-value", "from-env")],
            ])
        #expect(lines.allSatisfy { $0.level == .info && $0.isEarly })
    }

    @Test func aVariableThatIsShadowedIsFatal() {
        guard case .logAndExit(let lines, 1) = configure("--name=a", environment: ["ETCD_NAME": "b"]) else {
            Issue.record("started")
            return
        }
        #expect(lines.last?.level == .fatal)
        #expect(lines.last?.message.hasPrefix("conflicting environment variable is shadowed by corresponding command-line flag") == true)
        #expect(lines.last?.fields == [.string("environment-variable", "ETCD_NAME")])
        // Emptiness does not help: etcd looks at names only.
        #expect(configure("--name=a", environment: ["ETCD_NAME": ""]).configuration == nil)
    }

    @Test func unknownVariablesOnlyWarn() {
        let configuration = configure(environment: ["ETCD_VERIFY": "all", "ETCD_NAME": "", "ETCDX": "1"]).configuration
        let lines = configuration?.lines("unrecognized environment variable") ?? []
        #expect(lines.map(\.level) == [.warn, .warn])
        #expect(lines.map(\.fields) == [[.string("environment-variable", "ETCD_NAME=")], [.string("environment-variable", "ETCD_VERIFY=all")]])
    }

    @Test func specialVariablesAreKeptOut() {
        let configuration = configure(environment: ["ETCD_VERSION": "true"]).configuration
        #expect(configuration?.hasLine("cannot set special environment variable") == true)
        #expect(configuration?.hasLine("unrecognized environment variable") == false)
    }

    @Test func aBadValueInAVariableIsRefused() {
        #expect(
            configure(environment: ["ETCD_SNAPSHOT_COUNT": "many"]).refusal
                == "invalid value \"many\" for ETCD_SNAPSHOT_COUNT: parse error")
    }

    @Test func aVariableCountsAsGiven() {
        #expect(
            configure(environment: ["ETCD_LISTEN_CLIENT_URLS": "http://127.0.0.1:1"]).refusal
                == "--advertise-client-urls is required when --listen-client-urls is set explicitly")
    }
}
