// Which Kubernetes resource a key belongs to: a number for `pods` of `/registry/pods/kube-system/coredns`.
//
// Names are only ever added, up to a bound, so a number stays good and looking one up takes no lock: the table is open
// addressing over pointers that are published once. Whatever belongs to no resource, or to one too many, is `other`.

import Synchronization
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// A resource by number; 0 is everything that has none of its own.
public struct ResourceID: Hashable, Sendable, RawRepresentable {
    public let rawValue: UInt16
    @inline(__always) public init(rawValue: UInt16) { self.rawValue = rawValue }
    public static let other = ResourceID(rawValue: 0)
}

/// The names of resources, found as keys come. Any thread.
public final class ResourceNames: @unchecked Sendable {
    // Unchecked: slots are atomic, what they point to is immutable and never freed, adding takes a lock.

    /// Resources that are told apart; later ones are counted as `other`.
    public static let countMax = 1024
    public static let prefixesDefault = ["/registry/"]
    /// A longer name is no resource's.
    private static let nameBytesMax = 128
    private static let slotCount = 4096

    private struct Entry {
        let id: ResourceID
        let count: Int
        let bytes: UnsafePointer<UInt8>
        var view: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: bytes, count: count) }
    }

    private let prefixes: [[UInt8]]
    private let slots: UnsafeMutablePointer<Atomic<UInt>>
    private let added: Mutex<[String]>

    /// - Parameter prefixes: what keys of resources begin with; a slash is added where there is none at the end.
    public init(prefixes: [String] = prefixesDefault) {
        self.prefixes = prefixes.filter { !$0.isEmpty }.map { Array(($0.hasSuffix("/") ? $0 : $0 + "/").utf8) }
        slots = .allocate(capacity: Self.slotCount)
        for slot in 0..<Self.slotCount { (slots + slot).initialize(to: Atomic(0)) }
        added = Mutex(["other"])
    }

    /// Names by number.
    public var all: [String] { added.withLock { $0 } }
    public var count: Int { added.withLock { $0.count } }

    // MARK: Keys

    /// The resource of a key, added if it is a new one.
    public func resource(of key: UnsafeRawBufferPointer) -> ResourceID {
        guard let name = name(in: key) else { return .other }
        return find(name) ?? add(name)
    }

    /// The resource of a key if a key of it was met before.
    public func known(_ key: UnsafeRawBufferPointer) -> ResourceID {
        guard let name = name(in: key) else { return .other }
        return find(name) ?? .other
    }

    /// The part of a key that names its resource.
    private func name(in key: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        for prefix in prefixes {
            guard key.count > prefix.count, memcmp(key.baseAddress!, prefix, prefix.count) == 0 else { continue }
            let rest = UnsafeRawBufferPointer(rebasing: key[prefix.count...])
            guard let part = ResourcePart(rest), part.firstCount <= Self.nameBytesMax else { return nil }
            return UnsafeRawBufferPointer(rebasing: rest[..<(part.count <= Self.nameBytesMax ? part.count : part.firstCount)])
        }
        return nil
    }

    // MARK: The table

    private func find(_ name: UnsafeRawBufferPointer) -> ResourceID? {
        var slot = Self.hash(name)
        while let entry = entry(slot) {
            if entry.count == name.count, memcmp(entry.bytes, name.baseAddress!, name.count) == 0 { return entry.id }
            slot = (slot + 1) % Self.slotCount
        }
        return nil
    }

    @inline(__always)
    private func entry(_ slot: Int) -> Entry? {
        UnsafePointer<Entry>(bitPattern: slots[slot].load(ordering: .acquiring))?.pointee
    }

    private func add(_ name: UnsafeRawBufferPointer) -> ResourceID {
        nonisolated(unsafe) let name = name
        return added.withLock { names in
            if let found = find(name) { return found }
            guard names.count < Self.countMax, let text = String(validating: name, as: UTF8.self),
                text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") })
            else { return .other }
            let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: name.count)
            memcpy(bytes, name.baseAddress!, name.count)
            let entry = UnsafeMutablePointer<Entry>.allocate(capacity: 1)
            entry.initialize(to: Entry(id: ResourceID(rawValue: UInt16(names.count)), count: name.count, bytes: bytes))
            names.append(text)
            var slot = Self.hash(name)
            while self.entry(slot) != nil { slot = (slot + 1) % Self.slotCount }
            slots[slot].store(UInt(bitPattern: entry), ordering: .releasing)
            return entry.pointee.id
        }
    }

    /// FNV-1a: names are short, and there is nothing to be gained by making them collide in a table this empty.
    @inline(__always)
    private static func hash(_ name: UnsafeRawBufferPointer) -> Int {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in name { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        return Int((hash ^ hash >> 32) % UInt64(slotCount))
    }
}
