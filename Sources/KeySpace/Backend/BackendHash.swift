// The Hash call: one checksum over etcd's whole database.

import Wire

/// CRC-32C over every bucket's name, keys and values, but for what differs between members by nature.
public final class BackendHash: BackendSink {
    public private(set) var value: UInt32 = 0
    private var isMeta = false
    private static let ignored = [BackendKeys.consistentIndex, BackendKeys.term, BackendKeys.storageVersion]

    public init() {}

    public func beginBucket(_ name: String) {
        var name = name
        isMeta = name == MetaBucket.meta.name
        value = name.withUTF8 { CRC32C.update(value, UnsafeRawBufferPointer($0)) }
    }

    public func add(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        if isMeta, Self.ignored.contains(where: { $0.elementsEqual(key) }) { return }
        self.value = CRC32C.update(CRC32C.update(self.value, key), value)
    }

    public func endBucket() {}
}
