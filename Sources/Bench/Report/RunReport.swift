// What a benchmark found, before it is written in one form or another.

import CommandLineTools

/// A table of a report, e.g. the steps of a search or the rounds of a comparison.
struct ReportTable: Sendable {
    var title: String
    var columns: [String]
    var rows: [[String]]
}

/// One kind of call in a report.
struct ReportSection: Sendable {
    /// What the text report prints before it, with its line ends; empty for none.
    var heading = ""
    var recorder: OperationRecorder
    /// Of the run.
    var seconds: Double
    /// Requests that one result stands for.
    var weight = 1.0
    /// A line end more behind it, as some of etcd's commands print.
    var hasBlankLine = false
    /// Not in the text report, whose layout is etcd's.
    var isExtra = false

    var rate: Double { seconds > 0 ? Double(recorder.latencies.count) * weight / seconds : 0 }
}

struct RunReport: Sendable {
    var benchmark: String
    var sections: [ReportSection] = []
    var tables: [ReportTable] = []
    /// Sentences; behind the sections.
    var notes: [String] = []
    var endpoints: [String] = []
    var connections = 0
    var clients = 0
    var rate = 0.0
    var isOpenLoop = false
    var seconds = 0.0
    var processorSeconds = 0.0
    /// Unix time in nanoseconds.
    var startedAt: Int64 = 0
    var wasInterrupted = false
    var failure: String?

    var errors: UInt64 { sections.reduce(0) { $0 + $1.recorder.errorCount } }
    var completed: UInt64 { sections.reduce(0) { $0 + $1.recorder.latencies.count } }

    /// The status of the process.
    var status: Int32 { wasInterrupted ? Interrupt.status : failure != nil || errors > 0 ? 1 : 0 }

    static let percents: [Double] = [10, 25, 50, 75, 90, 95, 99, 99.9]

    /// `2026-11-21T20:00:00Z`
    var startedText: String { Self.timeText(startedAt) }
}
