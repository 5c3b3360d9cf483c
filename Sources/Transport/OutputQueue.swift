// The bytes that a call has still to send: pieces of messages in order, each kept where it is cheapest.

import Wire

#if canImport(Glibc)
import Glibc
#endif

/// Part of a call's output. POD, so that a slot can hold many without reference counting.
struct OutputPiece {
    enum Kind: UInt8 {
        /// `start..<end` of the loop's arena; lives only until the end of the batch that made it.
        case arena
        /// `start..<end` of a block that the queue owns.
        case block
        /// `start..<end` of `SharedBytes`, retained.
        case shared
        /// `end - start` bytes still to come from a `BodySource`, retained.
        case source
    }

    var kind: Kind
    /// Block: its memory. Shared, source: the retained object.
    var object: UnsafeMutableRawPointer?
    var start: Int
    var end: Int
    /// Block: the size of its memory.
    var capacity: Int

    var count: Int { end - start }
}

/// A queue of pieces. Memory of the ring is kept when it empties (a slot is used again soon), but not a large one.
struct OutputQueue {
    private var ring: UnsafeMutablePointer<OutputPiece>?
    private var mask = -1
    private var head = 0
    private(set) var pieceCount = 0
    /// Bytes that the queued pieces keep in memory; a source counts nothing.
    private(set) var heldBytes = 0
    /// Sources that are queued.
    private(set) var sourceCount = 0

    private static let ringKept = 64

    var isEmpty: Bool { pieceCount == 0 }

    init() {}

    private func at(_ index: Int) -> UnsafeMutablePointer<OutputPiece> { ring.unsafelyUnwrapped + ((head + index) & mask) }

    private mutating func push(_ piece: OutputPiece) {
        if pieceCount > mask { grow() }
        (ring.unsafelyUnwrapped + ((head + pieceCount) & mask)).pointee = piece
        pieceCount += 1
        if piece.kind != .source { heldBytes += piece.count }
    }

    private mutating func grow() {
        let capacity = max(2, (mask + 1) * 2)
        let larger = UnsafeMutablePointer<OutputPiece>.allocate(capacity: capacity)
        for index in 0..<pieceCount { (larger + index).pointee = at(index).pointee }
        ring?.deallocate()
        ring = larger
        mask = capacity - 1
        head = 0
    }

    // MARK: Filling

    @inline(__always)
    mutating func appendArena(_ range: Range<Int>) {
        if pieceCount > 0 {
            let last = at(pieceCount - 1)
            if last.pointee.kind == .arena, last.pointee.end == range.lowerBound {
                last.pointee.end = range.upperBound
                heldBytes += range.count
                return
            }
        }
        push(OutputPiece(kind: .arena, object: nil, start: range.lowerBound, end: range.upperBound, capacity: 0))
    }

    mutating func append(_ shared: SharedBytes) {
        guard shared.count > 0 else { return }
        push(
            OutputPiece(
                kind: .shared, object: Unmanaged.passRetained(shared).toOpaque(), start: 0, end: shared.count, capacity: 0))
    }

    mutating func append(_ source: any BodySource, length: Int) {
        precondition(length > 0)
        let box = SourceBox(source)
        sourceCount += 1
        push(OutputPiece(kind: .source, object: Unmanaged.passRetained(box).toOpaque(), start: 0, end: length, capacity: 0))
    }

    /// The existential of a source behind one pointer. One small object per streamed message, not per call.
    private final class SourceBox {
        let source: any BodySource
        init(_ source: any BodySource) { self.source = source }
    }

    /// Moves what still lies in the arena into blocks of the queue's own, because the arena is about to be
    /// used again. Neighbouring pieces end up in one block.
    mutating func leaveArena(_ arena: UnsafeMutableRawPointer) {
        guard pieceCount > 0 else { return }
        var kept = 0
        for index in 0..<pieceCount {
            let piece = at(index).pointee
            guard piece.kind == .arena else {
                at(kept).pointee = piece
                kept += 1
                continue
            }
            if kept > 0 {
                let last = at(kept - 1)
                if last.pointee.kind == .block {
                    extend(last, with: UnsafeRawBufferPointer(start: arena + piece.start, count: piece.count))
                    continue
                }
            }
            let block = malloc(piece.count).unsafelyUnwrapped
            memcpy(block, arena + piece.start, piece.count)
            at(kept).pointee = OutputPiece(kind: .block, object: block, start: 0, end: piece.count, capacity: piece.count)
            kept += 1
        }
        pieceCount = kept
    }

