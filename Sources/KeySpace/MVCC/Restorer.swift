// Opening a store: the checkpoint, then every frame that was written after it.

import Storage
import Wire

/// Rebuilds the memory of a store from what its log holds.
struct Restorer {
    private(set) var state: RestoredState
    /// Changes up to this revision are in the checkpoint.
    private var checkpointRevision: Int64 = 0

    init(resources: ResourceNames = ResourceNames()) { state = RestoredState(resources: resources) }

    mutating func take(_ checkpoint: RestoredState) {
        state = checkpoint
        checkpointRevision = checkpoint.revision
    }

    /// Applies one record of the tail.
    mutating func apply(_ kind: RecordKind, main: Int64, sub: Int32, payload: UnsafeRawBufferPointer, location: RecordLocation)
        throws(CheckpointError)
    {
        state.tailBytes += payload.count + StoreLimits.recordOverhead
        do {
            switch kind {
            case .put:
                guard main > checkpointRevision else { return }
                let record = try StoredKeyValue(decoding: payload)
                guard record.key.count > 0, record.version > 0, main >= state.revision else { throw ProtobufError.invalidTag }
                let located = state.table.index.locate(record.key)
                state.table.append(
                    key: record.key, located: located, modified: Revision(main: main, sub: sub), created: record.created,
                    version: record.version, lease: record.lease, location: location)
                state.revision = main
            case .tombstone:
                guard main > checkpointRevision else { return }
                let record = try StoredKeyValue(decoding: payload)
                guard record.key.count > 0, main >= state.revision else { throw ProtobufError.invalidTag }
                // In a store that was adopted the put may have been compacted away before.
                let located = state.table.index.locate(record.key)
                state.table.append(
                    key: record.key, located: located, modified: Revision(main: main, sub: sub), created: 0, version: 0,
                    lease: 0, location: location)
                state.revision = main
            case .metaPut:
                let (bucket, key, value) = try MetaRecord.decode(payload)
                state.meta.put(bucket, key, value)
            case .metaDelete:
                let (bucket, key, _) = try MetaRecord.decode(payload)
                state.meta.delete(bucket, key)
            case .compaction:
                if main > state.compaction.scheduled {
                    state.compaction.queue.append(
                        .init(revision: main, previous: state.compaction.scheduled, remembersHash: false))
                    state.compaction.scheduled = main
                    state.revision = max(state.revision, main)
                }
            case .leaseGrant, .leaseRevoke: throw ProtobufError.invalidTag
            }
        } catch {
            throw .malformed("a \(kind) record at revision \(main): \(error)")
        }
    }

    mutating func endFrame(raftIndex: UInt64, term: UInt64) {
        state.appliedIndex = raftIndex
        state.appliedTerm = term
    }
}
