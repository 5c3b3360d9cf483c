// What the apply function says back.

import Wire

/// What became of one applied request.
public enum ApplyOutcome: Sendable, Equatable {
    /// The answer stands in the sink.
    case done
    case failed(CallError)
    /// Done, over the space quota: the answer is an error and this member must raise NOSPACE.
    case exceededQuota
    /// A compaction that the caller wants to be answered when the purge is finished.
    case compacting(revision: Int64)

    /// Whether the request had its effect.
    public var isSuccess: Bool {
        if case .failed = self { return false }
        return true
    }
}
