// Reports: etcd's layout, numbers as Go prints them, JSON, CSV, pages, files.

import CommandLineTools
import Testing
import Wire

@testable import Bench

#if canImport(Glibc)
import Glibc
#endif

@Suite struct ReportTests {
    private func recorder(_ latencies: [UInt64], errors: [String: UInt64] = [:]) -> OperationRecorder {
        var recorder = OperationRecorder("put", start: 0, wallStart: 1_795_219_766_000_000_000)
        for (index, latency) in latencies.enumerated() {
            let start = UInt64(index) * 1_000_000
            recorder.record(intended: start, started: start, ended: start + latency)
        }
        for (text, count) in errors { recorder.record(error: text, at: 1, count: count) }
        recorder.finish()
        return recorder
    }

    private func report(_ recorder: OperationRecorder) -> RunReport {
        var report = RunReport(benchmark: "put")
        report.sections = [ReportSection(recorder: recorder, seconds: 2)]
        report.startedAt = 1_795_219_766_000_000_000
        report.endpoints = ["127.0.0.1:2379"]
        return report
    }

    @Test func layoutIsThatOfEtcdsBenchmark() {
        let text = TextReport(hasSamples: true).text(report(recorder((1...10).map { $0 * 1_000_000 }, errors: ["etcdserver: no space": 3])))
        let expected = """

            Summary:
              Total:\t2.0000 secs.
              Slowest:\t0.0100 secs.
              Fastest:\t0.0010 secs.
              Average:\t0.0055 secs.
              Stddev:\t0.0029 secs.
              Requests/sec:\t5.0000

            Response time histogram:
              0.0010 [1]\t|∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎
              0.0019 [0]\t|
              0.0028 [1]\t|∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎
              0.0037 [1]\t|∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎
              0.0046 [1]\t|∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎
              0.0055 [1]\t|∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎
              0.0064 [1]\t|∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎
              0.0073 [1]\t|∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎
              0.0082 [1]\t|∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎
              0.0091 [1]\t|∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎
              0.0100 [1]\t|∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎∎

            Latency distribution:
              10% in 0.0020 secs.
              25% in 0.0040 secs.
              50% in 0.0060 secs.
              75% in 0.0090 secs.
              90% in 0.0100 secs.

            Sample in one second (unix latency throughput):
            UNIX-SECOND,MIN-LATENCY-MS,AVG-LATENCY-MS,MAX-LATENCY-MS,AVG-THROUGHPUT
            1795219766,1ms,5.5ms,10ms,10


            Error distribution:
              [3]\tetcdserver: no space

            """
        #expect(text == expected)
    }

    @Test func withoutSuccessOnlyErrorsAreShown() {
        #expect(TextReport().text(report(recorder([], errors: ["a": 1, "b": 2]))) == "\nError distribution:\n  [2]\tb\n  [1]\ta\n")
        #expect(TextReport().text(report(recorder([]))).isEmpty)
    }

