// Objects as an API server stores them: the envelope, its type, and metadata that a decoder can read.

import Wire

/// Values of one kind and size. The last 16 bytes are the moment of writing, so that a watcher knows how old an event is.
final class KubernetesObject {
    private let memory: UnsafeMutableRawBufferPointer
    private static let digits: StaticString = "0123456789abcdef"

    /// - Parameter size: of the value, at least what the envelope needs.
    init(apiVersion: String, kind: String, name: String, size: Int) {
        func value(padding: Int) -> ByteSink {
            let sink = ByteSink(capacity: size + 256)
            sink.append("k8s\0")
            sink.message(1) {
                $0.field(1, apiVersion)
                $0.field(2, kind)
            }
            // Every object's first field is its metadata; its padding is an annotation.
            sink.message(2) { raw in
                raw.message(1) { metadata in
                    metadata.field(1, name)
                    metadata.field(3, "bench")
                    metadata.message(12) {
                        $0.field(1, "martlet-bench/padding")
                        $0.field(2, String(repeating: "x", count: padding + 16))
                    }
                }
            }
            return sink
        }
        let least = value(padding: 0).count
        // Lengths of lengths grow with the padding.
        var padding = max(0, size - least)
        while padding > 0, value(padding: padding).count > size { padding -= 1 }
        let bytes = value(padding: padding)
        memory = .allocate(byteCount: bytes.count, alignment: 8)
        memory.copyMemory(from: bytes.bytes)
    }

    deinit { memory.deallocate() }

    /// The value as it is written now; valid until the next one.
    func stamped(_ now: UInt64) -> UnsafeRawBufferPointer {
        var rest = now
        for index in 1...16 {
            memory[memory.count - index] = Self.digits.utf8Start[Int(rest & 15)]
            rest >>= 4
        }
        return UnsafeRawBufferPointer(memory)
    }

    /// When a value was written; nil: it is none of ours.
    static func moment(_ value: UnsafeRawBufferPointer) -> UInt64? {
        guard value.count > 64, value[0] == UInt8(ascii: "k"), value[3] == 0 else { return nil }
        var moment: UInt64 = 0
        for index in (value.count - 16)..<value.count {
            switch value[index] {
            case let digit where digit >= 0x30 && digit <= 0x39: moment = moment << 4 | UInt64(digit - 0x30)
            case let letter where letter >= 0x61 && letter <= 0x66: moment = moment << 4 | UInt64(letter - 0x57)
            default: return nil
            }
        }
        return moment
    }
}

/// Keys that end in a number of eight digits.
final class NumberedKey {
    private let memory: UnsafeMutableRawBufferPointer

    init(_ prefix: String) {
        memory = .allocate(byteCount: prefix.utf8.count + 8, alignment: 8)
        memory.copyBytes(from: prefix.utf8)
    }

    deinit { memory.deallocate() }

    /// Valid until the next one.
    @inline(__always)
    func key(_ number: Int) -> UnsafeRawBufferPointer {
        var rest = number
        for index in 1...8 {
            memory[memory.count - index] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        }
        return UnsafeRawBufferPointer(memory)
    }
}
