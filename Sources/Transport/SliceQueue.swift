// Long work on an event loop, cut into slices between which sockets are served.

import NIOCore

/// The slices that wait, served in turn so that one caller's long work does not hold up another's.
///
/// An event loop of NIO runs everything that was handed to `execute` before it looks at its sockets again, also what
/// was handed in meanwhile: work that hands in its own continuation keeps all clients waiting until it is done. A
/// task for a moment that has not come yet does not.
struct SliceQueue {
    private var slices = CircularBuffer<() -> Void>()
    private(set) var isScheduled = false

    var isEmpty: Bool { slices.isEmpty }
    var count: Int { slices.count }

    /// True when a turn has to be scheduled.
    mutating func append(_ slice: @escaping () -> Void) -> Bool {
        slices.append(slice)
        defer { isScheduled = true }
        return !isScheduled
    }

    mutating func popFirst() -> (() -> Void)? { slices.popFirst() }

    /// The scheduled turn has begun.
    mutating func begin() { isScheduled = false }

    /// The turn is over. True when another one has to be scheduled.
    mutating func end() -> Bool {
        guard !slices.isEmpty, !isScheduled else { return false }
        isScheduled = true
        return true
    }
}

extension ServerLoop {
    /// Runs a slice of long work when the sockets that are ready have been served. On the loop only. A slice should
    /// take less than a millisecond; what is left then goes into the next one.
    public func later(_ slice: @escaping () -> Void) {
        assert(eventLoop.inEventLoop)
        counters.slicesWaiting.add(1)
        if slices.append(slice) { scheduleSlices() }
    }

    private func scheduleSlices() {
        eventLoop.scheduleTask(in: .nanoseconds(TransportLimits.sliceGapNanoseconds)) { self.runSlices() }
    }

    private func runSlices() {
        slices.begin()
        batch {
            let end = monotonicNanoseconds() + TransportLimits.sliceTurnNanoseconds
            // Not more than those that waited at the start, however short they are.
            var left = slices.count
            while left > 0, let slice = slices.popFirst() {
                counters.slicesWaiting.add(-1)
                slice()
                left -= 1
                if left > 0, monotonicNanoseconds() >= end { break }
            }
        }
        if slices.end() { scheduleSlices() }
    }
}
