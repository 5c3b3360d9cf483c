// A real store that takes the same changes as the naive history, with purges and garbage collection in between.

import Storage
import StorageSimulation
import Testing
import Wire

@testable import KeySpace

/// One change of a transaction.
struct RequestedChange {
    var key: [UInt8]
    /// nil: delete.
    var value: [UInt8]?
    var lease: Int64 = 0
}

final class StoreMirror {
    let store: MVCCStore
    private var raftIndex: UInt64 = 0
    private let compactions: CompactionRunner
    private let collections: CollectionRunner

    init(seed: UInt64) {
        var options = RevisionLogOptions()
        options.segmentBytes = 20_000
        store = try! MVCCStore.open(fileSystem: SimulatedFileSystem(seed: seed), directory: "/store", logOptions: options)
        compactions = CompactionRunner(store: store)
        collections = CollectionRunner(store: store)
    }

    deinit { store.close() }

    /// Makes one main revision, readable but not yet told to anybody.
    func apply(_ changes: [RequestedChange]) {
        entry {
            for change in changes {
                change.key.withUnsafeBytes { key in
                    guard let value = change.value else {
                        _ = store.deleteRange(key: key, rangeEnd: UnsafeRawBufferPointer(start: nil, count: 0)) { _ in }
                        return
                    }
                    _ = value.withUnsafeBytes { store.put(key: key, value: $0, lease: change.lease) }
                }
            }
        }
    }

    func compact(_ revision: Int64) { entry { try! store.compact(to: revision) } }

    private func entry(_ body: () -> Void) {
        raftIndex += 1
        store.beginEntry(raftIndex: raftIndex, term: 1)
        body()
        store.endEntry()
        try! store.publish()
    }

    /// Some slices of the maintenance thread's work.
    func maintain(slices: Int) {
        for _ in 0..<slices { if case .idle = try! compactions.step() { break } }
        if collections.isRunning || collections.begin(isThorough: true) { for _ in 0..<slices { if try! !collections.step() { break } } }
        try! store.log.sync()
    }

    /// Pins that hubs hold.
    var pinCount: Int { store.lock.withLock { store.pins.count } }
}
