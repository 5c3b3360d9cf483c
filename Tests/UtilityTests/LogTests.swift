// Entries of a log: which are left after others have replaced them, and how they are shown.

import CommandLineTools
import Testing
import Wire

@testable import Utility

@Suite struct ReplacementTests {
    @Test(arguments: 1...40)
    func againstAModel(seed: Int) {
        var random = SplitMix(seed: UInt64(seed))
        var log: [(ordinal: Int, index: LogIndex)] = []
        var written: [LogIndex] = []
        var replacements = Replacements()
        var last: LogIndex = 0
        for ordinal in 0..<200 {
            let goesBack = last > 0 && random.next() % 5 == 0
            let index = goesBack ? 1 + random.next() % last : last + 1
            if index <= last {
                let isTaken = replacements.add(ordinal, index)
                #expect(isTaken)
            }
            log.removeAll { $0.index >= index }
            log.append((ordinal, index))
            written.append(index)
            last = index
        }
        replacements.finish()
        let left = written.enumerated().filter { !replacements.isReplaced($0.offset, $0.element) }.map(\.offset)
        #expect(left == log.map(\.ordinal), "seed \(seed)")
    }
}

@Suite struct EntryTextTests {
    private func entry(_ build: (ByteSink) -> Void, kind: EntryKind = .normal) -> Entry {
        let sink = ByteSink()
        build(sink)
        return Entry(kind: kind, term: 3, index: 12, data: sink.array())
    }

    private func line(_ entry: Entry) -> String { EntryText.line(entry, EntryClass(entry)) }

    @Test func requests() {
        let put = entry {
            $0.message(4) {
                $0.field(1, "foo1")
                $0.field(2, "b\n\"\u{e9}\u{1}")
                $0.field(3, 1 as UInt64)
                $0.field(6, true)
            }
            $0.message(100) { $0.field(1, 6 as UInt64) }
        }
        #expect(line(put) == "   3\t        12\tnorm\theader:{ID:6} put:{key:\"foo1\" value:\"b\\n\\\"\u{e9}\\x01\" lease:1 ignore_lease:true}")
        let txn = entry {
            $0.field(1, 8 as UInt64)
            $0.message(6) { $0.message(2) { $0.message(3) { $0.message(1) { _ in }; $0.field(2, "b") } } }
        }
        #expect(line(txn).hasPrefix("   3\t        12\tnorm\tID:8 txn:{success:{"))
        let compare = entry {
            $0.message(6) {
                $0.message(1) {
                    $0.field(2, 2 as UInt64)
                    $0.field(3, "k")
                    $0.always(6, 0)
                }
            }
        }
        // A member of a oneof is shown although it is zero.
        #expect(line(compare) == "   3\t        12\tnorm\ttxn:{compare:{target:MOD key:\"k\" mod_revision:0}}")
        #expect(line(Entry(term: 3, index: 12)) == "   3\t        12\tnorm\t")
        #expect(line(Entry(term: 3, index: 12, data: [0xff, 0xff])) == "   3\t        12\tnorm\t???")
    }

    @Test func aNewPasswordIsNotShown() {
        let change = entry {
            $0.field(1, 19 as UInt64)
            $0.message(1103) {
                $0.field(1, "name1")
                $0.field(2, "secret")
            }
        }
        #expect(line(change) == "   3\t        12\tnorm\tID:19 auth_user_change_password:{name:\"name1\" password:\"<value removed>\"}")
    }

    @Test func oldRequests() {
        func old(_ method: String, _ path: String = "", _ value: String = "", time: UInt64 = 0) -> String {
            line(entry {
                $0.field(1, 5 as UInt64)
                $0.field(2, method)
                $0.field(3, path)
                $0.field(4, value)
                $0.field(15, time)
            })
        }
        #expect(old("QGET", "/path1") == "   3\t        12\tnorm\tmethod=QGET path=\"/path1\"")
        #expect(old("SYNC", time: 1) == "   3\t        12\tnorm\tmethod=SYNC time=\"1970-01-01 00:00:00.000000001 +0000 UTC\"")
        #expect(old("SYNC", time: 1_709_210_096_500_000_000) == "   3\t        12\tnorm\tmethod=SYNC time=\"2024-02-29 12:34:56.5 +0000 UTC\"")
        let long = String(repeating: "p", count: 64) + String(repeating: "q", count: 64)
        #expect(old("PUT", long + "x", "v").hasSuffix("path=\"\(String(repeating: "p", count: 64))\"...\"\(String(repeating: "q", count: 63))x\" val=\"v\""))
    }

    @Test func configurationChanges() {
        for (kind, name) in [(ConfigurationChangeKind.addVoter, "ConfChangeAddNode"), (.addLearner, "ConfChangeAddLearnerNode"), (.remove, "ConfChangeRemoveNode")] {
            let change = entry({ ConfigurationChange(kind: kind, member: MemberID(0x2a)).encode(to: $0) }, kind: .configurationChange)
            #expect(line(change) == "   3\t        12\tconf\tmethod=\(name) id=2a")
        }
    }

    @Test func filters() {
        let console = Console(inMemory: ())
        let put = entry { $0.message(4) { $0.field(1, "k") } }
        let change = entry({ ConfigurationChange(kind: .addVoter, member: MemberID(1)).encode(to: $0) }, kind: .configurationChange)
        func passes(_ filter: String, _ entry: Entry) -> Bool { EntryFilter(filter, console).passes(entry, EntryClass(entry)) }
        #expect(passes("Normal,ConfigChange", put) && passes("Normal,ConfigChange", change))
        #expect(passes("IRRPut", put) && !passes("IRRTxn", put) && !passes("IRRPut", change) && !passes("ConfigChange", put))
        #expect(passes("InternalRaftRequest", put) && !passes("Request", put))
        #expect(!passes("Bogus", put))
        #expect(String(decoding: console.errors, as: UTF8.self).contains("[Bogus] is not a valid entry-type, ignored."))
    }

    @Test func singleDashes() {
        #expect(DumpLogs.withDoubleDashes(["dump-logs", "-start-index=5", "-raw", "d"]) == ["dump-logs", "--start-index=5", "--raw", "d"])
        #expect(DumpLogs.withDoubleDashes(["snapshot", "-raw"]) == ["snapshot", "-raw"])
        #expect(DumpLogs.withDoubleDashes(["dump-logs", "-w", "json"]) == ["dump-logs", "-w", "json"])
    }
}

/// Seeded, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}
