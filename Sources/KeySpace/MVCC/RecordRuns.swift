// Reading many records in a given order: those that lie one behind the other come with one call.

import Storage
import Wire

extension RevisionLog {
    /// Shows the records of `locations` in order. The caller holds a read pin from before the locations were looked up.
    ///
    /// - Parameter scratch: memory to read into; its content is lost.
    func forEachRecord(
        _ locations: [RecordLocation], scratch: ByteSink, _ body: (_ index: Int, _ record: UnsafeRawBufferPointer) -> Void
    ) throws(StorageError) {
        var index = 0
        while index < locations.count {
            let first = locations[index]
            var end = first.offset + UInt64(first.length)
            var next = index + 1
            // Forwards only: what lies behind the last record of the run, with little between.
            while next < locations.count {
                let location = locations[next]
                guard location.segment == first.segment, location.offset >= end,
                    location.offset - end <= UInt64(StoreLimits.joinedReadGap),
                    location.offset + UInt64(location.length) - first.offset <= UInt64(StoreLimits.joinedReadBytes)
                else { break }
                end = location.offset + UInt64(location.length)
                next += 1
            }
            let length = Int(end - first.offset)
            scratch.clear(keeping: StoreLimits.joinedReadBytes)
            scratch.reserve(length)
            try read(
                segment: first.segment, offset: first.offset,
                into: UnsafeMutableRawBufferPointer(start: scratch.base, count: length))
            for member in index..<next {
                let location = locations[member]
                body(
                    member,
                    UnsafeRawBufferPointer(start: scratch.base + Int(location.offset - first.offset), count: Int(location.length)))
            }
            index = next
        }
    }
}
