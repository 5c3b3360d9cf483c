// The answer to a range request: what a RangeResponse holds besides its header, of known length before a value is
// read.

import Storage
import Wire

/// Fields `kvs`, `more` and `count` of a RangeResponse.
///
/// Small answers are written at once with `write(to:)`; large ones are pulled with `read(into:)`. An answer that
/// names a single key refers to the request's bytes: write it while they last.
public struct RangeAnswer {
    /// For the response's header: the store's revision when it was asked.
    public let revision: Int64
    /// Whose keys were asked for; nil for a single key that is not there.
    public let resource: ResourceID?
    /// The cursor of an answer that covers more than a single key.
    public let cursor: RangeCursor?
    /// Of an answer without a cursor. Trivial, so that a copy of the answer counts one reference at most.
    private let body: Body

    private enum Body {
        case none(count: Int64)
        case point(KeyVersion, key: UnsafeRawBufferPointer, content: RangePlan.Content, bodyLength: Int, store: Unmanaged<MVCCStore>)
    }

    @inline(__always)
    init(revision: Int64, count: Int64 = 0, resource: ResourceID? = nil) {
        self.revision = revision
        self.resource = resource
        cursor = nil
        body = .none(count: count)
    }

    @inline(__always)
    init(
        revision: Int64, version: KeyVersion, key: UnsafeRawBufferPointer, content: RangePlan.Content, bodyLength: Int,
        store: MVCCStore
    ) {
        self.revision = revision
        resource = version.key.resource
        cursor = nil
        body = .point(version, key: key, content: content, bodyLength: bodyLength, store: .passUnretained(store))
    }

    init(revision: Int64, cursor: RangeCursor) {
        self.revision = revision
        resource = cursor.resource
        self.cursor = cursor
        body = .none(count: 0)
    }

    /// Whether count and length are known. If not: `cursor!.step()` until it is, a slice at a time.
    public var isReady: Bool { cursor?.isReady ?? true }

    public var count: Int64 {
        if let cursor { return cursor.count }
        return switch body {
        case .none(let count): count
        case .point: 1
        }
    }

    public var more: Bool { cursor?.more ?? false }

    /// Number of key-value pairs in the answer.
    public var keyValueCount: Int {
        if let cursor { return cursor.keyValueCount }
        return switch body {
        case .none: 0
        case .point: 1
        }
    }

    /// Length of everything that `write` or `read` produces.
    @inline(__always)
    public var encodedLength: Int {
        if let cursor { return cursor.encodedLength }
        return switch body {
        case .none(let count): varintFieldSize(UInt64(count))
        case .point(_, _, _, let bodyLength, _): lengthDelimitedSize(bodyLength) + 2
        }
    }

    /// Writes the whole answer, which must be ready.
    @inline(__always)
    public func write(to sink: ByteSink) throws(StorageError) {
        if let cursor { return try cursor.write(to: sink) }
        switch body {
        case .none(let count): sink.field(4, count)
        case .point(let version, let key, let content, let bodyLength, let store):
            sink.tag(2, .bytes)
            sink.varint(UInt64(bodyLength))
            switch content {
            case .stored: try store.takeUnretainedValue().appendRecord(of: version, to: sink)
            case .keysOnly, .keysAndLease:
                sink.field(1, key)
                sink.field(2, version.created)
                sink.field(3, version.modified.main)
                sink.field(4, version.version)
                if case .keysAndLease = content { sink.field(6, version.lease) }
            }
            sink.field(4, 1 as Int64)
        }
    }
}
