// The index against a sorted array, with its invariants walked after each mutation.

import Testing

@testable import KeySpace

/// The naive model: keys in order, each with a live flag.
private struct SortedModel {
    var keys: [[UInt8]] = []
    var live: [Bool] = []

    func lowerBound(_ key: [UInt8]) -> Int {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            if keys[middle].lexicographicallyPrecedes(key) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    mutating func set(_ key: [UInt8], live isLive: Bool) {
        let index = lowerBound(key)
        if index < keys.count, keys[index] == key {
            live[index] = isLive
        } else {
            keys.insert(key, at: index)
            live.insert(isLive, at: index)
        }
    }

    func contains(_ key: [UInt8]) -> Bool {
        let index = lowerBound(key)
        return index < keys.count && keys[index] == key
    }

    mutating func remove(_ key: [UInt8]) {
        let index = lowerBound(key)
        keys.remove(at: index)
        live.remove(at: index)
    }

    func selection(_ start: [UInt8], _ end: [UInt8]) -> [Int] {
        keys.indices.filter { index in
            if end.isEmpty { return keys[index] == start }
            if keys[index].lexicographicallyPrecedes(start) { return false }
            return end == [0] || keys[index].lexicographicallyPrecedes(end)
        }
    }
}

extension KeyIndex {
    fileprivate func set(_ key: [UInt8], live: Bool) {
        key.withUnsafeBytes { view in
            if locate(view) != nil { setLocatedLive(live) } else { _ = insertLocated(view, live: live) }
        }
    }

    fileprivate func remove(_ key: [UInt8]) {
        key.withUnsafeBytes { view in
            #expect(locate(view) != nil)
            removeLocated()
        }
    }

    fileprivate func contains(_ key: [UInt8]) -> Bool { key.withUnsafeBytes { find($0) != nil } }
}

private func withRange<R>(_ start: [UInt8], _ end: [UInt8], _ body: (KeyRange) -> R) -> R {
    start.withUnsafeBytes { start in end.withUnsafeBytes { body(KeyRange(key: start, rangeEnd: $0)) } }
}

@Suite struct KeyIndexTests {
    /// Keys that share prefixes, end in zero bytes and are prefixes of each other.
    private func randomKey(_ random: inout SeededRandom, space: Int) -> [UInt8] {
        let stem: [UInt8]
        switch Int.random(in: 0..<4, using: &random) {
        case 0: stem = Array("/registry/pods/default/".utf8)
        case 1: stem = Array("/registry/".utf8)
        case 2: stem = []
        default: stem = [0xff, 0xff]
        }
        var key = stem
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            key.append([0, 1, 0x61, 0x62, 0xfe, 0xff][Int.random(in: 0..<6, using: &random)])
        }
        if Bool.random(using: &random) { key += Array(String(Int.random(in: 0..<space, using: &random)).utf8) }
        return key
    }

    @Test(arguments: [4, 5, 8, 64])
    func randomMutationsAgreeWithTheModel(capacity: Int) {
        var random = SeededRandom(seed: testSeed(0x1de5 + UInt64(capacity)))
        let index = KeyIndex(capacity: capacity)
        var model = SortedModel()
        let steps = capacity == 64 ? 1200 : 600
        for step in 0..<steps {
            // Grow, shrink, grow: the tree must pass through every height both ways.
            let removing = (step / (steps / 5)) % 2 == 1
            let key = randomKey(&random, space: 400)
            if removing, !model.keys.isEmpty, Int.random(in: 0..<4, using: &random) != 0 {
                let victim = model.keys[Int.random(in: 0..<model.keys.count, using: &random)]
                index.remove(victim)
                model.remove(victim)
            } else {
                let live = Int.random(in: 0..<4, using: &random) != 0
                index.set(key, live: live)
                model.set(key, live: live)
            }
            if let violation = index.invariantViolation() {
                Issue.record("step \(step): \(violation)")
                return
            }
            #expect(index.count == model.keys.count)
            #expect(index.contains(key) == model.contains(key))

            let start = randomKey(&random, space: 400)
            let end = [[], [0], randomKey(&random, space: 400)][Int.random(in: 0..<3, using: &random)]
            let expected = model.selection(start, end)
            withRange(start, end) { range in
                #expect(index.countLive(range) == expected.count { model.live[$0] })
                guard !range.isSingle else { return }
                var cursor = index.cursor(range)
                var seen: [[UInt8]] = []
                while let (entry, isLive) = cursor.next() {
                    seen.append(Array(entry.bytes))
                    #expect(isLive == model.live[model.lowerBound(Array(entry.bytes))])
                }
                #expect(seen == expected.map { model.keys[$0] })
                var liveCursor = index.cursor(range)
                var seenLive: [[UInt8]] = []
                while let entry = liveCursor.nextLive() { seenLive.append(Array(entry.bytes)) }
                #expect(seenLive == expected.filter { model.live[$0] }.map { model.keys[$0] })
            }
            // Resuming behind a key, present or not.
            let after = randomKey(&random, space: 400)
            let whole = model.selection(start, [0]).filter { after.lexicographicallyPrecedes(model.keys[$0]) }
            if !after.lexicographicallyPrecedes(start) {
                let resumed = withRange(start, [0]) { range in
                    after.withUnsafeBytes { after in
                        var cursor = index.cursor(range, after: after)
                        var seen: [[UInt8]] = []
                        while let (entry, _) = cursor.next() { seen.append(Array(entry.bytes)) }
                        return seen
                    }
                }
                #expect(resumed == whole.map { model.keys[$0] })
            }
        }
    }

    @Test(arguments: [4, 64])
    func bulkLoadEqualsInsertion(capacity: Int) {
        for size in [0, 1, 3, 4, 5, 63, 64, 65, 1000] {
            var random = SeededRandom(seed: testSeed(UInt64(size)))
            var model = SortedModel()
            for number in 0..<size { model.set(Array("k\(number)".utf8), live: Bool.random(using: &random)) }
            let index = KeyIndex(capacity: capacity)
            var builder = KeyIndexBuilder(capacity: capacity)
            var live: [KeyEntry: Bool] = [:]
            for (key, isLive) in zip(model.keys, model.live) {
                key.withUnsafeBytes { live[builder.append($0)] = isLive }
            }
            builder.finish(into: index) { live[$0]! }
            #expect(index.invariantViolation() == nil)
            #expect(index.liveCount == model.live.count { $0 })
            // The loaded tree takes mutations.
            for number in 0..<size {
                let key = Array("k\(number)x".utf8)
                index.set(key, live: true)
                if number % 3 == 0 { index.remove(Array("k\(number)".utf8)) }
                if size < 100 { #expect(index.invariantViolation() == nil) }
            }
            #expect(index.invariantViolation() == nil)
        }
    }

    @Test func emptyingFromEitherEndLeavesASoundTree() {
        for descending in [false, true] {
            let index = KeyIndex(capacity: 4)
            let keys = (0..<200).map { Array("key/\(1000 + $0)".utf8) }
            for key in keys { index.set(key, live: true) }
            for key in descending ? keys.reversed() : keys {
                index.remove(key)
                #expect(index.invariantViolation() == nil)
            }
            #expect(index.count == 0)
            #expect(index.liveCount == 0)
        }
    }
}
