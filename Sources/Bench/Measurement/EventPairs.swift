// Which event belongs to which put, by revision; either may come first.

/// Gathered on the engine's loop. Puts come one after the other, so their revisions ascend.
final class EventPairs: @unchecked Sendable {
    private var behind: OperationRecorder
    private var since: OperationRecorder
    /// Puts by revision: when they were sent and answered.
    private var puts: [Int64: (sent: UInt64, answered: UInt64)] = [:]
    private var order: [Int64] = []
    private var head = 0
    /// Events whose puts have no answer yet.
    private var early: [Int64: [UInt64]] = [:]
    private(set) var earlyCount = 0

    init(start: UInt64) {
        let wall = Processor.wallNanoseconds()
        behind = OperationRecorder("watch-latency-watch", start: start, wallStart: wall)
        since = OperationRecorder("watch-latency-since-put", start: start, wallStart: wall)
    }

    func answered(_ revision: Int64, _ sent: UInt64, _ answered: UInt64) {
        puts[revision] = (sent, answered)
        order.append(revision)
        if order.count - head > BenchLimits.rememberedPuts {
            puts[order[head]] = nil
            head += 1
            if head > BenchLimits.rememberedPuts {
                order.removeFirst(head)
                head = 0
            }
        }
        for now in early.removeValue(forKey: revision) ?? [] {
            earlyCount += 1
            took(sent, answered, now)
        }
    }

    func event(_ revision: Int64, _ now: UInt64) {
        if let put = puts[revision] {
            took(put.sent, put.answered, now)
        } else if early.count < BenchLimits.rememberedPuts {
            early[revision, default: []].append(now)
        }
    }

    private func took(_ sent: UInt64, _ answered: UInt64, _ now: UInt64) {
        behind.record(intended: answered, started: answered, ended: max(now, answered))
        since.record(intended: sent, started: sent, ended: now)
    }

    func finished() -> (behind: OperationRecorder, since: OperationRecorder, early: Int) {
        behind.finish()
        since.finish()
        return (behind, since, earlyCount)
    }
}
