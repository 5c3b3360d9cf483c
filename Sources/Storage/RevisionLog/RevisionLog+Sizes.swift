// What the store's size is, for quotas, metrics and the choice of what to collect.

import Wire

/// One segment, for metrics and tools.
public struct SegmentStatistics: Sendable, Equatable {
    public let id: UInt32
    public let kind: SegmentKind
    public let isSealed: Bool
    /// Bytes written.
    public let written: UInt64
    /// Bytes of records of versions that are not released.
    public let live: UInt64
    /// Bytes that garbage collection has passed.
    public let collected: UInt64
}

extension RevisionLog {
    /// Logical size: bytes appended and not yet collected, above what an empty store of etcd reports. Space that is only
    /// reserved does not count.
    public var size: Int {
        RevisionLogLimits.baseSize + uncollectedBytes.load(ordering: .relaxed)
    }

    /// Bytes of records that are not released.
    public var sizeInUse: Int {
        shared.withLock { shared in
            shared.segments.reduce(RevisionLogLimits.baseSize) { $0 + max($1.live, 0) }
        }
    }

    public var segmentStatistics: [SegmentStatistics] {
        shared.withLock { shared in
            shared.segments.filter { $0.written > 0 }.map {
                SegmentStatistics(
                    id: $0.id, kind: $0.kind, isSealed: $0.isSealed, written: $0.written, live: UInt64(max($0.live, 0)),
                    collected: $0.collected)
            }
        }
    }
}
