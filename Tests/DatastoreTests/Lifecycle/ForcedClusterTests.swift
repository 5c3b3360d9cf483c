// `--force-new-cluster`: a member whose log holds other voters serves alone again.

import DatastoreTracing
import KeySpace
import Raft
import Storage
import Testing
import Wire

@testable import Datastore

@Suite(.serialized) struct ForcedClusterTests {
    private let temporary = TemporaryDirectory()
    private var directory: String { temporary.path }

    private func start(_ more: String...) async throws -> MartletServer {
        let outcome = Configuration.parse(
            arguments: [
                "--data-dir=\(directory)/data", "--log-outputs=\(directory)/log", "--listen-client-urls=http://127.0.0.1:0",
                "--advertise-client-urls=http://127.0.0.1:1", "--listen-peer-urls=http://127.0.0.1:0",
            ] + more, environment: [:]) { nil }
        let configuration = try #require(outcome.configuration)
        return try await MartletServer.start(configuration, log: configuration.openLog())
    }

    /// Appends entries to the log of the stopped member, as another leader would have.
    private func append(_ changes: [ConfigurationChange], uncommitted: [ConfigurationChange]) throws {
        let (wal, contents) = try WriteAheadLog.open(fileSystem: PosixFileSystem(), directory: directory + "/data/member/wal")
        var index = try #require(contents.entries.last).index
        var state = contents.hardState
        let entries = (changes + uncommitted).map { change -> Entry in
            index += 1
            let sink = ByteSink(capacity: 64)
            change.encode(to: sink)
            return Entry(kind: .configurationChange, term: state.term, index: index, data: sink.array())
        }
        state.commit = index - LogIndex(uncommitted.count)
        try wal.append(hardState: state, entries: entries)
        try wal.sync()
        try wal.close()
    }

    private func change(_ kind: ConfigurationChangeKind, _ id: UInt64) -> ConfigurationChange {
        let member = MemberDescription(id: MemberID(id), name: "", peerURLs: ["http://127.0.0.1:\(id)"], isLearner: kind == .addLearner)
        return ConfigurationChange(kind: kind, member: MemberID(id), context: kind == .remove ? [] : member.json())
    }

    @Test func othersAreTakenOut() async throws {
        let first = try await start()
        let own = first.node.memberID
        await first.stop()
        // 7 and 8 join, 8 leaves again, a learner joins; 10 never got a quorum.
        try append(
            [change(.addVoter, 7), change(.addVoter, 8), change(.remove, 8), change(.addLearner, 9)], uncommitted: [change(.addVoter, 10)])

        let forced = try await start("--force-new-cluster")
        #expect(forced.node.keySpace.cluster.current.sortedMembers.map(\.id) == [own])
        #expect(forced.node.consensus.servesLocally)
        await forced.stop()

        // What was forced is in the log: no need to force again; to force again does no harm.
        for flags in [[], ["--force-new-cluster"], []] as [[String]] {
            let again = try await flags.isEmpty ? start() : start("--force-new-cluster")
            #expect(again.node.keySpace.cluster.current.sortedMembers.map(\.id) == [own])
            await again.stop()
        }
    }

    @Test func whoWasRemovedStaysOut() async throws {
        let first = try await start()
        let own = first.node.memberID
        await first.stop()
        try append([change(.addVoter, 7), ConfigurationChange(kind: .remove, member: own)], uncommitted: [])
        await #expect(throws: StartError.self) { _ = try await start("--force-new-cluster") }
    }
}
