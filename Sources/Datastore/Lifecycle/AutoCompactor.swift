// --auto-compaction: which revision to compact to, and when. A value without a clock: it is told the time
// and the store's revision.

/// Decides on compactions of a leader.
struct AutoCompactor: Sendable {
    private enum Mode: Sendable {
        /// Keep this many revisions; looked at every five minutes.
        case revisions(Int64)
        /// Keep what is younger than this.
        case period(nanoseconds: UInt64)
    }

    private let mode: Mode
    /// Revisions seen, oldest first, one per sampling interval.
    private var samples: [Int64] = []
    private var nextSample: UInt64?
    private var lastCompaction: UInt64?
    private var compacted: Int64 = 0
    /// The last one failed: the next sample decides again, instead of the next full interval.
    private var hasFailed = false

    /// Nil if nothing is to be compacted by itself.
    init?(_ policy: AutoCompaction.Policy) {
        switch policy {
        case .off: return nil
        case .revisions(let count): mode = .revisions(count)
        case .period(let duration): mode = .period(nanoseconds: UInt64(duration.count))
        }
    }

    static let revisionCheckNanoseconds: UInt64 = 5 * 60 * 1_000_000_000
    private static let hour: UInt64 = 3600 * 1_000_000_000

    /// How often the revision is looked at.
    var samplingNanoseconds: UInt64 {
        switch mode {
        case .revisions: Self.revisionCheckNanoseconds
        // Ten samples to a period of up to an hour, then one every six minutes.
        case .period(let period): max(1, min(period, Self.hour) / 10)
        }
    }

    /// Forgets the samples: a follower's are worth nothing.
    mutating func pause() {
        samples = []
        nextSample = nil
        lastCompaction = nil
        hasFailed = false
    }

    /// Called at least once per sampling interval while this member leads.
    ///
    /// - Returns: the revision to compact to, nil for none now.
    mutating func tick(now: UInt64, revision: Int64) -> Int64? {
        guard let due = nextSample else {
            nextSample = now + samplingNanoseconds
            samples = [revision]
            lastCompaction = now
            return nil
        }
        guard now >= due else { return nil }
        nextSample = max(due + samplingNanoseconds, now + 1)
        switch mode {
        case .revisions(let kept):
            let target = revision - kept
            guard target > 0, target != compacted else { return nil }
            compacted = target
            return target
        case .period(let period):
            samples.append(revision)
            let samplesPerPeriod = Int(max(1, period / samplingNanoseconds))
            if samples.count > samplesPerPeriod + 1 { samples.removeFirst(samples.count - samplesPerPeriod - 1) }
            guard samples.count > samplesPerPeriod, hasFailed || now - lastCompaction! >= min(period, Self.hour) else { return nil }
            let target = samples[0]
            lastCompaction = now
            hasFailed = false
            guard target > 0, target != compacted else { return nil }
            compacted = target
            return target
        }
    }

    /// The proposal failed: it is tried again after one sampling interval.
    mutating func failed() {
        compacted = 0
        hasFailed = true
    }
}
