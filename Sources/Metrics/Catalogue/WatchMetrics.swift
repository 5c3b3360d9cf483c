// Families of watchers and of the loop that sends to a watch stream.

/// Series of the watch hub.
public struct WatchMetrics: Sendable {
    /// +1 when a watch stream opens, -1 when it closes.
    public let streams: Gauge
    /// +1 when a watcher is made, -1 when it is cancelled.
    public let watchers: Gauge
    /// Watchers that are not caught up. Moved as watchers change between caught up and behind.
    public let slowWatchers: Gauge
    /// Events handed to the senders of streams.
    public let events: Counter
    /// +n when n events are queued to a watcher, -n when its sender takes them.
    public let pendingEvents: Gauge
    /// Time to send one watch response; observed per response.
    public let sendDuration: Histogram
    /// The same divided by the number of its events.
    public let sendDurationPerEvent: Histogram
    /// Time to send one control response (created, cancelled); observed per response.
    public let controlDuration: Histogram
    /// Time of one round of progress responses; observed per tick.
    public let progressDuration: Histogram

    public init(_ registry: Registry) {
        streams = registry.gauge("etcd_debugging_mvcc_watch_stream_total", help: "Open watch streams.")
        watchers = registry.gauge("etcd_debugging_mvcc_watcher_total", help: "Registered watchers.")
        slowWatchers = registry.gauge(
            "etcd_debugging_mvcc_slow_watcher_total", help: "Watchers that are not caught up.")
        events = registry.counter("etcd_debugging_mvcc_events_total", help: "Events handed to watch streams.")
        pendingEvents = registry.gauge(
            "etcd_debugging_mvcc_pending_events_total", help: "Events queued and not yet sent.")
        sendDuration = registry.histogram(
            "etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds",
            help: "Time to send one watch response, in seconds.", buckets: .milliseconds14)
        sendDurationPerEvent = registry.histogram(
            "etcd_debugging_server_watch_send_loop_watch_stream_duration_per_event_seconds",
            help: "Time to send one watch response divided by its events, in seconds.", buckets: .milliseconds14)
        controlDuration = registry.histogram(
            "etcd_debugging_server_watch_send_loop_control_stream_duration_seconds",
            help: "Time to send one control response of a watch, in seconds.", buckets: .milliseconds14)
        progressDuration = registry.histogram(
            "etcd_debugging_server_watch_send_loop_progress_duration_seconds",
            help: "Time of one round of progress responses, in seconds.", buckets: .milliseconds14)
    }
}
