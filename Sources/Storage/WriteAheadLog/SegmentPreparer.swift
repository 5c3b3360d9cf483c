// Prepares files of the write-ahead log before they are needed: reserved, filled with zeros, synced, under a temporary
// name. And fills the active file with zeros ahead of the writer, if it could not be prepared before.

import CShims
import Synchronization
import Wire

#if canImport(Glibc)
import Glibc
#endif

final class SegmentPreparer: Sendable {
    struct Prepared {
        let path: String
        let file: any File
        /// The content is zeros on the disk, not only reserved.
        let isZeroed: Bool
    }

    private struct State {
        var prepared: Prepared?
        var isPreparing = false
        var recycled: (path: String, file: any File)?
        /// Temporary names in use. One file is being prepared, another may be made on the spot: `0.tmp`, `1.tmp`.
        var names: Set<String> = []
        /// The active file, as far as it still has to be zeroed.
        var ahead: (file: any File, position: UInt64)?
        /// A job that zeroes the active file is queued or running.
        var isZeroing = false
        /// A range that is being zeroed right now.
        var claim: Range<UInt64>?
        /// The writer has written, or is about to write, up to here.
        var writerEnd: UInt64 = 0
        var isStopping = false
    }

    /// What is zeroed at a time. A sync of the log carries along what was zeroed in the active file since the last one, so
    /// this is small.
    static let chunkBytes = 256 << 10
    /// Zeroing begins at least this far ahead of the writer...
    static let margin: UInt64 = 256 << 10
    /// ...and goes no further than this, in step with the writer: the rest of the disk's time is not ours.
    static let window: UInt64 = 4 << 20
    /// The next file is zeroed with pauses as long as the work, but no longer than this.
    static let pauseMicrosecondsMax: UInt64 = 50_000

    private let fileSystem: any FileSystem
    private let directory: String
    private let options: WALOptions
    private let state = Mutex(State())
    private let worker = BackgroundWorker(name: "wal-prepare")

    init(fileSystem: any FileSystem, directory: String, options: WALOptions) {
        self.fileSystem = fileSystem
        self.directory = directory
        self.options = options
    }

    // MARK: The next file

    /// Starts to prepare the next file, unless it is ready or under way.
    func prepareNext() {
        guard options.preparesInBackground else { return }
        let mustStart = state.withLock { state in
            guard state.prepared == nil, !state.isPreparing, !state.isStopping else { return false }
            state.isPreparing = true
            return true
        }
        if mustStart { worker.run { [self] in prepare() } }
    }

    private func prepare() {
        let recycled = state.withLock { state in
            defer { state.recycled = nil }
            return state.recycled
        }
        // A failure here is met again, and told, when the file is needed.
        let made = try? make(from: recycled)
        let isZeroed = made.map { fill($0.file) } ?? false
        let leftOver: Prepared? = state.withLock { state in
            state.isPreparing = false
            guard let made else { return nil }
            let prepared = Prepared(path: made.path, file: made.file, isZeroed: isZeroed)
            if state.isStopping { return prepared }
            state.prepared = prepared
            return nil
        }
        if let leftOver { discard(leftOver.path, leftOver.file) }
    }

    /// - Parameter needsReserve: fail if the disk has no room for the whole file. It may still have room for what comes next.
    private func make(
        from recycled: (path: String, file: any File)?, needsReserve: Bool = true
    ) throws(StorageError) -> (path: String, file: any File) {
        let path: String
        let file: any File
        if let recycled {
            // It has its temporary name already.
            (path, file) = recycled
        } else {
            path = takeName()
            do throws(StorageError) {
                file = try fileSystem.open(path, .create)
            } catch {
                freeName(path)
                throw error
            }
        }
        do throws(StorageError) {
            try file.preallocate(options.segmentBytes, extending: true)
        } catch {
            guard !needsReserve, error.isNoSpace else {
                discard(path, file)
                throw error
            }
        }
        return (path, file)
    }

    private func takeName() -> String {
        state.withLock { state in
            var number = 0
            while !state.names.insert(directory + "/\(number).tmp").inserted { number += 1 }
            return directory + "/\(number).tmp"
        }
    }

    private func freeName(_ path: String) { state.withLock { _ = $0.names.remove(path) } }

    /// Writes zeros over the whole file, leaving the disk to others half of the time; false if that did not work or nobody
    /// waits for it any more.
    private func fill(_ file: any File) -> Bool {
        let zeros = Zeros(4 * SegmentPreparer.chunkBytes)
        var position: UInt64 = 0
        while position < options.segmentBytes {
            if state.withLock({ $0.isStopping }) { return false }
            let count = Int(min(options.segmentBytes - position, UInt64(zeros.count)))
            let began = martlet_monotonic_ns()
            do throws(StorageError) {
                try file.write(zeros.prefix(count), at: position)
                if !options.skipsSync { try file.sync() }
            } catch {
                return false
            }
            position += UInt64(count)
            usleep(UInt32(min((martlet_monotonic_ns() - began) / 1000, SegmentPreparer.pauseMicrosecondsMax)))
        }
        return true
    }

