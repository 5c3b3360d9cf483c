// How messages are called in log lines.

import Wire

extension MessageKind {
    /// The name that etcd's logs use.
    public var logName: String {
        switch self {
        case .hup: "MsgHup"
        case .beat: "MsgBeat"
        case .propose: "MsgProp"
        case .append: "MsgApp"
        case .appendResponse: "MsgAppResp"
        case .vote: "MsgVote"
        case .voteResponse: "MsgVoteResp"
        case .snapshot: "MsgSnap"
        case .heartbeat: "MsgHeartbeat"
        case .heartbeatResponse: "MsgHeartbeatResp"
        case .unreachable: "MsgUnreachable"
        case .snapshotStatus: "MsgSnapStatus"
        case .checkQuorum: "MsgCheckQuorum"
        case .transferLeader: "MsgTransferLeader"
        case .timeoutNow: "MsgTimeoutNow"
        case .readIndex: "MsgReadIndex"
        case .readIndexResponse: "MsgReadIndexResp"
        case .preVote: "MsgPreVote"
        case .preVoteResponse: "MsgPreVoteResp"
        case .storageAppend: "MsgStorageAppend"
        case .storageAppendResponse: "MsgStorageAppendResp"
        case .storageApply: "MsgStorageApply"
        case .storageApplyResponse: "MsgStorageApplyResp"
        case .forgetLeader: "MsgForgetLeader"
        }
    }

    /// Never comes from another member.
    var isLocal: Bool {
        switch self {
        case .hup, .beat, .unreachable, .snapshotStatus, .checkQuorum, .storageAppend, .storageAppendResponse,
            .storageApply, .storageApplyResponse, .forgetLeader:
            true
        default: false
        }
    }

    /// Only makes sense from a member whose progress is known.
    var isResponse: Bool {
        switch self {
        case .appendResponse, .voteResponse, .heartbeatResponse, .preVoteResponse, .readIndexResponse: true
        default: false
        }
    }

    /// Travels without a term: the member that handles it speaks in its own.
    var isTermless: Bool { self == .propose || self == .readIndex }
}
