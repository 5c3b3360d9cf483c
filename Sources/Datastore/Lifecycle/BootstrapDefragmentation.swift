// `--bootstrap-defrag-threshold-megabytes`: space is given back at the start when there is enough of it. The service does
// not wait for it.

import DatastoreTracing
import KeySpace

enum BootstrapDefragmentation {
    static func run(_ maintenance: StoreMaintenance, _ store: MVCCStore, thresholdMegabytes: UInt64, _ log: Log) {
        guard thresholdMegabytes > 0 else { return }
        let (size, inUse) = (store.size, store.sizeInUse)
        let threshold = thresholdMegabytes.multipliedReportingOverflow(by: 1 << 20)
        let bytes = threshold.overflow ? .max : threshold.partialValue
        @Sendable func sizes(_ size: Int, _ inUse: Int) -> [LogField] {
            [
                .int("current-db-size-bytes", size), .string("current-db-size", humanBytes(UInt64(size))),
                .int("current-db-size-in-use-bytes", inUse), .string("current-db-size-in-use", humanBytes(UInt64(inUse))),
            ]
        }
        guard UInt64(max(0, size - inUse)) >= bytes else {
            log.info(
                "Skipping defragmentation",
                sizes(size, inUse) + [
                    .uint64("bootstrap-defrag-threshold-bytes", bytes), .string("bootstrap-defrag-threshold", humanBytes(bytes)),
                ])
            return
        }
        log.info("defragmenting", sizes(size, inUse))
        let began = monotonicNow()
        maintenance.defragment { error in
            if let error {
                log.warn("failed to defragment", .error(error.description))
            } else {
                log.info("finished defragmenting directory", sizes(store.size, store.sizeInUse) + [.duration("took", monotonicNow() - began)])
            }
        }
    }
}
