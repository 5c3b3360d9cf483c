// IDs of proposals: unique among the members and over restarts, so that a reply finds its caller.
// Layout of etcd's idutil: 2 bytes of the member, 5 bytes of milliseconds at start, 1 byte that counts
// on into them.

import Synchronization
import Wire

final class RequestIDGenerator: Sendable {
    private let prefix: UInt64
    private let suffix: Atomic<UInt64>

    /// - Parameter nowMilliseconds: wall clock at start; later IDs count on from it.
    init(member: MemberID, nowMilliseconds: UInt64) {
        prefix = (member.rawValue & 0xffff) << 48
        suffix = Atomic((nowMilliseconds & 0xff_ffff_ffff) << 8)
    }

    func next() -> UInt64 {
        let value = suffix.wrappingAdd(1, ordering: .relaxed).newValue
        return prefix | (value & 0xffff_ffff_ffff)
    }
}
