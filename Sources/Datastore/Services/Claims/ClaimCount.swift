// How many calls of the Lock and Election services wait, so that they have a bound.

import Synchronization

final class ClaimCount: Sendable {
    private let count = Atomic<Int>(0)

    var value: Int { count.load(ordering: .relaxed) }

    /// False when there are as many as may be.
    func enter() -> Bool {
        guard count.wrappingAdd(1, ordering: .relaxed).newValue <= ServerLimits.claimsMax else {
            leave()
            return false
        }
        return true
    }

    func leave() {
        let left = count.wrappingSubtract(1, ordering: .relaxed).newValue
        precondition(left >= 0)
    }
}
