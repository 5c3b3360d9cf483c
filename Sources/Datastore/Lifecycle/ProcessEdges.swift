// What the server asks of the operating system besides files and sockets: signals, the wall clock, the
// init daemon.

import DatastoreTracing
import Glibc

/// The signal that ends the server.
///
/// SIGTERM and SIGINT (and SIGHUP, where it opens log files anew) are blocked in every thread and waited for by the main thread. (An asynchronous `main`
/// would park that thread in a place that lets signals through.)
struct TerminationSignal: Sendable {
    let number: Int32

    var name: String { number == SIGINT ? "interrupt" : "terminated" }

    private static var set: sigset_t {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGTERM)
        sigaddset(&signals, SIGINT)
        return signals
    }

    /// From now on SIGHUP opens files anew. Where there are none it ends the process, as it does etcd. To be called before
    /// there are other threads.
    static func keepHangup() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGHUP)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    /// To be called first of all, while the process has one thread: threads made later inherit it.
    static func block() {
        var signals = set
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }

    /// Waits for a signal; on the main thread.
    ///
    /// - Parameter onHangup: called for each SIGHUP; nil where that is not waited for.
    static func wait(onHangup: (() -> Void)?) -> TerminationSignal {
        var signals = set
        if onHangup != nil { sigaddset(&signals, SIGHUP) }
        while true {
            var number: Int32 = 0
            guard sigwait(&signals, &number) == 0 else { continue }
            if number != SIGHUP { return TerminationSignal(number: number) }
            onHangup?()
        }
    }

    /// Ends the process as the signal would have, so that a launcher sees the status it expects. As process 1
    /// the default action is to do nothing, so it exits.
    func end() -> Never {
        if getpid() == 1 { exit(0) }
        signal(number, SIG_DFL)
        var signals = Self.set
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        // Delivered to this thread before the call returns.
        pthread_kill(pthread_self(), number)
        exit(128 + number)
    }
}

enum FileDescriptors {
    /// Takes as many file descriptors as the system lets this process have, as programs in Go do.
    static func raiseLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        // A refusal leaves what there was.
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }
}

extension FileDescriptors {
    /// A process that could not even hold its own files does not start.
    static func check(_ log: Log) {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        guard (try? FileDescriptorBudget.clientConnections(limit: UInt64(limit.rlim_cur))) == nil else { return }
        log.fatal(
            "file descriptor limit of etcd process is too low; please set higher", .uint64("limit", UInt64(limit.rlim_cur)),
            .uint64("recommended-limit", FileDescriptorBudget.reserved))
    }
}

enum WallClock {
    /// Nanoseconds since 1970.
    static func nanoseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return UInt64(now.tv_sec) * 1_000_000_000 + UInt64(now.tv_nsec)
    }

    /// Milliseconds since 1970.
    static func milliseconds() -> UInt64 { nanoseconds() / 1_000_000 }
}

enum FileHandleText {
    static func standardError(_ text: String) {
        let bytes = Array(text.utf8)
        _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// systemd's notification protocol (sd_notify(3)): one datagram to the socket in $NOTIFY_SOCKET.
enum InitDaemon {
    private static var socketPath: String? {
        guard let value = getenv("NOTIFY_SOCKET") else { return nil }
        let path = String(cString: value)
        return path.isEmpty ? nil : path
    }

    static var isListening: Bool { socketPath != nil }

    static func notify(_ state: String) -> Bool {
        guard let path = socketPath else { return false }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return false }
        // A leading @ stands for the abstract namespace.
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let message = Array(state.utf8)
        let sent = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                message.withUnsafeBytes { sendto(descriptor, $0.baseAddress, $0.count, 0, address, length) }
            }
        }
        return sent == message.count
    }
}
