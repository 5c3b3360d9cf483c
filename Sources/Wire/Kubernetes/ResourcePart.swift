// Where a key says which resource it is of. Shared by those who count by resource and those who take keys apart.

#if canImport(Glibc)
import Glibc
#endif

/// The part of a path that names a resource: `pods` of `pods/default/a`, `example.com/widgets` of `example.com/widgets/a`.
///
/// It is one segment, or two where the first is an API group, which has a point in its name, or the directory that services and endpoints
/// share. A path of nothing but the first of two, a range over a whole group, is named by that.
public struct ResourcePart {
    /// Bytes of the first segment.
    public let firstCount: Int
    /// Bytes of the name: more than those of the first segment where it has two, with the separator between them.
    public let count: Int
    /// Whether the first segment is a group.
    public let hasGroup: Bool
    /// Whether the first segment is followed by a second that belongs to the name, or should be.
    public let isPaired: Bool

    /// Nil for a path of one segment, which belongs to no resource, and for one that begins with a separator.
    ///
    /// - Parameter path: what follows the prefix and its separator.
    @inline(__always)
    public init?(_ path: UnsafeRawBufferPointer) {
        var end = 0
        var hasPoint = false
        while end < path.count, path[end] != UInt8(ascii: "/") {
            if path[end] == UInt8(ascii: ".") { hasPoint = true }
            end += 1
        }
        guard end > 0, end < path.count else { return nil }
        firstCount = end
        hasGroup = hasPoint
        isPaired = hasPoint || Self.isServices(path, end)
        guard isPaired else {
            count = end
            return
        }
        var second = end + 1
        while second < path.count, path[second] != UInt8(ascii: "/") { second += 1 }
        count = second == path.count || second == end + 1 ? end : second
    }

    @inline(__always)
    private static func isServices(_ path: UnsafeRawBufferPointer, _ end: Int) -> Bool {
        let name: StaticString = "services"
        return end == name.utf8CodeUnitCount && memcmp(path.baseAddress!, name.utf8Start, end) == 0
    }
}
