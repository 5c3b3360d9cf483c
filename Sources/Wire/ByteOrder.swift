// Comparing keys as the store orders them: byte by byte, a prefix before what it begins.

#if canImport(Glibc)
import Glibc
#endif

/// Negative, zero or positive as `a` sorts before, with or after `b`.
@inline(__always)
public func compareBytes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    let shared = min(a.count, b.count)
    if shared > 0 {
        let order = memcmp(a.baseAddress!, b.baseAddress!, shared)
        if order != 0 { return Int(order) }
    }
    return a.count - b.count
}

@inline(__always)
public func equalBytes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
    a.count == b.count && (a.count == 0 || memcmp(a.baseAddress!, b.baseAddress!, a.count) == 0)
}

extension UnsafeRawBufferPointer {
    /// True for the one zero byte that stands for "no upper bound" as a range end.
    @inline(__always)
    public var isSingleZero: Bool { count == 1 && self[0] == 0 }
}
