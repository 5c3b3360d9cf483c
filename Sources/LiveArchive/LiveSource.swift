// A live server as a store that is read: pages of its keys as of one revision; for the history also a watch of the past.

import Archive
import Client
import Wire

/// A server, or a cluster, through its v3 API. One thread.
///
/// Everything is as of the revision at which it was opened. Of the history, what the last compaction left is read as pages, and
/// what came after as events of a watch, which costs the server as much as a client that comes back after a long time.
public final class LiveSource: RevisionSource {
    public let path: String
    public let kind = SourceKind.server
    public let size: UInt64
    public let compacted: Int64
    public let revision: Int64
    public let notes: [String] = []
    public var progress: ((UInt64) -> Void)?
    public let client: Client
    private let timeout: Duration
    private static let pageKeys: Int64 = 500
    private static let progressInterval = Duration.milliseconds(150)
    /// Pages for `read`, one for each revision that is asked for: a comparison reads at two.
    private var pages: [Int64: (kvs: [KeyValue], next: Int)] = [:]

    /// - Parameter timeout: of each request.
    /// - Throws: `ArchiveError` if nobody answers.
    public init(_ options: ClientOptions, timeout: Duration) throws {
        path = options.endpoints.joined(separator: ",")
        self.timeout = timeout
        do {
            let client = try Client(options)
            self.client = client
            let (revision, size) = try Blocking.wait {
                var get = Get(.all)
                get.countOnly = true
                get.limit = 1
                let answer = try await client.get(get, timeout: timeout)
                let status = try? await client.status(timeout: timeout)
                return (answer.header.revision, UInt64(clamping: status?.message.dbSize ?? 0))
            }
            self.revision = revision
            self.size = size
            compacted = try Blocking.wait { try await LiveSource.compactRevision(client, timeout) }
        } catch {
            throw LiveSource.explained(error, path)
        }
    }

    deinit { client.close() }

    /// A watch from the first revision on is refused with the revision that is the first.
    private static func compactRevision(_ client: Client, _ timeout: Duration) async throws -> Int64 {
        do throws(ClientError) {
            var get = Get(.key([0]))
            get.revision = 1
            _ = try await client.get(get, timeout: timeout)
            return 0
        } catch {
            guard error.matches(.compacted) else { throw error }
        }
        var watch = Watch(.key([0]))
        watch.startRevision = 1
        let sequence = await client.watch(watch)
        do throws(ClientError) {
            var iterator = sequence.makeAsyncIterator()
            while try await iterator.next() != nil {}
            return 0
        } catch {
            guard error.compactRevision > 0 else { throw error }
            return error.compactRevision
        }
    }

    static func explained(_ error: any Error, _ path: String) -> any Error {
        switch error {
        case let error as ClientError: ArchiveError("\(path): \(error.connectionFailure ?? error.message)")
        case let error as ClientSetupError: ArchiveError(error.description)
        default: error
        }
    }

    // MARK: Reading

    private func request(_ span: KeySpan, at revision: Int64) -> Get {
        let low = span.low.isEmpty ? [0] : span.low
        var get = Get(.interval(low, span.high ?? [0]))
        get.revision = revision
        return get
    }

    public func forEach(_ scope: ReadScope, _ body: (StoredRevision) throws -> Bool) throws {
        do {
            var bytes: UInt64 = 0
            // Without a history: the state. With one: the state that the compaction left, and all that happened since.
            let first = scope.needsHistory ? compacted : scope.revision
            if first > 0 {
                try forEachPage(request(scope.span, at: first)) { kv in
                    bytes += UInt64(kv.key.count + kv.value.count)
                    return try LiveSource.visit(kv, isDelete: false, body)
                } progress: {
                    progress?(bytes)
                }
            }
            guard scope.needsHistory, first < scope.revision else { return }
            try forEachEvent(scope, after: first) { event in
                bytes += UInt64(event.kv.key.count + event.kv.value.count)
                return try LiveSource.visit(event.kv, isDelete: event.kind == .delete, body)
            } progress: {
                progress?(bytes)
            }
        } catch {
            throw LiveSource.explained(error, path)
        }
    }

    private static func visit(_ kv: KeyValue, isDelete: Bool, _ body: (StoredRevision) throws -> Bool) throws -> Bool {
        try kv.key.withUnsafeBytes { key in
            try kv.value.withUnsafeBytes { value in
                try body(
                    StoredRevision(
                        key: key, value: value, created: kv.createRevision, modified: kv.modRevision, version: kv.version, lease: kv.lease,
                        isDelete: isDelete))
            }
        }
    }

