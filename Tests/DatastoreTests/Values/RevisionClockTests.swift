// When a revision was published, as far as that is remembered.

import Testing

@testable import Datastore

@Test func theClockKnowsTheFirstSampleThatHeldARevision() {
    var clock = RevisionClock()
    #expect(clock.time(of: 5, now: 77) == 77)
    for second in 1...10 as ClosedRange<UInt64> { clock.note(Int64(second) * 10, at: second) }
    // Nothing new: the time at which the revision came is what counts.
    clock.note(100, at: 50)
    #expect(clock.time(of: 1, now: 60) == 1 && clock.time(of: 10, now: 60) == 1 && clock.time(of: 11, now: 60) == 2)
    #expect(clock.time(of: 100, now: 60) == 10 && clock.time(of: 101, now: 60) == 60)
}

@Test func theClockForgetsWhatIsLongAgo() {
    var clock = RevisionClock()
    for second in 1...10_000 as ClosedRange<UInt64> { clock.note(Int64(second), at: second) }
    #expect(clock.time(of: 9_999, now: 10_001) == 9_999)
    #expect(clock.time(of: 6_401, now: 10_001) == 6_401)
    // Older than an hour: the oldest that is remembered.
    #expect(clock.time(of: 5, now: 10_001) == 6_401)
}
