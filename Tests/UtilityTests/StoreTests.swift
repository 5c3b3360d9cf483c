// A store with a random history through the tool: as a store and as the database made of it, hash, count of keys and dumps agree.

import CommandLineTools
import KeySpace
import Storage
import Testing
import Wire

@testable import Utility

#if canImport(Glibc)
import Glibc
#endif

/// A directory of its own, removed with the object.
final class ScratchDirectory {
    let path: String

    init() {
        var template = Array("/tmp/martletutl-test-XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil)
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit { Self.remove(path) }

    private static func remove(_ path: String) {
        let system = PosixFileSystem()
        guard let names = try? system.list(path) else { return _ = unlink(path) }
        for name in names { remove(path + "/" + name) }
        rmdir(path)
    }
}

/// Runs the tool in this process.
func runTool(_ arguments: String...) -> (status: Int32, output: String, errors: String) {
    let console = Console(inMemory: ())
    let status = UtilityTool().run(arguments, console: console)
    return (status, String(decoding: console.output, as: UTF8.self), String(decoding: console.errors, as: UTF8.self))
}

@Suite struct StoreTests {
    /// A data directory with a store whose history is random; answers live keys and the last revision.
    private func makeStore(_ directory: String, seed: UInt64, compacts: Bool) throws -> (keys: Set<String>, revision: Int64) {
        var random = SplitMix(seed: seed)
        let store = try MVCCStore.open(fileSystem: PosixFileSystem(), directory: directory + "/member/store")
        var live: Set<String> = []
        for index in 1...120 as ClosedRange<UInt64> {
            store.beginEntry(raftIndex: index, term: 2)
            for _ in 0..<(1 + random.next() % 3) {
                let key = "k\(random.next() % 25)"
                let bytes = Array(key.utf8)
                if random.next() % 4 == 0 {
                    bytes.withUnsafeBytes { _ = store.deleteRange(key: $0, rangeEnd: UnsafeRawBufferPointer(start: nil, count: 0)) }
                    live.remove(key)
                } else {
                    let value = [UInt8](repeating: UInt8(truncatingIfNeeded: random.next()), count: Int(random.next() % 600))
                    bytes.withUnsafeBytes { key in value.withUnsafeBytes { _ = store.put(key: key, value: $0, lease: 0) } }
                    live.insert(key)
                }
            }
            if compacts, index % 40 == 0 { try store.compact(to: store.currentRevision - Int64(random.next() % 10)) }
            store.endEntry()
            try store.publish()
        }
        store.beginEntry(raftIndex: 121, term: 2)
        let member = MemberDescription(id: MemberID(0xabc), name: "default", peerURLs: ["http://localhost:2380"])
        store.metaPut(.members, key: ClusterKeys.key(member.id), value: member.json())
        store.metaPut(.cluster, key: ClusterKeys.clusterVersion, value: Array("3.7.0".utf8))
        store.endEntry()
        try store.publish()
        let revision = store.currentRevision
        store.close()
        let log = try WriteAheadLog.create(
            fileSystem: PosixFileSystem(), directory: directory + "/member/wal", metadata: WALMetadata(memberID: member.id, clusterID: ClusterID(7)))
        try log.append(hardState: HardState(term: 2, vote: member.id, commit: 123), entries: (1...123).map { Entry(term: 2, index: $0) })
        try log.close()
        return (live, revision)
    }

    @Test(arguments: 1...4)
    func storeAndDatabaseAgree(seed: Int) throws {
        let scratch = ScratchDirectory()
        let source = scratch.path + "/m"
        let (keys, revision) = try makeStore(source, seed: UInt64(seed), compacts: seed % 2 == 0)
        let target = scratch.path + "/e"
        let exported = runTool("export", "--data-dir", source, "--output", target, "--json")
        #expect(exported.status == 0, "seed \(seed): \(exported.errors)")
        #expect(exported.output.contains("\"revision\":\(revision)") && exported.output.contains("\"entriesBehind\":2"))
        let database = target + "/member/snap/db"

        // The hash of the store and of the file, now and before.
        let compacted = try #require(Int64(runTool("hashkv", source).output.split(separator: ", ").last!.dropLast()))
        for wanted in [0, revision, revision - 7, max(compacted, 1)] where wanted == 0 || wanted >= compacted {
            let ours = runTool("hashkv", source, "--rev", String(wanted))
            let theirs = runTool("hashkv", database, "--rev", String(wanted))
            #expect(ours.output == theirs.output && ours.status == 0, "seed \(seed), revision \(wanted): \(ours) \(theirs)")
        }
        #expect(runTool("hashkv", database, "--rev", String(revision + 1)).errors == "Error: mvcc: required revision is a future revision\n")

        // Keys are counted alike by records and by names.
        let status = runTool("snapshot", "status", database)
        #expect(status.output.contains(", \(revision), \(keys.count), "), "seed \(seed): \(status)")
        let file = try DatabaseFile(database, LockPatience(limit: .seconds(1), console: Console(inMemory: ())))
        #expect(try DatabaseStatus.countByNames(file) == keys.count)

        // Dumps of both look the same; the file's consistent index is that of the store.
        for bucket in ["key", "members", "cluster", "meta"] {
            let ours = runTool("dump-db", "iterate-bucket", source, bucket, "--decode")
            let theirs = runTool("dump-db", "iterate-bucket", database, bucket, "--decode")
            #expect(ours.output == theirs.output && !ours.output.isEmpty, "seed \(seed), \(bucket)")
        }
        #expect(runTool("dump-db", "list-bucket", source).output == runTool("dump-db", "list-bucket", target).output)
        let lines = { (text: String) in text.split(separator: "\n").last.map(String.init) }
        #expect(lines(runTool("dump-db", "hash", source).output) == lines(runTool("dump-db", "hash", target).output))
        #expect(runTool("verify", source).status == 0 && runTool("verify", target).status == 0)
        #expect(runTool("dump-logs", target).output.contains("WAL entries: 2\nlastIndex=123\n"))
    }

    @Test func countingWithoutNames() {
        var random = SplitMix(seed: 11)
        for _ in 0..<50 {
            var counter = LiveKeyCounter(Compactions([:]))
            var versions: [UInt64: Int64] = [:]
            for main in 2..<300 as Range<Int64> {
                let key = random.next() % 20
                var bytes = BackendKeys.revision(main)
                if random.next() % 3 == 0 {
                    guard versions.removeValue(forKey: key) != nil else { continue }
                    bytes = BackendKeys.revision(main, isTombstone: true)
                    counter.take(bytes.withUnsafeBytes { RevisionKey($0)! }, 0)
                } else {
                    versions[key, default: 0] += 1
                    counter.take(bytes.withUnsafeBytes { RevisionKey($0)! }, versions[key]!)
                }
            }
            #expect(counter.count == versions.count)
        }
    }

    /// Every flipped bit of the store's files is an answer, never a crash; most are noticed.
    @Test func damage() throws {
        let scratch = ScratchDirectory()
        _ = try makeStore(scratch.path, seed: 3, compacts: false)
        var random = SplitMix(seed: 5)
        let system = PosixFileSystem()
        var noticed = 0
        let files = try ["store", "wal"].flatMap { directory in try system.list("\(scratch.path)/member/\(directory)").map { "\(scratch.path)/member/\(directory)/\($0)" } }
        for _ in 0..<40 {
            let path = files[Int(random.next() % UInt64(files.count))]
            let file = try system.open(path, .readWrite)
            defer { file.close() }
            // The log's file is mostly zeros behind its records.
            let size = min(try file.size(), 20_000)
            let offset = random.next() % size
            var byte: UInt8 = 0
            _ = try withUnsafeMutableBytes(of: &byte) { try file.read(into: $0, at: offset) }
            byte ^= 1 << UInt8(random.next() % 8)
            try withUnsafeBytes(of: byte) { try file.write($0, at: offset) }
            let result = runTool("verify", scratch.path)
            if result.status == 1 { noticed += 1 }
            #expect(result.status == 0 || result.output.contains("DAMAGED") || result.errors.hasPrefix("Error: "), "\(path), \(offset)")
            _ = runTool("hashkv", scratch.path)
            _ = runTool("dump-logs", "--raw", scratch.path)
        }
        #expect(noticed > 10)
    }
}

@Suite struct DirectoryTests {
    @Test func aTakenPlaceIsRefused() throws {
        let scratch = ScratchDirectory()
        let system = PosixFileSystem()
        try system.createDirectory(scratch.path + "/full/x")
        #expect(throws: CommandFailure("data-dir \"\(scratch.path)/full\" not empty or could not be read")) {
            try NewDirectory(scratch.path + "/full", walDirectory: "")
        }
        #expect(throws: CommandFailure("wal-dir \"\(scratch.path)/full\" exists")) {
            try NewDirectory(scratch.path + "/new", walDirectory: scratch.path + "/full")
        }
    }

