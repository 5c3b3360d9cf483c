// Rotated files: names, what is kept, crashes at any point, full and refusing directories.

import CZlib
import Glibc
import Testing

@testable import DatastoreTracing

/// A directory of a test's own.
private final class Scratch {
    let path: String

    init() {
        var template = Array("/tmp/martlet-rotation-XXXXXX".utf8CString)
        path = String(cString: mkdtemp(&template))
    }

    deinit {
        for name in directoryNames(path) { unlink(path + "/" + name) }
        rmdir(path)
    }

    var names: [String] { directoryNames(path).sorted() }

    func write(_ name: String, _ text: String) {
        let file = fopen(path + "/" + name, "w")!
        fputs(text, file)
        fclose(file)
    }

    func read(_ name: String) -> [UInt8] {
        guard let file = fopen(path + "/" + name, "r") else { return [] }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&piece, 1, piece.count, file)
            if count == 0 { return bytes }
            bytes += piece[..<count]
        }
    }

    /// The content of a gzip file; nil if it is none or is cut.
    func unzip(_ name: String) -> [UInt8]? {
        guard let file = gzopen(path + "/" + name, "r") else { return nil }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = gzread(file, &piece, UInt32(piece.count))
            if count <= 0 { return gzclose(file) == Z_OK && count == 0 ? bytes : nil }
            bytes += piece[..<Int(count)]
        }
    }
}

private func batch(_ lines: [String]) -> LogBatch {
    var batch = LogBatch()
    for line in lines { batch.append(Array((line + "\n").utf8), level: .info, package: "") }
    return batch
}

private let patience = LogPatience()

@Test func backupsAreNamedAsLumberjackNamesThem() {
    let name = BackupName(path: "/var/log/etcd.log")
    #expect(name.directory == "/var/log" && name.name(milliseconds: 1_795_305_085_406, local: false) == "etcd-2026-11-21T23-51-25.406.log")
    #expect(name.milliseconds(of: "etcd-2026-11-21T23-51-25.406.log", local: false) == 1_795_305_085_406)
    let bare = BackupName(path: "log")
    #expect(bare.directory == "." && bare.name(milliseconds: 7, local: false) == "log-1970-01-01T00-00-00.007")
    #expect(BackupName(path: "/log.txt").path("x") == "/x")
    #expect(BackupName(path: "a.b/c").name(milliseconds: 0, local: false) == "c-1970-01-01T00-00-00.000")
    for other in [
        "etcd.log", "etcd-.log", "etcd-2026-11-20T23-51-25.406.txt", "etcd-2026-11-20T23-51-25.406.log.gz", "etcd-2026-11-20T23:51:25.406.log",
        "etcd-2026-13-20T23-51-25.406.log", "etcd-2026-11-20T24-51-25.406.log", "xetcd-2026-11-20T23-51-25.406.log",
        "etcd-2026-11-20T23-51-2x.406.log",
    ] {
        #expect(name.milliseconds(of: other, local: false) == nil, "\(other)")
    }
    for milliseconds in [Int64(0), 1_700_000_000_123, 4_102_444_800_999] {
        #expect(name.milliseconds(of: name.name(milliseconds: milliseconds, local: true), local: true) == milliseconds)
    }
}

@Test func thePlanKeepsTheNewestAndCompressesTheRest() {
    let file = BackupName(path: "/x/etcd.log")
    let day: Int64 = 86_400_000
    let now = 100 * day
    func name(_ daysAgo: Int64) -> String { file.name(milliseconds: now - daysAgo * day, local: false) }
    let names = ["etcd.log", "other", name(1), name(2) + ".gz", name(3), name(3) + ".gz", name(4), name(5) + ".gz.tmp", name(6) + ".gz"]
    var plan = BackupPlan(names: names, of: file, FileRotation(), nowMilliseconds: now)
    #expect(plan == BackupPlan())
    plan = BackupPlan(names: names, of: file, FileRotation(compresses: true), nowMilliseconds: now, leftovers: true)
    #expect(plan.compress == [name(1), name(3), name(4)].sorted() && plan.remove == [name(5) + ".gz.tmp"])
    // A backup and its compressed self count once.
    plan = BackupPlan(names: names, of: file, FileRotation(backupsMaximum: 3, compresses: true), nowMilliseconds: now)
    #expect(plan.remove == [name(4), name(6) + ".gz"].sorted() && plan.compress == [name(1), name(3)].sorted())
    plan = BackupPlan(names: names, of: file, FileRotation(ageDaysMaximum: 2), nowMilliseconds: now)
    #expect(plan.remove == [name(3), name(3) + ".gz", name(4), name(6) + ".gz"].sorted() && plan.compress.isEmpty)
    plan = BackupPlan(names: names, of: file, FileRotation(ageDaysMaximum: .max), nowMilliseconds: now)
    #expect(plan.remove.isEmpty)
}

