// The HTTP side of the peer listeners that does not belong to the Raft transport: who is in the cluster,
// and which version runs here.

import KeySpace
import Transport
import Wire

final class PeerEndpoints: HTTPHandler {
    private let node: Node

    init(_ node: Node) { self.node = node }

    func handle(_ request: HTTPRequest, _ responder: HTTPResponder) {
        switch request.path {
        case "/version":
            guard request.method == "GET" else { return refuse(responder) }
            responder.respond(VersionDocument.response(clusterVersion: node.keySpace.cluster.current.version))
        case "/downgrade/enabled":
            guard request.method == "GET" else { return refuse(responder) }
            let node = node
            node.confirmRead { error in
                if let error { return responder.respond(.error(500, error.message)) }
                responder.respond(
                    HTTPResponse(
                        status: 200, headers: ["Content-Type": "text/plain", "X-Etcd-Cluster-ID": node.clusterID.description],
                        body: Array((node.keySpace.cluster.current.downgradeEnabled ? "true" : "false").utf8)))
            }
        case "/members":
            guard request.method == "GET" else { return refuse(responder) }
            let sink = ByteSink(capacity: 512)
            sink.append("[" as StaticString)
            for (index, member) in node.keySpace.cluster.current.sortedMembers.enumerated() {
                if index > 0 { sink.append("," as StaticString) }
                sink.append(member.json())
            }
            sink.append("]\n" as StaticString)
            responder.respond(
                HTTPResponse(
                    status: 200,
                    headers: ["Content-Type": "application/json", "X-Etcd-Cluster-ID": node.clusterID.description],
                    body: sink.array()))
        default:
            responder.respond(.notFound)
        }
    }

    private func refuse(_ responder: HTTPResponder) {
        var response = HTTPResponse.error(405, "Method Not Allowed")
        response.headers.add("Allow", "GET")
        responder.respond(response)
    }
}