    /// What an interrupted attempt has left is replaced, wherever it was made.
    @Test(arguments: [false, true]) func itIsMadeAside(exists: Bool) throws {
        let scratch = ScratchDirectory()
        let system = PosixFileSystem()
        let target = scratch.path + "/d"
        if exists { try system.createDirectory(target) }
        for round in 0..<2 {
            let new = try NewDirectory(target, walDirectory: "")
            try new.begin()
            try system.createDirectory(new.wal)
            #expect(!system.exists(target + "/member"))
            // The first one is given up.
            guard round == 1 else { continue }
            try new.finish()
        }
        #expect(try system.list(target) == ["member"])
        #expect(try system.list(target + "/member") == ["snap", "wal"])
        #expect(try system.list(scratch.path) == ["d"])
    }

    @Test func members() throws {
        let one = try InitialMembers(name: "default", cluster: "default=http://localhost:2380", token: "etcd-cluster", peerURLs: "http://localhost:2380")
        // What etcd computes from its defaults.
        #expect(one.own.id.description == "8e9e05c52164694d" && one.clusterID.description == "cdf818194e3a8c32")
        #expect(throws: CommandFailure("couldn't find local name \"x\" in the initial cluster configuration")) {
            try InitialMembers(name: "x", cluster: "default=http://localhost:2380", token: "t", peerURLs: "http://localhost:2380")
        }
        #expect(throws: CommandFailure("URL scheme must be http, https, unix, or unixs: ftp://h:1")) {
            try InitialMembers(name: "a", cluster: "a=http://h:1", token: "t", peerURLs: "ftp://h:1")
        }
        #expect(throws: CommandFailure("URL must not contain a path: http://h:1/p")) {
            try InitialMembers(name: "a", cluster: "a=http://h:1/p", token: "t", peerURLs: "http://h:1")
        }
    }
}

