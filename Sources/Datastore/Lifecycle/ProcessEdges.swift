// What the server asks of the operating system besides files and sockets: signals, the wall clock, the
// init daemon.

import CShims
import Glibc
import Synchronization
import Wire

/// The signal that ends the server.
struct TerminationSignal: Sendable {
    let number: Int32

    var name: String { number == SIGINT ? "interrupt" : "terminated" }

    /// Takes SIGTERM and SIGINT in for a thread of their own. To be called first of all, while the process has
    /// one thread: threads made later inherit that they do not get them.
    static func takeOver() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGTERM)
        sigaddset(&signals, SIGINT)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        var thread = pthread_t()
        let status = pthread_create(&thread, nil, { _ in
            martlet_name_thread("signals")
            var signals = sigset_t()
            sigemptyset(&signals)
            sigaddset(&signals, SIGTERM)
            sigaddset(&signals, SIGINT)
            var number: Int32 = 0
            while true {
                guard sigwait(&signals, &number) == 0 else { continue }
                SignalReceiver.shared.received(number)
            }
        }, nil)
        precondition(status == 0, "cannot start the signal thread: \(String(cString: strerror(status)))")
        pthread_detach(thread)
    }

    /// From now on a signal waits for `wait()`; before, it ends the process at once, as it would by itself.
    static func hold() { SignalReceiver.shared.hold() }

    /// Waits for the signal.
    static func wait() async -> TerminationSignal {
        let number = await withCheckedContinuation { continuation in
            SignalReceiver.shared.wait { continuation.resume(returning: $0) }
        }
        return TerminationSignal(number: number)
    }

    /// Ends the process as the signal would have, so that a launcher sees the status it expects. As process 1
    /// the default action is to do nothing, so it exits.
    func end() -> Never {
        if getpid() == 1 { exit(0) }
        signal(number, SIG_DFL)
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, number)
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        // Delivered to this thread before the call returns.
        pthread_kill(pthread_self(), number)
        exit(128 + number)
    }
}

/// Where the signal thread meets the server. Signals behind the first are ignored: the close is under way.
private final class SignalReceiver: Sendable {
    static let shared = SignalReceiver()

    private enum State {
        case starting
        case held(Int32?)
        case waiting(@Sendable (Int32) -> Void)
        case delivered
    }

    private let state = Mutex(State.starting)

    func hold() {
        state.withLock { if case .starting = $0 { $0 = .held(nil) } }
    }

    func wait(_ deliver: @escaping @Sendable (Int32) -> Void) {
        let early: Int32? = state.withLock { state in
            if case .held(let number?) = state {
                state = .delivered
                return number
            }
            state = .waiting(deliver)
            return nil
        }
        if let early { deliver(early) }
    }

    func received(_ number: Int32) {
        let action: (@Sendable (Int32) -> Void)? = state.withLock { state in
            switch state {
            case .starting: return { TerminationSignal(number: $0).end() }
            case .held(nil):
                state = .held(number)
                return nil
            case .held: return nil
            case .waiting(let deliver):
                state = .delivered
                return deliver
            case .delivered: return nil
            }
        }
        action?(number)
    }
}

enum WallClock {
    /// Milliseconds since 1970.
    static func milliseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return UInt64(now.tv_sec) * 1000 + UInt64(now.tv_nsec) / 1_000_000
    }
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
