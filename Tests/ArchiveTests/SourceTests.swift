// Stores against the model of their history; memory that is bounded by passes; damage.

import Storage
import StorageSimulation
import Testing
import Wire

@testable import Archive

@Suite struct SourceTests {
    private func sources(_ history: History) throws -> [any RevisionSource] {
        let system = SimulatedFileSystem()
        try system.createDirectory("/data/member/store")
        try history.log("/data/member/store", in: system)
        try system.install("/snapshot.db", try history.database(purges: true))
        try system.install("/unfinished.db", try history.database(purges: false))
        return [
            try Archive.open("/data", in: system), try Archive.open("/snapshot.db", in: system), try Archive.open("/unfinished.db", in: system),
        ]
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func statesOfKeys(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let history = History.random(&random, keys: 30, writes: 150)
        let revisions = [0, history.revision, Int64.random(in: max(history.compacted, 1)...history.revision, using: &random)]
        for source in try sources(history) {
            #expect(source.revision == history.revision && source.compacted == history.compacted, "seed \(seed)")
            for revision in revisions {
                let at = revision == 0 ? history.revision : revision
                let keys = Set(history.writes.map(\.key)).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
                for range in [KeySpan(), KeySpan(prefix: Array("/registry/things/1".utf8))] {
                    // As many passes as it takes with room for three keys only.
                    for keysMax in [3, 1000] {
                        var expected: [String] = []
                        for key in keys where range.low.isEmpty || key.hasPrefix("/registry/things/1") {
                            guard let last = history.last(key, at: at) else { continue }
                            let kept = history.kept(key, at: at)
                            if last.value == nil, kept.isEmpty { continue }
                            expected.append("\(key) \(last.main)/\(last.sub) \(last.version) \(last.value?.count ?? 0) \(kept.count) \(kept.reduce(0) { $0 + ($1.value?.count ?? 0) })")
                        }
                        var found: [String] = []
                        let states = try KeyStates(source, at: revision, in: range, keysMax: keysMax)
                        try states.forEach { key, state in
                            let name = String(decoding: key, as: UTF8.self)
                            found.append("\(name) \(state.latest.main)/\(state.latest.sub) \(state.version) \(state.valueBytes) \(state.revisions) \(state.valueBytesOfAll)")
                            try states.read(state, of: key) { change in
                                #expect(change.key.elementsEqual(key) && Array(change.value) == history.last(name, at: at)?.value ?? [])
                            }
                        }
                        #expect(found == expected, "seed \(seed), \(source.kind), at \(revision), \(keysMax) keys a pass")
                    }
                }
            }
        }
    }

    @Test(arguments: 1...3 as ClosedRange<UInt64>)
    func pairsOfStores(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let one = History.random(&random, keys: 40, writes: 100)
        let two = History.random(&random, keys: 60, writes: 150)
        let (a, b) = (try sources(one)[0], try sources(two)[1])
        func live(_ history: History, _ key: String) -> Int64? { history.last(key, at: history.revision).flatMap { $0.value == nil ? nil : $0.main } }
        var expected: [String] = []
        for key in Set((one.writes + two.writes).map(\.key)).sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
            let (left, right) = (live(one, key), live(two, key))
            if left != nil || right != nil { expected.append("\(key) \(left ?? 0) \(right ?? 0)") }
        }
        for keysMax in [2, 7, 1000] {
            var found: [String] = []
            try KeyStates.forEachPair(try KeyStates(a, keysMax: keysMax), try KeyStates(b, keysMax: keysMax)) { key, left, right in
                let (left, right) = (left.flatMap { $0.isLive ? $0.latest.main : nil }, right.flatMap { $0.isLive ? $0.latest.main : nil })
                if left != nil || right != nil { found.append("\(String(decoding: key, as: UTF8.self)) \(left ?? 0) \(right ?? 0)") }
            }
            #expect(found == expected, "seed \(seed), \(keysMax) keys a pass")
        }
    }

    @Test func refusedRevisions() throws {
        var random = SplitMix64(seed: 5)
        var history = History.random(&random, keys: 5, writes: 50)
        history.compacted = 10
        for source in try sources(history) {
            #expect(throws: ArchiveError.self) { try KeyStates(source, at: 9) }
            #expect(throws: ArchiveError.self) { try KeyStates(source, at: history.revision + 1) }
            #expect(throws: ArchiveError.self) { try KeyStates(source, at: -1) }
            #expect(throws: Never.self) { try KeyStates(source, at: 10) }
        }
    }

