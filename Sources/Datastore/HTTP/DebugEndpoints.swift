// /debug: what the process says of itself, and where its profiles are to be had.

import CShims
import Glibc
import Transport
import Wire

/// The answer of `/debug/vars`: variables in JSON, under the names that readers of Go's expvar look for.
enum DebugVariables {
    static func response(_ node: Node) -> HTTPResponse {
        let sink = ByteSink(capacity: 2048)
        sink.append("{\n\"cmdline\": " as StaticString)
        sink.json(CommandLine.arguments)
        let descriptors = node.metrics.descriptors.refresh()
        sink.append(",\n\"file_descriptor_limit\": \(descriptors.limit)")
        sink.append(",\n\"memstats\": " as StaticString)
        sink.append(memory())
        sink.append(",\n\"raft.status\": " as StaticString)
        sink.append(raftStatus(node))
        sink.append("\n}\n" as StaticString)
        return HTTPResponse(status: 200, headers: ["Content-Type": "application/json; charset=utf-8"], body: sink.array())
    }

    /// The allocator's view: there is no garbage collector whose figures could be told.
    private static func memory() -> String {
        var used = 0, unused = 0, mapped = 0
        martlet_heap(&used, &unused, &mapped)
        return "{\"Alloc\":\(used + mapped),\"HeapAlloc\":\(used + mapped),\"HeapIdle\":\(unused)"
            + ",\"HeapSys\":\(used + unused + mapped),\"Sys\":\(used + unused + mapped),\"NumGC\":0}"
    }

    private static func raftStatus(_ node: Node) -> String {
        let view = node.consensus
        let isLeader = view.leader == node.memberID && view.leader != .none
        // A lone leader has written all that it knows; other progress belongs to the consensus thread.
        let progress =
            isLeader
            ? "\"\(node.memberID)\":{\"match\":\(view.committed),\"next\":\(view.committed + 1),\"state\":\"StateReplicate\"}" : ""
        return "{\"id\":\"\(node.memberID)\",\"term\":\(view.term),\"commit\":\(view.committed),\"lead\":\"\(view.leader)\""
            + ",\"raftState\":\"\(isLeader ? "StateLeader" : "StateFollower")\",\"applied\":\(view.applied)"
            + ",\"progress\":{\(progress)},\"leadtransferee\":\"0\"}"
    }
}

/// `/debug/pprof/`: the paths of Go's profiler. This is no Go program: its profiles come from the system's tools,
/// and the answers say which.
enum ProfileEndpoints {
    static let path = "/debug/pprof"

    private static let tools: [(names: [String], advice: String)] = [
        (["profile", "trace"], "CPU time: perf record -g -p %p -- sleep 30, then perf report"),
        (["goroutine", "threadcreate"], "threads: ls /proc/%p/task, or gdb -p %p -batch -ex 'thread apply all bt'"),
        (["heap", "allocs"], "memory: /debug/vars, /metrics (process_*), /proc/%p/smaps_rollup; heaptrack -p %p"),
        (["block", "mutex"], "locks: perf lock record -p %p, or perf trace -s -p %p"),
    ]

    static func response(_ request: HTTPRequest) -> HTTPResponse {
        let name = request.path.dropFirst(path.count)
        switch name {
        case "":
            return HTTPResponse(status: 301, headers: ["Location": path + "/"])
        case "/":
            let lines = tools.map { "  \(($0.names).joined(separator: ", ")): \(advice($0.advice))\n" }.joined()
            return text(
                200,
                "/debug/pprof/\n\nThis server is written in Swift and has no Go profiles. Its executable keeps its symbols, so that\n"
                    + "the system's tools see everything:\n\n\(lines)\n  cmdline: /debug/pprof/cmdline\n")
        case "/cmdline":
            return text(200, CommandLine.arguments.joined(separator: "\0"))
        case "/symbol":
            return text(200, "num_symbols: 0\n")
        default:
            guard let tool = tools.first(where: { $0.names.contains(String(name.dropFirst())) }) else {
                return .error(404, "Unknown profile")
            }
            return .error(501, "martlet has no Go profile \(quoted(String(name.dropFirst()))); \(advice(tool.advice))")
        }
    }

    private static func advice(_ text: String) -> String {
        text.split(separator: "%p", omittingEmptySubsequences: false).joined(separator: String(getpid()))
    }

    private static func text(_ status: Int, _ text: String) -> HTTPResponse {
        HTTPResponse(
            status: status,
            headers: ["Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"],
            body: Array(text.utf8))
    }
}
