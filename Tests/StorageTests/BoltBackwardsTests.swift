// Walking backwards, and through every leaf of a file.

import StorageSimulation
import Testing
import Wire

@testable import Storage

@Suite struct BoltBackwardsTests {
    private func file(keys: Int, valueBytes: Int) throws -> BoltFile {
        func give(_ writer: BoltWriter) {
            writer.beginBucket("b")
            for number in 0..<keys {
                let key = withUnsafeBytes(of: UInt32(number).bigEndian) { [UInt8]($0) }
                let value = [UInt8](repeating: UInt8(truncatingIfNeeded: number), count: valueBytes)
                key.withUnsafeBytes { key in value.withUnsafeBytes { writer.add(key, $0) } }
            }
            writer.endBucket()
            writer.beginBucket("empty")
            writer.endBucket()
        }
        let measuring = BoltWriter(measuring: 4096)
        give(measuring)
        let sink = ByteSink()
        let writer = BoltWriter(try measuring.finish(), transaction: 2, output: sink)
        give(writer)
        try writer.finish()
        let fileSystem = SimulatedFileSystem(seed: 1)
        try fileSystem.install("/db", sink.array())
        return try BoltFile(opening: "/db", in: fileSystem)
    }

    @Test(arguments: [(1, 10), (3, 10), (200, 30), (5000, 20), (40, 9000)])
    func backwardsIsForwardsReversed(keys: Int, valueBytes: Int) throws {
        let file = try file(keys: keys, valueBytes: valueBytes)
        let bucket = try #require(try file.root.bucket("b"))
        var forwards: [[UInt8]] = []
        try bucket.forEach { key, _, _ in forwards.append([UInt8](key)) }
        #expect(forwards.count == keys)
        var backwards: [[UInt8]] = []
        let cursor = bucket.cursor()
        var found = try cursor.last()
        while found {
            let count = try cursor.value().count
            #expect(count == valueBytes)
            backwards.append([UInt8](cursor.key))
            found = try cursor.previous()
        }
        #expect(backwards == forwards.reversed())
        // To and fro over a boundary of pages.
        var isThere = try cursor.first()
        for _ in 0..<min(keys - 1, 300) { isThere = try cursor.next() && isThere }
        for _ in 0..<min(keys - 1, 300) { isThere = try cursor.previous() && isThere }
        #expect(isThere && [UInt8](cursor.key) == forwards[0])
        let hasMore = try cursor.previous()
        #expect(!hasMore)
        let none = try #require(try file.root.bucket("empty")).cursor()
        let isAny = try none.last()
        #expect(!isAny)
    }

    @Test func everyLeafIsScanned() throws {
        let file = try file(keys: 5000, valueBytes: 20)
        var keys: Set<[UInt8]> = []
        try file.scanLeaves { _, index, count, key, value in
            #expect(index < count)
            if key.count == 4, value.count == 20 { keys.insert([UInt8](key)) }
            return true
        } unreadable: { page, error in
            // The freelist, which is no leaf.
            #expect(page == 2 && error.problem == .wrongPageType)
        }
        #expect(keys.count == 5000)
    }
}
