// What opening a store yields before it serves.

/// The in-memory state as checkpoint and tail of the log gave it.
struct RestoredState {
    var table: VersionTable
    var meta = MetaState()
    var compaction = CompactionState()
    /// The newest revision; an empty store has 1.
    var revision: Int64 = 1
    var appliedIndex: UInt64 = 0
    var appliedTerm: UInt64 = 0
    /// Bytes of the checkpoint, and of the frames behind it.
    var checkpointBytes = 0
    var tailBytes = 0

    init(resources: ResourceNames = ResourceNames()) { table = VersionTable(resources: resources) }
}
