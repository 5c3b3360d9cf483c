// What can go wrong at the border of the consensus value. Nothing here is fatal: the value is unchanged.

import Wire

public enum RaftError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum DropReason: Equatable, Sendable {
        case noLeader, campaigning, transferringLeadership, removedFromConfiguration
        case uncommittedLimit, empty, forwardingDisabled
    }

    /// The proposal was not taken. The proposer may try again.
    case proposalDropped(DropReason)
    /// The read was not taken: no leader is known, or too many reads wait.
    case readDropped
    /// A kind of message that only ever stays within one member came in from outside.
    case localMessage(MessageKind)
    /// A response of somebody who is not in the configuration.
    case unknownMember(MemberID)
    /// A message that no correct member sends. It was ignored.
    case malformed(String)
    /// The change cannot be made to the configuration in force.
    case invalidConfigurationChange(String)
    /// What was stored does not make up a log.
    case invalidRestoredState(String)

    public var description: String {
        switch self {
        case .proposalDropped: "raft proposal dropped"
        case .readDropped: "raft: read index request dropped"
        case .localMessage: "raft: cannot step raft local message"
        case .unknownMember: "raft: cannot step as peer not found"
        case .malformed(let what): "raft: malformed message: \(what)"
        case .invalidConfigurationChange(let why): why
        case .invalidRestoredState(let why): "raft: stored state is inconsistent: \(why)"
        }
    }
}
