// Reads that need a quorum, on the consensus thread.

import DatastoreMetrics
import KeySpace
import Transport
import Raft
import Wire

extension ConsensusLoop {
    func addReads(_ pending: [PendingRead]) {
        guard let context = reads.add(pending.map { .call($0) }) else { return }
        requestReadIndex(context)
    }

    /// Calls back when a linearizable read could be served.
    func confirmRead(_ completion: @escaping @Sendable (CallError?) -> Void) {
        guard let context = reads.add([.probe(start: monotonicNow(), completion)]) else { return }
        requestReadIndex(context)
    }

    func requestReadIndex(_ context: UInt64) {
        do {
            try raft.readIndex(context: ReadWaiters.encode(context))
        } catch {
            node.metrics.server.readIndexesFailed.increment()
            // No leader yet: the wait goes on until the request time-out, as the read is asked again by then.
            reads.retryLater(context)
        }
    }

    func serveReads() {
        let ready = reads.takeReady(applied: applied)
        let now = ready.isEmpty ? 0 : monotonicNow()
        for waiter in ready {
            node.metrics.readIndexDuration.observe(nanoseconds: now &- waiter.start)
            switch waiter {
            case .call(let read):
                released.reads += 1
                answers[read.call.loop.index].add(read)
            case .probe(_, let completion): completion(nil)
            }
        }
        if !ready.isEmpty {
            for round in reads.served where now &- round.asked > TraceLine.thresholdNanoseconds {
                node.log.info(
                    TraceLine.message,
                    TraceLine.readLoop(
                        index: round.index, applied: applied, asked: round.asked, confirmed: round.confirmed, ended: now))
            }
        }
        for context in reads.takeRetries() where raft.leader != .none { requestReadIndex(context) }
    }

    func fail(_ waiter: ReadWaiter, _ error: CallError) {
        switch waiter {
        case .call(let read):
            released.reads += 1
            answers[read.call.loop.index].add(read.call, failed: error)
        case .probe(_, let completion): completion(error)
        }
    }
}
