// Writing protobuf: fields are appended to a sink in the caller's order. `field` methods leave out zero
// values, as proto3 does; `always` methods write them, as proto2 records do.

@inline(__always)
public func varintSize(_ value: UInt64) -> Int {
    // 9 bits of length for each 64 of value: (bits * 9 + 64) / 64 rounds up to whole groups of seven.
    let bits = 64 - (value | 1).leadingZeroBitCount
    return (bits * 9 + 64) >> 6
}

/// Encoded size of a length-delimited field with a one-byte tag.
@inline(__always)
public func lengthDelimitedSize(_ length: Int) -> Int { 1 + varintSize(UInt64(length)) + length }

/// Encoded size of a varint field with a one-byte tag; zero is left out.
@inline(__always)
public func varintFieldSize(_ value: UInt64) -> Int { value == 0 ? 0 : 1 + varintSize(value) }

extension ByteSink {
    @inline(__always)
    public func varint(_ value: UInt64) {
        reserve(10)
        var value = value
        var position = base + count
        while value >= 0x80 {
            position.storeBytes(of: UInt8(truncatingIfNeeded: value) | 0x80, as: UInt8.self)
            position += 1
            value >>= 7
        }
        position.storeBytes(of: UInt8(truncatingIfNeeded: value), as: UInt8.self)
        setCount(position + 1 - base)
    }

    @inline(__always)
    public func tag(_ field: Int, _ type: WireType) { varint(UInt64(field) << 3 | UInt64(type.rawValue)) }

    @inline(__always)
    public func field(_ number: Int, _ value: UInt64) {
        guard value != 0 else { return }
        always(number, value)
    }

    @inline(__always)
    public func field(_ number: Int, _ value: Int64) { field(number, UInt64(bitPattern: value)) }

    @inline(__always)
    public func field(_ number: Int, _ value: Bool) { field(number, value ? 1 : 0 as UInt64) }

    @inline(__always)
    public func field(_ number: Int, _ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 0 else { return }
        always(number, bytes)
    }

    public func field(_ number: Int, _ bytes: [UInt8]) {
        bytes.withUnsafeBytes { field(number, $0) }
    }

    public func field(_ number: Int, _ text: String) {
        var text = text
        text.withUTF8 { field(number, UnsafeRawBufferPointer($0)) }
    }

    @inline(__always)
    public func always(_ number: Int, _ value: UInt64) {
        tag(number, .varint)
        varint(value)
    }

    @inline(__always)
    public func always(_ number: Int, _ bytes: UnsafeRawBufferPointer) {
        tag(number, .bytes)
        varint(UInt64(bytes.count))
        append(bytes)
    }

    public func always(_ number: Int, _ text: String) {
        var text = text
        text.withUTF8 { always(number, UnsafeRawBufferPointer($0)) }
    }

    /// A sub-message whose size is found by writing it: the length is put in front afterwards.
    /// For messages on the hot path know the size instead.
    public func message(_ number: Int, _ body: (ByteSink) throws -> Void) rethrows {
        tag(number, .bytes)
        let start = count
        // One byte of length suffices for most; a longer one moves the body.
        append(byte: 0)
        try body(self)
        let length = count - start - 1
        let lengthSize = varintSize(UInt64(length))
        if lengthSize > 1 {
            append(zeros: lengthSize - 1)
            (base + start + lengthSize).copyMemory(from: base + start + 1, byteCount: length)
        }
        let end = count
        setCount(start)
        varint(UInt64(length))
        setCount(end)
    }

    /// A sub-message of known size; the body must write exactly that.
    @inline(__always)
    public func message(_ number: Int, size: Int, _ body: (ByteSink) throws -> Void) rethrows {
        tag(number, .bytes)
        varint(UInt64(size))
        let start = count
        try body(self)
        precondition(count - start == size, "a message of \(count - start) bytes was announced as \(size)")
    }
}
