// The bbolt writer and reader against each other and against sorted arrays. Real etcd tools read what the writer makes in
// the end-to-end suite `snapshot`.

import Glibc
import StorageSimulation
import Testing
import Wire

@testable import Storage

/// A bucket's content as a naive model.
indirect enum BoltModel {
    case value([UInt8])
    case bucket([(key: [UInt8], content: BoltModel)])
}

enum BoltSample {
    static func give(_ bucket: [(key: [UInt8], content: BoltModel)], to writer: BoltWriter) {
        for (key, content) in bucket.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            switch content {
            case .value(let value): key.withUnsafeBytes { key in value.withUnsafeBytes { writer.add(key, $0) } }
            case .bucket(let inner):
                writer.beginBucket(String(decoding: key, as: UTF8.self))
                give(inner, to: writer)
                writer.endBucket()
            }
        }
    }

    /// The file's bytes; measuring and writing must agree.
    static func file(_ root: [(key: [UInt8], content: BoltModel)], pageSize: Int = 4096) throws -> [UInt8] {
        let measuring = BoltWriter(measuring: pageSize)
        give(root, to: measuring)
        let layout = try measuring.finish()
        let sink = ByteSink(capacity: 4096)
        let writer = BoltWriter(layout, transaction: 8, output: sink)
        give(root, to: writer)
        try writer.finish()
        #expect(UInt64(sink.count) == layout.size)
        return sink.array()
    }

    static func open(_ bytes: [UInt8]) throws -> BoltFile {
        let system = SimulatedFileSystem()
        let file = try system.open("/db", .create)
        try bytes.withUnsafeBytes { try file.write($0, at: 0) }
        file.close()
        return try BoltFile(opening: "/db", in: system)
    }

    /// Compares a bucket with its model by walking and by seeking.
    static func compare(_ bucket: BoltBucket, _ model: [(key: [UInt8], content: BoltModel)]) throws {
        let sorted = model.sorted { $0.key.lexicographicallyPrecedes($1.key) }
        let cursor = bucket.cursor()
        var found = try cursor.first()
        for (key, content) in sorted {
            try #require(found)
            #expect([UInt8](cursor.key) == key)
            switch content {
            case .value(let value):
                #expect(!cursor.isBucket)
                #expect(try cursor.valueCount() == value.count)
                #expect([UInt8](try cursor.value()) == value)
            case .bucket(let inner):
                #expect(cursor.isBucket)
                try compare(try cursor.subBucket(), inner)
            }
            found = try cursor.next()
        }
        #expect(!found)
        #expect(try cursor.last() == !sorted.isEmpty)
        if let last = sorted.last { #expect([UInt8](cursor.key) == last.key) }
        for (index, element) in sorted.enumerated().prefix(300) {
            #expect(try element.key.withUnsafeBytes { try cursor.seek($0) })
            #expect([UInt8](cursor.key) == element.key)
            let behind = element.key + [0]
            let next = index + 1 < sorted.count ? sorted[index + 1].key : nil
            #expect(try behind.withUnsafeBytes { try cursor.seek($0) } == (next != nil))
            if let next { #expect([UInt8](cursor.key) == next) }
        }
    }

    static func random(_ random: inout SplitMix64, depth: Int = 0) -> [(key: [UInt8], content: BoltModel)] {
        let sizes: [UInt64] = [0, 1, 3, 30, 300, 2000]
        let count = Int(random.next() % (sizes[Int(random.next() % 6)] + 1)) / (depth + 1)
        let keyBytes = [4, 17, 40, 900, 3000][Int(random.next() % 5)]
        let valueBytes: UInt64 = [1, 20, 300, 2100, 9000][Int(random.next() % 5)]
        var seen: Set<[UInt8]> = []
        var result: [(key: [UInt8], content: BoltModel)] = []
        for _ in 0..<min(count, 1_000_000 / (keyBytes + Int(valueBytes))) {
            let length = 1 + Int(random.next() % UInt64(keyBytes))
            // ASCII, for names of buckets are text.
            let key = (0..<length).map { _ in UInt8(97 + random.next() % 26) }
            guard seen.insert(key).inserted else { continue }
            if depth < 3, random.next() % 40 == 0 {
                result.append((key, .bucket(Self.random(&random, depth: depth + 1))))
            } else {
                result.append((key, .value(payload(random.next(), size: Int(random.next() % (valueBytes + 1))))))
            }
        }
        return result
    }
}

@Suite struct BoltTests {
    @Test(arguments: 0..<UInt64(12 * soak))
    func randomContent(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let model = BoltSample.random(&random)
        let file = try BoltSample.open(try BoltSample.file(model, pageSize: [1024, 4096, 16384][Int(seed % 3)]))
        #expect(file.check() == [], "seed \(seed)")
        try BoltSample.compare(file.root, model)
    }

    @Test func emptyFile() throws {
        let bytes = try BoltSample.file([])
        #expect(bytes.count == 4 * 4096)
        let file = try BoltSample.open(bytes)
        #expect(file.check() == [])
        #expect(file.meta == BoltMeta(pageSize: 4096, root: 3, freelist: 2, highWater: 4, transaction: 8))
        #expect(try file.root.cursor().first() == false)
        #expect(try file.root.cursor().last() == false)
    }

    @Test func emptyBucketsAreInline() throws {
        let names = ["alarm", "auth", "key", "members"]
        let file = try BoltSample.open(try BoltSample.file(names.map { (Array($0.utf8), .bucket([])) }))
        #expect(try file.root.bucketNames() == names.map { Array($0.utf8) })
        #expect(try file.root.statistics().inlineBuckets == 4)
        for name in names {
            let bucket = try #require(try file.root.bucket(name))
            #expect(bucket.isInline)
            #expect(try bucket.cursor().first() == false)
        }
        #expect(try file.root.bucket("lease") == nil)
    }

    /// Leaves that end exactly at, just before and just behind the end of a page, and the bound of inline buckets.
    @Test(arguments: [1024 - 34, 1024 - 33, 1024 - 32, 1024 - 31, 4096 - 34, 4096 - 33, 4096 - 32, 8192 - 34, 8192 - 33, 8192 - 32])
    func sizesAtPageBoundaries(value: Int) throws {
        for count in 1...4 {
            let content = (0..<count).map { (key: [UInt8(97 + $0)], content: BoltModel.value(payload(UInt64($0), size: value / count))) }
            let model: [(key: [UInt8], content: BoltModel)] = [(Array("key".utf8), .bucket(content))]
            let file = try BoltSample.open(try BoltSample.file(model))
            #expect(file.check() == [], "\(count) values of \(value / count) bytes")
            try BoltSample.compare(file.root, model)
            let size = 16 + content.reduce(0) { $0 + 17 + (value / count) + ($1.key.count - 1) }
            #expect(try file.root.bucket("key")!.isInline == (size <= 1024))
        }
    }

    @Test func manyKeysMakeSeveralLevels() throws {
        let keys: [(key: [UInt8], content: BoltModel)] = (0..<100_000).map { number in
            (withUnsafeBytes(of: UInt64(number).bigEndian) { Array($0) } + [0x5F], .value(Array(repeating: UInt8(truncatingIfNeeded: number), count: number % 60)))
        }
        let bytes = try BoltSample.file([(Array("key".utf8), .bucket(keys))])
        let file = try BoltSample.open(bytes)
        #expect(file.check() == [])
        let bucket = try #require(try file.root.bucket("key"))
        let statistics = try bucket.statistics()
        #expect(statistics.keys == 100_000)
        #expect(statistics.depth == 3)
        // Pages are full: what a file wastes is its last pages.
        #expect(statistics.usedBytes * 100 > statistics.allocatedBytes * 96)
        var number = 0
        try bucket.forEach { key, value, isBucket in
            #expect(!isBucket && value.count == number % 60)
            number += 1
        }
        #expect(number == 100_000)
        #expect(try bucket.value(of: keys[77_777].key) == Array(repeating: UInt8(truncatingIfNeeded: 77_777), count: 77_777 % 60))
    }

    /// Values around half a page, as Kubernetes objects are, must not waste half of each page.
    @Test(arguments: [1400, 2100, 3000, 4100, 5000])
    func middlingValuesWasteLittle(size: Int) throws {
        let keys: [(key: [UInt8], content: BoltModel)] = (0..<500).map { (Array("k\(1000 + $0)".utf8), .value(payload(UInt64($0), size: size))) }
        let file = try BoltSample.open(try BoltSample.file([(Array("key".utf8), .bucket(keys))]))
        let statistics = try file.root.bucket("key")!.statistics()
        #expect(statistics.usedBytes * 100 > statistics.allocatedBytes * 88)
    }

    /// Every branch has two children, whatever the keys are: bbolt relies on it.
    @Test(arguments: 0..<UInt64(12 * soak))
    func branchesHaveTwoChildren(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let count = 2 + Int(random.next() % 600)
        let longest = [20, 400, 900, 3000][Int(random.next() % 4)]
        let keys: [(key: [UInt8], content: BoltModel)] = (0..<count).map { number in
            (Array("\(10_000 + number)".utf8) + payload(UInt64(number), size: Int(random.next() % UInt64(longest))), .value(payload(1, size: Int(random.next() % 700))))
        }
        let file = try BoltSample.open(try BoltSample.file([(Array("key".utf8), .bucket(keys))], pageSize: 1024))
        #expect(file.check() == [], "seed \(seed)")
        func visit(_ number: UInt64) throws {
            let page = BoltPage(file)
            try page.load(number)
            guard !page.isLeaf else { return }
            #expect(page.count >= 2, "seed \(seed), page \(number)")
            for index in 0..<page.count { try visit(page.child(index)) }
        }
        if let root = try file.root.bucket("key")!.rootPage { try visit(root) }
    }

    @Test func contentThatChangedIsNoticed() throws {
        let measuring = BoltWriter(measuring: 4096)
        BoltSample.give([(Array("key".utf8), .bucket([([1], .value(payload(1, size: 5000)))]))], to: measuring)
        let layout = try measuring.finish()
        let writer = BoltWriter(layout, transaction: 2, output: ByteSink())
        BoltSample.give([(Array("key".utf8), .bucket([([1], .value(payload(1, size: 9000)))]))], to: writer)
        #expect(throws: BoltLayoutError.self) { try writer.finish() }
    }
}

@Suite struct BoltDamageTests {
    /// Made once: the tests differ in the damage.
    private static let made = Result { try makeSample() }

    static func sample() throws -> [UInt8] { try made.get() }

    private static func makeSample() throws -> [UInt8] {
        var random = SplitMix64(seed: 99)
        var content: [(key: [UInt8], content: BoltModel)] = (0..<2000).map { (Array("key\(10_000 + $0)".utf8), .value(payload(UInt64($0), size: $0 % 200))) }
        content.append((Array("large".utf8), .value(payload(1, size: 300_000))))
        content.append((Array("within".utf8), .bucket([(Array("a".utf8), .bucket(BoltSample.random(&random, depth: 3))), (Array("b".utf8), .value([1]))])))
        return try BoltSample.file([(Array("key".utf8), .bucket(content)), (Array("small".utf8), .bucket([([1], .value([2]))]))])
    }

    /// Reads everything in every way; only errors of the reader may come out.
    static func exercise(_ bytes: [UInt8]) {
        do {
            let file = try BoltSample.open(bytes)
            _ = file.check()
            func read(_ bucket: BoltBucket) throws {
                _ = try? bucket.statistics()
                let cursor = bucket.cursor()
                _ = try? cursor.last()
                _ = try? Array("key15000".utf8).withUnsafeBytes { try cursor.seek($0) }
                var found = try cursor.first()
                while found {
                    _ = try cursor.value()
                    if cursor.isBucket { try read(try cursor.subBucket()) }
                    found = try cursor.next()
                }
            }
            try read(file.root)
        } catch {
            #expect(error is BoltError, "\(error)")
        }
    }

    @Test(arguments: 0..<UInt64(24 * soak))
    func flippedBits(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        var bytes = try Self.sample()
        for _ in 0..<(1 + random.next() % 30) {
            // Mostly in headers and element tables, where it hurts.
            let page = Int(random.next() % UInt64(bytes.count / 4096)) * 4096
            let offset = random.next() % 3 == 0 ? Int(random.next() % 4096) : Int(random.next() % 80)
            bytes[page + offset] ^= 1 << UInt8(random.next() % 8)
        }
        Self.exercise(bytes)
    }

    @Test(arguments: 0..<UInt64(24 * soak))
    func overwrittenNumbers(seed: UInt64) throws {
        var random = SplitMix64(seed: seed &+ 1000)
        var bytes = try Self.sample()
        let pages = UInt64(bytes.count / 4096)
        for _ in 0..<(1 + random.next() % 8) {
            let page = 2 + Int(random.next() % (pages - 2))
            // A child, a length, a count: replaced by another page or by something huge.
            let offset = page * 4096 + [8, 10, 12, 16, 20, 24, 28, 40][Int(random.next() % 8)]
            let value = [random.next() % pages, UInt64.max, random.next(), 0][Int(random.next() % 4)]
            withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(offset..<offset + 8, with: $0) }
        }
        Self.exercise(bytes)
    }

    @Test(arguments: 0..<UInt64(20 * soak))
    func truncated(seed: UInt64) throws {
        var random = SplitMix64(seed: seed &+ 2000)
        let bytes = Array(try Self.sample().dropLast(1 + Int(random.next() % 300_000)))
        let error = #expect(throws: BoltError.self) { try BoltSample.open(bytes) }
        #expect(error?.problem == .truncated)
        #expect(throws: BoltError.self) { try BoltSample.open(Array(bytes.prefix(Int(random.next() % 150)))) }
    }

    /// A page overwritten with another page's bytes says the wrong number, wherever it is met.
    @Test func swappedPagesAreNoticed() throws {
        let good = try Self.sample()
        for page in stride(from: 3, to: good.count / 4096 - 1, by: 9) {
            var bytes = good
            guard bytes[page * 4096 + 8] == 1 || bytes[page * 4096 + 8] == 2, bytes[page * 4096] == UInt8(truncatingIfNeeded: page),
                bytes[page * 4096 + 1] == UInt8(page >> 8)
            else { continue }
            bytes.replaceSubrange(page * 4096..<(page + 1) * 4096, with: Array(repeating: 0xA5, count: 4096))
            let file = try BoltSample.open(bytes)
            #expect(file.check().contains { $0.page == UInt64(page) && $0.problem == .wrongPageNumber && $0.offset == UInt64(page * 4096) })
        }
    }

    @Test func theNewerValidMetaPageCounts() throws {
        var bytes = try Self.sample()
        #expect(try BoltSample.open(bytes).meta.transaction == 8)
        bytes[16 + 20] ^= 1
        #expect(try BoltSample.open(bytes).meta.transaction == 7)
        bytes[4096 + 16 + 20] ^= 1
        #expect(#expect(throws: BoltError.self) { try BoltSample.open(bytes) }?.problem == .noValidMeta)
        bytes[16 + 20] ^= 1
        #expect(try BoltSample.open(bytes).meta.transaction == 8)
    }

    @Test func aCircleOfPagesEnds() throws {
        let good = try Self.sample()
        var bytes = good
        // Every branch's last child is the branch itself.
        for page in 3..<bytes.count / 4096 where bytes[page * 4096 + 8] == 1 {
            let count = Int(bytes[page * 4096 + 10]) | Int(bytes[page * 4096 + 11]) << 8
            let at = page * 4096 + 16 + (count - 1) * 16 + 8
            withUnsafeBytes(of: UInt64(page).littleEndian) { bytes.replaceSubrange(at..<at + 8, with: $0) }
        }
        #expect(bytes != good)
        let file = try BoltSample.open(bytes)
        #expect(file.check().contains { $0.problem == .doubleUse })
        #expect(throws: BoltError.self) {
            let cursor = try file.root.bucket("key")!.cursor()
            var found = try cursor.first()
            while found { found = try cursor.next() }
        }
        Self.exercise(bytes)
    }
}