    private func forEachPage(_ get: Get, _ body: (KeyValue) throws -> Bool, progress: () -> Void) throws {
        var get = get
        get.limit = LiveSource.pageKeys
        let (_, end) = get.range.bounds
        while true {
            let page = try Blocking.wait { [client, timeout, get] in try await client.get(get, timeout: timeout) }
            for kv in page.kvs { guard try body(kv) else { return } }
            progress()
            guard page.more, let last = page.kvs.last else { return }
            get.range = .interval(last.key + [0], end)
        }
    }

    private func forEachEvent(_ scope: ReadScope, after first: Int64, _ body: (WatchEvent) throws -> Bool, progress: () -> Void) throws {
        var watch = Watch(request(scope.span, at: 0).range)
        watch.startRevision = first + 1
        let reader = try Blocking.wait { [client, watch] in EventReader(await client.watch(watch)) }
        // The last revision need not concern these keys: only a progress answer tells that there is no more. Servers before
        // 3.5.8 answer it before a watch has caught up, so that two are needed with nothing between them.
        let asking = Task.detached { [client] in
            while !Task.isCancelled {
                try? await Task.sleep(for: LiveSource.progressInterval)
                await client.requestWatchProgress()
            }
        }
        defer {
            asking.cancel()
            try? Blocking.wait { await reader.cancel() }
        }
        var quietAnswers = 0
        while quietAnswers < 2, let answer = try Blocking.wait({ try await reader.next() }) {
            quietAnswers = answer.isProgress && answer.header.revision >= scope.revision ? quietAnswers + 1 : 0
            for event in answer.events {
                guard event.kv.modRevision <= scope.revision, try body(event) else { return }
            }
            progress()
            if let last = answer.events.last, last.kv.modRevision >= scope.revision { return }
        }
    }

    /// Hands out every change after a revision until the connection to all servers is lost for good, or the body throws.
    public func watch(_ span: KeySpan, after revision: Int64, _ body: (StoredRevision) throws -> Void) throws {
        var watch = Watch(request(span, at: 0).range)
        watch.startRevision = revision + 1
        do {
            let reader = try Blocking.wait { [client, watch] in EventReader(await client.watch(watch)) }
            defer { try? Blocking.wait { await reader.cancel() } }
            while let answer = try Blocking.wait({ try await reader.next() }) {
                for event in answer.events {
                    _ = try LiveSource.visit(event.kv, isDelete: event.kind == .delete) {
                        try body($0)
                        return true
                    }
                }
            }
        } catch {
            throw LiveSource.explained(error, path)
        }
    }

    private actor EventReader {
        private let sequence: WatchSequence

        init(_ sequence: WatchSequence) { self.sequence = sequence }

        func next() async throws -> WatchResponse? {
            var iterator = sequence.makeAsyncIterator()
            return try await iterator.next()
        }

        func cancel() async { await sequence.cancel() }
    }

    public func read(
        _ place: RecordPlace, of key: UnsafeRawBufferPointer, at revision: Int64, _ body: (StoredRevision) throws -> Void
    ) throws {
        // Keys are read in their order, so that what comes behind one is what is needed next.
        if var page = pages[revision] {
            while page.next < page.kvs.count, page.kvs[page.next].key.lexicographicallyPrecedes(key) { page.next += 1 }
            pages[revision] = page
            if page.next < page.kvs.count, page.kvs[page.next].key.elementsEqual(key) { return try give(page.kvs[page.next], place, body) }
        }
        var get = request(KeySpan(low: [UInt8](key)), at: revision)
        get.limit = LiveSource.pageKeys
        do {
            let page = try Blocking.wait { [client, timeout, get] in try await client.get(get, timeout: timeout) }
            pages[revision] = (page.kvs, 0)
            guard let first = page.kvs.first, first.key.elementsEqual(key) else { throw ArchiveError("\(path): revision \(place) is not there any more") }
            try give(first, place, body)
        } catch {
            throw LiveSource.explained(error, path)
        }
    }

    private func give(_ kv: KeyValue, _ place: RecordPlace, _ body: (StoredRevision) throws -> Void) throws {
        guard kv.modRevision == place.main else { throw ArchiveError("\(path): revision \(place) is not there any more") }
        _ = try LiveSource.visit(kv, isDelete: false) {
            try body($0)
            return true
        }
    }
}