    /// The next file, prepared or made on the spot.
    func take() throws(StorageError) -> Prepared {
        let ready = state.withLock { state in
            defer { state.prepared = nil }
            return state.prepared
        }
        if let ready { return ready }
        // Under way but not ready: zeroing takes longer than opening another one. The one that is being prepared serves
        // the next time.
        let made = try make(from: nil, needsReserve: false)
        return Prepared(path: made.path, file: made.file, isZeroed: false)
    }

    /// Takes over a file that is no longer needed. False: the caller removes it.
    func recycle(path: String, file: any File) -> Bool {
        guard options.preparesInBackground else { return false }
        let isWanted = state.withLock { state in
            state.prepared == nil && state.recycled == nil && !state.isPreparing && !state.isStopping
        }
        guard isWanted else { return false }
        let temporary = takeName()
        do throws(StorageError) {
            try fileSystem.rename(path, to: temporary)
        } catch {
            freeName(temporary)
            return false
        }
        state.withLock { $0.recycled = (temporary, file) }
        return true
    }

    /// Removes a file that is not used after all. Should that fail, the next start does it.
    func discard(_ path: String, _ file: any File) {
        file.close()
        try? fileSystem.remove(path)
        freeName(path)
    }

    // MARK: The active file

    /// Makes a file that was just taken the active one.
    func adopt(_ prepared: Prepared, from position: UInt64) {
        freeName(prepared.path)
        if prepared.isZeroed {
            state.withLock { state in
                state.ahead = nil
                state.writerEnd = position
            }
        } else {
            zeroAhead(prepared.file, from: position)
        }
    }

    /// Zeroes the active file ahead of the writer, in the background.
    func zeroAhead(_ file: any File, from position: UInt64) {
        state.withLock { state in
            state.writerEnd = position
            state.ahead = options.preparesInBackground ? (file, position) : nil
        }
        continueZeroing()
    }

    /// Zeroes on, if the writer has come near enough.
    private func continueZeroing() {
        let isWanted = state.withLock { state in
            guard !state.isZeroing, let ahead = state.ahead, ahead.position < state.writerEnd + SegmentPreparer.window / 2
            else { return false }
            state.isZeroing = true
            return true
        }
        if isWanted {
            worker.run { [self] in
                while zeroChunk() {}
                state.withLock { $0.isZeroing = false }
            }
        }
    }

    private func zeroChunk() -> Bool {
        let chunk = UInt64(SegmentPreparer.chunkBytes)
        let job: (file: any File, range: Range<UInt64>)? = state.withLock { state in
            guard let ahead = state.ahead, !state.isStopping else { return nil }
            // Behind the writer there is nothing to do any more; near it there is no time.
            let nearest = (state.writerEnd + SegmentPreparer.margin + chunk - 1) / chunk * chunk
            let start = max(ahead.position, nearest)
            guard start < options.segmentBytes else {
                state.ahead = nil
                return nil
            }
            guard start < state.writerEnd + SegmentPreparer.window else { return nil }
            let range = start..<min(start + chunk, options.segmentBytes)
            state.claim = range
            state.ahead = (ahead.file, range.upperBound)
            return (ahead.file, range)
        }
        guard let job else { return false }
        let zeros = Zeros(job.range.count)
        let isWritten = (try? job.file.write(zeros.prefix(job.range.count), at: job.range.lowerBound)) != nil
        state.withLock { state in
            state.claim = nil
            if !isWritten { state.ahead = nil }
        }
        return isWritten
    }

    /// Leaves the active file alone from now on: it is about to be cut.
    func stopZeroing() {
        while true {
            let isFree = state.withLock { state in
                state.ahead = nil
                return state.claim == nil
            }
            if isFree { return }
            usleep(100)
        }
    }

    /// Called before every write of the log: keeps zeroing out of what is about to be written.
    @inline(__always)
    func waitForWriter(through end: UInt64) {
        guard options.preparesInBackground else { return }
        defer { continueZeroing() }
        while true {
            let isFree = state.withLock { state in
                state.writerEnd = max(state.writerEnd, end)
                return state.claim.map { $0.lowerBound >= end } ?? true
            }
            if isFree { return }
            // A chunk takes about a millisecond, and is met at most once in a file.
            usleep(100)
        }
    }

    // MARK: The end

    func stop() {
        let left = state.withLock { state in
            state.isStopping = true
            state.ahead = nil
            defer { state.prepared = nil }
            return state.prepared
        }
        worker.stop()
        if let left { discard(left.path, left.file) }
        let recycled = state.withLock { state in
            defer { state.recycled = nil }
            return state.recycled
        }
        if let recycled { discard(recycled.path, recycled.file) }
    }
}

/// A page-aligned block of zeros.
private final class Zeros {
    let bytes: UnsafeMutableRawBufferPointer

    init(_ count: Int) {
        bytes = .allocate(byteCount: count, alignment: 4096)
        memset(bytes.baseAddress!, 0, count)
    }

    deinit { bytes.deallocate() }

    var count: Int { bytes.count }
    func prefix(_ count: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[..<count]) }
}
