// What users of a client connection hold and implement.

import CNGHTTP2
import Wire

/// A gRPC method as a client calls it, with its request headers encoded once for all calls.
/// Belongs to one authority. Make one per method and keep it: a connection refers to the headers of every
/// method it was used with, and keeps those alive until it is closed.
public final class ClientMethod: @unchecked Sendable {
    // Unchecked: immutable after the initialiser.
    public let path: String
    let fields: UnsafeMutableBufferPointer<nghttp2_nv>
    private let bytes: UnsafeMutableBufferPointer<UInt8>

    /// - Parameters:
    ///   - isSecure: the connections speak TLS.
    ///   - metadata: what every call carries besides.
    public init(
        path: String, authority: String, userAgent: String = "martlet", isSecure: Bool = false, metadata: [(String, String)] = []
    ) {
        self.path = path
        let texts = [
            (":method", "POST"), (":scheme", isSecure ? "https" : "http"), (":path", path), (":authority", authority),
            ("content-type", "application/grpc"), ("user-agent", userAgent), ("te", "trailers"),
        ] + metadata
        bytes = .allocate(capacity: texts.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count })
        fields = .allocate(capacity: texts.count)
        var position = 0
        func place(_ text: String) -> UnsafeMutablePointer<UInt8> {
            let start = bytes.baseAddress! + position
            for byte in text.utf8 {
                bytes[position] = byte
                position += 1
            }
            return start
        }
        let flags = NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue
        for (index, text) in texts.enumerated() {
            let name = place(text.0)
            let value = place(text.1)
            fields.initializeElement(
                at: index,
                to: nghttp2_nv(
                    name: name, value: value, namelen: text.0.utf8.count, valuelen: text.1.utf8.count, flags: UInt8(flags)))
        }
    }

    deinit {
        fields.deallocate()
        bytes.deallocate()
    }
}

/// A call that a client has in progress. A stale one is harmless.
public struct ClientCall: Hashable, Sendable {
    let index: UInt32
    let generation: UInt32
}

/// Is told of everything that happens on a client connection, on its event loop. Calls are told apart by the
/// tag that they were started with, so that a caller needs no object per call.
public protocol ClientObserver: AnyObject {
    /// A response message; the bytes are valid only during the call.
    func received(_ call: ClientCall, tag: UInt64, _ message: UnsafeRawBufferPointer)
    /// The call has ended. `message` is decoded grpc-message.
    func finished(_ call: ClientCall, tag: UInt64, status: StatusCode, message: String)
    /// Queued output of a call fell below `TransportLimits.queuedLowBytes`.
    func writable(_ call: ClientCall, tag: UInt64)
    /// The server's SETTINGS are here: it speaks HTTP/2.
    func ready()
    /// The server takes no more calls here; those in progress go on.
    func goingAway()
    /// The connection is gone. Every call was finished before.
    func closed()
}

extension ClientObserver {
    public func writable(_ call: ClientCall, tag: UInt64) {}
    public func ready() {}
    public func goingAway() {}
    public func closed() {}
}

public struct ClientConfiguration: Sendable {
    public var receiveMessageBytesMax = Int(UInt32.max)
    public var streamWindowBytes = 4 << 20
    public var connectionWindowBytes = 16 << 20
    /// A socket buffer smaller than the system's, for tests of slow readers.
    public var receiveBufferBytes: Int?
    /// Speaks TLS; nil for plain text.
    public var tls: TLSClient?
    /// Limit of connecting a socket; nil for the library's ten seconds.
    public var connectMilliseconds: Int?

    public init() {}
}
