// A tool to run command lines on, and what it printed.

import CommandLineTools

/// A small copy of etcdctl's shape: global flags, nested commands, a command that takes flags of every type.
struct Tool {
    let root = Command("tool", "A tool for tests")
    let endpoints: TypedFlag<[String]>
    let timeout: TypedFlag<Duration>
    let isHex: TypedFlag<Bool>
    let format: TypedFlag<String>
    let limit: TypedFlag<Int64>
    let size: TypedFlag<UInt>
    let isPrefix: TypedFlag<Bool>
    let lease: TypedFlag<String>
    let get: Command
    let console = Console(inMemory: ())
    /// What ran, and with what.
    let log = Log()

    final class Log {
        var runs: [String] = []
        var dash: Int?
    }

    init() {
        endpoints = root.persistentFlags.add("endpoints", ["127.0.0.1:2379"], "gRPC endpoints")
        timeout = root.persistentFlags.add("dial-timeout", .seconds(2), "dial timeout")
        isHex = root.persistentFlags.add("hex", false, "print byte strings as hex")
        format = root.persistentFlags.add("write-out", short: "w", "simple", "set the output `format`")
        get = Command("get KEY [RANGE_END]", "Gets the key", long: "Gets the key or a range of keys.")
        limit = get.flags.add("limit", short: "l", 0, "maximum number of results")
        size = get.flags.add("size", 7, "a size\nin bytes")
        isPrefix = get.flags.add("prefix", short: "p", false, "keys with a prefix")
        lease = get.flags.add("lease", short: "e", "", "a lease")
        get.arguments = .between(1, 2)
        get.aliases = ["fetch"]
        let log = log
        let record = { (invocation: Invocation) in
            log.runs.append(([invocation.command.path] + invocation.arguments).joined(separator: "|"))
            log.dash = invocation.argumentsBeforeDash
        }
        get.run = record
        let member = Command("member <subcommand>", "Membership")
        let add = Command("add NAME", "Adds a member")
        add.flags.add("peer-urls", [String](), "peer URLs").isRequired = true
        add.run = record
        let list = Command("list", "Lists the members")
        list.arguments = ArgumentRule.none
        list.run = record
        member.add(list, add)
        let hidden = Command("secret", "Not shown")
        hidden.isHidden = true
        hidden.run = record
        let old = Command("old", "Goes away")
        old.deprecation = "use get"
        old.run = record
        root.add(get, member, hidden, old)
    }

    @discardableResult
    func run(_ line: String, environment: [String: String] = [:]) -> Int32 {
        root.execute(line.split(separator: " ").map(String.init), environment: environment, console: console)
    }

    var output: String { String(decoding: console.output, as: UTF8.self) }
    var errors: String { String(decoding: console.errors, as: UTF8.self) }
    /// The line that says what is wrong.
    var error: String { errors.split(separator: "\n").first { $0.hasPrefix("Error: ") }.map(String.init) ?? "" }
}
