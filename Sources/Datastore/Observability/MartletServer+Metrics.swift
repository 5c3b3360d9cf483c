// What programs that embed a server see of its metrics.

import DatastoreMetrics

extension MartletServer {
    /// The registry that `/metrics` shows: for metrics of the program's own, or of its libraries (`MetricsBackend`).
    public var metrics: Registry { node.metrics.registry }
}