@Suite struct CommandLineTests {
    @Test func badInput() {
        #expect(runTool("snapshot", "status").errors == "Error: snapshot status requires exactly one argument\n")
        #expect(runTool("snapshot", "status").status == 128)
        #expect(runTool("snapshot", "status", "/nonexistent").errors == "Error: stat /nonexistent: no such file or directory\n")
        #expect(runTool("snapshot", "status", "/nonexistent", "-w", "bogus").status == 4)
        #expect(runTool("snapshot", "status", "/tmp").errors == "Error: invalid database\n")
        #expect(runTool("migrate", "--data-dir", "d", "--target-version", "3").errors == "Error: wrong target version format, expected \"X.Y\", got \"3\"\n")
        #expect(runTool("migrate", "--data-dir", "d", "--target-version", "3.4").errors == "Error: target version \"3.4\" not supported. Minimal \"3.5\"\n")
        #expect(runTool("migrate", "--data-dir", "d", "--target-version", "3.4").status == 128)
        #expect(runTool("snapshot", "restore", "f", "--data-dir", "d", "--bump-revision", "3").errors == "Error: --mark-compacted required if --revision-bump > 0\n")
        #expect(runTool("dump-logs").errors == "Error: Must provide data-dir argument (got [])\n")
        #expect(runTool("version").output == "etcdutl version: 3.7.1\nAPI version: 3.7\n")
    }
}
