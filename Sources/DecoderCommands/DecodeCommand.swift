// `decode` and `encode`: one object, from a pipe or a file, to text and back.

import CommandLineTools
import Decoder
import Wire

enum DecodeCommand {
    static func command(_ encryption: EncryptionFlag) -> Command {
        let command = Command(
            "decode", "Decodes objects from the form in which they are stored",
            long: """
                Decodes an object from the form in which the API server stores it: protobuf in its envelope, JSON, or CBOR.
                Whatever stands before the object is passed over, such as the key that etcdctl get prints.
                """)
        command.example = """
              etcdctl get /registry/pods/default/web --print-value-only | martlet-decoder decode
              etcd-dump-logs -stream-decoder "martlet-decoder decode --batch-process -o json" /var/lib/etcd
            """
        let output = command.flags.add("output", short: "o", "yaml", "output format. One of: \(OutputFormat.list)")
        output.proposedValues = OutputFormat.allCases.map(\.rawValue)
        let isMetaOnly = command.flags.add("meta-only", false, "print only the apiVersion and kind")
        let file = command.flags.add("file", "", "`file` to read instead of standard input")
        let isBatch = command.flags.add("batch-process", false, "decode objects in hexadecimal, one on each line of standard input")
        let isLenient = command.flags.add("lenient", false, "show what can be read of a damaged object; the status is 1 all the same")
        let key = command.flags.add("key", short: "k", "", "key of an encrypted object, which takes part in aesgcm")
        command.arguments = .atMost(1)
        command.run = { invocation in
            let work = DecodeWork(
                format: try OutputFormat(flag: output.value), isMetaOnly: isMetaOnly.value, key: Array(key.value.utf8),
                printer: ObjectPrinter(encryption: try encryption.configuration(invocation.console), isLenient: isLenient.value), console: invocation.console)
            if isBatch.value { return try work.batch() }
            try work.one(Input.read(invocation.arguments.first ?? file.value, invocation.console))
        }
        return command
    }
}

private struct DecodeWork {
    let format: OutputFormat
    let isMetaOnly: Bool
    let key: [UInt8]
    let printer: ObjectPrinter
    let console: Console
    private let sink = ByteSink(capacity: 64 << 10)

    init(format: OutputFormat, isMetaOnly: Bool, key: [UInt8], printer: ObjectPrinter, console: Console) {
        self.format = format
        self.isMetaOnly = isMetaOnly
        self.key = key
        self.printer = printer
        self.console = console
    }

    private static let notFound = "error reading input, does not appear to contain valid JSON or binary data"

    func one(_ input: [UInt8]) throws {
        try input.withUnsafeBytes { input in
            guard let object = ObjectPrinter.find(input) else { throw CommandFailure(Self.notFound) }
            let skipped = object.baseAddress! - input.baseAddress!
            func located(_ error: DecodingError) -> String {
                // Offsets count from the input's first byte.
                DecodingError(error.reason, offset: error.offset.map { $0 + skipped }, path: error.path).description
            }
            sink.clear()
            do throws(DecodingError) { try append(object) } catch { throw CommandFailure(located(error)) }
            console.write(sink.bytes)
            for warning in printer.warnings { console.print("warning: \(warning)", to: .error) }
            guard let last = printer.faults.last else { return }
            for fault in printer.faults.dropLast() { console.print("Error: \(located(fault))", to: .error) }
            throw CommandFailure(located(last))
        }
    }

    /// As etcd-dump-logs talks to a decoder: hexadecimal lines in, `OK|text` or `ERROR:reason|` out, each at once.
    func batch() throws {
        var number = 0
        try Input.forEachLine { line in
            defer { number += 1 }
            guard let bytes = Self.hexadecimal(line) else {
                throw CommandFailure("error decoding input on line \(number) of --batch-process input: this is not hexadecimal")
            }
            bytes.withUnsafeBytes { input in
                guard let object = ObjectPrinter.find(input) else { return console.print("ERROR:\(Self.notFound)|") }
                sink.clear(keeping: ToolLimits.bufferBytesKept)
                do throws(DecodingError) {
                    try append(object)
                    console.write("OK|")
                    console.write(sink.bytes)
                    console.write("\n")
                } catch {
                    console.print("ERROR:\(error)|")
                }
            }
            // Whoever writes the next line waits for this answer.
            console.flush()
        }
    }

    private func append(_ object: UnsafeRawBufferPointer) throws(DecodingError) {
        guard isMetaOnly else { return try key.withBytes { (key) throws(DecodingError) in try printer.append(object, key: key, as: format, to: sink) } }
        var head = ObjectHead(object)
        if head == nil {
            head = ObjectHead(try key.withBytes { (key) throws(DecodingError) in try printer.jsonText(object, key: key) })
        }
        guard let head else { throw DecodingError("this is no object of Kubernetes", offset: 0) }
        let names = head.names
        sink.append("TypeMeta.APIVersion: \(names.apiVersion)\nTypeMeta.Kind: \(names.kind)\n")
    }

    private static func hexadecimal(_ line: UnsafeRawBufferPointer) -> [UInt8]? {
        var line = line
        if line.last == UInt8(ascii: "\r") { line = UnsafeRawBufferPointer(rebasing: line.dropLast()) }
        guard line.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(line.count / 2)
        func digit(_ byte: UInt8) -> UInt8? {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
            default: nil
            }
        }
        for at in stride(from: 0, to: line.count, by: 2) {
            guard let high = digit(line[at]), let low = digit(line[at + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }
}

enum EncodeCommand {
    static func command() -> Command {
        let command = Command("encode", "Encodes an object to the form in which it is stored")
        command.example = "  martlet-decoder encode < pod.yaml | etcdctl put /registry/pods/default/web"
        let format = command.flags.add("format", short: "f", "yaml", "input format. One of: json|yaml|proto")
        format.proposedValues = ["json", "yaml"]
        let file = command.flags.add("file", "", "`file` to read instead of standard input")
        command.arguments = .atMost(1)
        command.run = { invocation in
            guard ["yaml", "json", "proto"].contains(format.value) else { throw CommandFailure("unrecognized 'out' flag value: \(format.value)") }
            guard format.value != "proto" else {
                throw CommandFailure("unsupported conversion: protobuf to kubernetes binary storage representation")
            }
            let input = try Input.read(invocation.arguments.first ?? file.value, invocation.console)
            let sink = ByteSink(capacity: input.count + 256)
            let encoder = ObjectEncoder()
            do throws(DecodingError) {
                let json = ByteSink(capacity: input.count + 256)
                if format.value == "json" {
                    json.append(input)
                } else {
                    try input.withBytes { (bytes) throws(DecodingError) in try YAMLReader.appendJSON(bytes, to: json) }
                }
                try encoder.appendStored(json: json.bytes, to: sink)
            } catch {
                throw CommandFailure(error.description)
            }
            for warning in encoder.warnings.texts { invocation.console.print("warning: \(warning)", to: .error) }
            invocation.console.write(sink.bytes)
        }
        return command
    }
}
