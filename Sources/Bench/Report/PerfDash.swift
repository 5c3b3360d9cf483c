// The file that Kubernetes' perfdash reads.

import CommandLineTools
import Wire

#if canImport(Glibc)
import Glibc
#endif

enum PerfDash {
    /// One file for each operation; their paths.
    static func write(_ report: RunReport) throws -> [String] {
        let directory = ProcessEnvironment.value("ARTIFACTS") ?? "./_artifacts"
        guard mkdir(directory, 0o755) == 0 || errno == EEXIST else {
            throw CommandFailure("cannot make \(directory): \(String(cString: strerror(errno)))")
        }
        return try report.sections.filter { !$0.recorder.latencies.isEmpty && !$0.isExtra }.map { section in
            let operation = section.recorder.name
            let path = "\(directory)/EtcdAPI_benchmark_\(operation)_\(report.startedText).json"
            try ReportFiles.write(text(operation, section.recorder.latencies), to: path)
            return path
        }
    }

    static func text(_ operation: String, _ latencies: LatencyDistribution) -> String {
        func milliseconds(_ percent: Double) -> String {
            NumberFormat.shortest((Double(latencies.percentile(percent)) / 100).rounded() / 10_000)
        }
        let sink = ByteSink()
        sink.json(operation.uppercased())
        return """
            {
              "version": "v1",
              "dataItems": [
                {
                  "data": {
                    "Perc50": \(milliseconds(50)),
                    "Perc90": \(milliseconds(90)),
                    "Perc99": \(milliseconds(99))
                  },
                  "labels": {
                    "Operation": \(String(decoding: sink.bytes, as: UTF8.self))
                  },
                  "unit": "ms"
                }
              ]
            }

            """
    }
}
