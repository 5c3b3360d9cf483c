// How messages, entries and states are written in traces.

import Raft
import Wire

enum TraceText {
    static func entry(_ entry: Entry) -> String {
        let place = "\(entry.term)/\(entry.index)"
        switch entry.kind {
        case .normal:
            return entry.data.isEmpty ? "\(place) empty" : "\(place) \"\(String(decoding: entry.data, as: UTF8.self))\""
        case .configurationChange, .configurationChangeV2:
            let text = (try? ConfigurationChangeV2(decoding: entry))?.logText ?? "undecodable"
            return "\(place) change\(text)"
        }
    }

    /// Many entries are shown by their ends.
    static func entries(_ entries: [Entry]) -> String {
        if entries.count <= 4 { return entries.map(entry).joined(separator: ", ") }
        return "\(entry(entries[0])), \(entry(entries[1])), … \(entry(entries[entries.count - 1])) (\(entries.count) entries)"
    }

    static func hardState(_ state: HardState) -> String { "term=\(state.term) vote=\(state.vote) commit=\(state.commit)" }

    static func configuration(_ state: ConfigurationState) -> String {
        func list(_ ids: [MemberID]) -> String { "(" + ids.map(\.description).joined(separator: " ") + ")" }
        var text = "voters=" + list(state.voters)
        if !state.votersOutgoing.isEmpty { text += "&&" + list(state.votersOutgoing) }
        if !state.learners.isEmpty { text += " learners=" + list(state.learners) }
        if !state.learnersNext.isEmpty { text += " learnersNext=" + list(state.learnersNext) }
        if state.autoLeave { text += " autoLeave" }
        return text
    }

    static func snapshot(_ metadata: SnapshotMetadata) -> String {
        "\(metadata.term)/\(metadata.index) \(configuration(metadata.configuration))"
    }

    static func message(_ message: Message) -> String {
        var text = "\(message.from)->\(message.to) \(message.kind.logName)"
        if message.term > 0 { text += " term=\(message.term)" }
        switch message.kind {
        case .append, .vote, .preVote: text += " log=\(message.logTerm)/\(message.index)"
        case .appendResponse where message.reject:
            text += " index=\(message.index) rejected hint=\(message.logTerm)/\(message.rejectHint)"
        case .appendResponse, .readIndexResponse: text += " index=\(message.index)"
        case .voteResponse, .preVoteResponse: text += message.reject ? " rejected commit=\(message.logTerm)/\(message.commit)" : " granted"
        default: break
        }
        if message.kind == .append || message.kind == .heartbeat { text += " commit=\(message.commit)" }
        if !message.context.isEmpty { text += " context=\(String(decoding: message.context, as: UTF8.self))" }
        if let snapshot = message.snapshot { text += " snapshot=\(TraceText.snapshot(snapshot.metadata))" }
        if !message.entries.isEmpty {
            text += message.kind == .readIndex || message.kind == .readIndexResponse
                ? " read=\(String(decoding: message.entries[0].data, as: UTF8.self))"
                : " [\(entries(message.entries))]"
        }
        return text
    }

    static func role(_ role: RaftNode.Role) -> String {
        switch role {
        case .follower: "follower"
        case .preCandidate: "pre-candidate"
        case .candidate: "candidate"
        case .leader: "leader"
        }
    }
}
