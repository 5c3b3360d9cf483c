// The requests of loads, written field by field; and what is read of their answers.

import Wire

extension ByteSink {
    /// A transaction's condition that a key has not changed since a revision; 0: that it does not exist.
    func compareUnchanged(_ key: UnsafeRawBufferPointer, since revision: Int64) {
        // EQUAL is zero and left out; MOD is 2.
        let size = 2 + lengthDelimitedSize(key.count) + 1 + varintSize(UInt64(bitPattern: revision))
        message(1, size: size) {
            $0.field(2, 2 as UInt64)
            $0.always(3, key)
            $0.always(6, UInt64(bitPattern: revision))
        }
    }

    /// A transaction's put; `branch` 2: if the conditions hold, 3: if not.
    func putOperation(
        _ key: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, lease: Int64 = 0, branch: Int = 2
    ) {
        let size = lengthDelimitedSize(key.count) + (value.isEmpty ? 0 : lengthDelimitedSize(value.count))
            + varintFieldSize(UInt64(bitPattern: lease))
        message(branch, size: lengthDelimitedSize(size)) { operation in
            operation.message(2, size: size) {
                $0.always(1, key)
                $0.field(2, value)
                $0.field(3, lease)
            }
        }
    }

    /// A transaction's read of one key.
    func rangeOperation(_ key: UnsafeRawBufferPointer, branch: Int) {
        let size = lengthDelimitedSize(key.count)
        message(branch, size: lengthDelimitedSize(size)) { $0.message(1, size: size) { $0.always(1, key) } }
    }

    /// A transaction's deletion of one key.
    func deleteOperation(_ key: UnsafeRawBufferPointer, branch: Int = 2) {
        let size = lengthDelimitedSize(key.count)
        message(branch, size: lengthDelimitedSize(size)) { $0.message(3, size: size) { $0.always(1, key) } }
    }
}

/// What loads want to know of answers. Anything odd reads as nothing.
enum Answers {
    /// The revision in the header, which is field 1 of every answer.
    static func revision(_ message: UnsafeRawBufferPointer) -> Int64 {
        guard let header = bytes(1, of: message) else { return 0 }
        return Int64(bitPattern: number(3, of: header) ?? 0)
    }

    /// The last field of a number, if there is one.
    static func number(_ wanted: Int, of message: UnsafeRawBufferPointer) -> UInt64? {
        var reader = ProtobufReader(message)
        var found: UInt64?
        do {
            while let (field, type) = try reader.next() {
                if field == wanted, type == .varint { found = try reader.varint() } else { try reader.skip(type, field: field) }
            }
        } catch { return nil }
        return found
    }

    /// The first field of bytes.
    static func bytes(_ wanted: Int, of message: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        var reader = ProtobufReader(message)
        do {
            while let (field, type) = try reader.next() {
                if field == wanted, type == .bytes { return try reader.bytes() }
                try reader.skip(type, field: field)
            }
        } catch { return nil }
        return nil
    }

    static func forEach(_ wanted: Int, of message: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
        var reader = ProtobufReader(message)
        do {
            while let (field, type) = try reader.next() {
                if field == wanted, type == .bytes { body(try reader.bytes()) } else { try reader.skip(type, field: field) }
            }
        } catch { return }
    }

    /// Of a transaction's answer.
    static func succeeded(_ message: UnsafeRawBufferPointer) -> Bool { number(2, of: message) == 1 }

    /// The mod revision of the first key that a transaction's answer shows; 0: it shows none.
    static func modRevisionInTransaction(_ message: UnsafeRawBufferPointer) -> Int64 {
        guard let operation = bytes(3, of: message), let range = bytes(1, of: operation), let kv = bytes(2, of: range) else { return 0 }
        return Int64(bitPattern: number(3, of: kv) ?? 0)
    }
}
