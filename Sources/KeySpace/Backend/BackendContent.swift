// What etcd's database would hold in this state: the ten buckets with exact keys and values. Snapshots, the Hash
// call and checks are made of it.

import Storage
import Wire

/// Takes the content bucket by bucket, keys ascending.
public protocol BackendSink: AnyObject {
    func beginBucket(_ name: String)
    func add(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer)
    func endBucket()
}

extension BoltWriter: BackendSink {}

/// Keys of etcd's bucket `meta`.
public enum BackendKeys {
    public static let consistentIndex = Array("consistent_index".utf8)
    public static let term = Array("term".utf8)
    public static let configuration = Array("confState".utf8)
    public static let storageVersion = Array("storageVersion".utf8)
    public static let scheduledCompaction = Array("scheduledCompactRev".utf8)
    public static let finishedCompaction = Array("finishedCompactRev".utf8)
    /// Name of the bucket that holds the keys.
    public static let keyBucket = "key"
    /// Bytes of a revision as a key of that bucket; a tombstone has one more.
    public static let revisionBytes = 17

    /// A revision as it is written there.
    public static func revision(_ main: Int64, sub: Int64 = 0, isTombstone: Bool = false) -> [UInt8] {
        var bytes = withUnsafeBytes(of: main.bigEndian) { [UInt8]($0) }
        bytes.append(UInt8(ascii: "_"))
        withUnsafeBytes(of: sub.bigEndian) { bytes.append(contentsOf: $0) }
        if isTombstone { bytes.append(UInt8(ascii: "t")) }
        return bytes
    }
}

/// One pass after the other over the content of a pinned state, in slices. Belongs to one thread at a time.
public final class BackendContent {
    private let walk: RecordWalk
    /// In the order of their names; nil stands for the keys.
    private let buckets: [(name: String, entries: [(key: [UInt8], value: [UInt8])]?)]
    private var bucket = 0
    /// Next entry of the bucket; −1: it is not begun.
    private var entry = -1
    private let keyMemory: UnsafeMutableRawBufferPointer

    /// Revision of the state.
    public var revision: Int64 { walk.revision }
    /// The last entry of the log whose effects it shows.
    public var appliedIndex: UInt64 { walk.appliedIndex }

    /// - Parameter storageVersion: the schema's version, `3.7.0`; nil while there is none.
    public init(_ walk: RecordWalk, storageVersion: String?) {
        self.walk = walk
        keyMemory = .allocate(byteCount: BackendKeys.revisionBytes + 1, alignment: 8)
        keyMemory[8] = UInt8(ascii: "_")
        keyMemory[BackendKeys.revisionBytes] = UInt8(ascii: "t")
        var buckets: [(name: String, entries: [(key: [UInt8], value: [UInt8])]?)] = [(BackendKeys.keyBucket, nil)]
        for bucket in MetaBucket.allCases {
            var entries = walk.metaEntries(bucket)
            if bucket == .meta { entries.merge(Self.metaEntries(walk, storageVersion)) { $1 } }
            buckets.append((bucket.name, entries.map { ($0.key, $0.value) }.sorted { $0.0.lexicographicallyPrecedes($1.0) }))
        }
        self.buckets = buckets.sorted { Array($0.name.utf8).lexicographicallyPrecedes(Array($1.name.utf8)) }
    }

    deinit { keyMemory.deallocate() }

    private static func metaEntries(_ walk: RecordWalk, _ storageVersion: String?) -> [[UInt8]: [UInt8]] {
        var entries: [[UInt8]: [UInt8]] = [:]
        func number(_ value: UInt64) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { [UInt8]($0) } }
        if walk.appliedIndex > 0 {
            entries[BackendKeys.consistentIndex] = number(walk.appliedIndex)
            entries[BackendKeys.term] = number(walk.appliedTerm)
        }
        if walk.compactRevision >= 0 {
            entries[BackendKeys.scheduledCompaction] = BackendKeys.revision(walk.compactRevision)
            entries[BackendKeys.finishedCompaction] = BackendKeys.revision(walk.compactRevision)
        }
        let members = walk.metaEntries(.members).values.compactMap { MemberDescription(json: $0) }.sorted { $0.id < $1.id }
        if !members.isEmpty { entries[BackendKeys.configuration] = configuration(members) }
        if let storageVersion { entries[BackendKeys.storageVersion] = Array(storageVersion.utf8) }
        return entries
    }

    private static func configuration(_ members: [MemberDescription]) -> [UInt8] {
        func list(_ ids: [MemberDescription]) -> String { ids.map { String($0.id.rawValue) }.joined(separator: ",") }
        var text = "{\"voters\":[\(list(members.filter { !$0.isLearner }))],"
        let learners = members.filter(\.isLearner)
        if !learners.isEmpty { text += "\"learners\":[\(list(learners))]," }
        return Array((text + "\"auto_leave\":false}").utf8)
    }

    // MARK: Passes

    /// Begins again; every pass shows the same.
    public func rewind() {
        bucket = 0
        entry = -1
    }

    /// Hands out a slice of the content; false when that was all.
    ///
    /// - Throws: `StorageError` if a record cannot be read; the pass is over then.
    public func step(into sink: some BackendSink) throws -> Bool {
        try step(begin: sink.beginBucket, end: sink.endBucket) {
            for (key, value) in $0 { key.withUnsafeBytes { key in value.withUnsafeBytes { sink.add(key, $0) } } }
        } keys: {
            try walk.step { revision, isTombstone, record in
                keyMemory.storeBytes(of: revision.main.bigEndian, as: Int64.self)
                keyMemory.baseAddress!.storeBytes(of: Int64(revision.sub).bigEndian, toByteOffset: 9, as: Int64.self)
                let length = BackendKeys.revisionBytes + (isTombstone ? 1 : 0)
                sink.add(UnsafeRawBufferPointer(rebasing: keyMemory[..<length]), record)
            }
        }
    }

    /// Measures a slice of the content without reading records; false when that was all.
    public func measure(into writer: BoltWriter) -> Bool {
        // Nothing is read, so nothing fails.
        (try? step(begin: writer.beginBucket, end: writer.endBucket) {
            for (key, value) in $0 { writer.add(keyCount: key.count, valueCount: value.count) }
        } keys: {
            walk.stepLengths { isTombstone, length in
                writer.add(keyCount: BackendKeys.revisionBytes + (isTombstone ? 1 : 0), valueCount: length)
            }
        })!
    }

    private func step(
        begin: (String) -> Void, end: () -> Void, entries body: (ArraySlice<(key: [UInt8], value: [UInt8])>) -> Void,
        keys: () throws -> Bool
    ) throws -> Bool {
        guard bucket < buckets.count else { return false }
        if entry < 0 {
            begin(buckets[bucket].name)
            entry = 0
            if buckets[bucket].entries == nil { walk.rewind() }
        }
        if let entries = buckets[bucket].entries {
            let next = min(entry + StoreLimits.versionsPerSlice, entries.count)
            body(entries[entry..<next])
            entry = next
            if entry < entries.count { return true }
        } else if try keys() {
            return true
        }
        end()
        bucket += 1
        entry = -1
        return bucket < buckets.count
    }
}

extension MVCCStore {
    /// The content of etcd's database as of this moment, pinned; nil while the last publication failed.
    public func backendContent(storageVersion: String?) -> BackendContent? {
        records().map { BackendContent($0, storageVersion: storageVersion) }
    }
}
