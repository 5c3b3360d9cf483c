// KV/RangeStream: a range as a sequence of messages, each a slice of the keys at one pinned revision, made
// as the client reads.

import KeySpace
import Transport
import Wire

final class RangeStreamMethod: MethodHandler, LinearizableHandler {
    private let node: Node
    init(_ node: Node) { self.node = node }

    func message(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        do {
            let request = try RangeRequest(decoding: bytes)
            guard node.admit(call, isStream: true) else { return }
            try request.validate()
            // Only the order of the index can be streamed.
            guard request.sortOrder == 0 || (request.sortTarget == 0 && request.sortOrder == 1) else {
                throw CallError(.unimplemented, "RangeStream does not support custom sort orders")
            }
            guard request.minModRevision == 0, request.maxModRevision == 0, request.minCreateRevision == 0,
                request.maxCreateRevision == 0
            else { throw CallError(.unimplemented, "RangeStream does not support revision filters") }
            if request.serializable { serve(call, bytes) } else { node.linearize(call, bytes, self) }
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func serve(_ call: Call, _ bytes: UnsafeRawBufferPointer) {
        do {
            let request = try RangeRequest(decoding: bytes)
            let stream = try node.authorizedRead(call) { (auth, who) throws(CallError) in
                try auth.check(who, request)
            } _: { () throws(CallError) in
                try RangeStreamState(request, node)
            }
            call.userData = stream
            stream.send(on: call)
        } catch {
            call.fail(CallError(anything: error))
        }
    }

    func writable(_ call: Call) { (call.userData as? RangeStreamState)?.send(on: call) }
}

/// One stream on its way. Belongs to its call's event loop.
private final class RangeStreamState {
    private let node: Node
    /// Pins the revision, so that every slice sees the same keys.
    private let snapshot: ReadSnapshot
    private let rangeEnd: [UInt8]
    private let keysOnly: Bool
    private let countOnly: Bool
    private let revision: Int64
    private let count: Int64
    /// Keys that may still be sent; nil for all.
    private var left: Int64?
    private var nextKey: [UInt8]
    /// Keys of the next slice: grows and shrinks with the size of the last one.
    private var sliceKeys: Int64 = RangeStreamState.firstSliceKeys
    private let answerBytesWanted: Int
    private let scratch = ByteSink(capacity: 4096)

    private static let firstSliceKeys: Int64 = 10

    init(_ request: RangeRequest, _ node: Node) throws(CallError) {
        self.node = node
        snapshot = node.store.snapshot()
        rangeEnd = [UInt8](request.rangeEnd)
        keysOnly = request.keysOnly
        countOnly = request.countOnly
        revision = request.revision
        left = request.limit > 0 ? request.limit : nil
        nextKey = [UInt8](request.key)
        answerBytesWanted = Int(node.configuration.limits.requestBytesMaximum)
        var counting = request
        counting.countOnly = true
        let answer = try node.store.range(counting, in: snapshot)
        while !answer.isReady { answer.cursor?.step() }
        count = answer.count
    }

    /// Sends slices until the client has enough to read.
    func send(on call: Call) {
        while call.isAlive, call.queuedBytes < TransportLimits.queuedLowBytes {
            do {
                if try sendSlice(on: call) { return call.finish() }
            } catch {
                return call.fail(error)
            }
        }
    }

    /// - Returns: whether that was the last one.
    private func sendSlice(on call: Call) throws(CallError) -> Bool {
        if countOnly {
            scratch.clear()
            sendLast(on: call, more: false)
            return true
        }
        // A compaction ends the stream: nobody may rely on what it would still bring.
        if revision > 0, revision < node.store.compactRevision { throw .compacted }
        let wanted = min(sliceKeys, left ?? .max)
        let (keys, more) = try readSlice(limit: wanted)
        left = left.map { $0 - keys }
        let isLast = !more || left == 0
        if isLast {
            sendLast(on: call, more: more)
            return true
        }
        call.send { sink in sink.message(1) { $0.append(scratch.bytes) } }
        if scratch.count < answerBytesWanted / 2 { sliceKeys *= 2 } else if scratch.count > answerBytesWanted * 2 { sliceKeys = max(1, sliceKeys / 2) }
        return false
    }

    private func sendLast(on call: Call, more: Bool) {
        call.send { sink in
            sink.message(1) { sink in
                node.headers.append(to: sink, revision: snapshot.revision, term: node.consensus.term)
                sink.append(scratch.bytes)
                sink.field(3, more)
                sink.field(4, count)
            }
        }
    }

    /// Reads the next keys into the scratch buffer as `kvs` fields and moves on behind the last of them.
    private func readSlice(limit: Int64) throws(CallError) -> (keys: Int64, more: Bool) {
        var request = RangeRequest()
        request.limit = limit
        request.revision = revision
        request.keysOnly = keysOnly
        let whole = ByteSink(capacity: 4096)
        let more: Bool
        do {
            more = try nextKey.withUnsafeBytes { key in
                try rangeEnd.withUnsafeBytes { end in
                    request.key = key
                    request.rangeEnd = end
                    let answer = try node.store.range(request, in: snapshot, countsKeys: false)
                    while !answer.isReady { answer.cursor?.step() }
                    try answer.write(to: whole)
                    return answer.more
                }
            }
        } catch let error as CallError {
            throw error
        } catch {
            throw node.readFailed(error)
        }
        // `more` and `count` of a slice mean nothing to the client.
        scratch.clear(keeping: 2 * answerBytesWanted)
        var keys: Int64 = 0
        var reader = ProtobufReader(whole.bytes)
        while let (field, type) = (try? reader.next()) ?? nil {
            if field == 2, type == .bytes, let record = try? reader.bytes() {
                scratch.always(2, record)
                keys += 1
                var inner = ProtobufReader(record)
                if let (field, type) = (try? inner.next()) ?? nil, field == 1, type == .bytes, let key = try? inner.bytes() {
                    nextKey = [UInt8](key) + [0]
                }
            } else {
                guard (try? reader.skip(type, field: field)) != nil else { break }
            }
        }
        return (keys, more)
    }
}
