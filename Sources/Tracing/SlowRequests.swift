// The two lines that tell of slow requests, with exactly the fields that log readers look for.

/// What an apply that took too long was doing, as the `prefix` field says.
public enum ApplyKind: String, Sendable {
    /// A request from the Raft log.
    case replicated = ""
    case readOnlyRange = "read-only range "
    case readOnlyTransaction = "read-only txn "
}

/// "apply request took too long".
public struct SlowApply: Sendable {
    public static let message = "apply request took too long"
    public var nanoseconds: UInt64
    public var threshold: Nanoseconds
    public var kind: ApplyKind
    /// The request's text without secrets and values; see `RequestText`.
    public var request: String
    /// `size:12`, `range_response_count:3 size:120`, or empty when there is no response.
    public var response: String
    public var error: String?

    public init(
        nanoseconds: UInt64, threshold: Nanoseconds, kind: ApplyKind, request: String, response: String,
        error: String? = nil
    ) {
        self.nanoseconds = nanoseconds
        self.threshold = threshold
        self.kind = kind
        self.request = request
        self.response = response
        self.error = error
    }

    public var fields: [LogField] {
        var fields: [LogField] = [
            .duration("took", nanoseconds), .duration("expected-duration", threshold),
            .string("prefix", kind.rawValue), .string("request", request), .string("response", response),
        ]
        if let error { fields.append(.error(error)) }
        return fields
    }
}

/// "request stats" of one unary call.
public struct RequestStatistics: Sendable {
    public static let message = "request stats"
    /// The same of a call whose answer is a stream; ours, etcd has none.
    public static let streamMessage = "stream stats"
    /// When the call began, in nanoseconds since 1970.
    public var startUnixNanoseconds: Int64
    public var nanoseconds: UInt64
    /// `host:port` of the client, if known.
    public var remote: String?
    /// The full method, `/etcdserverpb.KV/Range`.
    public var method: String
    public var content: Content

    /// Counts and sizes; those of a failed call or of other methods are not told.
    public struct Content: Sendable {
        public var requestCount: Int64
        public var requestSize: Int64
        public var responseCount: Int64
        public var responseSize: Int64
        public var text: String

        public static let unknown = Content(
            requestCount: -1, requestSize: -1, responseCount: -1, responseSize: -1, text: "")

        public init(
            requestCount: Int64, requestSize: Int64, responseCount: Int64, responseSize: Int64, text: String
        ) {
            self.requestCount = requestCount
            self.requestSize = requestSize
            self.responseCount = responseCount
            self.responseSize = responseSize
            self.text = text
        }
    }

    public init(
        startUnixNanoseconds: Int64, nanoseconds: UInt64, remote: String?, method: String, content: Content
    ) {
        self.startUnixNanoseconds = startUnixNanoseconds
        self.nanoseconds = nanoseconds
        self.remote = remote
        self.method = method
        self.content = content
    }

    public var fields: [LogField] {
        [
            .time("start time", unixNanoseconds: startUnixNanoseconds), .duration("time spent", nanoseconds),
            .string("remote", remote ?? "No remote client info."), .string("response type", method),
            .int("request count", content.requestCount), .int("request size", content.requestSize),
            .int("response count", content.responseCount), .int("response size", content.responseSize),
            .string("request content", content.text),
        ]
    }
}
