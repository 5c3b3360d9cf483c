// Waiting for a task from a thread that is not one of a task's: commands are plain functions.

#if canImport(Glibc)
import Glibc
#endif

enum Blocking {
    /// Runs the body as a task and waits for it.
    static func wait<Value: Sendable>(_ body: @escaping @Sendable () async throws -> Value) throws -> Value {
        let place = Place<Value>()
        Task.detached { place.put(await Result(catching: body)) }
        return try place.take().get()
    }

    private final class Place<Value: Sendable>: @unchecked Sendable {
        // Unchecked: the value is written and read under the mutex.
        private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
        private var value: Result<Value, any Error>?

        init() {
            pthread_mutex_init(mutex, nil)
            pthread_cond_init(condition, nil)
        }

        deinit {
            pthread_cond_destroy(condition)
            pthread_mutex_destroy(mutex)
            condition.deallocate()
            mutex.deallocate()
        }

        func put(_ result: Result<Value, any Error>) {
            pthread_mutex_lock(mutex)
            value = result
            pthread_cond_signal(condition)
            pthread_mutex_unlock(mutex)
        }

        func take() -> Result<Value, any Error> {
            pthread_mutex_lock(mutex)
            defer { pthread_mutex_unlock(mutex) }
            while value == nil { pthread_cond_wait(condition, mutex) }
            return value!
        }
    }
}

extension Result where Failure == any Error {
    fileprivate init(catching body: () async throws -> Success) async {
        do { self = .success(try await body()) } catch { self = .failure(error) }
    }
}
