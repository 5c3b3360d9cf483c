// gzip with zlib: decoding messages, where the size of what comes out is bounded whatever the input claims, and encoding documents.

import CZlib

public enum Gzip {
    enum Failure: Error, Equatable {
        case truncated, notGzip, corrupt, checksum
        /// The output would be longer than allowed.
        case tooLarge

        var text: String {
            switch self {
            case .truncated: "unexpected EOF"
            case .notGzip: "gzip: invalid header"
            case .corrupt: "flate: corrupt input"
            case .checksum: "gzip: invalid checksum"
            case .tooLarge: "too large"
            }
        }
    }

    /// zlib's windowBits for a gzip wrapper with the largest window.
    private static let gzipWindowBits: Int32 = 16 + 15
    private static let firstOutputBytes = 4096

    /// The content of all members of a gzip file.
    static func inflate(_ input: UnsafeRawBufferPointer, limit: Int) throws(Failure) -> [UInt8] {
        guard let source = input.baseAddress, input.count > 0 else { throw .truncated }
        // Messages are far smaller, and zlib counts input in 32 bits.
        guard let inputCount = UInt32(exactly: input.count) else { throw .tooLarge }
        var stream = z_stream()
        let status = inflateInit2_(&stream, gzipWindowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size))
        precondition(status == Z_OK, "zlib cannot start: \(status)")
        defer { inflateEnd(&stream) }
        stream.next_in = UnsafeMutablePointer(mutating: source.assumingMemoryBound(to: UInt8.self))
        stream.avail_in = inputCount

        var output = [UInt8](repeating: 0, count: min(limit + 1, max(firstOutputBytes, 4 * input.count)))
        var count = 0
        while true {
            let room = UInt32(clamping: output.count - count)
            let result = output.withUnsafeMutableBufferPointer { buffer in
                stream.next_out = buffer.baseAddress! + count
                stream.avail_out = room
                return CZlib.inflate(&stream, Z_NO_FLUSH)
            }
            count += Int(room - stream.avail_out)
            guard count <= limit else { throw .tooLarge }
            switch result {
            case Z_STREAM_END:
                guard stream.avail_in > 0 else { return Array(output[..<count]) }
                precondition(inflateReset(&stream) == Z_OK)
            case Z_OK, Z_BUF_ERROR:
                if count < output.count {
                    // There was room and nothing more came: the input is at its end, the content is not.
                    guard stream.avail_in > 0 else { throw .truncated }
                } else {
                    output += [UInt8](repeating: 0, count: min(limit + 1 - count, output.count))
                }
            default:
                throw failure(stream)
            }
        }
    }

    /// A gzip file of the bytes. For documents, not for the answers of calls.
    public static func deflate(_ input: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        let started = deflateInit2_(
            &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzipWindowBits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        precondition(started == Z_OK, "zlib cannot start: \(started)")
        defer { deflateEnd(&stream) }
        let bound = Int(deflateBound(&stream, UInt(input.count)))
        return input.withUnsafeBufferPointer { source in
            [UInt8](unsafeUninitializedCapacity: bound) { target, count in
                stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
                stream.avail_in = UInt32(source.count)
                stream.next_out = target.baseAddress
                stream.avail_out = UInt32(bound)
                let result = CZlib.deflate(&stream, Z_FINISH)
                precondition(result == Z_STREAM_END, "zlib did not end in the room that it asked for: \(result)")
                count = bound - Int(stream.avail_out)
            }
        }
    }

    private static func failure(_ stream: z_stream) -> Failure {
        switch stream.msg.map({ String(cString: $0) }) {
        case "incorrect header check", "unknown compression method", "unknown header flags set", "header crc mismatch":
            .notGzip
        case "incorrect data check", "incorrect length check": .checksum
        default: .corrupt
        }
    }
}
