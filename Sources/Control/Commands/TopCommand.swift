// top: what a cluster is doing, from what its members tell of themselves.

import Client
import CommandLineTools

#if canImport(Glibc)
import Glibc
#endif

extension ControlTool {
    func topCommand() -> Command {
        let command = Command(
            "top [options]", "Shows what the members are doing, by resource and by client",
            long: """
                Shows what happens in a second: for each endpoint from its metrics, and of martlet servers by Kubernetes resource and by
                client. On a terminal the screen is drawn anew at each interval until it is interrupted; elsewhere the figures of
                one interval are printed. etcd's metrics have nothing by resource or client: calls by method are shown then.
                """)
        command.example = """
              martletctl top
              martletctl top --once --sort written --limit 5
              martletctl top --show clients --cluster | less
            """
        let interval = command.flags.add("interval", Duration.seconds(2), "time between two looks")
        let isOnce = command.flags.add("once", false, "print the figures of one interval, then end, on a terminal too")
        let count = command.flags.add("count", 0, "so many intervals, then end (0: until interrupted on a terminal, else one)")
        let sort = command.flags.add("sort", "busy", "column by which rows are sorted, the largest first: \(TopTable.sortNames.joined(separator: ", "))")
        sort.proposedValues = TopTable.sortNames
        let limit = command.flags.add("limit", 10, "so many resources, clients and methods")
        let show = command.flags.add("show", [String](), "parts to show: \(TopScreen.Part.list) (default: all that there is)")
        let isCluster = command.flags.add("cluster", false, "use all endpoints from the cluster member list")
        command.arguments = ArgumentRule.none
        command.runAsync = { [unowned self] invocation in
            let console = invocation.console
            guard interval.value >= .milliseconds(10) else { throw badArguments("--interval must be at least 10ms") }
            guard TopTable.sortNames.contains(sort.value) else {
                throw badArguments("unknown column \(GoText.quoted(sort.value)), there are \(TopTable.sortNames.joined(separator: ", "))")
            }
            var screen = TopScreen(sort: sort.value, limit: max(1, limit.value), style: Style(console, .output))
            for name in show.value {
                guard let part = TopScreen.Part(rawValue: name) else {
                    throw badArguments("unknown part \(GoText.quoted(name)), there are \(TopScreen.Part.list)")
                }
                screen.parts.insert(part)
            }
            var endpoints = try self.discovered()
            if isCluster.value { endpoints = try await self.clusterEndpoints(console, endpoints) }
            var members: [TopMember] = []
            for endpoint in endpoints { members.append(TopMember(endpoint, try await self.client(console, endpoints: [endpoint]))) }
            let seconds = max(1, Int64(self.timeout.components.seconds))
            for member in members { await member.look(seconds: seconds) }
            let isLive = console.isTerminal(.output) && !isOnce.value
            let rounds = isOnce.value ? 1 : count.value > 0 ? count.value : isLive ? Int.max : 1
            for round in 0..<rounds {
                try await Task.sleep(for: interval.value)
                for member in members { await member.look(seconds: seconds) }
                let lines = screen.lines(members)
                if isLive {
                    Self.draw(lines, console)
                } else {
                    if round > 0 { console.print("") }
                    for line in lines { console.print(line) }
                }
                console.flush()
            }
            guard members.contains(where: { $0.current != nil }) else {
                throw CommandFailure("no endpoint answers; `endpoint health` says more", status: Status.error)
            }
        }
        return command
    }

    /// Over what was there, without a flicker, within the window.
    private static func draw(_ lines: [String], _ console: Console) {
        let (rows, columns) = Window.size(STDOUT_FILENO)
        console.write("\u{1b}[H")
        for line in lines.prefix(rows - 1) { console.write(TopScreen.clipped(line, columns) + "\u{1b}[K\n") }
        console.write("\u{1b}[J")
    }
}
