// The power fails under a whole member at any moment: whatever it has acknowledged is there after the next start, in one
// piece and in order, and so after the failures that follow.
//
// The disk is photographed while the member runs on (a member ends with its disk). Each picture is opened by another
// member; it must hold the state after some number of the requests, all acknowledged ones among them.

import Glibc
import Storage
import StorageSimulation
import Synchronization
import Testing

@testable import Datastore

@Suite struct MemberPowerLossTests {
    /// A disk as the power left it.
    private struct Picture {
        let fileSystem: SimulatedFileSystem
        /// Requests that had been acknowledged by then.
        let acknowledged: Int
    }

    private final class Album: Sendable {
        private let pictures = Mutex<[Picture]>([])
        let answers = AnswerCount()

        func take(_ fileSystem: SimulatedFileSystem) {
            let count = answers.value.load(ordering: .sequentiallyConsistent)
            pictures.withLock { $0.append(Picture(fileSystem: fileSystem, acknowledged: count)) }
        }

        var all: [Picture] { pictures.withLock { $0 } }
    }

    private static let soak = UInt64(getenv("MARTLET_SOAK").flatMap { String(cString: $0) } ?? "1") ?? 1

    @Test(arguments: 0..<(3 * soak)) func whatWasAcknowledgedIsThere(number: UInt64) throws {
        let seed = 0xDA7A + number
        print("seed \(seed)")
        var random = SplitMix64(seed: seed)
        let fileSystem = SimulatedFileSystem(seed: seed)
        try fileSystem.createDirectoryDurably("/var/lib")
        try live(on: fileSystem, from: MemberModel(), steps: 150, pictures: [6, 2], "seed \(seed)", &random)
    }

    /// A life on a disk that holds a known state, and on what power losses leave of it.
    ///
    /// - Parameter pictures: how many of this life, and of those that follow.
    private func live(
        on fileSystem: SimulatedFileSystem, from model: MemberModel, steps: Int, pictures: [Int], _ name: String,
        _ random: inout SplitMix64
    ) throws {
        let album = Album()
        if let limit = pictures.first {
            fileSystem.photograph(oneIn: 2 + random.below(40), limit: limit, seed: random.next()) { album.take($0) }
        }
        let member = try SimulatedMember(on: fileSystem)
        let begin = try member.state().difference(from: model.seen)
        #expect(begin.isEmpty, "\(name)")
        let states = member.run(steps, from: model, counting: album.answers, &random)
        let end = try member.state().difference(from: states.last!.seen)
        #expect(end.isEmpty, "\(name)")
        try checkHistory(member, states, name)
        member.stop()

        for (number, picture) in album.all.enumerated() {
            let name = "\(name), picture \(number + 1) after \(picture.acknowledged) answers"
            let after = try SimulatedMember(on: picture.fileSystem.afterPowerLoss(seed: random.next()))
            let seen = try after.state()
            let found = states.indices.last { $0 >= picture.acknowledged && states[$0].seen == seen }
            let earlier = found == nil ? states.indices.last { states[$0].seen == seen } : nil
            #expect(found != nil, "\(name): the state is that after \(earlier.map { "\($0) requests" } ?? "no number of requests")")
            guard let found else {
                after.stop()
                continue
            }
            try checkHistory(after, Array(states[...found]), name)
            after.stop()
        }
        guard pictures.count > 1 else { return }
        for (number, picture) in album.all.enumerated() {
            let name = "\(name), picture \(number + 1)"
            let next = picture.fileSystem.afterPowerLoss(seed: random.next())
            let found: MemberModel = try {
                let probe = try SimulatedMember(on: next)
                defer { probe.stop() }
                let seen = try probe.state()
                return try #require(states.last { $0.seen == seen }, "\(name)")
            }()
            try live(on: next, from: found, steps: 40, pictures: Array(pictures.dropFirst()), name, &random)
        }
    }

    /// Every revision that is not compacted reads as it was.
    private func checkHistory(_ member: SimulatedMember, _ states: [MemberModel], _ name: String) throws {
        guard let last = states.last else { return }
        for state in states where state.revision >= last.compacted && state.revision > 1 {
            #expect(try member.items(at: state.revision) == state.items, "\(name), revision \(state.revision)")
        }
    }
}
