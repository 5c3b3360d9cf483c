// Revisions: the store's clock.

/// A change of the store: `main` counts entries that changed something, `sub` the changes within one.
public struct Revision: Comparable, Hashable, Sendable {
    public var main: Int64
    public var sub: Int32

    @inline(__always)
    public init(main: Int64, sub: Int32 = 0) {
        self.main = main
        self.sub = sub
    }

    @inline(__always)
    public static func < (a: Revision, b: Revision) -> Bool { a.main != b.main ? a.main < b.main : a.sub < b.sub }
}
