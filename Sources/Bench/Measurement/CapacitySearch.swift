// The search for the highest rate that a server bears.

/// Rates to try, by what came of those before. A value: the runs are made elsewhere.
///
/// The rate grows by half until it is too much, then the gap between the highest good one and the lowest bad one is halved
/// until it is small enough. A rate that failed is tried once more before it counts, as machines hiccup.
public struct CapacitySearch: Sendable {
    public enum Next: Sendable, Equatable {
        case measure(Double)
        /// The highest rate that was good; nil: not even the first was.
        case done(Double?)
    }

    private let ceiling: Double
    private let tolerance: Double
    private let stepsMax: Int
    public private(set) var good: Double?
    public private(set) var bad: Double?
    private var candidate: Double
    private var hasFailedOnce = false
    private var steps = 0
    private var floor: Double

    /// - Parameters:
    ///   - first: the rate to begin with.
    ///   - ceiling: never more than this.
    ///   - tolerance: how wide the last gap may be, as a part of its lower end.
    public init(first: Double, ceiling: Double = 10_000_000, tolerance: Double = 0.05, stepsMax: Int = 64) {
        precondition(first > 0 && ceiling >= first && tolerance > 0)
        self.ceiling = ceiling
        self.tolerance = tolerance
        self.stepsMax = stepsMax
        candidate = first
        floor = first / 64
    }

    public var next: Next {
        if steps >= stepsMax || isSettled { return .done(good) }
        return .measure(candidate)
    }

    private var isSettled: Bool {
        if let good { return bad.map { $0 <= good * (1 + tolerance) } ?? (good >= ceiling) }
        return bad.map { $0 <= floor } ?? false
    }

    /// Takes what came of the candidate.
    public mutating func took(isGood: Bool) {
        steps += 1
        if isGood {
            hasFailedOnce = false
            good = candidate
        } else if !hasFailedOnce {
            hasFailedOnce = true
            return
        } else {
            hasFailedOnce = false
            bad = candidate
        }
        switch (good, bad) {
        case (let good?, nil): candidate = min(good * 1.5, ceiling)
        case (let good?, let bad?): candidate = (good + bad) / 2
        case (nil, let bad?): candidate = bad / 2
        case (nil, nil): break
        }
    }
}
