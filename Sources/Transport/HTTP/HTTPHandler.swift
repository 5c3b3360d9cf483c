// Plain HTTP beside gRPC: the same request and response types for HTTP/1.1 and HTTP/2.

/// Header fields in order; names compare without case.
public struct HTTPFields: Sendable, Equatable, ExpressibleByDictionaryLiteral {
    public struct Field: Sendable, Equatable {
        public var name: String
        public var value: String
    }

    public var fields: [Field] = []

    public init() {}

    public init(dictionaryLiteral elements: (String, String)...) {
        fields = elements.map { Field(name: $0.0, value: $0.1) }
    }

    public mutating func add(_ name: String, _ value: String) { fields.append(Field(name: name, value: value)) }

    /// The first value of a name.
    public subscript(_ name: String) -> String? {
        fields.first { sameFieldName($0.name, name) }?.value
    }

    public func all(_ name: String) -> [String] {
        fields.filter { sameFieldName($0.name, name) }.map(\.value)
    }
}

func sameFieldName(_ a: String, _ b: String) -> Bool {
    a.utf8.count == b.utf8.count && zip(a.utf8, b.utf8).allSatisfy { lowerASCII($0) == lowerASCII($1) }
}

@inline(__always)
func lowerASCII(_ byte: UInt8) -> UInt8 { byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte }

public struct HTTPRequest: Sendable {
    public enum Version: Sendable { case http1, http2 }

    public var method: String
    /// Without the query; percent signs as the client sent them.
    public var path: String
    /// Behind the question mark; nil without one.
    public var query: String?
    /// Host or :authority.
    public var authority: String
    public var headers: HTTPFields
    public var body: [UInt8]
    /// Set instead of `body` where the listener hands bodies over as they come (`Services.bodyStreamPrefixes`).
    public var bodyStream: HTTPBodyStream?
    public var version: Version
    /// "address:port" of the peer, "@" for a Unix socket.
    public var remoteAddress: String
    /// Who is at the other end; nil without TLS.
    public var peer: PeerIdentity?
    /// Common name of the client's certificate; nil without mutual TLS.
    public var peerCommonName: String? { peer?.commonName }
    /// Whether the connection is encrypted.
    public var isSecure: Bool { peer != nil }
}

public struct HTTPResponse: Sendable {
    public var status: Int
    public var headers: HTTPFields
    public var body: [UInt8]

    public init(status: Int = 200, headers: HTTPFields = [:], body: [UInt8] = []) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// A text as Go's http.Error writes it: with a line end and without content sniffing.
    public static func error(_ status: Int, _ text: String) -> HTTPResponse {
        HTTPResponse(
            status: status,
            headers: ["Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"],
            body: Array((text + "\n").utf8))
    }

    public static let notFound = error(404, "404 page not found")
}

/// What serves the plain HTTP requests of a listener.
public protocol HTTPHandler: AnyObject, Sendable {
    /// Called on the event loop with the whole request, or with its head where the body is handed over as it comes. The answer may
    /// come later and from any thread.
    func handle(_ request: HTTPRequest, _ responder: HTTPResponder)
}