    private func extend(_ last: UnsafeMutablePointer<OutputPiece>, with bytes: UnsafeRawBufferPointer) {
        let needed = last.pointee.end + bytes.count
        if needed > last.pointee.capacity {
            let capacity = max(needed, min(last.pointee.capacity * 2, needed + (64 << 10)))
            last.pointee.object = realloc(last.pointee.object, capacity).unsafelyUnwrapped
            last.pointee.capacity = capacity
        }
        memcpy(last.pointee.object.unsafelyUnwrapped + last.pointee.end, bytes.baseAddress.unsafelyUnwrapped, bytes.count)
        last.pointee.end = needed
    }

    // MARK: Draining

    /// What `pull` found at the end of its bytes.
    enum PullResult {
        case filled, empty, notReady, failed
    }

    /// Copies up to `length` bytes to `target`; says how many and why not more.
    ///
    /// - Parameter ahead: what a source may write beyond that, in frames of `length` bytes each behind a gap of
    ///   `gap` bytes. It is not taken from the queue before `takeAhead` or `keepAhead`.
    mutating func pull(
        into target: UnsafeMutableRawPointer, length: Int, ahead: Int = 0, gap: Int = 0, arena: UnsafeMutableRawPointer
    ) -> (count: Int, ahead: Int, result: PullResult) {
        var written = 0
        while pieceCount > 0 {
            if written == length { return (written, 0, .filled) }
            let piece = at(0)
            let size = min(piece.pointee.count, length - written)
            switch piece.pointee.kind {
            case .arena: memcpy(target + written, arena + piece.pointee.start, size)
            case .block: memcpy(target + written, piece.pointee.object.unsafelyUnwrapped + piece.pointee.start, size)
            case .shared:
                Unmanaged<SharedBytes>.fromOpaque(piece.pointee.object.unsafelyUnwrapped)._withUnsafeGuaranteedRef {
                    _ = memcpy(target + written, $0.bytes.baseAddress.unsafelyUnwrapped + piece.pointee.start, size)
                }
            case .source:
                let box = Unmanaged<SourceBox>.fromOpaque(piece.pointee.object.unsafelyUnwrapped).takeUnretainedValue()
                let made: Int
                let room = min(piece.pointee.count, size + ahead)
                do {
                    made = try box.source.read(
                        into: GappedBuffer(base: target, blockBytes: length, gapBytes: gap, start: written, count: room))
                } catch {
                    return (written, 0, .failed)
                }
                precondition(made >= 0 && made <= room, "a body source wrote \(made) bytes into a buffer of \(room)")
                if made == 0 { return (written, 0, .notReady) }
                let taken = min(made, size)
                piece.pointee.start += taken
                written += taken
                if made > taken { return (written, made - taken, .filled) }
                if piece.pointee.count == 0 { dropFirst() }
                continue
            }
            piece.pointee.start += size
            heldBytes -= size
            written += size
            if piece.pointee.count == 0 { dropFirst() }
        }
        return (written, 0, .empty)
    }

    /// Bytes that the source in front has written ahead are on their way.
    mutating func takeAhead(_ count: Int) {
        let piece = at(0)
        precondition(pieceCount > 0 && piece.pointee.kind == .source && count <= piece.pointee.count)
        piece.pointee.start += count
        if piece.pointee.count == 0 { dropFirst() }
    }

    /// Bytes that the source in front has written ahead cannot stay where they are: they wait in memory of the queue's own.
    mutating func keepAhead(_ count: Int, _ copy: (UnsafeMutableRawPointer) -> Void) {
        takeAhead(count)
        let block = malloc(count).unsafelyUnwrapped
        copy(block)
        if pieceCount > mask { grow() }
        head = (head - 1) & mask
        pieceCount += 1
        at(0).pointee = OutputPiece(kind: .block, object: block, start: 0, end: count, capacity: count)
        heldBytes += count
    }

    private mutating func dropFirst() {
        release(at(0).pointee, unfinished: false)
        head = (head + 1) & mask
        pieceCount -= 1
    }

    private mutating func release(_ piece: OutputPiece, unfinished: Bool) {
        switch piece.kind {
        case .arena: break
        case .block: free(piece.object)
        case .shared: Unmanaged<SharedBytes>.fromOpaque(piece.object.unsafelyUnwrapped).release()
        case .source:
            sourceCount -= 1
            let box = Unmanaged<SourceBox>.fromOpaque(piece.object.unsafelyUnwrapped).takeRetainedValue()
            if unfinished { box.source.cancelled() }
        }
    }

    /// Drops everything; sources that were not read to their end are told.
    mutating func removeAll() {
        while pieceCount > 0 {
            let piece = at(0).pointee
            head = (head + 1) & mask
            pieceCount -= 1
            release(piece, unfinished: true)
        }
        heldBytes = 0
        head = 0
        if mask >= Self.ringKept {
            ring?.deallocate()
            ring = nil
            mask = -1
        }
    }

    /// Frees the ring as well; the queue can be used again.
    mutating func destroy() {
        removeAll()
        ring?.deallocate()
        ring = nil
        mask = -1
    }
}