    @Test func numbersAsGoPrintsThem() {
        let cases: [(Double, String)] = [
            (0, "0"), (1, "1"), (0.0001, "0.0001"), (0.00001, "1e-05"), (123456, "123456"), (1_234_567, "1.234567e+06"), (99.9, "99.9"),
            (0.002345, "0.002345"), (4374.8461, "4374.8461"), (-2.5, "-2.5"), (1e100, "1e+100"), (100_000, "100000"), (1e6, "1e+06"),
        ]
        for (value, text) in cases { #expect(NumberFormat.shortest(value) == text) }
        #expect(NumberFormat.fixed(0.00005, 4) == "0.0001" || NumberFormat.fixed(0.00005, 4) == "0.0000")
        #expect(NumberFormat.fixed(12.34567, 4) == "12.3457")
        #expect(NumberFormat.bytes(25_000) == "25 kB" && NumberFormat.bytes(1_234_567) == "1.2 MB" && NumberFormat.bytes(7) == "7 B")
        #expect(NumberFormat.time(812_000) == "812 µs" && NumberFormat.time(1_250_000) == "1.25 ms" && NumberFormat.count(18_040) == "18.0k")
    }

    @Test func preciseFiguresHaveAllDigits() {
        let text = TextReport(isPrecise: true).text(report(recorder([1_000_000, 3_000_000])))
        #expect(text.contains("  Slowest:\t0.003 secs.\n") && text.contains("  Requests/sec:\t1\n"))
    }

    @Test func jsonIsJSON() throws {
        let text = JSONReport.text(report(recorder([1_000_000, 3_000_000], errors: ["say \"no\"\n": 1])))
        for part in ["\"benchmark\": \"put\"", "\"count\": 2", "\"say \\\"no\\\"\\n\": 1", "\"min\": 1", "\"started\": \"2026-11-"] { #expect(text.contains(part), "\(part) in \(text)") }
        // Brackets outside strings are balanced; Python reads it in the end-to-end suite.
        var depth = 0
        for character in text where "{}[]".contains(character) { depth += "{[".contains(character) ? 1 : -1 }
        #expect(depth == 0)
    }

    @Test func cellsWithCommasAreQuoted() {
        var made = RunReport(benchmark: "x")
        made.tables = [ReportTable(title: "", columns: ["a", "b"], rows: [["1,2", "say \"x\""]])]
        #expect(CSVReport.text(made) == "a,b\n\"1,2\",\"say \"\"x\"\"\"\n")
        let row = CSVReport.text(report(recorder([1_000_000]))).split(separator: "\n").map { $0.split(separator: ",", omittingEmptySubsequences: false).count }
        #expect(row == [18, 18])
    }

    @Test func pagesNeedNothingElse() {
        var made = report(recorder((1...2_000).map { $0 * 10_000 }, errors: ["<script>alert(1)</script>": 1]))
        made.benchmark = "a <b> & \"c\""
        let page = HTMLReport.text(made)
        #expect(!page.contains("<script") && !page.contains("src=") && !page.contains("href=") && !page.contains("http"))
        #expect(page.contains("a &lt;b&gt; &amp; &quot;c&quot;") && page.contains("prefers-color-scheme: dark"))
        #expect(page.split(separator: "<svg").count == 4 && page.split(separator: "</svg>").count == 4)
        #expect(!page.contains("nan") && !page.contains("inf"))
    }

    @Test func ticksAreRound() {
        #expect(Plot.linearTicks(0, 9.3) == [0, 2, 4, 6, 8, 10])
        #expect(Plot.linearTicks(0, 0.9).count <= 7 && Plot.linearTicks(0, 0).count >= 2)
        let ticks = Plot.logarithmicTicks(0.3, 90)
        #expect(ticks.first! <= 0.3 && ticks.last! >= 90 && ticks == ticks.sorted())
        #expect(Plot.logarithmicTicks(5, 5).count >= 2)
    }

    @Test func targets() {
        #expect(ReportTarget("json")?.path == nil && ReportTarget("json")?.form == .json)
        #expect(ReportTarget("html=a=b.x").map { [$0.path ?? ""] } == ["a=b.x"])
        #expect(ReportTarget("run.csv")?.form == .csv && ReportTarget("run.csv")?.path == "run.csv")
        for wrong in ["", "xml", "xml=a", "json=", ".json", "run.pdf"] { #expect(ReportTarget(wrong) == nil, "\(wrong)") }
    }

    @Test func filesAppearWholeOrNotAtAll() throws {
        var template = Array("/tmp/martlet-bench-XXXXXX".utf8CString)
        let directory = String(cString: mkdtemp(&template))
        defer { rmdir(directory) }
        let path = "\(directory)/run.txt"
        try ReportFiles.write("one", to: path)
        try ReportFiles.write("another", to: path)
        let file = try #require(fopen(path, "r"))
        var buffer = [CChar](repeating: 0, count: 64)
        fgets(&buffer, 64, file)
        fclose(file)
        #expect(buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) } == Array("another".utf8))
        unlink(path)
        #expect(throws: CommandFailure.self) { try ReportFiles.write("x", to: "\(directory)/missing/run.txt") }
        // Nothing is left aside: the directory can go.
        #expect(rmdir(directory) == 0)
        mkdir(directory, 0o700)
    }

    @Test func perfdash() {
        var latencies = LatencyDistribution()
        for _ in 0..<10 { latencies.record(1_234_567) }
        let text = PerfDash.text("put", latencies)
        #expect(text.contains("\"Perc99\": 1.2346") && text.contains("\"Operation\": \"PUT\"") && text.contains("\"unit\": \"ms\""))
    }

    @Test func statusTellsWhatWentWrong() {
        #expect(report(recorder([1])).status == 0)
        #expect(report(recorder([1], errors: ["x": 1])).status == 1)
        var failed = report(recorder([1]))
        failed.failure = "no connection"
        #expect(failed.status == 1)
    }
}
