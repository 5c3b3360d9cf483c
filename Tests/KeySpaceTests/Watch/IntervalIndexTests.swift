// The index of watchers against a list of all of them.

import Testing
import Wire

@testable import KeySpace

@Suite struct IntervalIndexTests {
    private final class NoOutput: WatchOutput {
        var queuedBytes: Int { 0 }
        func send(_ write: (ByteSink) -> Void) {}
        func send(head: UnsafeRawBufferPointer, shared: SharedBytes) {}
        func fail(_ error: CallError) {}
    }

    private static func watcher(_ stream: WatchStream, _ start: [UInt8], _ end: [UInt8], _ interval: Watcher.Interval) -> Watcher {
        let bytes = UnsafeMutableRawPointer.allocate(byteCount: max(start.count + end.count, 1), alignment: 16)
        bytes.copyMemory(from: start + end, byteCount: start.count + end.count)
        return Watcher(
            stream: Unmanaged.passUnretained(stream), id: 0, start: 0, next: 0, bytes: bytes, startCount: UInt32(start.count),
            endCount: UInt32(end.count), interval: interval, state: .synced, flags: [])
    }

    @Test(arguments: [UInt64(1), 2, 3]) func findsWhatAListFinds(_ seed: UInt64) {
        var random = SeededRandom(seed: testSeed(seed))
        let stream = WatchStream(output: NoOutput(), slot: 0)
        let table = WatcherTable()
        var index = IntervalIndex(seed: seed)
        var live: [WatcherIndex] = []
        func key() -> [UInt8] { (0..<Int.random(in: 1...3, using: &random)).map { _ in UInt8.random(in: 97...101, using: &random) } }
        for step in 0..<4000 {
            let isGrowing = step < 1500 || step % 2 == 0 && step < 2500
            if isGrowing || live.isEmpty {
                var (start, end) = (key(), key())
                var interval = Watcher.Interval.key
                switch Int.random(in: 0...3, using: &random) {
                case 0: (interval, end) = (.fromKey, [])
                case 1, 2:
                    if end.lexicographicallyPrecedes(start) { swap(&start, &end) }
                    if start == end { end.append(0) }
                    interval = .range
                default: end = []
                }
                let watcher = table.insert(Self.watcher(stream, start, end, interval))
                index.insert(watcher, table)
                live.append(watcher)
            } else {
                let watcher = live.remove(at: Int.random(in: 0..<live.count, using: &random))
                index.remove(watcher, table)
                table.remove(watcher)
            }
            if step % 50 == 0 { #expect(index.checkInvariants(table) == live.count) }
            let probe = key()
            probe.withUnsafeBytes { probe in
                var found: [WatcherIndex] = []
                index.forEach(holding: probe, table) { found.append($0) }
                #expect(found.sorted() == live.filter { table[$0].pointee.contains(probe) }.sorted())
            }
        }
        for watcher in live {
            index.remove(watcher, table)
            table.remove(watcher)
        }
        #expect(index.checkInvariants(table) == 0)
        index.deallocate()
    }

    /// 100,000 single keys, 10,000 prefixes and 10,000 watchers of one prefix.
    @Test func scales() {
        let stream = WatchStream(output: NoOutput(), slot: 0)
        let table = WatcherTable()
        var index = IntervalIndex(seed: 5)
        var all: [WatcherIndex] = []
        func add(_ start: String, _ end: String, _ interval: Watcher.Interval) {
            let watcher = table.insert(Self.watcher(stream, Array(start.utf8), Array(end.utf8), interval))
            index.insert(watcher, table)
            all.append(watcher)
        }
        for number in 0..<100_000 { add("/registry/pods/default/pod-\(number)", "", .key) }
        for number in 0..<10_000 { add("/registry/group-\(number)/", "/registry/group-\(number)0", .range) }
        for _ in 0..<10_000 { add("/registry/group-77/", "/registry/group-770", .range) }
        #expect(index.checkInvariants(table) == 120_000)
        func count(_ key: String) -> Int {
            var found = 0
            Array(key.utf8).withUnsafeBytes { index.forEach(holding: $0, table) { _ in found += 1 } }
            return found
        }
        for number in 0..<20_000 { #expect(count("/registry/pods/default/pod-\(number)") == 1) }
        for number in 1000..<10_000 { #expect(count("/registry/group-\(number)/x") == 1) }
        #expect(count("/registry/group-77/x") == 10_001)
        for watcher in all {
            index.remove(watcher, table)
            table.remove(watcher)
        }
        #expect(index.checkInvariants(table) == 0 && table.count == 0)
        index.deallocate()
    }
}
