// What each command says to wrong arguments, without a server.

import CommandLineTools
import Testing

@testable import Control

struct ArgumentTests {
    struct Ended {
        let status: Int32
        let output: String
        let errors: String
    }

    static func run(_ arguments: [String], environment: [String: String] = [:]) async -> Ended {
        let tool = ControlTool()
        let console = Console(inMemory: ())
        // Nothing listens there; nothing that is tested here asks.
        let status = await tool.root.execute(arguments + ["--endpoints", "127.0.0.1:1"], environment: environment, console: console)
        return Ended(
            status: status, output: String(decoding: console.output, as: UTF8.self), errors: String(decoding: console.errors, as: UTF8.self))
    }

    @Test(arguments: [
        ("get", "get command needs one argument as key and an optional argument as range_end"),
        ("get a --prefix --from-key", "`--prefix` and `--from-key` cannot be set at the same time, choose one"),
        ("get a b --prefix", "too many arguments, only accept one argument when `--prefix` or `--from-key` is set"),
        ("get a --keys-only --count-only", "`--keys-only` and `--count-only` cannot be set at the same time, choose one"),
        ("get a -o k8s --keys-only", "`--output` shows values, which `--keys-only` and `--count-only` leave out"),
        ("put", "put command needs 1 argument and input from stdin or 2 arguments"),
        ("put a b --ignore-value", "put command needs only 1 argument when 'ignore-value' is set"),
        ("put a b --lease zz", "bad lease ID (strconv.ParseInt: parsing \"zz\": invalid syntax), expecting ID in Hex"),
        ("del", "del command needs one argument as key and an optional argument as range_end"),
        ("txn x", "txn command does not accept argument"), ("compaction", "compaction command needs 1 argument"),
        ("lease grant", "lease grant command needs TTL argument"),
        ("lease grant x", "bad TTL (strconv.ParseInt: parsing \"x\": invalid syntax)"),
        ("lease revoke zz", "bad lease ID arg (strconv.ParseInt: parsing \"zz\": invalid syntax), expecting ID in Hex"),
        ("watch", "bad number of arguments"),
        ("watch a --", "bad number of arguments (found separator --, but no commands)"),
        ("watch a b --prefix", "`range_end` and `--prefix` are mutually exclusive"),
        ("snapshot save", "snapshot save expects one argument"), ("elect", "elect takes one election name argument and an optional proposal argument"),
        ("elect a", "no proposal argument but -l not set"), ("elect a b -l", "elect takes no proposal argument in observation mode"),
        ("make-mirror", "make-mirror takes one destination argument"),
        ("make-mirror a --dest-prefix x --no-dest-prefix", "`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one."),
        ("top --interval 0s", "--interval must be at least 10ms"), ("top --show frobs", "unknown part \"frobs\", there are members, resources, clients, calls"),
        ("get a --password x", "--password requires --user to be specified"),
        ("get a --auth-jwt-token t --user u:p", "--user or --password cannot be used together with --auth-jwt-token"),
    ])
    func wrongArguments(_ line: String, _ text: String) async {
        // An `--` stays behind the endpoints.
        var words = line.split(separator: " ").map(String.init)
        var tail: [String] = []
        if words.last == "--" { tail = [words.removeLast()] }
        let tool = ControlTool()
        let console = Console(inMemory: ())
        let status = await tool.root.execute(words + ["--endpoints", "127.0.0.1:1"] + tail, environment: [:], console: console)
        #expect(status == 128)
        #expect(String(decoding: console.errors, as: UTF8.self) == "Error: \(text)\n")
    }

    @Test(arguments: [
        ("get a -w nonsense", 4, "unsupported output format"), ("get a --consistency x", 4, "unknown consistency flag \"x\""),
        ("get a --order x", 4, "bad sort order x"), ("get a --sort-by x", 4, "bad sort target x"),
        ("get a -o yaml", 4, "unknown output \"yaml\", there is k8s"),
        ("get a -o k8s -w fields", 4, "`--output=k8s` is for `--write-out` simple and json, not fields"),
        ("check perf --load x", 4, "unknown load option x"), ("compaction x", 1, "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("snapshot save f --endpoints a:1", 5, "snapshot must be requested to one selected node, not multiple [a:1 127.0.0.1:1]"),
    ])
    func otherStatuses(_ line: String, _ status: Int32, _ text: String) async {
        let ended = await Self.run(line.split(separator: " ").map(String.init))
        #expect(ended.status == status)
        #expect(ended.errors == "Error: \(text)\n")
    }

    @Test func variables() async {
        let ended = await Self.run(["version"], environment: ["ETCDCTL_WRITE_OUT": "json", "ETCDCTL_WATCH_KEY": "k"])
        #expect(ended.status == 0 && ended.output == "etcdctl version: 3.7.1\nAPI version: 3.7\n" && ended.errors.isEmpty)
        #expect(await Self.run(["version"], environment: ["ETCDCTL_WRITE_OUT": "x"]).status == 4)
    }

    /// `compact` and `mem l` are what they begin.
    @Test func abbreviations() async {
        #expect(await Self.run(["compact"]).errors == "Error: compaction command needs 1 argument\n")
        #expect(await Self.run(["c"]).errors.contains("unknown command \"c\" for \"martletctl\""))
    }

    @Test func everyCommandHasHelp() {
        let tool = ControlTool()
        func check(_ command: Command) {
            #expect(!command.short.isEmpty, "\(command.path)")
            #expect(command.help.contains("Usage:"), "\(command.path)")
            for flag in command.flags.all { #expect(!flag.usage.isEmpty, "\(command.path) --\(flag.name)") }
            for child in command.commands { check(child) }
        }
        check(tool.root)
    }
}
