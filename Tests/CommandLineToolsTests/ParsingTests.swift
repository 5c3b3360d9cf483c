// Flags in every place and spelling; errors in pflag's words.

import CommandLineTools
import Testing

@Suite struct ParsingTests {
    @Test(arguments: [
        "--hex get a --limit 5 -p", "get --hex --limit=5 a --prefix", "get a -l5 -p --hex=true", "get -pl5 a --hex", "get -pl=5 a --hex=1",
        "--hex=T --write-out simple get -p=true -l 5 a", "get --limit 0x5 a -p --hex", "fetch a --limit 0b1_01 -p --hex",
    ])
    func placesAndSpellings(line: String) {
        let tool = Tool()
        #expect(tool.run(line) == 0, "\(tool.errors)")
        #expect(tool.log.runs == ["tool get|a"])
        #expect(tool.limit.value == 5 && tool.isPrefix.value && tool.isHex.value && tool.format.value == "simple")
        #expect(tool.limit.isGiven && !tool.size.isGiven && tool.size.value == 7)
    }

    @Test func falseIsSaidWithAnEqualsSign() {
        let tool = Tool()
        #expect(tool.run("get --hex --hex=false a --prefix false") == 0)
        // The word behind a truth value is an argument.
        #expect(!tool.isHex.value && tool.isPrefix.value && tool.log.runs == ["tool get|a|false"])
    }

    @Test func dashes() {
        let tool = Tool()
        #expect(tool.run("get a -- --limit") == 0)
        #expect(tool.log.runs == ["tool get|a|--limit"] && tool.log.dash == 1)
        let other = Tool()
        #expect(other.run("get - --lease -") == 0)
        #expect(other.log.runs == ["tool get|-"] && other.lease.value == "-" && other.log.dash == nil)
    }

    @Test func listsAccumulateAndReplaceTheDefault() {
        let tool = Tool()
        #expect(tool.endpoints.value == ["127.0.0.1:2379"])
        #expect(tool.run("--endpoints a,b get k --endpoints c") == 0)
        #expect(tool.endpoints.value == ["a", "b", "c"])
        let quoted = FlagSet()
        let list = quoted.add("list", [String](), "")
        #expect(throws: Never.self) { try quoted.parse(["--list", "\"a,b\",c,\"d\"\"e\""]) }
        #expect(list.value == ["a,b", "c", "d\"e"])
        #expect(list.text == "[\"a,b\",c,\"d\"\"e\"]")
    }

