// The writes that stand-alone requests and transactions share: a put and a delete with their effects on
// leases, and reading back what is stored.

import Storage
import Wire

extension KeySpace {
    /// The revision that an answer inside the open entry carries: one more than before once it changed
    /// something.
    var revisionInTxn: Int64 { store.entryRevision }

    /// Stores a key. `checkPut` has passed.
    ///
    /// - Parameter previous: gets field 2 of a PutResponse, the former KeyValue, if there was one.
    func executePut(_ put: PutRequest, previous: ByteSink?) throws(CallError) -> Int64 {
        var value = put.value
        var lease = put.lease
        let needsOld = previous != nil || put.ignoreValue
        if needsOld || put.ignoreLease {
            // A transaction may delete the key before it comes here, past the overlap rules (a range end of one
            // zero byte, an earlier sibling). Then nothing is there to be kept; failing now would leave the
            // transaction half done.
            guard let old = store.lookup(put.key) else { return write(put.key, value, lease) }
            if put.ignoreLease { lease = old.lease }
            if needsOld {
                let record = valueScratch
                record.clear(keeping: KeySpaceLimits.scratchBytesKept)
                readRecord(old, into: record)
                if let previous, fitsAnswer(record.count) { previous.always(2, record.bytes) }
                if put.ignoreValue { value = KeyValueRecord.value(of: record.bytes) }
            }
        }
        return write(put.key, value, lease)
    }

    private func write(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ lease: Int64) -> Int64 {
        let old = store.put(key: key, value: value, lease: lease)
        work.puts += 1
        work.putBytes += key.count + value.count
        let oldLease = old?.lease ?? 0
        if oldLease != lease {
            if oldLease != 0 { leases.detach(key: key, from: oldLease) }
            if lease != 0 { leases.attach(key: key, to: lease) }
        }
        return store.entryRevision
    }

    /// Deletes a range.
    ///
    /// - Parameter previous: gets field 3 of a DeleteRangeResponse for each key, in key order.
    func executeDelete(_ delete: DeleteRangeRequest, previous: ByteSink?) throws(CallError) -> (deleted: Int64, revision: Int64) {
        let record = valueScratch
        work.deletes += 1
        let deleted = store.deleteRange(key: delete.key, rangeEnd: delete.rangeEnd) { version in
            if version.lease != 0 { leases.detach(key: version.key.bytes, from: version.lease) }
            if let previous, fitsAnswer(Int(version.location.length)) {
                record.clear(keeping: KeySpaceLimits.scratchBytesKept)
                readRecord(version, into: record)
                previous.always(3, record.bytes)
            }
        }
        return (deleted, store.entryRevision)
    }

    /// A range that sees the open entry's own writes.
    func rangeInTxn(_ range: RangeRequest) throws(CallError) -> RangeAnswer {
        work.ranges += 1
        let answer = try store.rangeInEntry(range)
        store.countTransactionRead(answer, key: range.key)
        return answer
    }

    /// Appends the stored KeyValue of a version.
    ///
    /// A record that cannot be read back is a broken disk. Going on would answer wrongly or let members differ,
    /// so the member stops here.
    func readRecord(_ version: KeyVersion, into sink: ByteSink) {
        do { try store.appendRecord(of: version, to: sink) } catch {
            diskFailed(error)
        }
    }

    /// Writes an answer that was made inside the open entry, if there is room for it.
    func write(_ answer: RangeAnswer, to sink: ByteSink) {
        guard fitsAnswer(answer.encodedLength) else { return }
        do { try answer.write(to: sink) } catch {
            diskFailed(error)
        }
    }
}

/// Reading fields of a stored record.
enum KeyValueRecord {
    /// The value field of an encoded KeyValue.
    static func value(of record: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        var reader = ProtobufReader(record)
        while let (field, type) = (try? reader.next()) ?? nil {
            if field == 5, type == .bytes, let value = try? reader.bytes() { return value }
            if field != 5, (try? reader.skip(type, field: field)) == nil { break }
        }
        return UnsafeRawBufferPointer(start: nil, count: 0)
    }
}
