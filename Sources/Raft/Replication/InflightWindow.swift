// The append messages that one follower has not answered yet: a ring bounded by number and by bytes.

import Wire

struct InflightWindow: Equatable, Sendable {
    private struct Slot: Equatable {
        /// The last entry of the message.
        var index: LogIndex
        var bytes: Int
    }

    private let maxMessages: Int
    private let maxBytes: Int
    private var ring: [Slot] = []
    private var start = 0
    private(set) var count = 0
    private(set) var bytes = 0

    init(maxMessages: Int, maxBytes: Int) {
        self.maxMessages = maxMessages
        self.maxBytes = maxBytes
    }

    var isFull: Bool { count >= maxMessages || bytes >= maxBytes }

    /// Takes note of a message that ends at `index`, above all before it.
    mutating func add(through index: LogIndex, bytes size: Int) {
        precondition(!isFull, "raft: message through \(index) sent beyond the inflight window")
        if count == ring.count { grow() }
        ring[(start + count) % ring.count] = Slot(index: index, bytes: size)
        count += 1
        bytes += size
    }

    /// Forgets the messages that end at or before `index`: they have arrived.
    mutating func free(through index: LogIndex) {
        while count > 0, ring[start].index <= index {
            bytes -= ring[start].bytes
            start = (start + 1) % ring.count
            count -= 1
        }
    }

    mutating func reset() {
        start = 0
        count = 0
        bytes = 0
    }

    private mutating func grow() {
        let size = min(maxMessages, max(8, ring.count * 2))
        var larger: [Slot] = []
        larger.reserveCapacity(size)
        for offset in 0..<count { larger.append(ring[(start + offset) % ring.count]) }
        larger.append(contentsOf: repeatElement(Slot(index: 0, bytes: 0), count: size - count))
        ring = larger
        start = 0
    }

    func checkInvariants() {
        precondition(count <= ring.count && ring.count <= maxMessages)
        var sum = 0
        for offset in 0..<count {
            let slot = ring[(start + offset) % ring.count]
            sum += slot.bytes
            if offset > 0 { precondition(ring[(start + offset - 1) % ring.count].index < slot.index) }
        }
        precondition(sum == bytes)
    }
}
