// The version of the storage schema that this member says it has. It follows the cluster version, a moment later,
// also downwards during a downgrade; nothing in the files depends on it.

import Synchronization

final class StorageVersion: Sendable {
    private let version: Mutex<String?>

    init(_ version: String?) { self.version = Mutex(version) }

    /// `3.7.0`; nil while no cluster version is known.
    var current: String? { version.withLock { $0 } }

    /// Returns the version before if it was another one.
    func change(to next: String) -> (changed: Bool, previous: String?) {
        version.withLock { version in
            guard version != next else { return (false, version) }
            defer { version = next }
            return (true, version)
        }
    }
}
