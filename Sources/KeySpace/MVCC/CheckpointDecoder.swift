// Loading a checkpoint: keys are appended to the index, versions to the slab, without a search.

import Storage
import Wire

/// What is wrong with a checkpoint whose checksum is right: it is not of this format, or a bug wrote it.
enum CheckpointError: Error {
    case foreignFormat
    case malformed(String)
}

/// Takes the blocks of one checkpoint. Items never straddle two blocks.
struct CheckpointDecoder {
    private enum Phase {
        case header, meta, keys, versions, done
    }

    private(set) var state: RestoredState
    private var phase = Phase.header
    private var builder: KeyIndexBuilder
    private var keys: [KeyEntry] = []
    private var key: [UInt8] = []
    private var last = Revision(main: 0)

    init(resources: ResourceNames = ResourceNames()) {
        state = RestoredState(resources: resources)
        builder = KeyIndexBuilder(capacity: state.table.index.capacity)
    }

    /// - Parameter retain: called with the place of every version's record.
    mutating func decode(_ block: UnsafeRawBufferPointer, retain: (RecordLocation) -> Void) throws(CheckpointError) {
        var reader = ProtobufReader(block)
        do {
            while !reader.isAtEnd {
                switch phase {
                case .header: try header(&reader)
                case .meta: try meta(&reader)
                case .keys: try keys(&reader)
                case .versions: try versions(&reader, retain)
                case .done: throw CheckpointError.malformed("bytes behind the end")
                }
            }
        } catch let error as CheckpointError {
            throw error
        } catch {
            throw .malformed("\(error)")
        }
    }

    /// The loaded state; the checkpoint must have been complete.
    mutating func finish() throws(CheckpointError) -> RestoredState {
        guard case .done = phase else { throw .malformed("the checkpoint ends early") }
        return state
    }

    /// Gives back what a failed load has allocated.
    mutating func discard() { builder.discard() }

    private mutating func header(_ reader: inout ProtobufReader) throws {
        for expected in CheckpointFormat.magic + [CheckpointFormat.version] {
            guard try reader.byte() == expected else { throw CheckpointError.foreignFormat }
        }
        state.revision = Int64(bitPattern: try reader.varint())
        state.compaction.scheduled = Int64(bitPattern: try reader.varint())
        state.compaction.finished = Int64(bitPattern: try reader.varint())
        if state.compaction.scheduled > state.compaction.finished {
            // An interrupted purge goes on; its hash would not be that of the state before it.
            state.compaction.queue = [
                .init(revision: state.compaction.scheduled, previous: state.compaction.finished, remembersHash: false)
            ]
        }
        phase = .meta
    }

    private mutating func meta(_ reader: inout ProtobufReader) throws {
        while !reader.isAtEnd {
            let tag = try reader.byte()
            if tag == 0 {
                phase = .keys
                return
            }
            guard let bucket = MetaBucket(rawValue: tag - 1) else { throw CheckpointError.malformed("bucket \(tag - 1)") }
            let key = Array(try reader.bytes())
            state.meta.put(bucket, key, Array(try reader.bytes()))
        }
    }

    private mutating func keys(_ reader: inout ProtobufReader) throws {
        while !reader.isAtEnd {
            let shared = try reader.varint()
            let rest = try reader.bytes()
            if rest.count == 0 {
                phase = .versions
                return
            }
            guard shared <= UInt64(key.count) else { throw CheckpointError.malformed("a key shares more than there is") }
            key.removeLast(key.count - Int(shared))
            key.append(contentsOf: rest)
            try key.withUnsafeBytes { key in
                guard builder.isAscending(key) else { throw CheckpointError.malformed("keys out of order") }
                let entry = builder.append(key)
                entry.resource = state.table.accounts.names.resource(of: key)
                keys.append(entry)
            }
        }
    }

    private mutating func versions(_ reader: inout ProtobufReader, _ retain: (RecordLocation) -> Void) throws {
        let slab = state.table.slab
        let order = state.table.order
        while !reader.isAtEnd {
            let delta = try reader.varint()
            if delta == 0 {
                try endVersions()
                return
            }
            let main = last.main &+ Int64(bitPattern: delta) &- 1
            let sub = try reader.varint()
            let ordinal = try reader.varint()
            let age = Int64(bitPattern: try reader.varint())
            let version = Int64(bitPattern: try reader.varint())
            let lease = Int64(bitPattern: try reader.varint())
            let segment = try reader.varint()
            let offset = try reader.varint()
            let length = try reader.varint()
            guard ordinal < UInt64(keys.count), sub <= UInt64(Int32.max), segment <= UInt64(UInt32.max),
                length <= UInt64(UInt32.max), version >= 0
            else { throw CheckpointError.malformed("version \(main)") }
            let revision = Revision(main: main, sub: Int32(sub))
            guard last < revision || order.count == 0, main <= state.revision else {
                throw CheckpointError.malformed("revision \(main) out of order")
            }
            last = revision
            let key = keys[Int(ordinal)]
            let location = RecordLocation(segment: UInt32(segment), length: UInt32(length), offset: offset)
            retain(location)
            state.table.accounts.loaded(key, bytes: Int64(location.length))
            let slot = slab.allocate()
            slab[slot].initialize(
                to: VersionRecord(
                    main: main, created: main - age, version: version, lease: lease, location: location, key: key,
                    sub: revision.sub, previous: key.newest))
            key.newest = slot
            order.append(slot)
        }
    }

    private mutating func endVersions() throws {
        for key in keys where key.newest == KeyEntry.noVersion { throw CheckpointError.malformed("a key without a version") }
        let slab = state.table.slab
        let accounts = state.table.accounts
        builder.finish(into: state.table.index) { key in
            let newest = slab[key.newest]
            guard !newest.pointee.isTombstone else { return false }
            accounts.loadedLive(key, bytes: Int64(newest.pointee.location.length))
            return true
        }
        keys = []
        phase = .done
    }
}

extension ProtobufReader {
    fileprivate mutating func byte() throws(ProtobufError) -> UInt8 {
        // A one-byte varint is the byte; the format writes no tag above 127.
        UInt8(truncatingIfNeeded: try varint())
    }
}
