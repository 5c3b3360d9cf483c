// Proposals on the consensus thread: into the log, and out of it with an outcome or a time-out.

import DatastoreMetrics
import KeySpace
import Transport
import Wire

extension ConsensusLoop {
    func propose(_ proposals: ArraySlice<Proposal>) {
        guard raft.leader != .none else { return parked.add(proposals) }
        do {
            try raft.propose(proposals.map(\.data))
            let round = rounds.began(at: monotonicNow())
            for proposal in proposals {
                waiting[proposal.id] = Waiting(target: proposal.target, start: proposal.start, bytes: proposal.data.count, round: round)
            }
        } catch {
            for proposal in proposals {
                resolve(proposal.target, .failed(CallError(.unknown, "raft proposal dropped")), bytes: proposal.data.count)
            }
        }
    }

    /// Ends a proposal of this member.
    func resolve(_ target: ReplyTarget, _ outcome: ApplyOutcome, bytes: Int, from offset: Int = 0, _ moments: WriteMoments = WriteMoments()) {
        released.proposals += 1
        released.bytes += bytes
        node.metrics.server.proposalsPending.decrement()
        let error: CallError? =
            switch outcome {
            case .done, .compacting: nil
            case .failed(let error): error
            case .exceededQuota: .noSpace
            }
        switch target {
        case .server(let completion): completion(error)
        case .call(let call):
            let batch = answers[call.loop.index]
            if let error { batch.add(call, failed: error, moments) } else { batch.add(call, from: offset, moments) }
        case .loop(let reply):
            let batch = answers[reply.loop]
            if let error { batch.add(reply, failed: error) } else { batch.add(reply, from: offset) }
        }
    }

    func expireWaiters(_ now: UInt64) {
        let timeout = node.requestTimeoutNanoseconds
        guard now > timeout else { return }
        for (id, entry) in waiting where entry.start < now - timeout {
            waiting[id] = nil
            node.metrics.server.proposalsFailed.increment()
            resolve(entry.target, .failed(.timeout), bytes: entry.bytes)
        }
        for proposal in parked.expire(startedBefore: now - timeout) {
            node.metrics.server.proposalsFailed.increment()
            // As etcd's caller sees it: the proposal was never taken, its context ended.
            resolve(proposal.target, .failed(.deadlineExceeded), bytes: proposal.data.count)
        }
        for read in reads.expire(startedBefore: now - timeout) {
            node.metrics.server.slowReadIndexes.increment()
            fail(read, raft.leader == .none ? read.withoutLeader : .timeout)
        }
        deliver()
    }
}
