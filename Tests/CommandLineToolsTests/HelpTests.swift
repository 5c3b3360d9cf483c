// Help and usage as cobra lays them out; what completion is told.

import CommandLineTools
import Testing

@Suite struct HelpTests {
    @Test func rootHelp() {
        let tool = Tool()
        tool.root.version = "3.7.1"
        #expect(tool.run("") == 0)
        #expect(
            tool.output == """
                A tool for tests

                Usage:
                  tool [command]

                Available Commands:
                  get         Gets the key
                  help        Help about any command
                  member      Membership

                Flags:
                      --dial-timeout duration   dial timeout (default 2s)
                      --endpoints strings       gRPC endpoints (default [127.0.0.1:2379])
                  -h, --help                    help for tool
                      --hex                     print byte strings as hex
                  -v, --version                 version for tool
                  -w, --write-out format        set the output format (default "simple")

                Use "tool [command] --help" for more information about a command.

                """)
        #expect(Tool().run("--version") == 1)
        let versioned = Tool()
        versioned.root.version = "3.7.1"
        #expect(versioned.run("--version") == 0 && versioned.output == "tool version 3.7.1\n")
    }

    static let getHelp = """
        Gets the key or a range of keys.

        Usage:
          tool get KEY [RANGE_END] [flags]

        Aliases:
          get, fetch

        Flags:
          -h, --help           help for get
          -e, --lease string   a lease
          -l, --limit int      maximum number of results
          -p, --prefix         keys with a prefix
              --size uint      a size
                               in bytes (default 7)

        Global Flags:
              --dial-timeout duration   dial timeout (default 2s)
              --endpoints strings       gRPC endpoints (default [127.0.0.1:2379])
              --hex                     print byte strings as hex
          -w, --write-out format        set the output format (default "simple")

        """

    @Test(arguments: ["get --help", "get -h", "help get", "get a b c --help", "--help get"])
    func commandHelp(line: String) {
        let tool = Tool()
        #expect(tool.run(line) == 0 && tool.log.runs.isEmpty)
        #expect(tool.output == Self.getHelp)
    }

    @Test func unknownTopic() {
        let tool = Tool()
        #expect(tool.run("help nope") == 0)
        #expect(tool.errors.hasPrefix("Unknown help topic [`nope`]\nUsage:\n  tool [command]\n"))
        let nested = Tool()
        #expect(nested.run("help member add") == 0 && nested.output.contains("tool member add NAME [flags]"))
    }

    @Test func groupsAndReplacements() {
        let tool = Tool()
        tool.root.groups = ["Keys:", "Cluster:"]
        tool.get.group = "Keys:"
        #expect(tool.root.help.contains("\n\nKeys:\n  get         Gets the key\n\nCluster:\n\nAdditional Commands:\n  help "))
        tool.root.usageText = { "usage of \($0.path)\n" }
        #expect(tool.get.help == "Gets the key or a range of keys.\n\nusage of tool get\n")
        tool.root.usageStream = .output
        #expect(tool.run("get") == 1 && tool.output == "usage of tool get\n\n")
    }

    @Test func impliedValues() throws {
        let flags = FlagSet()
        flags.add("color", "auto", "when", implied: "always")
        flags.add("on", true, "is on")
        flags.add("rate", 1.5, "a rate")
        flags.add("names", VerbatimStrings(["a,b"]), "names")
        #expect(
            Command.flagTable(flags.all) == """
                      --color string[="always"]   when (default "auto")
                      --names stringArray         names (default ["a,b"])
                      --on                        is on (default true)
                      --rate float                a rate (default 1.5)
                """)
        #expect(try flags.parse(["--color", "x", "--on=false", "--names=a,b", "--names", "c"]) == ["x"])
        #expect((flags["color"] as? TypedFlag<String>)?.value == "always")
        #expect((flags["names"] as? TypedFlag<VerbatimStrings>)?.value.strings == ["a,b", "c"])
        flags.reset()
        #expect(flags["color"]?.text == "auto" && flags["on"]?.text == "true" && flags["names"]?.isGiven == false)
    }

    @Test func completion() {
        let tool = Tool()
        tool.format.proposedValues = ["json", "simple"]
        let data = tool.root.completion
        #expect(data.commands.map(\.name) == ["get", "help", "member"])
        #expect(data.commands[2].commands.map(\.name) == ["add", "list"])
        #expect(data.flags.map(\.name) == ["dial-timeout", "endpoints", "help", "hex", "write-out"])
        #expect(data.flags[4].values == ["json", "simple"] && data.flags[4].takesValue && data.flags[4].isPersistent && !data.flags[3].takesValue)
        #expect(data.commands[0].flags.contains { $0.name == "limit" && $0.short == "l" && !$0.isPersistent })
    }
}
