// The old key space of etcd as its `.snap` files carry it: up to 3.5 a starting etcd learns from it who its members are.

import Storage
import Wire

enum VersionTwoStore {
    /// The store's JSON with members and cluster version, and nothing else.
    static func json(members: [MemberDescription], removed: [MemberID], version: String?, index: LogIndex) -> [UInt8] {
        var root = Node("/")
        var cluster = Node("/0")
        var list = Node("/0/members")
        for member in members {
            let path = "/0/members/\(member.id)"
            var node = Node(path)
            let raft = ByteSink()
            raft.append("{\"peerURLs\":" as StaticString)
            raft.json(member.peerURLs)
            raft.append(member.isLearner ? ",\"isLearner\":true}" as StaticString : "}")
            node.children.append(("raftAttributes", Node("\(path)/raftAttributes", value: text(raft))))
            if !member.name.isEmpty {
                let own = ByteSink()
                own.append("{\"name\":" as StaticString)
                own.json(member.name)
                if !member.clientURLs.isEmpty {
                    own.append(",\"clientURLs\":" as StaticString)
                    own.json(member.clientURLs)
                }
                own.append("}" as StaticString)
                node.children.append(("attributes", Node("\(path)/attributes", value: text(own))))
            }
            list.children.append((member.id.description, node))
        }
        cluster.children.append(("members", list))
        if !removed.isEmpty {
            var gone = Node("/0/removed_members")
            for id in removed { gone.children.append((id.description, Node("/0/removed_members/\(id)", value: "removed"))) }
            cluster.children.append(("removed_members", gone))
        }
        if let version { cluster.children.append(("version", Node("/0/version", value: version))) }
        root.children = [("0", cluster), ("1", Node("/1"))]
        let sink = ByteSink(capacity: 2048)
        sink.append("{\"Root\":" as StaticString)
        root.append(to: sink, index)
        sink.append(",\"CurrentIndex\":\(index),\"CurrentVersion\":2}")
        return sink.array()
    }

    private static func text(_ sink: ByteSink) -> String { String(decoding: sink.bytes, as: UTF8.self) }

    private struct Node {
        let path: String
        /// Nil: a directory.
        let value: String?
        var children: [(name: String, node: Node)] = []

        init(_ path: String, value: String? = nil) {
            self.path = path
            self.value = value
        }

        func append(to sink: ByteSink, _ index: LogIndex) {
            sink.append("{\"Path\":" as StaticString)
            sink.json(path)
            sink.append(",\"CreatedIndex\":\(index),\"ModifiedIndex\":\(index),\"ExpireTime\":\"0001-01-01T00:00:00Z\",\"Value\":")
            sink.json(value ?? "")
            sink.append(",\"Children\":" as StaticString)
            guard value == nil else { return sink.append("null}" as StaticString) }
            for (position, child) in children.enumerated() {
                sink.append(position == 0 ? "{" as StaticString : ",")
                sink.json(child.name)
                sink.append(":" as StaticString)
                child.node.append(to: sink, index)
            }
            sink.append(children.isEmpty ? "{}}" as StaticString : "}}")
        }
    }
}
