// What a value in the datastore is, by its first bytes, and which object it says to be.

import Wire

/// The form of a stored value.
public enum StoredForm: Sendable, Equatable {
    /// An envelope around protobuf.
    case protobuf
    case json
    case cbor
    /// Encrypted at rest: by which provider, version and key (for `kms`, the plugin's name).
    case encrypted(provider: String, version: String, keyName: String)
    /// No object.
    case other

    static let magic: [UInt8] = [0x6b, 0x38, 0x73, 0x00]
    static let encryptionPrefix = Array("k8s:enc:".utf8)

    public init(_ bytes: UnsafeRawBufferPointer) {
        if bytes.starts(with: Self.magic) {
            self = .protobuf
        } else if bytes.starts(with: Self.encryptionPrefix) {
            // k8s:enc:provider:version:name:
            let head = String(decoding: bytes.prefix(512), as: UTF8.self).split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
            guard head.count == 6 else {
                self = .other
                return
            }
            self = .encrypted(provider: String(head[2]), version: String(head[3]), keyName: String(head[4]))
        } else if bytes.starts(with: [0xd9, 0xd9, 0xf7]) {
            self = .cbor
        } else if bytes.first(where: { !JSONSyntax.isSpace($0) }) == UInt8(ascii: "{") {
            self = .json
        } else {
            self = .other
        }
    }
}

/// Which object a value says to be.
public struct ObjectIdentity: Sendable, Hashable {
    public let apiVersion: String
    public let kind: String

    public init(apiVersion: String, kind: String) {
        self.apiVersion = apiVersion
        self.kind = kind
    }

    /// Reads no more than the envelope of a protobuf value; the whole of any other.
    ///
    /// - Returns: nil for what is encrypted, no object, or damaged before its kind.
    public init?(_ bytes: UnsafeRawBufferPointer) {
        switch StoredForm(bytes) {
        case .protobuf:
            guard let envelope = try? Envelope(bytes, isLenient: true) else { return nil }
            self.init(apiVersion: String(decoding: envelope.apiVersion, as: UTF8.self), kind: String(decoding: envelope.kind, as: UTF8.self))
        case .json: self.init(json: bytes)
        case .cbor:
            let sink = ByteSink()
            guard (try? CBORText.append(bytes, to: sink)) != nil else { return nil }
            self.init(json: sink.bytes)
        case .encrypted, .other: return nil
        }
    }

    private init?(json: UnsafeRawBufferPointer) {
        guard let document = try? JSONDocument(json) else { return nil }
        func text(_ name: String) -> String? {
            document.member(document.root, name).flatMap { document.kind($0) == .string ? document.string($0) : nil }
        }
        guard let apiVersion = text("apiVersion"), let kind = text("kind") else { return nil }
        self.init(apiVersion: apiVersion, kind: kind)
    }
}

/// The envelope: runtime.Unknown behind its four magic bytes. Views into the value.
struct Envelope {
    private static var none: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    /// The message that names the kind, whole.
    private(set) var typeMeta = Envelope.none
    private(set) var apiVersion = Envelope.none
    private(set) var kind = Envelope.none
    private(set) var raw = Envelope.none
    private(set) var contentEncoding = Envelope.none
    private(set) var contentType = Envelope.none
    /// The object's bytes end before their length says so.
    private(set) var isCut = false
    /// Field numbers that an envelope has not.
    private(set) var unknown: [Int] = []

    var holdsProtobuf: Bool {
        contentEncoding.isEmpty && (contentType.isEmpty || contentType.elementsEqual("application/vnd.kubernetes.protobuf".utf8))
    }

    /// - Parameters:
    ///   - bytes: with the magic bytes.
    ///   - isLenient: an object that is cut off counts as far as it goes.
    init(_ bytes: UnsafeRawBufferPointer, isLenient: Bool = false) throws(DecodingError) {
        let body = UnsafeRawBufferPointer(rebasing: bytes[StoredForm.magic.count...])
        var reader = ProtobufReader(body)
        var at = StoredForm.magic.count
        do throws(ProtobufError) {
            while true {
                at = bytes.count - reader.remaining
                guard let (field, type) = try reader.next() else { break }
                switch field {
                case 1:
                    typeMeta = try reader.bytes(type)
                    var meta = ProtobufReader(typeMeta)
                    while let (field, type) = try meta.next() {
                        switch field {
                        case 1: apiVersion = try meta.bytes(type)
                        case 2: kind = try meta.bytes(type)
                        default:
                            try meta.skip(type, field: field)
                            if unknown.count < DecoderLimits.warningsMax { unknown.append(field) }
                        }
                    }
                case 2:
                    let start = reader
                    do throws(ProtobufError) {
                        raw = try reader.bytes(type)
                    } catch {
                        guard isLenient, type == .bytes else { throw error }
                        reader = start
                        _ = try reader.varint()
                        raw = UnsafeRawBufferPointer(rebasing: bytes[(bytes.count - reader.remaining)...])
                        isCut = true
                        return
                    }
                case 3: contentEncoding = try reader.bytes(type)
                case 4: contentType = try reader.bytes(type)
                default:
                    try reader.skip(type, field: field)
                    if unknown.count < DecoderLimits.warningsMax { unknown.append(field) }
                }
            }
        } catch {
            // What was read before is good: the object itself, if it came.
            if isLenient, raw.baseAddress != nil { return }
            throw DecodingError("the envelope is damaged: \(error.words)", offset: at)
        }
    }
}

extension ProtobufError {
    /// For people.
    var words: String {
        switch self {
        case .truncated: "the bytes end too early"
        case .varintTooLong: "a number of more than ten bytes"
        case .invalidTag: "no field has this number and wire type"
        case .invalidUTF8: "a text that is not UTF-8"
        case .unexpectedWireType: "a field of another wire type"
        case .tooDeep: "groups too deep in each other"
        }
    }
}
