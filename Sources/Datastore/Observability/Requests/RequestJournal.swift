// The last requests and the slowest ones of the last hour, for the page that shows them.

import Synchronization

/// Bounded; written by the request log's thread, read by whoever asks.
final class RequestJournal: Sendable {
    struct Entry: Sendable {
        let number: UInt64
        let record: RequestRecord
    }

    private struct State {
        var last: [Entry] = []
        var next = 0
        var slowest: [Entry] = []
        var number: UInt64 = 0
    }

    private let state = Mutex(State())

    func add(_ record: RequestRecord) {
        let record = record.kept
        state.withLock { state in
            state.number += 1
            let entry = Entry(number: state.number, record: record)
            if state.last.count < ServerLimits.requestsShownMax {
                state.last.append(entry)
            } else {
                state.last[state.next] = entry
            }
            state.next = (state.next + 1) % ServerLimits.requestsShownMax
            let oldest = record.start - ServerLimits.slowestRequestsAgeNanoseconds
            if let first = state.slowest.last, state.slowest.count == ServerLimits.requestsShownMax,
                first.record.nanoseconds >= record.nanoseconds, state.slowest.allSatisfy({ $0.record.start >= oldest })
            {
                return
            }
            state.slowest.removeAll { $0.record.start < oldest }
            let position = state.slowest.firstIndex { $0.record.nanoseconds < record.nanoseconds } ?? state.slowest.count
            state.slowest.insert(entry, at: position)
            if state.slowest.count > ServerLimits.requestsShownMax { state.slowest.removeLast() }
        }
    }

    /// The newest, or slowest, first.
    var snapshot: (last: [Entry], slowest: [Entry]) {
        state.withLock { ($0.last.sorted { $0.number > $1.number }, $0.slowest) }
    }
}

extension RequestRecord {
    /// For keeping: without what is only needed once.
    fileprivate var kept: RequestRecord {
        RequestRecord(
            form: form, method: method, start: start, nanoseconds: nanoseconds, span: span, code: code,
            message: message, remote: remote, user: user, commonName: commonName, userAgent: userAgent, key: key, revision: revision,
            requestBytes: requestBytes, answerBytes: answerBytes, description: nil, answer: nil, apply: nil, trace: trace,
            isShown: isShown, isVerbose: isVerbose)
    }
}
