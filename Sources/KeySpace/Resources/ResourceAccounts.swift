// What each resource holds in the store, kept up to date as versions come and go, so that nobody ever has to count.
// Guarded by the store's lock, which whoever changes versions holds anyway: plain additions, no atomic, no allocation.

#if canImport(Glibc)
import Glibc
#endif

/// What is stored of one resource, and what was written since the start.
public struct ResourceUsage: Sendable, Equatable {
    public var liveKeys: Int64 = 0
    /// Bytes of the live keys' records: key, value and numbers, as they are stored and sent.
    public var liveBytes: Int64 = 0
    /// Bytes of all records that compaction has not purged, the live ones included.
    public var storedBytes: Int64 = 0
    public var puts: Int64 = 0
    public var deletes: Int64 = 0
    public var putBytes: Int64 = 0
    /// Ranges inside of transactions that write.
    public var transactionReads: Int64 = 0
    /// Bytes of the largest live record. Exact while that record lives; after it was replaced by a smaller one or deleted, an
    /// upper bound, at most a quarter too high, until one of that size is written.
    public var largestBytes: Int64 = 0

    public init() {}

    /// Bytes of versions that are only history: replaced, deleted, or deletions.
    public var historyBytes: Int64 { storedBytes - liveBytes }

    public static func += (a: inout ResourceUsage, b: ResourceUsage) {
        a.liveKeys += b.liveKeys
        a.liveBytes += b.liveBytes
        a.storedBytes += b.storedBytes
        a.puts += b.puts
        a.deletes += b.deletes
        a.putBytes += b.putBytes
        a.transactionReads += b.transactionReads
        a.largestBytes = max(a.largestBytes, b.largestBytes)
    }
}

/// The accounts of all resources of a store.
final class ResourceAccounts {
    let names: ResourceNames
    private let usage: UnsafeMutablePointer<ResourceUsage>
    /// Live records by class of size, to find the next largest one when the largest goes.
    private let classes: UnsafeMutablePointer<UInt32>
    /// The key of the largest live record, while that is known.
    private let largest: UnsafeMutablePointer<KeyEntry?>

    init(_ names: ResourceNames) {
        self.names = names
        let count = ResourceNames.countMax
        usage = .allocate(capacity: count)
        usage.initialize(repeating: ResourceUsage(), count: count)
        largest = .allocate(capacity: count)
        largest.initialize(repeating: nil, count: count)
        // Pages of resources that do not exist are never touched.
        guard let memory = calloc(count * SizeClass.count, MemoryLayout<UInt32>.stride) else { fatalError("out of memory: size classes") }
        classes = memory.bindMemory(to: UInt32.self, capacity: count * SizeClass.count)
    }

    deinit {
        usage.deallocate()
        largest.deallocate()
        free(classes)
    }

    @inline(__always)
    subscript(_ resource: ResourceID) -> UnsafeMutablePointer<ResourceUsage> { usage + Int(resource.rawValue) }

    func largestKey(_ resource: ResourceID) -> KeyEntry? { largest[Int(resource.rawValue)] }

    // MARK: Versions come and go

    /// A version was added to a key that was live with `replaced` bytes; 0: it was not live.
    @inline(__always)
    func added(_ key: KeyEntry, bytes: Int64, isLive: Bool, replacing replaced: Int64) {
        let resource = key.resource
        let account = self[resource]
        account.pointee.storedBytes += bytes
        if replaced > 0 {
            account.pointee.liveBytes -= replaced
            account.pointee.liveKeys -= 1
            classes[SizeClass.position(resource, replaced)] -= 1
        }
        if isLive {
            account.pointee.liveBytes += bytes
            account.pointee.liveKeys += 1
            classes[SizeClass.position(resource, bytes)] += 1
            if bytes >= account.pointee.largestBytes {
                account.pointee.largestBytes = bytes
                largest[Int(resource.rawValue)] = key
                return
            }
        }
        guard replaced > 0 else { return }
        // Without a known one, the last of its class takes the bound along.
        let champion = largest[Int(resource.rawValue)]
        if champion == key || champion == nil && SizeClass.of(replaced) == SizeClass.of(account.pointee.largestBytes) {
            lostLargest(resource)
        }
    }

    /// A version was purged.
    @inline(__always)
    func purged(_ key: KeyEntry, bytes: Int64) { self[key.resource].pointee.storedBytes -= bytes }

    private func lostLargest(_ resource: ResourceID) {
        let account = self[resource]
        largest[Int(resource.rawValue)] = nil
        var size = SizeClass.of(account.pointee.largestBytes)
        while size >= 0, classes[Int(resource.rawValue) * SizeClass.count + size] == 0 { size -= 1 }
        account.pointee.largestBytes = size < 0 ? 0 : min(account.pointee.largestBytes, SizeClass.upperBound(size))
    }

    // MARK: Opening a store

    /// A version that the checkpoint has, without saying yet whether it is live.
    func loaded(_ key: KeyEntry, bytes: Int64) { self[key.resource].pointee.storedBytes += bytes }

    /// The newest version of a loaded key is live.
    func loadedLive(_ key: KeyEntry, bytes: Int64) {
        let account = self[key.resource]
        account.pointee.liveKeys += 1
        account.pointee.liveBytes += bytes
        classes[SizeClass.position(key.resource, bytes)] += 1
        if bytes >= account.pointee.largestBytes {
            account.pointee.largestBytes = bytes
            largest[Int(key.resource.rawValue)] = key
        }
    }
}

/// Four classes to each power of two.
enum SizeClass {
    static let count = 4 * 29

    @inline(__always)
    static func of(_ bytes: Int64) -> Int {
        let bytes = UInt64(max(bytes, 8))
        let exponent = 63 - bytes.leadingZeroBitCount
        let quarter = Int(bytes >> UInt64(exponent - 2)) & 3
        return min((exponent - 3) * 4 + quarter, count - 1)
    }

    @inline(__always)
    static func position(_ resource: ResourceID, _ bytes: Int64) -> Int { Int(resource.rawValue) * count + of(bytes) }

    /// The largest size of a class.
    static func upperBound(_ size: Int) -> Int64 {
        if size == count - 1 { return .max }
        let exponent = size / 4 + 3
        return (4 + Int64(size % 4) + 1) << Int64(exponent - 2) - 1
    }
}

extension MVCCStore {
    /// A range of the running entry has been answered.
    func countTransactionRead(_ answer: RangeAnswer, key: UnsafeRawBufferPointer) {
        table.accounts[answer.resource ?? resourceNames.known(key)].pointee.transactionReads += 1
    }

    /// The names of the resources that keys belong to.
    public var resourceNames: ResourceNames { table.accounts.names }

    /// What each resource holds and what was written of it, by number.
    public var resourceUsage: [ResourceUsage] {
        let count = resourceNames.count
        return exclusively { (0..<count).map { table.accounts[ResourceID(rawValue: UInt16($0))].pointee } }
    }

    /// The key of each resource's largest live record, where it is known.
    public var largestKeys: [[UInt8]?] {
        let count = resourceNames.count
        return exclusively { (0..<count).map { table.accounts.largestKey(ResourceID(rawValue: UInt16($0))).map { Array($0.bytes) } } }
    }
}
