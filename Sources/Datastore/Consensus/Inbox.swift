// The way from the event loops to the consensus thread: everything that arrived while the last round ran
// is taken in one go.

import Wire

/// What the consensus thread has to do.
struct InboxState {
    var proposals: [Proposal] = []
    var reads: [PendingRead] = []
    var configurationChanges: [ConfigurationProposal] = []
    /// Work of the server's own that must run on the consensus thread: questions about Raft, reads to be confirmed.
    var tasks: [@Sendable (ConsensusLoop) -> Void] = []
    var isStopping = false

    /// Handed in and not answered yet, including what the consensus thread holds.
    var proposalsInFlight = 0
    var proposalBytesInFlight = 0
    var readsInFlight = 0

    var hasWork: Bool {
        !proposals.isEmpty || !reads.isEmpty || !configurationChanges.isEmpty || !tasks.isEmpty || isStopping
    }
}

/// One lock taken once per batch of an event loop and once per round of consensus.
final class Inbox: Sendable {
    private let signal = WorkSignal(InboxState())

    /// Hands in proposals; returns those that the limits refuse.
    func submit(_ proposals: [Proposal]) -> [Proposal] {
        var refused: [Proposal] = []
        signal.signal { state in
            guard !state.isStopping else {
                refused = proposals
                return false
            }
            let wasIdle = !state.hasWork
            for proposal in proposals {
                let hasRoom =
                    state.proposalsInFlight < proposal.proposalsInFlightMax
                    // Privileged proposals are small; the limit on bytes is not for them.
                    && (proposal.isPrivileged || state.proposalBytesInFlight < ServerLimits.proposalBytesInFlightMax)
                guard hasRoom else {
                    refused.append(proposal)
                    continue
                }
                state.proposalsInFlight += 1
                state.proposalBytesInFlight += proposal.data.count
                state.proposals.append(proposal)
            }
            return wasIdle && state.hasWork
        }
        return refused
    }

    /// Hands in reads; returns those that the limits refuse.
    func submit(_ reads: [PendingRead]) -> [PendingRead] {
        var refused: [PendingRead] = []
        signal.signal { state in
            guard !state.isStopping else {
                refused = reads
                return false
            }
            let wasIdle = !state.hasWork
            let room = max(0, ServerLimits.readsInFlightMax - state.readsInFlight)
            state.reads += reads.prefix(room)
            state.readsInFlight += min(room, reads.count)
            refused = Array(reads.dropFirst(room))
            return wasIdle && state.hasWork
        }
        return refused
    }

    /// Hands in a change of the members; returns why it is refused, nil if it is not.
    func submit(_ change: ConfigurationProposal) -> CallError? {
        var refusal: CallError?
        signal.signal { state in
            guard !state.isStopping else {
                refusal = .stopped
                return false
            }
            guard state.configurationChanges.count < ServerLimits.configurationChangesMax else {
                refusal = .tooManyRequests
                return false
            }
            state.configurationChanges.append(change)
            return true
        }
        return refusal
    }

    /// Runs `task` on the consensus thread. False, and it never runs, when the server is stopping or too many wait.
    @discardableResult
    func run(_ task: @escaping @Sendable (ConsensusLoop) -> Void) -> Bool {
        var accepted = false
        signal.signal { state in
            guard !state.isStopping, state.tasks.count < ServerLimits.consensusTasksMax else { return false }
            accepted = true
            state.tasks.append(task)
            return true
        }
        return accepted
    }

    func stop() {
        signal.signal { state in
            state.isStopping = true
            return true
        }
    }

    /// Gives back what answered work took from the limits.
    func release(proposals: Int, bytes: Int, reads: Int) {
        guard proposals > 0 || reads > 0 else { return }
        signal.withLock { state in
            state.proposalsInFlight -= proposals
            state.proposalBytesInFlight -= bytes
            state.readsInFlight -= reads
            precondition(state.proposalsInFlight >= 0 && state.proposalBytesInFlight >= 0 && state.readsInFlight >= 0)
        }
    }

    var levels: (proposals: Int, bytes: Int, reads: Int) {
        signal.withLock { ($0.proposalsInFlight, $0.proposalBytesInFlight, $0.readsInFlight) }
    }

    /// Waits for work until the deadline and takes all of it.
    func take(until deadline: UInt64, into taken: inout InboxState) {
        precondition(taken.proposals.isEmpty && taken.reads.isEmpty)
        // The arrays are swapped, so that both sides keep their memory.
        signal.wait(until: deadline, isReady: { $0.hasWork }) { state in
            swap(&state.proposals, &taken.proposals)
            swap(&state.reads, &taken.reads)
            swap(&state.configurationChanges, &taken.configurationChanges)
            swap(&state.tasks, &taken.tasks)
            taken.isStopping = state.isStopping
        }
    }
}
