// mvcc put: martlet's store alone, in this process, without server, log or network.

import CShims
import CommandLineTools
import KeySpace
import Storage

#if canImport(Glibc)
import Glibc
#endif

extension BenchTool {
    func mvccCommand() -> Command {
        let command = Command(
            "mvcc", "Benchmark mvcc", long: "Measures martlet's store by itself: no server, no consensus, no network.")
        let interval = command.persistentFlags.add("batch-interval", 100, "milliseconds after which puts are written at the latest")
        let limit = command.persistentFlags.add("batch-limit", 10_000, "puts that are written together at most")
        let put = Command("put", "Benchmark put performance of storage")
        let flags = put.flags
        let total = flags.add("total", 100, "puts, or transactions, in all")
        let keySize = flags.add("key-size", 64, "bytes of a key")
        let valueSize = flags.add("value-size", 64, "bytes of a value")
        let isTransaction = flags.add("txn", false, "several puts as one transaction")
        let puts = flags.add("txn-ops", 1, "puts of a transaction")
        for (name, tool) in [("cpuprofile", "perf record"), ("memprofile", "heaptrack")] {
            let flag = flags.add(name, "", "etcd's tool writes a Go profile here; use \(tool)")
            flag.isHidden = true
        }
        put.arguments = ArgumentRule.none
        put.runAsync = { [unowned self] invocation in
            for name in ["cpuprofile", "memprofile"] where flags[name]?.isGiven == true {
                throw CommandFailure("--\(name) writes profiles of Go programs; run this one under perf or heaptrack")
            }
            guard puts.value > 0, total.value >= 0, limit.value > 0, interval.value >= 0 else {
                throw CommandFailure("expected positive numbers")
            }
            var report = try Self.putToStore(
                total: total.value, keySize: try self.size(keySize, least: 1), valueSize: try self.size(valueSize),
                puts: isTransaction.value ? puts.value : 1, interval: UInt64(interval.value) * 1_000_000, limit: limit.value)
            report.clients = 1
            try self.publish(report, try self.reportTargets(), invocation.console)
            try self.end(report)
        }
        command.add(put)
        return command
    }

    private static func putToStore(
        total: Int, keySize: Int, valueSize: Int, puts: Int, interval: UInt64, limit: Int
    ) throws -> RunReport {
        Interrupt.watch()
        let directory = "mvcc-bench.\(getpid())"
        // Whatever happens, nothing of it stays.
        defer { remove(directory) }
        let store: MVCCStore
        do { store = try MVCCStore.open(fileSystem: PosixFileSystem(), directory: directory) } catch {
            throw CommandFailure("cannot make a store in \(directory): \(error)")
        }
        defer { store.close() }
        var random = SystemRandomNumberGenerator()
        // Random keys, as etcd's: enough different ones, without keeping them all.
        let key = UnsafeMutableRawBufferPointer.allocate(byteCount: keySize, alignment: 8)
        let value = FixedBytes.random(valueSize, seed: random.next())
        defer { withExtendedLifetime(value) { key.deallocate() } }
        let begun = Processor.wallNanoseconds()
        let start = martlet_monotonic_ns()
        let processor = Processor.seconds()
        var recorder = OperationRecorder("mvcc-put", start: start, wallStart: begun)
        var pending = 0
        var lastWrite = start
        var report = RunReport(benchmark: "mvcc put")
        do {
            for index in 0..<total where !Interrupt.isAsked {
                let moment = martlet_monotonic_ns()
                store.beginEntry(raftIndex: UInt64(index + 1), term: 1)
                for _ in 0..<puts {
                    key.copyBytes(from: key.indices.map { _ in UInt8(truncatingIfNeeded: random.next() as UInt64) })
                    store.put(key: UnsafeRawBufferPointer(key), value: value.bytes, lease: 0)
                }
                store.endEntry()
                pending += puts
                if pending >= limit || moment > lastWrite + interval {
                    try store.publish()
                    pending = 0
                    lastWrite = moment
                }
                recorder.record(intended: moment, started: moment, ended: martlet_monotonic_ns())
            }
            try store.publish()
        } catch {
            report.failure = "\(error)"
        }
        recorder.finish()
        report.seconds = Double(martlet_monotonic_ns() - start) / 1e9
        report.processorSeconds = Processor.seconds() - processor
        report.startedAt = begun
        report.wasInterrupted = Interrupt.isAsked
        report.sections = [ReportSection(recorder: recorder, seconds: report.seconds, weight: Double(puts))]
        return report
    }

    /// Takes a directory of files away.
    private static func remove(_ directory: String) {
        if let handle = opendir(directory) {
            while let entry = readdir(handle) {
                let name = withUnsafePointer(to: entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != ".", name != ".." {
                    let path = "\(directory)/\(name)"
                    if unlink(path) != 0, errno == EISDIR || errno == EPERM { remove(path) }
                }
            }
            closedir(handle)
        }
        rmdir(directory)
    }
}
