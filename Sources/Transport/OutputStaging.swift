// The buffer that frames are put into on their way to the socket. One per event loop, shared by its connections.

import NIOCore

#if canImport(Glibc)
import Glibc
#endif

/// Frames are written straight into the memory of a NIO buffer, which is used again as soon as NIO has
/// written it: in the normal case at once.
final class OutputStaging {
    /// A power of two, as NIO allocates it.
    private static let bytes = TransportLimits.outputAheadBytes + TransportLimits.outputSlackBytes

    /// One buffer is enough while sockets take everything at once. When one does not, NIO keeps the buffer for a
    /// while, and another is used meanwhile: allocating each time would cost the kernel fresh pages.
    @exclusivity(unchecked) private var buffers = [ByteBuffer()]
    @exclusivity(unchecked) private var current = 0
    @exclusivity(unchecked) private(set) var base = UnsafeMutableRawPointer(bitPattern: 16).unsafelyUnwrapped
    @exclusivity(unchecked) private(set) var count = 0
    @exclusivity(unchecked) private var capacity = 0
    @exclusivity(unchecked) var ahead = WrittenAhead.nothing

    /// True when a connection has encoded as much as it may ahead of its socket.
    var isFull: Bool { count >= TransportLimits.outputAheadBytes }

    /// Lets `body` append frames; returns the bytes to write, or nil if there were none.
    func fill(_ body: () -> Void) -> ByteBuffer? {
        // If NIO still has the buffer, clear() takes new memory.
        buffers[current].clear(minimumCapacity: Self.bytes)
        count = 0
        let written = buffers[current].writeWithUnsafeMutableBytes(minimumWritableBytes: Self.bytes) { memory in
            base = memory.baseAddress.unsafelyUnwrapped
            capacity = memory.count
            body()
            return count
        }
        precondition(ahead.count == 0, "payloads that were written ahead are lost")
        return written > 0 ? buffers[current] : nil
    }

    /// The socket did not take all of the last buffer.
    func isHeldBack() {
        current += 1
        if current == buffers.count {
            if current < TransportLimits.outputBuffersKept { buffers.append(ByteBuffer()) } else { current = 0 }
        }
    }

    /// Gives the memory back; it is taken again when needed.
    func release() {
        buffers = [ByteBuffer()]
        current = 0
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

/// Payloads that the source of one call has put where the next frames will be, so that it is asked once for many.
struct WrittenAhead {
    /// The call's slot.
    var call: UInt32
    /// Offset of the first payload in the output buffer.
    var position: Int
    /// Payload of each frame but the last, which may be shorter; the gaps between them are `frameHeaderBytes`.
    var frameBytes: Int
    /// Bytes, without the gaps.
    var count: Int

    static let nothing = WrittenAhead(call: CallTable.none, position: 0, frameBytes: 0, count: 0)
    static let frameHeaderBytes = 9

    /// Payload of the next frame.
    var next: Int { min(count, frameBytes) }

    mutating func takeNext() {
        let taken = next
        position += taken + Self.frameHeaderBytes
        count -= taken
    }

    /// Copies everything that is left to one place.
    func copy(from base: UnsafeMutableRawPointer, to target: UnsafeMutableRawPointer) {
        var rest = self
        var written = 0
        while rest.count > 0 {
            memcpy(target + written, base + rest.position, rest.next)
            written += rest.next
            rest.takeNext()
        }
    }
}
