// How many connections the limit of file descriptors allows.

/// Splits the process's file descriptors between the server's own needs and its clients.
public enum FileDescriptorBudget {
    /// Descriptors kept for files, logs and listeners.
    public static let reserved: UInt64 = 150

    /// Connections that each client listener may hold; an error where the limit leaves none.
    public static func clientConnections(limit: UInt64) throws(ConfigurationError) -> UInt64 {
        guard limit > reserved else {
            throw ConfigurationError(
                "file descriptor limit of etcd process is too low; please set higher: limit \(limit), "
                    + "recommended more than \(reserved)")
        }
        return limit - reserved
    }
}
