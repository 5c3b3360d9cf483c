// How many slow requests a second are worth a look: when all are slow, looking at each would make them slower still.

/// A value of one thread. What is above is for its user to count.
struct SlowRequestBudget {
    let perSecond: Int
    private var windowBegan: UInt64 = 0
    private var taken = 0

    init(perSecond: Int) { self.perSecond = perSecond }

    /// - Parameter now: monotonic nanoseconds.
    mutating func admits(at now: UInt64) -> Bool {
        if now &- windowBegan >= 1_000_000_000 {
            windowBegan = now
            taken = 0
        }
        guard taken < perSecond else { return false }
        taken += 1
        return true
    }
}
