// The logger: levels, sampling, queue, outputs.

import Glibc
import Logging
import Synchronization
import Testing

import DatastoreMetrics
@testable import DatastoreTracing

@Test func linesBelowTheLevelCostNothing() {
    let capture = LogCapture()
    capture.log.debug("quiet", { Issue.record("fields were built"); return [] }())
    capture.log.info("loud")
    capture.core.level = .debug
    capture.log.debug("now loud", [.bool("x", true)])
    capture.core.level = .error
    capture.log.warn("quiet again")
    #expect(capture.lines.count == 2)
    #expect(capture.lines[1].contains("\"msg\":\"now loud\",\"x\":true"))
}

@Test func aLineKnowsItsCaller() {
    let capture = LogCapture()
    let expected = #line + 1
    capture.log.info("here", .string("k", "v"))
    #expect(capture.lines[0].contains("\"caller\":\"TracingTests/LogTests.swift:\(expected)\",\"msg\":\"here\",\"k\":\"v\""))
    #expect(Log.caller("Module/Folder/File.swift", 7) == "Folder/File.swift:7")
}

@Test func namedLoggersSayTheirName() {
    let capture = LogCapture()
    capture.log.named("raft").warn("elected")
    #expect(capture.lines[0].contains("\"logger\":\"raft\",\"caller\""))
}

@Test func errorsAreWrittenAtOnceWithAStack() {
    let capture = LogCapture()
    capture.log.info("before")
    capture.log.error("broken", .error("disk"))
    let lines = capture.sink.lines  // without flush
    #expect(lines.count == 2)
    #expect(lines[1].contains("\"error\":\"disk\",\"stacktrace\":\"errorsAreWrittenAtOnceWithAStack()\\n\\tTracingTests/LogTests.swift:"))
}

@Test func aFatalLineIsWrittenBeforeTheEnd() async throws {
    let result = await #expect(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
        let log = Log(core: try LogCore())
        log.info("before")
        log.fatal("the end", .error("why"))
    }
    let text = String(decoding: try #require(result).standardErrorContent, as: UTF8.self)
    #expect(text.contains("\"msg\":\"before\"}\n{\"level\":\"fatal\"") && text.contains("\"error\":\"why\",\"stacktrace\""))
}

@Test func stormsAreSampled() {
    var sampler = Sampler()
    var admitted = 0
    for _ in 0..<1_000 where sampler.admits(.info, "same", now: 5) { admitted += 1 }
    #expect(admitted == 100 + 9)
    let otherLevel = sampler.admits(.warn, "same", now: 5)
    let nextSecond = sampler.admits(.info, "same", now: 5 + 1_000_000_001)
    #expect(otherLevel && nextSecond)
    let capture = LogCapture(sampled: true)
    for _ in 0..<90 { capture.log.info("same") }
    #expect(capture.lines.count == 90)
}

@Test func aFullQueueDropsAndCounts() {
    let capture = LogCapture()
    let text = String(repeating: "x", count: 1_024 * 1_024)
    capture.sink.gate.withLock { _ in
        capture.log.info("opens the way")
        for _ in 0..<20 { capture.log.info(text) }
    }
    capture.core.flush()
    #expect(capture.core.droppedLines >= 20 - 16)
    capture.log.info("with room again")
    capture.core.close()
    let lines = capture.sink.lines
    let notices = lines.filter { $0.contains("\"msg\":\"log lines were dropped\",\"lines\":") }
    #expect(notices.count == 1 && notices.allSatisfy { $0.contains("\"lines\":\(capture.core.droppedLines),") })
    #expect(capture.core.droppedLines + UInt64(lines.count - notices.count) == 22)
    let registry = Registry()
    _ = LoggingMetrics(registry, core: capture.core)
    #expect(
        String(decoding: registry.exposition(), as: UTF8.self)
            .contains("\nmartlet_log_lines_dropped_total \(capture.core.droppedLines)\n"))
}

@Test func closingWritesWhatIsLeft() {
    let capture = LogCapture()
    for index in 0..<1_000 { capture.log.info("line", .int("i", index)) }
    capture.core.close()
    #expect(capture.sink.lines.count == 1_000)
    capture.log.info("late")
    capture.log.error("late")
    #expect(capture.sink.lines.count == 1_000)
    #expect(capture.core.droppedLines == 2)
}

