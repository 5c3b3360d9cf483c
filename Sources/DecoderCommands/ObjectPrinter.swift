// Stored values as the text that the user asked for.

import CommandLineTools
import Decoder
import DecoderEncryption
import Wire

enum OutputFormat: String, CaseIterable {
    case yaml, json, jsonl
    /// The object's bytes without the envelope, as Auger prints them.
    case proto
    /// Protobuf's text format.
    case prototext

    static let list = allCases.map(\.rawValue).joined(separator: "|")

    init(flag: String) throws(CommandFailure) {
        guard let format = OutputFormat(rawValue: flag) else { throw CommandFailure("unrecognized 'out' flag value: \(flag)") }
        self = format
    }
}

/// The keys with which values are encrypted, from a flag of all commands.
final class EncryptionFlag {
    private let file: TypedFlag<String>

    init(_ root: Command) {
        file = root.persistentFlags.add("encryption-provider-config", "", "EncryptionConfiguration `file` of the API server, for values that are encrypted")
    }

    func configuration(_ console: Console) throws(CommandFailure) -> EncryptionConfiguration? {
        guard !file.value.isEmpty else { return nil }
        let text = try Input.read(file.value, console)
        let result: Result<EncryptionConfiguration, DecodingError> = text.withUnsafeBytes { bytes in
            do throws(DecodingError) { return .success(try EncryptionConfiguration(bytes)) } catch { return .failure(error) }
        }
        do { return try result.get() } catch { throw CommandFailure("\(file.value): \(error)") }
    }
}

/// Prints stored objects. Keeps its memory between objects; one thread.
final class ObjectPrinter {
    private let decoder = ObjectDecoder()
    private let encryption: EncryptionConfiguration?
    private let isLenient: Bool
    private let json = ByteSink(capacity: 64 << 10)
    private let opened = ByteSink(capacity: 256)
    /// What was odd about the last object.
    private(set) var warnings: [String] = []
    /// What could not be read of it, if leniency let it pass.
    private(set) var faults: [DecodingError] = []

    init(encryption: EncryptionConfiguration? = nil, isLenient: Bool = false) {
        self.encryption = encryption
        self.isLenient = isLenient
    }

    /// The part of an input that is an object: behind `k8s\0`, or the first JSON value that reaches to the end.
    static func find(_ input: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        switch StoredForm(input) {
        case .protobuf, .encrypted, .cbor: return input
        case .json, .other: break
        }
        var at = 0
        while let start = input[at...].firstIndex(of: UInt8(ascii: "k")) {
            if input[start...].starts(with: [0x6b, 0x38, 0x73, 0x00]) { return UnsafeRawBufferPointer(rebasing: input[start...]) }
            at = start + 1
        }
        // Of damaged JSON the decoder says more than that there is none.
        if StoredForm(input) == .json { return input }
        at = 0
        for _ in 0..<ToolLimits.objectSearchesMax {
            guard let start = input[at...].firstIndex(where: { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "[") }) else { return nil }
            let rest = UnsafeRawBufferPointer(rebasing: input[start...])
            if (try? JSONDocument(rest)) != nil { return rest }
            at = start + 1
        }
        return nil
    }

    /// The value without its encryption; a view that is valid until the next call.
    private func open(_ value: UnsafeRawBufferPointer, _ key: UnsafeRawBufferPointer) throws(DecodingError) -> UnsafeRawBufferPointer {
        guard let encryption, case .encrypted = StoredForm(value) else { return value }
        let plain = try encryption.open(value, key: key)
        opened.clear(keeping: ToolLimits.bufferBytesKept)
        opened.append(plain)
        return opened.bytes
    }

    /// The object as JSON on one line; valid until the next call.
    func jsonText(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer) throws(DecodingError) -> UnsafeRawBufferPointer {
        faults = []
        let plain = try open(value, key)
        json.clear(keeping: ToolLimits.bufferBytesKept)
        if isLenient {
            faults = decoder.appendReadableJSON(plain, to: json)
            if json.count == 0 { throw faults.first ?? DecodingError("nothing can be read") }
        } else {
            try decoder.appendAnyJSON(plain, to: json)
        }
        warnings = decoder.warnings.texts
        return json.bytes
    }

    /// Appends an object in a format, with a line end behind text.
    func append(_ value: UnsafeRawBufferPointer, key: UnsafeRawBufferPointer, as format: OutputFormat, to sink: ByteSink) throws(DecodingError) {
        warnings = []
        faults = []
        switch format {
        case .yaml: try YAMLWriter.append(json: try jsonText(value, key: key), to: sink)
        case .json, .jsonl:
            sink.append(try jsonText(value, key: key))
            sink.append(byte: UInt8(ascii: "\n"))
        case .proto:
            guard let head = ObjectHead(try open(value, key)), !head.isJSON else { throw DecodingError("the object is not stored as protobuf") }
            sink.append(head.payload)
        case .prototext:
            try decoder.appendProtobufText(try open(value, key), to: sink)
            warnings = decoder.warnings.texts
        }
    }
}

extension [UInt8] {
    /// With a typed error.
    func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let result: Swift.Result<Result, Failure> = withUnsafeBytes { bytes in
            do throws(Failure) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
