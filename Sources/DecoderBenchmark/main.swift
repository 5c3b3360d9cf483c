// How fast stored values become JSON: `decoder-benchmark FOLDER [SECONDS]`, FOLDER with stored values in files NAME.bin.
// Run by scripts/bench-decoder. One thread; CPU time of it, so that a busy machine does not count.

import Decoder
import Wire

#if canImport(Glibc)
import Glibc
#endif

struct Value {
    let kind: String
    let bytes: [UInt8]
}

func read(_ path: String) -> [UInt8]? {
    guard let file = fopen(path, "rb") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = fread(&piece, 1, piece.count, file)
        if count == 0 { return bytes }
        bytes += piece[..<count]
    }
}

func values(in folder: String) -> [Value] {
    guard let directory = opendir(folder) else { return [] }
    defer { closedir(directory) }
    var values: [Value] = []
    while let entry = readdir(directory) {
        let name = withUnsafePointer(to: entry.pointee.d_name) { String(cString: UnsafeRawPointer($0).assumingMemoryBound(to: CChar.self)) }
        guard name.hasSuffix(".bin"), let bytes = read("\(folder)/\(name)") else { continue }
        let isProtobuf = bytes.withUnsafeBytes { StoredForm($0) } == .protobuf
        guard isProtobuf, let identity = bytes.withUnsafeBytes({ ObjectIdentity($0) }) else { continue }
        values.append(Value(kind: identity.kind, bytes: bytes))
    }
    return values
}

func cpuSeconds() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// Decodes the values over and over; megabytes (10^6) of stored protobuf and objects in a second.
func measure(_ values: [Value], seconds: Double) -> (megabytes: Double, objects: Double, textPerByte: Double) {
    let decoder = ObjectDecoder()
    let sink = ByteSink(capacity: 1 << 20)
    var stored = 0, objects = 0, text = 0
    func round() {
        for value in values {
            sink.clear()
            value.bytes.withUnsafeBytes { bytes in
                do throws(DecodingError) { try decoder.appendJSON(bytes, to: sink) } catch { fatalError("\(value.kind): \(error)") }
            }
            stored += value.bytes.count
            objects += 1
            text += sink.count
        }
    }
    round()
    (stored, objects, text) = (0, 0, 0)
    let start = cpuSeconds()
    var passed = 0.0
    repeat {
        for _ in 0..<20 { round() }
        passed = cpuSeconds() - start
    } while passed < seconds
    return (Double(stored) / passed / 1e6, Double(objects) / passed, Double(text) / Double(stored))
}

func pad(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(1, width - text.utf8.count)) }
func line(_ name: String, _ values: [Value], _ result: (megabytes: Double, objects: Double, textPerByte: Double)) {
    let bytes = values.reduce(0) { $0 + $1.bytes.count } / max(1, values.count)
    let ratio = Double(Int(result.textPerByte * 100)) / 100
    print(pad(name, 34) + pad("\(values.count)", 8) + pad("\(bytes)", 10) + pad("\(Int(result.megabytes))", 8) + pad("\(Int(result.objects))", 12) + "\(ratio)")
}

let arguments = CommandLine.arguments
guard arguments.count > 1 else {
    print("usage: decoder-benchmark FOLDER [SECONDS]")
    exit(2)
}
let all = values(in: arguments[1])
let seconds = arguments.count > 2 ? Double(arguments[2]) ?? 1 : 1
guard !all.isEmpty else {
    print("no stored protobuf values in \(arguments[1])")
    exit(1)
}
print(pad("kind", 34) + pad("values", 8) + pad("bytes", 10) + pad("MB/s", 8) + pad("objects/s", 12) + "JSON/stored")
let common = ["Pod", "Node", "Secret", "ConfigMap", "Lease", "Event", "Deployment", "ReplicaSet", "Service", "EndpointSlice"]
for kind in common {
    let values = all.filter { $0.kind == kind }
    if !values.isEmpty { line(kind, values, measure(values, seconds: seconds)) }
}
line("all \(Set(all.map(\.kind)).count) kinds", all, measure(all, seconds: seconds))
