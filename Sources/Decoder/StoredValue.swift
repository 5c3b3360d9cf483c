// What a value in the datastore is, by its first bytes.

import Wire

/// The form of a stored value.
public enum StoredForm: Sendable, Equatable {
    /// An envelope around protobuf.
    case protobuf
    case json
    case cbor
    /// Encrypted at rest: by which provider, version and key.
    case encrypted(provider: String, version: String, keyName: String)
    /// No object.
    case other

    static let magic: [UInt8] = [0x6b, 0x38, 0x73, 0x00]

    public init(_ bytes: UnsafeRawBufferPointer) {
        if bytes.starts(with: Self.magic) {
            self = .protobuf
        } else if bytes.starts(with: Array("k8s:enc:".utf8)) {
            // k8s:enc:provider:version:name:
            let head = String(decoding: bytes.prefix(512), as: UTF8.self).split(separator: ":", maxSplits: 5, omittingEmptySubsequences: false)
            guard head.count == 6 else {
                self = .other
                return
            }
            self = .encrypted(provider: String(head[2]), version: String(head[3]), keyName: String(head[4]))
        } else if bytes.starts(with: [0xd9, 0xd9, 0xf7]) {
            self = .cbor
        } else if bytes.first(where: { ![0x20, 0x09, 0x0a, 0x0d].contains($0) }) == UInt8(ascii: "{") {
            self = .json
        } else {
            self = .other
        }
    }
}

/// The envelope: runtime.Unknown behind its four magic bytes.
struct Envelope {
    var apiVersion = ""
    var kind = ""
    var raw = UnsafeRawBufferPointer(start: nil, count: 0)
    var contentEncoding = ""
    var contentType = ""

    /// - Parameter bytes: with the magic bytes.
    init(_ bytes: UnsafeRawBufferPointer) throws(DecodingError) {
        let body = UnsafeRawBufferPointer(rebasing: bytes[StoredForm.magic.count...])
        do throws(ProtobufError) {
            var reader = ProtobufReader(body)
            while let (field, type) = try reader.next() {
                switch field {
                case 1:
                    var meta = ProtobufReader(try reader.bytes(type))
                    while let (field, type) = try meta.next() {
                        switch field {
                        case 1: apiVersion = try meta.string(type)
                        case 2: kind = try meta.string(type)
                        default: try meta.skip(type, field: field)
                        }
                    }
                case 2: raw = try reader.bytes(type)
                case 3: contentEncoding = try reader.string(type)
                case 4: contentType = try reader.string(type)
                default: try reader.skip(type, field: field)
                }
            }
        } catch {
            throw DecodingError("the envelope is damaged", offset: StoredForm.magic.count)
        }
    }
}
