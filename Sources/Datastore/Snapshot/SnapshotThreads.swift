// The threads that make snapshots: few at a time, and none is left when the store closes.

import CShims
import Glibc
import Synchronization

final class SnapshotThreads: Sendable {
    private struct State {
        var running = 0
        var isStopping = false
    }

    private let state = Mutex(State())

    var running: Int { state.withLock { $0.running } }

    /// Threads end soon, as at the stop of the server.
    var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Runs `body` on a thread of its own; false if enough are running.
    func start(_ body: @escaping @Sendable () -> Void) -> Bool {
        let isFree = state.withLock { state in
            guard !state.isStopping, state.running < ServerLimits.snapshotsInFlightMax else { return false }
            state.running += 1
            return true
        }
        guard isFree else { return false }
        let work = Unmanaged.passRetained(Work(owner: self, body: body))
        var thread = pthread_t()
        let code = pthread_create(&thread, nil, { argument in
            martlet_name_thread("snapshot")
            let work = Unmanaged<Work>.fromOpaque(argument!).takeRetainedValue()
            let owner = work.owner
            work.run()
            owner.state.withLock { $0.running -= 1 }
            return nil
        }, work.toOpaque())
        guard code == 0 else {
            work.release()
            state.withLock { $0.running -= 1 }
            return false
        }
        pthread_detach(thread)
        return true
    }

    /// Waits until no thread is left. After the calls have ended.
    func stop() {
        state.withLock { $0.isStopping = true }
        while running > 0 { usleep(1000) }
    }

    private final class Work {
        let owner: SnapshotThreads
        private var body: (@Sendable () -> Void)?

        init(owner: SnapshotThreads, body: @escaping @Sendable () -> Void) {
            self.owner = owner
            self.body = body
        }

        /// What the body holds goes before the thread counts as ended.
        func run() {
            body?()
            body = nil
        }
    }
}