    @Test(arguments: [
        ("get --bogus a", "unknown flag: --bogus"), ("get --bogus=1 a", "unknown flag: --bogus"),
        ("get -zp a", "unknown shorthand flag: 'z' in -zp"), ("get -pz a", "unknown shorthand flag: 'z' in -z"),
        ("get a --limit", "flag needs an argument: --limit"), ("get a -pl", "flag needs an argument: 'l' in -l"),
        ("get --limit=x a", #"invalid argument "x" for "-l, --limit" flag: strconv.ParseInt: parsing "x": invalid syntax"#),
        ("get --limit=9223372036854775808 a", #"invalid argument "9223372036854775808" for "-l, --limit" flag: strconv.ParseInt: parsing "9223372036854775808": value out of range"#),
        ("get --size=-1 a", #"invalid argument "-1" for "--size" flag: strconv.ParseUint: parsing "-1": invalid syntax"#),
        ("get --prefix=maybe a", #"invalid argument "maybe" for "-p, --prefix" flag: strconv.ParseBool: parsing "maybe": invalid syntax"#),
        ("get --dial-timeout=5 a", #"invalid argument "5" for "--dial-timeout" flag: time: missing unit in duration "5""#),
        ("get --dial-timeout=5x a", #"invalid argument "5x" for "--dial-timeout" flag: time: unknown unit "x" in duration "5x""#),
        ("get ---x a", "bad flag syntax: ---x"), ("get --=x a", "bad flag syntax: --=x"),
        ("get", "accepts between 1 and 2 arg(s), received 0"), ("get a b c", "accepts between 1 and 2 arg(s), received 3"),
        ("member list x", #"unknown command "x" for "tool member list""#), ("member add a", #"required flag(s) "peer-urls" not set"#),
    ])
    func errors(line: String, text: String) {
        let tool = Tool()
        #expect(tool.run(line) == 1)
        #expect(tool.error == "Error: " + text)
        // The usage of the command follows.
        #expect(tool.errors.contains("\nUsage:\n  tool "))
        #expect(tool.log.runs.isEmpty)
    }

    @Test func unknownCommands() {
        let tool = Tool()
        #expect(tool.run("gett a") == 1)
        #expect(tool.errors == "Error: unknown command \"gett\" for \"tool\"\n\nDid you mean this?\n\tget\n\nRun 'tool --help' for usage.\n")
        let other = Tool()
        #expect(other.run("--hex frob") == 1)
        #expect(other.errors == "Error: unknown command \"frob\" for \"tool\"\nRun 'tool --help' for usage.\n")
        // A command that only has commands shows its help.
        let third = Tool()
        #expect(third.run("member frob") == 0 && third.output.hasPrefix("Membership\n\nUsage:\n  tool member [command]\n"))
    }

    @Test func prefixesOnlyWhereAllowed() {
        let tool = Tool()
        #expect(tool.run("mem lis") == 1)
        let other = Tool()
        other.root.allowsPrefixes = true
        #expect(other.run("mem lis") == 0 && other.log.runs == ["tool member list"])
        let ambiguous = Tool()
        ambiguous.root.allowsPrefixes = true
        ambiguous.root.add(Command("gather", ""))
        #expect(ambiguous.run("g a") == 1)
        #expect(ambiguous.run("ge a") == 0)
    }

    @Test func flagsBeforeTheCommandTakeTheirValueWithThem() {
        // `get` is the value of -w here, so that the command is the second one.
        let tool = Tool()
        #expect(tool.run("-w get member list") == 0)
        #expect(tool.format.value == "get" && tool.log.runs == ["tool member list"])
    }

    @Test func deprecation() {
        let tool = Tool()
        tool.size.deprecation = "use --limit"
        #expect(tool.run("get a --size 3") == 0 && tool.run("old") == 0)
        #expect(tool.errors == "Flag --size has been deprecated, use --limit\nCommand \"old\" is deprecated, use get\n")
        #expect(tool.run("secret") == 0)
        #expect(!tool.root.help.contains("secret") && !tool.root.help.contains("old") && !tool.get.help.contains("--size"))
    }

    @Test func environment() {
        let tool = Tool()
        tool.root.environment = EnvironmentFallback(prefix: "TOOL")
        #expect(tool.run("get a --hex=false", environment: ["TOOL_DIAL_TIMEOUT": "1m", "TOOL_HEX": "true", "TOOL_LIMIT": "9", "TOOL_ENDPOINTS": "x,y"]) == 0)
        // Of both, the command line counts; a command's own flags have no variable.
        #expect(tool.timeout.value == .seconds(60) && !tool.isHex.value && tool.limit.value == 0 && tool.endpoints.value == ["x", "y"])
        let strict = Tool()
        var unknown: [String] = []
        strict.root.environment = EnvironmentFallback(
            prefix: "TOOL", otherVariables: ["TOOL_KEY"], onConflict: { throw CommandFailure("twice: \($0)", status: 7) },
            onUnknown: { unknown.append("\($0)=\($1)") })
        #expect(strict.run("get a", environment: ["TOOL_API": "3", "TOOL_KEY": "k", "TOOLS": "x"]) == 0 && unknown == ["TOOL_API=3"])
        #expect(strict.run("get a --hex", environment: ["TOOL_HEX": "1"]) == 7 && strict.errors == "Error: twice: TOOL_HEX\n")
        let wrong = Tool()
        wrong.root.environment = EnvironmentFallback(prefix: "TOOL")
        #expect(wrong.run("get a", environment: ["TOOL_DIAL_TIMEOUT": "x"]) == 1)
        #expect(wrong.error == "Error: invalid value \"x\" for TOOL_DIAL_TIMEOUT: time: invalid duration \"x\"")
    }

    @Test func failures() {
        let tool = Tool()
        tool.get.run = { _ in throw CommandFailure("no such thing", status: 5) }
        #expect(tool.run("get a") == 5 && tool.errors == "Error: no such thing\n")
        let usage = Tool()
        usage.get.run = { _ in throw CommandLineError("a key is needed") }
        #expect(usage.run("get a") == 1 && usage.errors.hasPrefix("Error: a key is needed\nUsage:\n  tool get KEY"))
    }

    @Test func flagGroups() {
        func error(_ line: String, _ group: FlagGroup) -> String {
            let tool = Tool()
            tool.get.flagGroups = [group]
            tool.run(line)
            return tool.error
        }
        #expect(error("get a -p -l 1", .atMostOne(["prefix", "limit"])) == "Error: if any flags in the group [prefix limit] are set none of the others can be; [limit prefix] were all set")
        #expect(error("get a -p", .allOrNone(["prefix", "limit"])) == "Error: if any flags in the group [prefix limit] are set they must all be set; missing [limit]")
        #expect(error("get a", .atLeastOne(["prefix", "limit"])) == "Error: at least one of the flags in the group [prefix limit] is required")
        #expect(error("get a", .atMostOne(["prefix", "limit"])).isEmpty)
    }

    @Test func prepareRunsForTheNearestAncestor() {
        let tool = Tool()
        let log = tool.log
        tool.root.prepare = { _ in log.runs.append("root") }
        #expect(tool.run("member list") == 0 && log.runs == ["root", "tool member list"])
    }

    @Test func tasks() async {
        let root = Command("tool", "")
        let command = Command("wait", "")
        var ran = 0
        command.runAsync = { _ in
            await Task.yield()
            ran += 1
        }
        root.add(command)
        #expect(await root.execute(["wait"], environment: [:], console: Console(inMemory: ())) == 0 && ran == 1)
    }
}
