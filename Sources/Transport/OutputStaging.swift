// The buffer that frames are put into on their way to the socket. One per event loop, shared by its connections.

import NIOCore

#if canImport(Glibc)
import Glibc
#endif

/// Frames are written straight into the memory of a NIO buffer, which is used again as soon as NIO has
/// written it: in the normal case at once.
final class OutputStaging {
    private static let slackBytes = 64 << 10
    @exclusivity(unchecked) private var buffer = ByteBuffer()
    @exclusivity(unchecked) private(set) var base = UnsafeMutableRawPointer(bitPattern: 16).unsafelyUnwrapped
    @exclusivity(unchecked) private(set) var count = 0
    @exclusivity(unchecked) private var capacity = 0

    /// True when a connection has encoded as much as it may ahead of its socket.
    var isFull: Bool { count >= TransportLimits.outputAheadBytes }

    /// Lets `body` append frames; returns the bytes to write, or nil if there were none.
    func fill(_ body: () -> Void) -> ByteBuffer? {
        // The last buffer is still referenced by NIO when its socket was full: clear() then takes new memory.
        buffer.clear(minimumCapacity: TransportLimits.outputAheadBytes + Self.slackBytes)
        count = 0
        let size = TransportLimits.outputAheadBytes + Self.slackBytes
        let written = buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { memory in
            base = memory.baseAddress.unsafelyUnwrapped
            capacity = memory.count
            body()
            return count
        }
        return written > 0 ? buffer : nil
    }

    /// Gives the memory back; it is taken again when needed.
    func release() {
        buffer = ByteBuffer()
        count = 0
        capacity = 0
    }

    @inline(__always)
    func append(_ bytes: UnsafePointer<UInt8>, _ length: Int) {
        precondition(length <= capacity - count, "a frame of \(length) bytes does not fit the output buffer")
        memcpy(base + count, bytes, length)
        count += length
    }

    /// Where the next bytes go; `room` is what can be written there.
    @inline(__always)
    var end: UnsafeMutableRawPointer { base + count }
    @inline(__always)
    var room: Int { capacity - count }

    @inline(__always)
    func advance(_ length: Int) {
        precondition(length <= capacity - count)
        count += length
    }
}
