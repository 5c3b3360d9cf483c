// What is remembered of a call for whoever wants to know why it was slow: a fixed-size part of its slot, so that
// remembering costs some stores and nothing else.

import DatastoreTracing
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// The story of one call. Filled by the transport and by the call's handler.
public struct CallRecord {
    /// The steps. Begun when the request's head was complete.
    public var span = RequestSpan(start: 0)
    /// Bytes of request messages.
    public internal(set) var requestBytes = 0
    /// Bytes of response messages.
    public internal(set) var answerBytes = 0
    /// The revision of the answer; 0 where there is none.
    public var revision: Int64 = 0
    /// The key that the request is about, or its beginning.
    public var key = KeyText()
    /// What the application keeps of calls that it looks at more closely; released when the call has ended.
    public var notes: AnyObject?
    /// Time in which there was something to send and the peer or the socket did not take it.
    var waited: UInt64 = 0
    /// When something was last sent, or queued.
    var waitsSince: UInt64 = 0

    @inline(__always)
    mutating func begin(at now: UInt64) {
        span.restart(at: now)
        requestBytes = 0
        answerBytes = 0
        revision = 0
        key.clear()
        waited = 0
        waitsSince = 0
    }

    /// The answer is handed over to be sent.
    @inline(__always)
    public mutating func markEncoded(at now: UInt64) {
        span.mark(.encoded, at: now)
        waitsSince = now
    }

    /// Something goes out. If it could have gone in an earlier batch, it had to wait until this one.
    @inline(__always)
    mutating func noteSending(batch: UInt64, at now: UInt64) {
        if batch > waitsSince { waited &+= batch - waitsSince }
        waitsSince = now
    }
}

/// The first bytes of a key, kept in place.
public struct KeyText {
    public static let bytesMax = 95
    private typealias Storage = (
        UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64
    )
    private var storage: Storage = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    private var count = 0

    @inline(__always)
    mutating func clear() { count = 0 }

    @inline(__always)
    public mutating func set(_ bytes: UnsafeRawBufferPointer) {
        count = min(bytes.count, Self.bytesMax)
        guard count > 0, let source = bytes.baseAddress else { return }
        withUnsafeMutableBytes(of: &storage) { _ = memcpy($0.baseAddress!, source, count) }
    }

    public var isEmpty: Bool { count == 0 }

    /// A copy of the bytes.
    public var bytes: [UInt8] { withUnsafeBytes(of: storage) { Array($0[..<count]) } }
}

/// A call that is over, as the observer is told of it.
public struct CallEnding {
    public let record: CallRecord
    /// Monotonic nanoseconds.
    public let endedAt: UInt64
    public let code: StatusCode
    public let message: String

    /// Nanoseconds from the complete head to the last byte of the answer.
    public var nanoseconds: UInt64 { endedAt > record.span.start ? endedAt - record.span.start : 0 }
}

extension Call {
    /// Reads and changes the record of a call that has not ended; also just after it was replied to.
    @inline(__always)
    public func withRecord(_ body: (inout CallRecord) -> Void) {
        guard let slot = found() else { return }
        body(&slot.pointee.record)
    }

    /// What the application keeps of this call.
    @inline(__always)
    public var notes: AnyObject? { found()?.pointee.record.notes }
}
