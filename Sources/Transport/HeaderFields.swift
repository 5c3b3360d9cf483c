// Header fields as nghttp2 takes them, made once: sending them copies no strings.

import CNGHTTP2
import Wire

/// Header lists that every answer uses. Their memory lives as long as the process, which lets nghttp2 refer to
/// it instead of copying.
enum HeaderFields {
    nonisolated(unsafe) static let response = list([(":status", "200"), ("content-type", "application/grpc")])
    /// grpc-message is sent even when empty, as etcd's server does.
    nonisolated(unsafe) static let trailersOK = list([("grpc-status", "0"), ("grpc-message", "")])
    nonisolated(unsafe) static let statusNames: [UnsafeBufferPointer<nghttp2_nv>] = StatusCode.allCases.map {
        list([(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "\($0.rawValue)"), ("grpc-message", "")])
    }

    private static func list(_ fields: [(String, String)]) -> UnsafeBufferPointer<nghttp2_nv> {
        let memory = UnsafeMutableBufferPointer<nghttp2_nv>.allocate(capacity: fields.count)
        for (index, field) in fields.enumerated() {
            memory.initializeElement(at: index, to: permanent(field.0, field.1))
        }
        return UnsafeBufferPointer(memory)
    }

    private static func permanent(_ name: String, _ value: String) -> nghttp2_nv {
        let (name, nameLength) = permanent(name)
        let (value, valueLength) = permanent(value)
        let flags = NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue
        return nghttp2_nv(name: name, value: value, namelen: nameLength, valuelen: valueLength, flags: UInt8(flags))
    }

    private static func permanent(_ text: String) -> (UnsafeMutablePointer<UInt8>, Int) {
        let bytes = Array(text.utf8)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
        memory.initialize(from: bytes, count: bytes.count)
        return (memory, bytes.count)
    }

    /// Calls `body` with fields that nghttp2 copies. For the cold paths.
    static func with(_ fields: [(String, String)], _ body: (UnsafePointer<nghttp2_nv>, Int) -> Void) {
        var bytes: [UInt8] = []
        for (name, value) in fields {
            bytes += Array(name.utf8)
            bytes += Array(value.utf8)
        }
        bytes.append(0)
        bytes.withUnsafeMutableBufferPointer { memory in
            var position = memory.baseAddress.unsafelyUnwrapped
            let list = fields.map { name, value in
                let nameLength = name.utf8.count
                let valueLength = value.utf8.count
                defer { position += nameLength + valueLength }
                return nghttp2_nv(
                    name: position, value: position + nameLength, namelen: nameLength, valuelen: valueLength,
                    flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue))
            }
            list.withUnsafeBufferPointer { body($0.baseAddress.unsafelyUnwrapped, $0.count) }
        }
    }
}
