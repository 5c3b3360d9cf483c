// What the log tells about itself.

import DatastoreMetrics

/// Declares the metrics of the log itself.
public struct LoggingMetrics: Sendable {
    public init(_ registry: Registry, core: LogCore) {
        registry.callback(
            "martlet_log_lines_sampled_out_total",
            help: "Log lines left out because the same message came more than a hundred times in a second.", kind: .counter
        ) { Double(core.sampledOutLines) }
        registry.callback(
            "martlet_log_queue_bytes", help: "Bytes of log lines that wait to be written.", kind: .gauge
        ) { Double(core.queuedBytes) }
        registry.callback(
            "martlet_log_rotations_total", help: "Log files put away as backups.", kind: .counter
        ) { Double(core.rotations.rotated.load(ordering: .relaxed)) }
        registry.callback(
            "martlet_log_rotation_failures_total",
            help: "Log files that could not be put away, and backups that could not be compressed or removed.", kind: .counter
        ) { Double(core.rotations.failed.load(ordering: .relaxed)) }
        registry.callback(
            "martlet_log_lines_dropped_total",
            help: "Log lines lost because the queue was full or an output failed.", kind: .counter
        ) { Double(core.droppedLines) }
    }
}
