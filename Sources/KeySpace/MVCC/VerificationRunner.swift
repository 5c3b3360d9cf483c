// Reads the sealed part of the log again, slowly and for ever, to find what the disk has not kept. Owned by the
// maintenance thread.

import Storage
import Synchronization

final class VerificationRunner {
    private let store: MVCCStore
    private var current: SegmentVerification?
    private var last: UInt32 = 0
    private var nextSlice: UInt64
    private var passBegan: UInt64
    /// Segments in which damage was found: neither verified again nor collected.
    private(set) var damaged: Set<UInt32> = []
    /// Nanoseconds from the beginning of one pass to that of the next.
    let interval: UInt64

    init(store: MVCCStore, interval: UInt64, now: UInt64) {
        self.store = store
        self.interval = interval
        // Not at once: a start has other things to do.
        passBegan = now
        nextSlice = now &+ min(interval, StoreLimits.verificationDelayNanoseconds)
    }

    /// A slice, if one is due. Damage is reported once for each segment.
    func step(now: UInt64) throws(StorageError) -> Bool {
        guard now >= nextSlice else { return false }
        if current == nil {
            if last == 0 { passBegan = now }
            current = store.log.beginVerification(after: last)
            guard current != nil else {
                last = 0
                nextSlice = max(now &+ min(interval, StoreLimits.verificationDelayNanoseconds), passBegan &+ interval)
                return false
            }
            last = current!.segmentID
            if damaged.contains(last) {
                current = nil
                return true
            }
        }
        do throws(StorageError) {
            let (bytes, hasMore) = try store.log.step(&current!, maxBytes: StoreLimits.verificationSliceBytes)
            store.verifiedBytes.wrappingAdd(bytes, ordering: .relaxed)
            if !hasMore { current = nil }
        } catch {
            current = nil
            guard error.isCorrupt else {
                // The disk may answer another time.
                nextSlice = now &+ StoreLimits.retryNanoseconds
                throw error
            }
            note(last)
            throw error
        }
        nextSlice = now &+ StoreLimits.verificationPauseNanoseconds
        return true
    }

    /// Damage was found in a segment, here or while it was being collected.
    func note(_ segment: UInt32) {
        damaged.insert(segment)
        store.damagedSegments.store(damaged.count, ordering: .relaxed)
    }
}
