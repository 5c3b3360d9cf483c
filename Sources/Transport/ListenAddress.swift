// Where a server listens.

import NIOCore

public enum ListenAddress: Sendable, Hashable, CustomStringConvertible {
    /// An IP address, "localhost" (127.0.0.1) or empty (every address, IPv6 and IPv4); port 0 = any free one.
    case host(String, port: Int)
    /// Path of a socket file; a file left there by an earlier process is replaced.
    case unix(path: String)

    public var description: String {
        switch self {
        case .host(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): path
        }
    }

    func socketAddress() throws -> SocketAddress {
        switch self {
        case .unix(let path): return try SocketAddress(unixDomainSocketPath: path)
        case .host(let host, let port):
            switch host {
            case "localhost": return try SocketAddress(ipAddress: "127.0.0.1", port: port)
            case "": return try SocketAddress(ipAddress: "::", port: port)
            default:
                if let address = try? SocketAddress(ipAddress: host, port: port) { return address }
                return try SocketAddress.makeAddressResolvingHost(host, port: port)
            }
        }
    }
}

/// Options of a listening socket.
public struct ListenOptions: Sendable {
    /// Several processes may listen on the port at once (`--socket-reuse-port`).
    public var reusePort = false
    /// The port can be bound again at once after a restart.
    public var reuseAddress = true
    public var backlog: Int32 = 4096
    /// Connections open at once on this listener; further ones wait in the kernel's queue until one closes.
    public var connectionsMax = Int.max
    /// What this listener shares with others.
    public var budget: ConnectionBudget?
    /// Speaks TLS; nil for plain text.
    public var tls: TLSServer?
    /// Beside TLS, plain text is served too: the first byte of a connection tells.
    public var servesPlainText = false

    public init() {}
}

func describe(_ address: SocketAddress?) -> String {
    guard let address else { return "@" }
    if address.pathname != nil, address.ipAddress == nil { return "@" }
    guard let host = address.ipAddress, let port = address.port else { return "@" }
    return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
}
