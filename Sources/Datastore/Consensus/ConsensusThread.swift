// The thread that the consensus loop runs on.

import CShims
import Glibc

final class ConsensusThread: @unchecked Sendable {
    // Unchecked: `thread` is set once by `start()` and read by `join()`, both from the server's lifecycle.
    private let loop: ConsensusLoop
    private var thread: pthread_t?

    init(_ loop: ConsensusLoop) { self.loop = loop }

    func start() {
        precondition(thread == nil)
        var handle = pthread_t()
        let context = Unmanaged.passRetained(loop).toOpaque()
        let status = pthread_create(&handle, nil, { context in
            martlet_name_thread("consensus")
            Unmanaged<ConsensusLoop>.fromOpaque(context!).takeRetainedValue().run()
            return nil
        }, context)
        precondition(status == 0, "cannot start the consensus thread: \(String(cString: strerror(status)))")
        thread = handle
    }

    func join() {
        guard let thread else { return }
        pthread_join(thread, nil)
        self.thread = nil
    }
}
