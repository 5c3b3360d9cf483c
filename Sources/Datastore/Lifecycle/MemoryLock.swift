// `--memory-mlock`: nothing of the server is ever swapped out.

import CShims
import DatastoreTracing
import Glibc

enum MemoryLock {
    /// Locks all memory, present and future, page by page as it is touched.
    static func take(_ log: Log) throws(StartError) {
        // Where there is a limit, memory beyond it would be refused later, in the middle of a request.
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(__RLIMIT_MEMLOCK.rawValue), &limit)
        guard limit.rlim_cur == rlim_t.max || geteuid() == 0 else {
            throw StartError(
                "--memory-mlock needs an unlimited RLIMIT_MEMLOCK (ulimit -l unlimited, LimitMEMLOCK=infinity); it is \(limit.rlim_cur) bytes")
        }
        guard martlet_lock_memory() == 0 else { throw StartError("--memory-mlock: mlockall: \(systemText(errno))") }
        log.info("locked the memory of the process")
    }
}
