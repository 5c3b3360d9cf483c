// SIGINT and SIGTERM: the run ends and its report is printed; the second one ends the process.

#if canImport(Glibc)
import Glibc
#endif

enum Interrupt {
    nonisolated(unsafe) private static var count: sig_atomic_t = 0
    nonisolated(unsafe) private static var number: sig_atomic_t = 0

    static func watch() {
        let handler: @convention(c) (Int32) -> Void = { signal in
            Interrupt.count += 1
            Interrupt.number = signal
            if Interrupt.count > 1 { _exit(128 + signal) }
        }
        signal(SIGINT, handler)
        signal(SIGTERM, handler)
    }

    static var isAsked: Bool { count > 0 }
    /// As a shell has it: 130 after SIGINT.
    static var status: Int32 { 128 + number }
}
