// Records of a database as etcd-dump-db shows them.

import CommandLineTools
import KeySpace
import Storage
import Wire

enum RecordText {
    /// Any pair.
    static func raw(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> String {
        "key=\(GoText.quoted(key)), value=\(GoText.quoted(value))"
    }

    /// A pair of a bucket whose format is known; others as they are.
    static func decoded(_ bucket: String, _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> String {
        let text =
            switch bucket {
            case "key": RevisionKey(key).flatMap { record($0, value) }
            case "lease": lease(key, value)
            case "auth": auth(key, value)
            case "authUsers": user(value)
            case "authRoles": role(value)
            case "meta": meta(key, value)
            default: nil as String?
            }
        return text ?? raw(key, value)
    }

    /// A record of the bucket `key`; nil if it cannot be decoded.
    static func record(_ revision: RevisionKey, _ value: UnsafeRawBufferPointer) -> String? {
        guard let kv = try? StoredKeyValue(decoding: value) else { return nil }
        return "rev={Revision:{Main:\(revision.main) Sub:\(revision.sub)} tombstone:\(revision.isTombstone)}, "
            + "value=[key \(GoText.quoted(kv.key)) | val \(GoText.quoted(kv.value)) | created \(kv.created) | mod \(kv.modified) | ver \(kv.version)]"
    }

    private static func number(_ bytes: UnsafeRawBufferPointer) -> UInt64? {
        bytes.count == 8 ? bytes.reduce(0) { $0 << 8 | UInt64($1) } : nil
    }

    private static func lease(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> String? {
        guard let id = number(key) else { return nil }
        var (time, remaining): (Int64, Int64) = (0, 0)
        do throws(ProtobufError) {
            var reader = ProtobufReader(value)
            while let (field, type) = try reader.next() {
                switch field {
                case 2: time = try reader.int64(type)
                case 3: remaining = try reader.int64(type)
                default: try reader.skip(type, field: field)
                }
            }
        } catch {
            return nil
        }
        let text = String(id, radix: 16)
        return "lease ID=\(String(repeating: "0", count: 16 - text.count))\(text), TTL=\(time)s, remaining TTL=\(remaining)s"
    }

    private static func auth(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> String? {
        if key.elementsEqual("authRevision".utf8) { return number(value).map { "key=\(GoText.quoted(key)), value=\($0)" } }
        return "key=\(GoText.quoted(key)), value=[\(value.map { String($0) }.joined(separator: " "))]"
    }

    private static func user(_ value: UnsafeRawBufferPointer) -> String? {
        guard let user = try? AuthUser(decoding: value) else { return nil }
        let roles = user.roles.map { GoText.quoted($0) }.joined(separator: " ")
        return "user=\(GoText.quoted(user.name)), roles=[\(roles)], option=\(user.hasNoPassword ? "no_password:true" : "")"
    }

    private static func role(_ value: UnsafeRawBufferPointer) -> String? {
        var name = ""
        var permissions: [String] = []
        do throws(ProtobufError) {
            var reader = ProtobufReader(value)
            while let (field, type) = try reader.next() {
                switch field {
                case 1: name = try reader.string(type)
                case 2: permissions.append(ProtobufText.text(try reader.bytes(type), "authpb.Permission") ?? "?")
                default: try reader.skip(type, field: field)
                }
            }
        } catch {
            return nil
        }
        return "role=\(GoText.quoted(name)), keyPermission=[\(permissions.joined(separator: " "))]"
    }

    private static func meta(_ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> String? {
        if [BackendKeys.consistentIndex, BackendKeys.term].contains(where: { $0.elementsEqual(key) }) {
            return number(value).map { "key=\(GoText.quoted(key)), value=\($0)" }
        }
        if [BackendKeys.scheduledCompaction, BackendKeys.finishedCompaction].contains(where: { $0.elementsEqual(key) }) {
            return RevisionKey(value).map { "key=\(GoText.quoted(key)), value={\($0.main) \($0.sub)}" }
        }
        return nil
    }
}
