// What the watch hub needs of the store: its revisions, a walk over changes in revision order, and the
// stored records. `MVCCStore` is the source in production, a naive history in tests.

import Storage
import Wire

/// One change as a walk shows it; the key is valid only during the call that gets it.
public struct ChangeView {
    /// Main revision.
    public var revision: Int64
    public var isDelete: Bool
    /// A put that creates its key.
    public var isCreation: Bool
    public var key: UnsafeRawBufferPointer
    /// The record of a put: the encoded KeyValue.
    public var record: RecordLocation
    /// The record of the key's value as of `revision - 1`; nil if the key did not exist then or the version is
    /// not stored any more.
    public var previous: RecordLocation?

    @inline(__always)
    public init(
        revision: Int64, isDelete: Bool, isCreation: Bool, key: UnsafeRawBufferPointer, record: RecordLocation,
        previous: RecordLocation?
    ) {
        self.revision = revision
        self.isDelete = isDelete
        self.isCreation = isCreation
        self.key = key
        self.record = record
        self.previous = previous
    }
}

/// What became of a wish to pin history.
public enum PinResult: Equatable, Sendable {
    /// Give this revision back with `unpin`.
    case pinned(Int64)
    /// Changes that were asked for may be gone: history begins at this revision.
    case compacted(Int64)
}

/// A history of changes, to be asked from the thread of any hub.
public protocol EventSource: AnyObject, Sendable {
    /// The newest published revision.
    var currentRevision: Int64 { get }
    /// The revision of the newest compaction; -1 if there was none.
    var compactRevision: Int64 { get }

    /// Keeps all changes from `first` on, and the values before them, until `unpin`. A later compaction takes
    /// effect logically, but purges only behind the pin.
    func pin(from first: Int64) -> PinResult
    func unpin(_ pinned: Int64)
    /// Pins `revision` in place of `pinned`, which must not be above it.
    func movePin(_ pinned: Int64, to revision: Int64)

    /// Shows the changes of revisions `first` ... `last` in order, whole revisions only, until some `limit`
    /// changes were shown or `body` returned false; either ends the walk with the revision in hand. The caller
    /// holds a pin of `first` or earlier.
    ///
    /// - Returns: the revision up to which all changes were shown.
    func walk(from first: Int64, through last: Int64, limit: Int, _ body: (ChangeView) -> Bool) -> Int64

    /// Runs `body`; locations of records that a walk in it shows stay good until it returns.
    func holdingRecords(_ body: () -> Void)

    /// Appends the records, each in full, one behind the other. Their locations come from a walk in the same
    /// `holdingRecords`.
    func read(_ records: UnsafeBufferPointer<RecordLocation>, into sink: ByteSink) throws
}
