// Puts that watchers see: the value says when, or the revision does.

import CShims
import Wire

/// Puts to watched keys in turn; the value is the moment of writing, in eight bytes.
final class WatchPutWorkload: Workload, @unchecked Sendable {
    private let keys: [[UInt8]]
    private var next = 0

    init(keys: [[UInt8]]) {
        self.keys = keys
        super.init(methods: [Path.put], operations: ["watch-put"])
    }

    override func write(_ client: Int, to sink: ByteSink) {
        sink.field(1, keys[next])
        next = next + 1 == keys.count ? 0 : next + 1
        var now = martlet_monotonic_ns().littleEndian
        withUnsafeBytes(of: &now) { sink.always(2, $0) }
    }

    /// When an event's put was written.
    static func moment(_ value: UnsafeRawBufferPointer) -> UInt64? {
        value.count == 8 ? UInt64(littleEndian: value.loadUnaligned(as: UInt64.self)) : nil
    }
}

/// Puts of one client to one key; says when the put of a revision was answered.
final class LatencyPutWorkload: Workload, @unchecked Sendable {
    private let key: [UInt8]
    private let value: FixedBytes
    private var revision: Int64 = 0
    private var sent: UInt64 = 0
    /// Is told of each put when it is answered.
    var onAnswer: ((_ revision: Int64, _ sent: UInt64, _ answered: UInt64) -> Void)?

    init(key: [UInt8], valueSize: Int, seed: UInt64) {
        self.key = key
        value = .random(valueSize, seed: seed)
        super.init(methods: [Path.put], operations: ["watch-latency-put"])
    }

    override func write(_ client: Int, to sink: ByteSink) {
        sink.field(1, key)
        sink.field(2, value.bytes)
        sent = martlet_monotonic_ns()
    }

    override func received(_ client: Int, _ message: UnsafeRawBufferPointer) { revision = Answers.revision(message) }

    override func ended(_ client: Int) -> Verdict {
        onAnswer?(revision, sent, martlet_monotonic_ns())
        return .done
    }
}
