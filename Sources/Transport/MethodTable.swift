// Which handler serves which path.

import Wire

public enum MethodKind: Sendable {
    case unary, serverStreaming, bidirectional
}

/// Why a call ended that its handler had not ended.
public enum CancelReason: Sendable, Equatable {
    /// The client reset the stream; the HTTP/2 error code it gave.
    case reset(UInt32)
    case deadline
    case connectionLost
    case shutdown
    /// The transport ended the call itself, e.g. because a message broke a limit.
    case failed(StatusCode)
}

/// What a service implements: one object per method, called on the event loop of the call.
/// Bytes passed in are valid only during the call.
public protocol MethodHandler: AnyObject, Sendable {
    /// A stream was opened. Not called for unary and server-streaming methods.
    func opened(_ call: Call)
    /// A request message. Unary and server-streaming: exactly once, when the client has ended its side.
    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer)
    /// The client sends no more messages on this stream. Not called for unary and server-streaming methods.
    func halfClosed(_ call: Call)
    /// Queued output fell below `TransportLimits.queuedLowBytes`.
    func writable(_ call: Call)
    /// The call ended before the handler replied, failed or finished it. The handle is dead, but for its
    /// `userData` and metadata, which can be read until this returns.
    func cancelled(_ call: Call, _ reason: CancelReason)
}

extension MethodHandler {
    public func opened(_ call: Call) {}
    public func halfClosed(_ call: Call) {}
    public func writable(_ call: Call) {}
    public func cancelled(_ call: Call, _ reason: CancelReason) {}
}

/// A unary handler made of a closure; for small services and tests.
public final class UnaryMethod: MethodHandler {
    private let body: @Sendable (Call, UnsafeRawBufferPointer) -> Void

    public init(_ body: @escaping @Sendable (Call, UnsafeRawBufferPointer) -> Void) { self.body = body }

    public func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) { body(call, bytes) }
}

/// The methods of a server, found by path. Built once, then shared by all connections and never changed.
public struct MethodTable: Sendable {
    public struct Method: Sendable {
        public let service: String
        public let name: String
        public let kind: MethodKind
        public let handler: any MethodHandler
    }

    public private(set) var methods: [Method] = []
    private var services: Set<String> = []
    /// Open addressing over paths: a position in `methods` plus one, or zero. At most half full.
    private var buckets: [UInt16] = Array(repeating: 0, count: 16)
    private var paths: [[UInt8]] = []

    public init() {}

    /// Adds a method and returns its position, by which observers are told of it.
    @discardableResult
    public mutating func add(
        service: String, method: String, kind: MethodKind, _ handler: any MethodHandler
    ) -> Int {
        let path = Array("/\(service)/\(method)".utf8)
        precondition(path.withUnsafeBytes(find) == nil, "method /\(service)/\(method) is registered twice")
        precondition(methods.count < Int(UInt16.max) - 1)
        methods.append(Method(service: service, name: method, kind: kind, handler: handler))
        paths.append(path)
        services.insert(service)
        if methods.count * 2 > buckets.count {
            buckets = Array(repeating: 0, count: buckets.count * 2)
            for position in methods.indices { place(position) }
        } else {
            place(methods.count - 1)
        }
        return methods.count - 1
    }

    /// True when some method of the service is registered.
    public func hasService(_ name: String) -> Bool { services.contains(name) }

    func find(_ path: UnsafeRawBufferPointer) -> Int? {
        var bucket = Self.hash(path) & (buckets.count - 1)
        while true {
            let entry = buckets[bucket]
            if entry == 0 { return nil }
            let position = Int(entry) - 1
            if paths[position].withUnsafeBytes({ equalBytes($0, path) }) { return position }
            bucket = (bucket + 1) & (buckets.count - 1)
        }
    }

    private mutating func place(_ position: Int) {
        var bucket = paths[position].withUnsafeBytes(Self.hash) & (buckets.count - 1)
        while buckets[bucket] != 0 { bucket = (bucket + 1) & (buckets.count - 1) }
        buckets[bucket] = UInt16(position + 1)
    }

    /// Paths differ most in their last bytes and their length.
    private static func hash(_ path: UnsafeRawBufferPointer) -> Int {
        var value = UInt64(path.count) &* 0x9e37_79b9_7f4a_7c15
        for byte in path.suffix(12) { value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return Int(truncatingIfNeeded: value ^ (value >> 29)) & .max
    }

    /// The status of a path that no method has, in grpc-go's words.
    func unknownMethod(path: String) -> CallError {
        guard path.hasPrefix("/"), let slash = path.lastIndex(of: "/"), slash > path.startIndex else {
            return CallError(.unimplemented, "malformed method name: \(quoted(path))")
        }
        let service = String(path[path.index(after: path.startIndex)..<slash])
        let method = String(path[path.index(after: slash)...])
        if services.contains(service) {
            return CallError(.unimplemented, "unknown method \(method) for service \(service)")
        }
        return CallError(.unimplemented, "unknown service \(service)")
    }
}
