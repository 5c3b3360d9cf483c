// When a log file is put away and what is kept of it: the settings of etcd's `--log-rotation-config-json`.

import Synchronization

/// When to rotate a file and which backups to keep.
public struct FileRotation: Sendable, Equatable {
    /// A file is put away before a line would make it larger.
    public var bytesMaximum: Int64
    /// Backups older than this many days are removed; 0 keeps them for ever.
    public var ageDaysMaximum: Int64
    /// The newest so many are kept; 0 keeps all.
    public var backupsMaximum: Int64
    /// The zone of the time in the names of backups: the machine's, or UTC.
    public var usesLocalTime: Bool
    /// Backups are gzip-compressed.
    public var compresses: Bool

    public init(
        bytesMaximum: Int64 = 100 << 20, ageDaysMaximum: Int64 = 0, backupsMaximum: Int64 = 0, usesLocalTime: Bool = false,
        compresses: Bool = false
    ) {
        self.bytesMaximum = bytesMaximum
        self.ageDaysMaximum = ageDaysMaximum
        self.backupsMaximum = backupsMaximum
        self.usesLocalTime = usesLocalTime
        self.compresses = compresses
    }

    /// Whether backups are touched after they were made.
    var tends: Bool { ageDaysMaximum > 0 || backupsMaximum > 0 || compresses }
}

/// What rotation did since start, for metrics.
final class RotationCounts: Sendable {
    let rotated = Atomic<UInt64>(0)
    let failed = Atomic<UInt64>(0)
}
