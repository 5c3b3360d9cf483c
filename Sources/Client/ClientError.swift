// Why a call failed.

import Wire

/// The end of a call that did not succeed.
public struct ClientError: Error, Sendable, CustomStringConvertible {
    public let code: StatusCode
    /// The server's text, or the client's own when there was no answer.
    public let message: String
    /// What stood in the way, if the call found no connection: the last failure of connecting.
    public let connectionFailure: String?
    /// False: no server has seen the call, so that making it again is safe.
    public let wasSent: Bool
    /// A watch that ended because its events were compacted: the first revision that still has all its events.
    public let compactRevision: Int64

    public init(
        _ code: StatusCode, _ message: String, connectionFailure: String? = nil, wasSent: Bool = true, compactRevision: Int64 = 0
    ) {
        self.code = code
        self.message = message
        self.connectionFailure = connectionFailure
        self.wasSent = wasSent
        self.compactRevision = compactRevision
    }

    init(_ error: CallError) { self.init(error.code, error.message) }

    public var description: String { message }

    /// As gRPC prints it: `rpc error: code = Unavailable desc = …`.
    public var status: String {
        let cause = connectionFailure.map { "latest balancer error: last connection error: \($0)" }
        return "rpc error: code = \(code.name) desc = \(cause ?? message)"
    }

    /// Whether this is one of the API's errors, e.g. `.compacted`.
    public func matches(_ error: CallError) -> Bool { code == error.code && message == error.message }

    static let canceled = ClientError(CallError.canceled)
    static let closed = ClientError(.cancelled, "the client is closed", wasSent: false)
    static func malformed(_ error: ProtobufError) -> ClientError {
        ClientError(.internal, "grpc: failed to unmarshal the received message: \(error)")
    }
}
