// Committed entries on the consensus thread: applied in order, shown to readers, answered.

import DatastoreMetrics
import DatastoreTracing
import KeySpace
import Raft
import Storage
import Transport
import Wire

extension ConsensusLoop {
    func apply(_ range: Range<LogIndex>) {
        guard !range.isEmpty else { return }
        committedAt = monotonicNow()
        var next = range.lowerBound
        while next < range.upperBound {
            let end = min(next + LogIndex(KeySpaceLimits.entriesPerPublication), range.upperBound)
            // A configuration change changes `raft` itself, so the chunk is a copy; the payloads are shared.
            for entry in raft.entries(next..<end) {
                apply(entry)
                next = entry.index + 1
                if answers.contains(where: { $0.sink.count > ServerLimits.answerBatchBytesMax }) { break }
            }
            publishChunk()
            if answers.contains(where: { $0.sink.count > ServerLimits.answerBatchBytesMax }) { deliver() }
        }
        applied = range.upperBound - 1
        raft.didApply(through: applied)
        node.consensus.update(applied: applied)
        node.metrics.server.proposalsApplied.set(applied)
    }

    /// Shows a chunk's changes to readers. As long as a full disk prevents that, its answers are set aside, beside those that tell
    /// others of their time-outs: a client that was told of its write must not read the state before it.
    func publishChunk() {
        var heldBack: [AnswerBatch]?
        retryWhileDiskIsFull("revision log") {
            do {
                try node.store.publish()
            } catch {
                if heldBack == nil {
                    heldBack = answers
                    answers = node.loops.map { _ in AnswerBatch() }
                }
                throw error
            }
        }
        guard let heldBack else { return }
        deliver()
        answers = heldBack
    }

    func apply(_ entry: Entry) {
        appliedTerm = entry.term
        switch entry.kind {
        case .normal: applyRequest(entry)
        case .configurationChange: applyChange(entry)
        case .configurationChangeV2:
            // Members of this version propose single changes only, and so does etcd.
            if let change = try? entry.data.withUnsafeBytes({ try ConfigurationChangeV2(decoding: $0) }) {
                _ = try? raft.applyConfigurationChange(change)
                configurationChanged()
            }
        }
    }

    func applyRequest(_ entry: Entry) {
        guard !entry.data.isEmpty else { return }
        appliedEntryBytes += entry.data.count
        entry.data.withUnsafeBytes { bytes in
            guard let request = try? InternalRequest(decoding: bytes) else {
                log.error("a committed entry cannot be decoded; it changes nothing", .uint64("entry-index", entry.index))
                return
            }
            let waiter = waiting.isEmpty ? nil : waiting.removeValue(forKey: request.id)
            var sink: ByteSink?
            switch waiter?.target {
            case .call(let call): sink = answers[call.loop.index].sink
            case .loop(let reply): sink = answers[reply.loop].sink
            case .server, nil: break
            }
            let offset = sink?.count ?? 0
            let began = monotonicNow()
            let versionBefore = request.kind == .clusterVersionSet ? node.keySpace.cluster.current.version : nil
            let outcome = node.keySpace.apply(request, entry: entry, currentTerm: raft.term, to: sink)
            if request.kind == .clusterVersionSet, let version = node.keySpace.cluster.current.version {
                node.clusterVersionChanged(from: versionBefore, to: version)
            }
            let took = monotonicNow() - began
            times.observe(request.kind, succeeded: outcome.isSuccess, took: took, waited: waiter.map { began &+ took &- $0.start })
            let isSlowApply = took > slowApplyNanoseconds
            var isTold = isSlowApply
            if let waiter, began &+ took &- waiter.start > slowWriteNanoseconds { isTold = true }
            if isTold { isTold = slowWrites.admits(at: began &+ took) }
            if isSlowApply {
                node.metrics.server.slowApplies.increment()
                if !isTold { node.requests.gaveUpLine() }
            }
            let slowApply = isSlowApply && isTold ? noteSlowApply(took, request, outcome, sink, offset) : nil
            if case .exceededQuota = outcome { node.space.raise(node) {} }
            if request.kind == .downgradeInfoSet, node.keySpace.cluster.current.downgradeEnabled { wantsSnapshot = true }
            if let slowApply, !hasCaller(waiter) { log.warn(SlowApply.message, slowApply.fields) }
            guard let waiter else { return }
            if isTold { noteSlowWrite(waiter, request, slowApply) }
            if case .call(let call) = waiter.target, waitsForPurge(request, outcome) {
                finishCompaction(call, waiter, outcome, offset)
            } else {
                let moments = rounds.moments(waiter.round, committed: committedAt, applied: began &+ took)
                resolve(waiter.target, outcome, bytes: waiter.bytes, from: offset, moments)
            }
        }
    }

    /// A compaction asked for with `physical` is answered when nothing is left to purge; one that is refused because its revision is
    /// compacted already waits for that too.
    private func waitsForPurge(_ request: InternalRequest, _ outcome: ApplyOutcome) -> Bool {
        switch outcome {
        case .compacting: true
        case .failed(let error): error == .compacted && request.kind == .compaction && (try? CompactionRequest(decoding: request.body))?.physical == true
        default: false
        }
    }

    private func finishCompaction(_ call: Call, _ waiter: Waiting, _ outcome: ApplyOutcome, _ offset: Int) {
        let sink = answers[call.loop.index].sink
        let answer = SharedBytes(copying: UnsafeRawBufferPointer(rebasing: sink.bytes[offset..<sink.count]))
        var failure: CallError?
        if case .failed(let error) = outcome { failure = error }
        let node = node
        released.proposals += 1
        released.bytes += waiter.bytes
        node.metrics.server.proposalsPending.decrement()
        node.store.notifyWhenCompacted { [failure] in
            call.loop.execute {
                if let failure { call.fail(failure) } else { call.reply { $0.append(answer.bytes) } }
            }
        }
    }

    func noteSlowApply(_ took: UInt64, _ request: InternalRequest, _ outcome: ApplyOutcome, _ sink: ByteSink?, _ offset: Int) -> SlowApply {
        var failure: String?
        if case .failed(let error) = outcome { failure = error.message }
        var response = ""
        if let sink, failure == nil {
            let answer = UnsafeRawBufferPointer(rebasing: sink.bytes[offset..<sink.count])
            let size =
                switch request.kind {
                case .range, .put, .deleteRange, .txn, .compaction: AnswerFacts.appliedSize(answer)
                // etcd gives this answer its header later.
                case .alarm: AnswerFacts.appliedSize(answer) - AnswerFacts.headerSize(AnswerFacts(.alarm, answer).revision)
                default: answer.count
                }
            response = "size:\(size)"
        }
        return SlowApply(
            nanoseconds: took, threshold: node.configuration.warningApplyDuration, kind: .replicated,
            request: RequestTexts.text(of: request), response: response, error: failure)
    }

    /// Whether a client's call waits for the entry: its line tells more then.
    private func hasCaller(_ waiter: Waiting?) -> Bool {
        if case .call = waiter?.target { return true }
        return false
    }

    /// Says what a client's write was that took long.
    func noteSlowWrite(_ waiter: Waiting, _ request: InternalRequest, _ apply: SlowApply?) {
        guard case .call(let call) = waiter.target else { return }
        answers[call.loop.index].add(
            AnswerBatch.SlowWrite(call: call, description: request.kind.map { RequestDescription($0, request.body) }, apply: apply))
    }
}
