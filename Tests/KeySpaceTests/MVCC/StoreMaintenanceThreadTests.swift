// The maintenance thread beside a writer and readers: every read is one consistent state.

import Storage
import Synchronization
import Testing
import Wire

#if canImport(Glibc)
import Glibc
#endif

@testable import KeySpace

/// Runs bodies on threads of their own and waits for all.
func inThreads(_ bodies: [@Sendable () -> Void]) {
    final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let threads = bodies.map { body in
        var handle = pthread_t()
        let result = pthread_create(&handle, nil, { context in
            Unmanaged<Box>.fromOpaque(context!).takeRetainedValue().body()
            return nil
        }, Unmanaged.passRetained(Box(body)).toOpaque())
        precondition(result == 0)
        return handle
    }
    for thread in threads { pthread_join(thread, nil) }
}

@Suite struct StoreConcurrencyTests {
    /// Each entry writes the same number under all keys, so that a consistent read sees one number only.
    @Test func readersSeeWholeEntries() throws {
        let directory = TemporaryDirectory()
        var logOptions = RevisionLogOptions()
        logOptions.segmentBytes = 100_000
        logOptions.preallocates = false
        logOptions.skipsSync = true
        let store = try MVCCStore.open(fileSystem: PosixFileSystem(), directory: directory.path, logOptions: logOptions)
        let reports = Mutex<[String]>([])
        let maintenance = StoreMaintenance(store: store) { report in
            if case .failed(let error) = report { reports.withLock { $0.append("\(error)") } }
            if case .willRetry(let error) = report { reports.withLock { $0.append("\(error)") } }
        }
        maintenance.start()

        let keyCount = 40
        let rounds: Int64 = 1500
        let isOver = Atomic<Bool>(false)
        let problems = Mutex<[String]>([])
        @Sendable func fail(_ text: String) { problems.withLock { $0.append(text) } }

        @Sendable func write() {
            for round in 1...rounds {
                store.beginEntry(raftIndex: UInt64(round), term: 1)
                let value = withUnsafeBytes(of: round.bigEndian) { Array($0) } + Array(repeating: 7, count: Int(round % 100))
                for key in 0..<keyCount {
                    Array("k/\(1000 + key)".utf8).withUnsafeBytes { key in
                        value.withUnsafeBytes { _ = store.put(key: key, value: $0, lease: 0) }
                    }
                }
                if round % 50 == 0 { try? store.compact(to: store.currentRevision - 5) }
                store.endEntry()
                try! store.publish()
                if round % 400 == 0 { maintenance.defragment { if let error = $0 { fail("defragment: \(error)") } } }
            }
            isOver.store(true, ordering: .releasing)
        }

        @Sendable func readLists() {
            let start = Array("k/".utf8)
            let end = Array("k0".utf8)
            while !isOver.load(ordering: .acquiring) {
                start.withUnsafeBytes { start in
                    end.withUnsafeBytes { end in
                        var query = RangeQuery()
                        query.key = start
                        query.rangeEnd = end
                        guard let answer = try? store.range(query) else { return fail("range") }
                        while !answer.isReady { answer.cursor!.step() }
                        let sink = ByteSink()
                        do { try answer.write(to: sink) } catch { return fail("\(error)") }
                        if sink.count != answer.encodedLength { fail("length") }
                        guard answer.revision > 1 else { return }
                        var numbers: Set<Int64> = []
                        var reader = ProtobufReader(sink.bytes)
                        var seen = 0
                        while let (field, type) = try? reader.next() {
                            guard field == 2, let bytes = try? reader.bytes(type), let record = try? StoredKeyValue(decoding: bytes) else {
                                try? reader.skip(type, field: field)
                                continue
                            }
                            seen += 1
                            numbers.insert(Int64(bigEndian: record.value.loadUnaligned(as: Int64.self)))
                            if record.modified != answer.revision { fail("revision \(record.modified) at \(answer.revision)") }
                        }
                        if seen != keyCount || numbers.count != 1 { fail("\(seen) keys, \(numbers.count) states") }
                    }
                }
            }
        }

        @Sendable func readEvents() {
            let batch = EventBatch()
            let sink = ByteSink()
            var next: Int64 = 2
            while next <= rounds + 1 {
                do throws(CallError) {
                    try store.events(from: next, into: batch, maximumEvents: 100)
                } catch {
                    next = max(store.compactRevision, next)
                    continue
                }
                if batch.events.count % keyCount != 0 { fail("a revision in pieces") }
                for event in batch.events {
                    sink.clear()
                    do throws(StorageError) {
                        try store.appendRecord(of: event.version, to: sink)
                        guard let record = try? StoredKeyValue(decoding: sink.bytes) else { fail("record"); continue }
                        if record.modified != event.version.modified.main { fail("a record of another revision") }
                    } catch {
                        // Compacted and collected meanwhile: allowed only below the compaction.
                        if !error.isStale || event.version.modified.main > store.compactRevision { fail("\(error)") }
                    }
                }
                next = batch.nextRevision
            }
        }

        inThreads([write, readLists, readLists, readEvents])
        // Forget all but the last state, and give the space back.
        store.beginEntry(raftIndex: UInt64(rounds) + 1, term: 1)
        try store.compact(to: store.currentRevision)
        store.endEntry()
        try store.publish()
        let isDefragmented = Atomic<Bool>(false)
        maintenance.defragment { error in
            if let error { fail("defragment: \(error)") }
            isDefragmented.store(true, ordering: .releasing)
        }
        while !isDefragmented.load(ordering: .acquiring) { sched_yield() }
        #expect(store.statistics.versions - store.statistics.deadVersions == keyCount)
        let size = store.size
        #expect(size < 100_000)
        maintenance.stop()
        #expect(problems.withLock { $0 } == [])
        #expect(reports.withLock { $0 } == [])
        #expect(store.table.invariantViolation() == nil)
        store.close()
        let reopened = try MVCCStore.open(fileSystem: PosixFileSystem(), directory: directory.path, logOptions: logOptions)
        #expect(reopened.currentRevision == rounds + 1)
        #expect(reopened.table.invariantViolation() == nil)
        reopened.close()
    }
}
