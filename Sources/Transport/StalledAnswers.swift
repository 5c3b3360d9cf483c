// Answers that are made while they are sent, and that nobody takes.

import CNGHTTP2

extension ServerLoop {
    /// Ends answers whose peers have taken nothing of them for `stalledAnswerTimeout`. On the loop; to be called some
    /// times a second or less, since most calls of it do nothing.
    public func cutStalledAnswers() {
        let now = monotonicNanoseconds()
        guard now >= nextStalledSweep else { return }
        nextStalledSweep = now + TransportLimits.stalledSweepNanoseconds
        batch {
            for connection in openConnections { connection.cutStalledAnswers(now: now) }
        }
    }
}

extension ServerConnection {
    func cutStalledAnswers(now: UInt64) {
        let limit = endpoint.configuration.stalledAnswerTimeout.nanosecondsClamped
        var index = firstCall
        while index != CallTable.none {
            let slot = loop.calls[index]
            let next = slot.pointee.next
            if slot.pointee.output.sourceCount > 0, now > slot.pointee.sourceReadAt &+ limit { cutStalled(index, slot) }
            index = next
        }
    }

    /// What the answer holds is given back at once: the reset may have to wait behind a socket that takes nothing.
    private func cutStalled(_ index: UInt32, _ slot: UnsafeMutablePointer<CallSlot>) {
        loop.counters.answersStalled.add(1)
        cancel(index, .failed(.resourceExhausted))
        dropOutput(slot)
        slot.pointee.userData = nil
        nghttp2_submit_rst_stream(
            session, UInt8(NGHTTP2_FLAG_NONE.rawValue), slot.pointee.streamID, NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
        loop.markDirty(self)
    }
}