@Test func aFileIsPutAwayBeforeALineWouldMakeItTooLarge() throws {
    let scratch = Scratch()
    var clock: Int64 = 1_000_000_000
    let sink = try RotatingFileSink(path: scratch.path + "/x.log", FileRotation(bytesMaximum: 10)) { clock }
    #expect(sink.write(batch(["1234", "5678"]), patience).lost == 0)
    #expect(scratch.names == ["x.log"])
    clock += 1_000_000
    #expect(sink.write(batch(["a", "bcd", "efghi", "j"]), patience).lost == 0)
    clock -= 1_000_000  // the clock goes back to where there is a backup
    #expect(sink.write(batch(["123456789"]), patience).lost == 0)
    let long = sink.write(batch(["k", "1234567890", "l"]), patience)
    #expect(long.lost == 1 && long.reason == "write length 11 exceeds maximum file size 10")
    let backups = scratch.names.filter { $0 != "x.log" }
    #expect(backups.count == 4)
    let all = backups.map { String(decoding: scratch.read($0), as: UTF8.self) } + [String(decoding: scratch.read("x.log"), as: UTF8.self)]
    #expect(all.allSatisfy { $0.utf8.count <= 10 })
    #expect(Set(all) == ["1234\n5678\n", "a\nbcd\n", "efghi\nj\n", "123456789\n", "k\nl\n"])
}

@Test func anExistingFileCounts() throws {
    let scratch = Scratch()
    scratch.write("x.log", "12345678")
    chmod(scratch.path + "/x.log", 0o640)
    let sink = try RotatingFileSink(path: scratch.path + "/x.log", FileRotation(bytesMaximum: 10))
    #expect(sink.write(batch(["abc"]), patience).lost == 0)
    #expect(scratch.names.count == 2 && scratch.read("x.log") == Array("abc\n".utf8))
    var status = stat()
    #expect(stat(scratch.path + "/x.log", &status) == 0 && status.st_mode & 0o777 == 0o640)
}

@Test func backupsAreCompressedWhole() throws {
    let scratch = Scratch()
    let file = BackupName(path: scratch.path + "/x.log")
    var generator = SeededGenerator(seed: 7)
    let content = (0..<50_000).map { _ in String(UInt32.random(in: 0...999, using: &generator)) }.joined(separator: "\n")
    let name = file.name(milliseconds: 1_000, local: false)
    scratch.write(name, content)
    // Half a file that a killed program left beside its source, and what it was writing.
    scratch.write(name + ".gz", "half")
    scratch.write(file.name(milliseconds: 5, local: false) + ".gz.tmp", "half")
    let keeper = BackupKeeper(file, FileRotation(compresses: true), RotationCounts())
    keeper.tendNow(leftovers: true)
    #expect(scratch.names == [name + ".gz"])
    #expect(scratch.unzip(name + ".gz") == Array(content.utf8))
    keeper.tendNow(leftovers: true)
    #expect(scratch.names == [name + ".gz"])
}

@Test func whatCannotBePutAwayGoesOn() throws {
    let scratch = Scratch()
    let counts = RotationCounts()
    let sink = try RotatingFileSink(path: scratch.path + "/x.log", FileRotation(bytesMaximum: 10), counts)
    #expect(sink.write(batch(["1234567"]), patience).lost == 0)
    // Somebody else's rotation took the file away: the next one begins anew.
    rename(scratch.path + "/x.log", scratch.path + "/taken")
    #expect(sink.write(batch(["abcdefg"]), patience).lost == 0)
    #expect(scratch.names == ["taken", "x.log"] && scratch.read("x.log") == Array("abcdefg\n".utf8))
    try sink.reopen()
    #expect(sink.write(batch(["h"]), patience).lost == 0)
    #expect(scratch.read("x.log") == Array("abcdefg\nh\n".utf8))
}

@Test func aPipeNobodyReadsHoldsNobodyUp() throws {
    var ends: [Int32] = [0, 0]
    #expect(pipe(&ends) == 0)
    let core = LogCore(level: .info, format: .json, sinks: [DescriptorSink(descriptor: ends[1], name: "pipe")], sampled: false)
    let log = Log(core: core)
    let text = String(repeating: "x", count: 100_000)
    for _ in 0..<200 { log.info(text) }
    #expect(core.droppedLines > 0 && core.queuedBytes <= TracingLimits.queuedBytesMaximum)
    // Closing gives up what nobody takes.
    core.close()
    close(ends[0])
    close(ends[1])
}

@Test func oneOutputThatHangsDoesNotHoldUpAnother() {
    let slow = CapturingSink()
    let quick = CapturingSink()
    let core = LogCore(level: .info, format: .json, sinks: [slow, quick], sampled: false)
    let log = Log(core: core)
    slow.gate.withLock { _ in
        for number in 0..<100 { log.info("line", .int("n", number)) }
        while quick.lines.count < 100 { usleep(1_000) }
        #expect(slow.lines.isEmpty)
    }
    core.close()
    #expect(slow.lines == quick.lines)
}
