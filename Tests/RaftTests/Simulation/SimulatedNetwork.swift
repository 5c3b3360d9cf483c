// A network that loses, delays, reorders and repeats messages, and falls apart.

import Wire

struct SimulatedNetwork {
    private(set) var inFlight: [Message] = []
    /// The side of the cut that each member is on; nil while the network is whole.
    private var sides: [MemberID: Int]?
    var lossPercent: Int
    var duplicatePercent: Int
    static let maxInFlight = 300

    init(lossPercent: Int, duplicatePercent: Int) {
        self.lossPercent = lossPercent
        self.duplicatePercent = duplicatePercent
    }

    var isEmpty: Bool { inFlight.isEmpty }

    /// Returns what was lost on the way out.
    mutating func send(_ messages: [Message], random: inout SeededGenerator) -> [Message] {
        var lost: [Message] = []
        for message in messages {
            if random.chance(lossPercent) || isCut(message) || inFlight.count >= Self.maxInFlight {
                lost.append(message)
                continue
            }
            inFlight.append(message)
            if random.chance(duplicatePercent) { inFlight.append(message) }
        }
        return lost
    }

    /// Any message may be next, but older ones more often.
    mutating func receive(random: inout SeededGenerator) -> Message? {
        if inFlight.isEmpty { return nil }
        let reach = random.chance(20) ? inFlight.count : min(4, inFlight.count)
        return inFlight.remove(at: random.below(reach))
    }

    func isCut(_ message: Message) -> Bool {
        guard let sides else { return false }
        return sides[message.from] != sides[message.to]
    }

    mutating func cut(_ members: [MemberID], random: inout SeededGenerator) {
        var chosen: [MemberID: Int] = [:]
        let parts = random.chance(20) ? 3 : 2
        for id in members { chosen[id] = random.below(parts) }
        sides = chosen
    }

    mutating func heal() { sides = nil }
}
