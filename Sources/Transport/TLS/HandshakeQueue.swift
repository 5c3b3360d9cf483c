// The handshakes in progress on one event loop, and those that wait until there is room for them.

import NIOCore

/// At most `TransportLimits.tlsHandshakesMax` handshakes are in progress: those cost memory. Further ones wait in
/// order with what they have sent in the socket: each is a connection, and those are bounded. As long as some wait,
/// the oldest in progress is ended when it has had its grace: its client is stalled, or gone.
final class HandshakeQueue {
    private let eventLoop: any EventLoop
    private var running = Line()
    private var waiting = Line()
    private var isLooking = false
    private var isFilling = false

    /// In progress.
    var count: Int { running.count }

    init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    /// The handshake is told to begin as soon as there is room for it.
    func add(_ handshake: TLSHandshake) {
        waiting.append(handshake)
        fill()
        look()
    }

    /// The handshake, in progress or waiting, has ended.
    func ended(wasRunning: Bool) {
        guard wasRunning else { return waiting.oneEnded() }
        running.oneEnded()
        fill()
    }

    private func fill() {
        // A handshake may end as soon as it begins: that comes back here, and must not go deeper each time.
        guard !isFilling else { return }
        isFilling = true
        while running.count < TransportLimits.tlsHandshakesMax, let next = waiting.popFirst() {
            running.append(next)
            next.begin()
        }
        isFilling = false
    }

    /// Makes room now, and looks again while some wait.
    private func look() {
        let now = monotonicNanoseconds()
        while waiting.count > 0, let oldest = running.first, now - oldest.began >= TransportLimits.tlsHandshakeGraceNanoseconds {
            oldest.giveUp()
        }
        guard waiting.count > 0, !isLooking else { return }
        isLooking = true
        nonisolated(unsafe) let this = self
        eventLoop.scheduleTask(in: .nanoseconds(Int64(TransportLimits.tlsHandshakeGraceNanoseconds / 10))) {
            this.isLooking = false
            this.look()
        }
    }

    /// In order of arrival; those that have ended are dropped when they come to the front, or are most of the line.
    private struct Line {
        private var items: [TLSHandshake] = []
        private var start = 0
        /// Those that have not ended.
        private(set) var count = 0

        var first: TLSHandshake? {
            mutating get {
                dropEnded()
                return start < items.count ? items[start] : nil
            }
        }

        mutating func append(_ handshake: TLSHandshake) {
            items.append(handshake)
            count += 1
        }

        mutating func popFirst() -> TLSHandshake? {
            guard let first else { return nil }
            start += 1
            oneEnded()
            return first
        }

        mutating func oneEnded() {
            count -= 1
            dropEnded()
        }

        private mutating func dropEnded() {
            while start < items.count, !items[start].isOpen { start += 1 }
            if start == items.count {
                items.removeAll(keepingCapacity: items.capacity <= 64)
                start = 0
            } else if items.count > 64, items.count > 2 * count {
                items = items[start...].filter(\.isOpen)
                start = 0
            }
        }
    }
}