@Test func linesOfManyThreadsStayWhole() async {
    let capture = LogCapture()
    await withTaskGroup(of: Void.self) { group in
        for task in 0..<8 {
            group.addTask {
                for index in 0..<200 { capture.log.info("t", .int("task", task), .int("index", index)) }
            }
        }
    }
    let lines = capture.lines
    #expect(lines.count == 1_600)
    for task in 0..<8 {
        let mine = lines.filter { $0.contains("\"task\":\(task),") }
        #expect(mine.enumerated().allSatisfy { $0.element.hasSuffix("\"index\":\($0.offset)}") })
    }
}

@Test func filesAreAppendedTo() throws {
    let path = "/tmp/martlet-log-test-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    defer { unlink(path) }
    for round in 0..<2 {
        let core = try LogCore(outputs: LogOutputs([path]))
        Log(core: core).info("round", .int("n", round))
        core.close()
    }
    let file = fopen(path, "r")!
    defer { fclose(file) }
    var buffer = [UInt8](repeating: 0, count: 4_096)
    let count = fread(&buffer, 1, buffer.count, file)
    let text = String(decoding: buffer[..<count], as: UTF8.self)
    #expect(text.split(separator: "\n").count == 2)
    #expect(text.contains("\"n\":0}") && text.hasSuffix("\"n\":1}\n"))
}

@Test func aFileThatCannotBeOpenedIsAnError() throws {
    let outputs = try LogOutputs(["/nonexistent-folder/log"])
    #expect(throws: LogOpenError.self) { try LogCore(outputs: outputs) }
}

@Test func outputsAreValidated() throws {
    #expect(try LogOutputs(["default"]).destinations == [.standardError])
    #expect(try LogOutputs(["stdout", "/b", "/a", "/b"]).destinations == [.file("/a"), .file("/b"), .standardOutput])
    #expect(try LogOutputs(["stderr", "/dev/null"]).destinations == [])
    #expect(try LogOutputs(["systemd/journal"]).destinations == [.journal])
    #expect(throws: LogOutputs.Invalid.self) { try LogOutputs(["default", "stderr"]) }
    #expect(throws: LogOutputs.Invalid.self) { try LogOutputs(["systemd/journal", "stderr"]) }
    #expect(throws: LogOutputs.Invalid.self) { try LogOutputs([]) }
}

@Test func theJournalGetsTheWholeLine() throws {
    let path = "/tmp/martlet-journal-\(getpid())-\(UInt32.random(in: 0 ... .max))"
    defer { unlink(path) }
    let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
    defer { close(descriptor) }
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let bound = withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
        }
    }
    #expect(bound == 0)
    let core = LogCore(level: .info, format: .json, sinks: [try JournalSink(path: path)], sampled: false)
    Log(core: core).warn("to the journal")
    core.close()
    var buffer = [UInt8](repeating: 0, count: 4_096)
    let count = recv(descriptor, &buffer, buffer.count, 0)
    let text = String(decoding: buffer[..<max(0, count)], as: UTF8.self)
    #expect(text.hasPrefix("PRIORITY=4\nPACKAGE=TracingTests\nSYSLOG_IDENTIFIER="))
    #expect(text.contains("{\"level\":\"warn\"") && text.hasSuffix("\"msg\":\"to the journal\"}\n"))
}

@Test func librariesLogThroughTheBridge() {
    let capture = LogCapture(level: .debug)
    var logger = Logger(label: "nio", factory: { DatastoreLogHandler(log: capture.log.named($0)) })
    logger[metadataKey: "b"] = "1"
    logger.notice("hello", metadata: ["a": "2"])
    logger.trace("deep")
    logger.logLevel = .warning
    logger.info("not me")
    #expect(capture.lines.count == 2)
    #expect(capture.lines[0].contains("\"level\":\"info\""))
    #expect(capture.lines[0].contains("\"logger\":\"nio\",\"caller\":\"TracingTests/LogTests.swift:"))
    #expect(capture.lines[0].hasSuffix("\"msg\":\"hello\",\"a\":\"2\",\"b\":\"1\"}"))
    #expect(capture.lines[1].contains("\"level\":\"debug\""))
}
