// The `process_*` and `os_fd_*` families: what the kernel says about this process.

import Glibc
import Synchronization

/// Declares the process families; they are read from /proc at each scrape.
public struct ProcessMetrics: Sendable {
    public init(_ registry: Registry) {
        let sample = ProcessSampler()
        registry.beforeScrape { sample.refresh() }
        func declare(
            _ name: String, _ help: String, _ kind: MetricKind = .gauge,
            _ value: @escaping @Sendable (ProcessSample) -> Double?
        ) {
            registry.callback(name, help: help, kind: kind) { value(sample.current) }
        }
        declare("process_cpu_seconds_total", "User and system CPU time, in seconds.", .counter) { $0.cpuSeconds }
        declare("process_max_fds", "Soft limit of open file descriptors.") { $0.fileDescriptorMaximum }
        declare("process_open_fds", "Open file descriptors.") { $0.openFileDescriptors }
        declare("process_resident_memory_bytes", "Resident memory, in bytes.") { $0.residentBytes }
        declare("process_start_time_seconds", "Start of the process, in seconds since 1970.") {
            $0.startTimeSeconds
        }
        declare("process_virtual_memory_bytes", "Virtual memory, in bytes.") { $0.virtualBytes }
        declare("process_virtual_memory_max_bytes", "Limit of virtual memory, in bytes.") {
            $0.virtualBytesMaximum
        }
        declare(
            "process_network_receive_bytes_total", "Bytes received by the process's network namespace.", .counter
        ) { $0.networkReceivedBytes }
        declare(
            "process_network_transmit_bytes_total", "Bytes sent by the process's network namespace.", .counter
        ) { $0.networkSentBytes }
    }
}

/// The file descriptor gauges of the monitor that also warns of exhaustion.
public struct FileDescriptorMetrics: Sendable {
    /// Open file descriptors. Set at start and every ten minutes.
    public let used: Gauge
    /// Their limit. Set at start and every ten minutes.
    public let limit: Gauge

    public init(_ registry: Registry) {
        used = registry.gauge("os_fd_used", help: "Open file descriptors.")
        limit = registry.gauge("os_fd_limit", help: "Limit of open file descriptors.")
    }

    /// Reads both from the kernel and returns them for the monitor's judgement.
    public func refresh() -> (used: UInt64, limit: UInt64) {
        let counts = (ProcFile.countOpenFileDescriptors() ?? 0, ProcFile.limit(RLIMIT_NOFILE) ?? 0)
        used.set(counts.0)
        limit.set(counts.1 > UInt64(Int64.max) ? UInt64(Int64.max) : counts.1)
        return counts
    }
}

/// One reading of /proc; a value is nil where the kernel did not tell.
struct ProcessSample: Sendable {
    var cpuSeconds: Double?
    var fileDescriptorMaximum: Double?
    var openFileDescriptors: Double?
    var residentBytes: Double?
    var startTimeSeconds: Double?
    var virtualBytes: Double?
    var virtualBytesMaximum: Double?
    var networkReceivedBytes: Double?
    var networkSentBytes: Double?

    init() {}

    static func read() -> ProcessSample {
        var sample = ProcessSample()
        if let stat = ProcFile.read("/proc/self/stat").flatMap(ProcFile.Stat.init) {
            let ticksPerSecond = Double(sysconf(Int32(_SC_CLK_TCK)))
            sample.cpuSeconds = Double(stat.userTicks + stat.systemTicks) / ticksPerSecond
            sample.virtualBytes = Double(stat.virtualBytes)
            sample.residentBytes = Double(stat.residentPages) * Double(sysconf(Int32(_SC_PAGESIZE)))
            if let boot = ProcFile.bootTime {
                sample.startTimeSeconds = Double(boot) + Double(stat.startTicks) / ticksPerSecond
            }
        }
        sample.openFileDescriptors = ProcFile.countOpenFileDescriptors().map { Double($0) }
        sample.fileDescriptorMaximum = ProcFile.limit(RLIMIT_NOFILE).map { Double($0) }
        sample.virtualBytesMaximum = ProcFile.limit(RLIMIT_AS).map { Double($0) }
        if let traffic = ProcFile.read("/proc/self/net/netstat").flatMap(ProcFile.networkOctets) {
            sample.networkReceivedBytes = Double(traffic.received)
            sample.networkSentBytes = Double(traffic.sent)
        }
        return sample
    }
}

/// Keeps the reading of the current scrape.
private final class ProcessSampler: Sendable {
    private let sample = Mutex(ProcessSample())
    func refresh() {
        let fresh = ProcessSample.read()
        sample.withLock { $0 = fresh }
    }
    var current: ProcessSample { sample.withLock { $0 } }
}