    /// Any flipped bit gives an error or the truth about what is left, never anything else.
    @Test(arguments: 1...2 as ClosedRange<UInt64>)
    func flippedBits(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let history = History.random(&random, keys: 20, writes: 200)
        let bytes = try history.database(purges: false)
        var damaged = 0
        var salvaged = 0
        for _ in 0..<80 {
            let system = SimulatedFileSystem()
            try system.install("/db", bytes)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                try system.corrupt("/db", at: Int.random(in: 0..<bytes.count, using: &random), xor: 1 << UInt8.random(in: 0..<8, using: &random))
            }
            var strict = 0
            var lenient = 0
            do { try Archive.open("/db", in: system).forEach { _ in strict += 1; return true } } catch {
                #expect(error is ArchiveError, "seed \(seed): \(error)")
                damaged += 1
            }
            if let source = try? Archive.open("/db", isLenient: true, in: system) {
                try source.forEach { _ in lenient += 1; return true }
                #expect(lenient >= strict, "seed \(seed)")
                if !source.notes.isEmpty, lenient > 0 { salvaged += 1 }
            }
        }
        // Values have no checksum, so that not every flipped bit is seen.
        #expect(damaged > 5 && salvaged > 5, "seed \(seed)")
    }

    @Test func cutShort() throws {
        var random = SplitMix64(seed: 7)
        let bytes = try History.random(&random, keys: 20, writes: 400).database(purges: false)
        var salvaged = 0
        for size in stride(from: 0, to: bytes.count, by: 4001) {
            let system = SimulatedFileSystem()
            try system.install("/db", Array(bytes[..<size]))
            #expect(throws: ArchiveError.self) { try Archive.open("/db", in: system) }
            guard let source = try? Archive.open("/db", isLenient: true, in: system) else { continue }
            #expect(source.notes.first?.contains("truncated") == true)
            let states = try KeyStates(source)
            try states.forEach { key, state in
                salvaged += 1
                try states.read(state, of: key) { #expect($0.key.elementsEqual(key) && $0.place == state.latest) }
            }
        }
        #expect(salvaged > 0)
    }

    @Test func noStore() throws {
        let system = SimulatedFileSystem()
        try system.createDirectory("/empty")
        try system.install("/text", Array("this is no database".utf8))
        for path in ["/empty", "/text", "/missing"] {
            let error = #expect(throws: ArchiveError.self) { try Archive.open(path, in: system) }
            #expect(error?.description.hasPrefix(path) == true)
        }
    }
}

@Suite struct KeyTableTests {
    /// Passes over windows find every key once and in order, whatever fits into one.
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func windows(seed: UInt64) {
        var random = SplitMix64(seed: seed)
        let keys = (0..<500).map { _ in (0..<Int.random(in: 1...6, using: &random)).map { _ in UInt8.random(in: 0...3, using: &random) } }
        var counts: [[UInt8]: Int] = [:]
        for key in keys { counts[key, default: 0] += 1 }
        let bytesMax = Int.random(in: 40...4000, using: &random)
        var found: [([UInt8], Int)] = []
        var low: [UInt8] = []
        var passes = 0
        while true {
            passes += 1
            let table = KeyTable<Int>(KeySpan(low: low), keysMax: Int.random(in: 2...600, using: &random), bytesMax: bytesMax)
            for key in keys { _ = key.withUnsafeBytes { bytes in table.update(bytes, initial: 0) { $0 += 1 } } }
            table.forEachSorted { key, count in found.append(([UInt8](key), count)) }
            guard let high = table.range.high else { break }
            #expect(low.lexicographicallyPrecedes(high))
            low = high
        }
        let expected = counts.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        #expect(found.map(\.0) == expected.map(\.key) && found.map(\.1) == expected.map(\.value), "seed \(seed), \(passes) passes")
    }

    @Test func prefixes() {
        #expect(KeySpan(prefix: []) == KeySpan())
        #expect(KeySpan(prefix: [1, 2]) == KeySpan(low: [1, 2], high: [1, 3]))
        #expect(KeySpan(prefix: [1, 0xff]) == KeySpan(low: [1, 0xff], high: [2]))
        #expect(KeySpan(prefix: [0xff]) == KeySpan(low: [0xff], high: nil))
    }
}
