// What the log tells about itself.

import DatastoreMetrics

/// Declares the metric of lost log lines.
public struct LoggingMetrics: Sendable {
    public init(_ registry: Registry, core: LogCore) {
        registry.callback(
            "martlet_log_lines_dropped_total",
            help: "Log lines lost because the queue was full or an output failed.", kind: .counter
        ) { Double(core.droppedLines) }
    }
}
