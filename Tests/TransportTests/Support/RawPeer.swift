// A peer that says exactly what a test wants: raw bytes on a blocking socket, and frames made by hand.

import CNGHTTP2
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// A blocking TCP client with a receive time-out.
final class RawPeer {
    private let descriptor: Int32

    init(port: Int, timeoutSeconds: Int = 10) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(result == 0)
        var limit = timeval(tv_sec: timeoutSeconds, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    deinit { Glibc.close(descriptor) }

    /// False when the server has closed.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var offset = 0
        while offset < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + offset, bytes.count - offset, Int32(MSG_NOSIGNAL))
            }
            if count <= 0 { return false }
            offset += count
        }
        return true
    }

    func finishSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Some bytes; empty at the end of the stream or after the time-out.
    func receive(_ limit: Int = 65536) -> [UInt8] {
        var buffer = [UInt8](repeating: 0, count: limit)
        let count = recv(descriptor, &buffer, limit, 0)
        return count > 0 ? Array(buffer[..<count]) : []
    }

    func receiveAll() -> [UInt8] {
        var result: [UInt8] = []
        while true {
            let part = receive()
            if part.isEmpty { return result }
            result += part
        }
    }

    /// Reads until `text` was seen.
    func receive(until text: String) -> String {
        var result: [UInt8] = []
        while !String(decoding: result, as: UTF8.self).contains(text) {
            let part = receive()
            if part.isEmpty { break }
            result += part
        }
        return String(decoding: result, as: UTF8.self)
    }
}

/// HTTP/2 frames by hand.
enum Frames {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    static let settings = frame(4, 0, 0, [])

    static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        let length = payload.count
        return [UInt8(length >> 16 & 255), UInt8(length >> 8 & 255), UInt8(length & 255), type, flags]
            + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: stream >> $0) } + payload
    }

    /// Header fields as literals without indexing: no state on either side.
    static func headerBlock(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { name, value in [0] + string(name) + string(value) }
    }

    private static func string(_ text: String) -> [UInt8] {
        let bytes = Array(text.utf8)
        precondition(bytes.count < 127)
        return [UInt8(bytes.count)] + bytes
    }

    static func request(
        _ stream: UInt32, _ path: String, method: String = "POST", contentType: String? = "application/grpc",
        extra: [(String, String)] = [], endStream: Bool = false
    ) -> [UInt8] {
        var fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "test")]
        if let contentType { fields.append(("content-type", contentType)) }
        return frame(1, 4 | (endStream ? 1 : 0), stream, headerBlock(fields + [("te", "trailers")] + extra))
    }

    static func data(_ stream: UInt32, _ payload: [UInt8], endStream: Bool = false) -> [UInt8] {
        frame(0, endStream ? 1 : 0, stream, payload)
    }

    static func message(_ payload: [UInt8], format: UInt8 = 0) -> [UInt8] {
        [format] + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: payload.count >> $0) } + payload
    }

    static func ping(_ number: UInt8) -> [UInt8] { frame(6, 0, 0, [number, 1, 2, 3, 4, 5, 6, 7]) }
    static func reset(_ stream: UInt32, _ error: UInt8 = 8) -> [UInt8] { frame(3, 0, stream, [0, 0, 0, error]) }
    static func window(_ stream: UInt32, _ increment: UInt32) -> [UInt8] {
        frame(8, 0, stream, [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: increment >> $0) })
    }
}

/// Reads the server's side of an HTTP/2 connection into frames, with header blocks decoded.
final class FrameReader {
    struct Frame {
        var type: UInt8
        var flags: UInt8
        var stream: UInt32
        var payload: [UInt8]
        var headers: [(String, String)] = []
        var endsStream: Bool { (type == 0 || type == 1) && flags & 1 != 0 }
        subscript(_ name: String) -> String? { headers.first { $0.0 == name }?.1 }
    }

    private let peer: RawPeer
    private var buffer: [UInt8] = []
    private var inflater: OpaquePointer?

    init(_ peer: RawPeer) {
        self.peer = peer
        nghttp2_hd_inflate_new(&inflater)
    }

    deinit { nghttp2_hd_inflate_del(inflater) }

    /// The next frame; nil when the server has closed (or says nothing for too long).
    func next() -> Frame? {
        while true {
            if buffer.count >= 9 {
                let length = Int(buffer[0]) << 16 | Int(buffer[1]) << 8 | Int(buffer[2])
                if buffer.count >= 9 + length {
                    let stream = buffer[5..<9].reduce(0) { $0 << 8 | UInt32($1) }
                    var frame = Frame(
                        type: buffer[3], flags: buffer[4], stream: stream, payload: Array(buffer[9..<(9 + length)]))
                    buffer.removeFirst(9 + length)
                    if frame.type == 1 { frame.headers = inflate(frame.payload) }
                    return frame
                }
            }
            let more = peer.receive()
            if more.isEmpty { return nil }
            buffer += more
        }
    }

    /// The next frame for which a condition holds; what comes before is dropped.
    func next(where condition: (Frame) -> Bool) -> Frame? {
        while let frame = next() { if condition(frame) { return frame } }
        return nil
    }

    private func inflate(_ block: [UInt8]) -> [(String, String)] {
        var result: [(String, String)] = []
        var block = block
        var offset = 0
        while true {
            var pair = nghttp2_nv()
            var flags: Int32 = 0
            let used = block.withUnsafeMutableBufferPointer {
                nghttp2_hd_inflate_hd2(inflater, &pair, &flags, $0.baseAddress! + offset, $0.count - offset, 1)
            }
            guard used >= 0 else { return result }
            offset += used
            if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                result.append(
                    (
                        String(decoding: UnsafeBufferPointer(start: pair.name, count: pair.namelen), as: UTF8.self),
                        String(decoding: UnsafeBufferPointer(start: pair.value, count: pair.valuelen), as: UTF8.self)
                    ))
            }
            if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 {
                nghttp2_hd_inflate_end_headers(inflater)
                return result
            }
        }
    }
}
