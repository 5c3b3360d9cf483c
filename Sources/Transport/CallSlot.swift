// The state of one call: a struct in a slab, so that a stream costs no heap object.

import CNGHTTP2
import Wire

/// One request on one HTTP/2 stream, gRPC or plain HTTP.
struct CallSlot {
    struct Flags: OptionSet {
        let rawValue: UInt32
        /// In use: a stream has it.
        static let taken = Flags(rawValue: 1 << 0)
        /// The application may still act on it; a handle with the right generation is alive.
        static let alive = Flags(rawValue: 1 << 1)
        /// The handler knows of the call and has to be told if it is cancelled.
        static let delivered = Flags(rawValue: 1 << 2)
        /// The request head is complete.
        static let headDone = Flags(rawValue: 1 << 3)
        /// Plain HTTP over HTTP/2; `exchange` is set.
        static let http = Flags(rawValue: 1 << 4)
        static let isPOST = Flags(rawValue: 1 << 5)
        static let isGRPC = Flags(rawValue: 1 << 6)
        /// content-type was seen and is not gRPC's.
        static let wrongContentType = Flags(rawValue: 1 << 7)
        /// The client ended its side.
        static let remoteClosed = Flags(rawValue: 1 << 8)
        /// Response headers were submitted.
        static let responding = Flags(rawValue: 1 << 9)
        /// nghttp2 waits for `resume_data`.
        static let deferred = Flags(rawValue: 1 << 10)
        /// Everything the application will send is queued; the status follows it.
        static let finished = Flags(rawValue: 1 << 11)
        /// The one request message of a unary call is complete.
        static let hasRequest = Flags(rawValue: 1 << 12)
        /// `request` points into the read being parsed.
        static let borrowed = Flags(rawValue: 1 << 13)
        /// The handler asked for no more messages for now.
        static let paused = Flags(rawValue: 1 << 14)
        /// Queued output reached the low watermark, so `writable` is owed.
        static let owesWritable = Flags(rawValue: 1 << 15)
        /// In the list of calls that have bytes in the arena.
        static let inArena = Flags(rawValue: 1 << 17)
        /// The half-close waits for paused messages to be delivered.
        static let halfCloseOwed = Flags(rawValue: 1 << 18)
        /// `halfClosed` was delivered.
        static let halfClosed = Flags(rawValue: 1 << 19)
        /// Messages are being delivered: not to be entered again from a handler.
        static let delivering = Flags(rawValue: 1 << 20)
        /// A header was refused; `earlyFailure` says how the call ends.
        static let refused = Flags(rawValue: 1 << 21)
        /// Messages may be compressed: grpc-encoding is not identity. Only gzip gets as far as messages.
        static let compressed = Flags(rawValue: 1 << 22)
        /// Part of the queued output is on its way.
        static let midMessage = Flags(rawValue: 1 << 23)
        /// Output that had begun was dropped: the stream can only end with a reset.
        static let mustReset = Flags(rawValue: 1 << 24)
        /// To be reset when the end of the answer was sent, because the client has not ended its side.
        static let owesReset = Flags(rawValue: 1 << 25)
        /// Its header list is large enough to count as received memory.
        static let headAccounted = Flags(rawValue: 1 << 26)
    }

    var flags: Flags = []
    var generation: UInt32 = 0
    var streamID: Int32 = 0
    /// Position of the method in the connection's table, or -1.
    var method: Int32 = -1
    /// Neighbours in the list of the connection's calls, or in the free list.
    var next = CallTable.none
    var previous = CallTable.none
    /// Unowned: a slot never outlives its connection.
    var connection: Unmanaged<ServerConnection>?

    /// Monotonic nanoseconds; `.max` for none.
    var deadline = UInt64.max
    /// Position in the loop's heap, or -1.
    var heapIndex: Int32 = -1
    var status: StatusCode = .ok
    /// Monotonic nanoseconds of the batch in which the call came.
    var startedAt: UInt64 = 0
    /// What the observer calls the client; 0: not yet known.
    var client: UInt32 = 0

    var input = InputBuffer()
    /// The complete request message of a unary call, inside `input` or the read being parsed.
    var request = UnsafeRawBufferPointer(start: nil, count: 0)
    /// Stream bytes kept in `input` whose window was not given back yet.
    var unconsumed = 0

    var output = OutputQueue()
    /// When the peer last took something of an answer that is made while it is sent, or when that was queued.
    var sourceReadAt: UInt64 = 0

    /// For whoever wants to know why the call took so long.
    var record = CallRecord()

    /// Text for grpc-message.
    var statusText = ""
    var userData: AnyObject?
    var exchange: HTTP2Exchange?
    /// The caller inside this process; there is no connection then.
    var local: LocalCall?

    /// References into nghttp2's header memory.
    var path: OpaquePointer?
    var authority: OpaquePointer?
    var metadata = MetadataValues()
    var headerBytes = 0
}

/// The kept header values of a call, by `MetadataName.index`: reference-counted buffers of nghttp2.
struct MetadataValues {
    typealias Storage = (
        OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?,
        OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?, OpaquePointer?
    )
    private var storage: Storage = (nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil)
    private var present: UInt16 = 0

    @inline(__always)
    subscript(index: Int) -> OpaquePointer? {
        precondition(index < MetadataName.count)
        return withUnsafeBytes(of: storage) { $0.load(fromByteOffset: index * 8, as: OpaquePointer?.self) }
    }

    /// Keeps the first value of a name.
    @inline(__always)
    mutating func keep(_ value: OpaquePointer, at index: Int) {
        precondition(index < MetadataName.count)
        guard present & (1 << index) == 0 else { return }
        present |= 1 << index
        nghttp2_rcbuf_incref(value)
        withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: value, toByteOffset: index * 8, as: OpaquePointer?.self) }
    }

    @inline(__always)
    mutating func release() {
        while present != 0 {
            let index = present.trailingZeroBitCount
            present &= present - 1
            withUnsafeMutableBytes(of: &storage) { bytes in
                nghttp2_rcbuf_decref(bytes.load(fromByteOffset: index * 8, as: OpaquePointer?.self))
                bytes.storeBytes(of: nil, toByteOffset: index * 8, as: OpaquePointer?.self)
            }
        }
    }
}

@inline(__always)
func headerBytes(_ value: OpaquePointer) -> UnsafeRawBufferPointer {
    let view = nghttp2_rcbuf_get_buf(value)
    return UnsafeRawBufferPointer(start: view.base, count: view.len)
}

func headerText(_ value: OpaquePointer) -> String { String(decoding: headerBytes(value), as: UTF8.self) }
