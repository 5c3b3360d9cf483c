// A few members, ascending, without duplicates.

import Wire

struct MemberSet: Equatable, Sendable, Sequence {
    private(set) var ids: [MemberID]

    init(_ ids: some Sequence<MemberID> = []) {
        self.ids = Array(Set(ids)).sorted()
    }

    var isEmpty: Bool { ids.isEmpty }
    var count: Int { ids.count }
    func makeIterator() -> IndexingIterator<[MemberID]> { ids.makeIterator() }
    func contains(_ id: MemberID) -> Bool { ids.contains(id) }

    mutating func insert(_ id: MemberID) {
        guard let place = ids.firstIndex(where: { $0 >= id }) else { return ids.append(id) }
        if ids[place] != id { ids.insert(id, at: place) }
    }

    mutating func remove(_ id: MemberID) {
        ids.removeAll { $0 == id }
    }

    func union(_ other: MemberSet) -> MemberSet { MemberSet(ids + other.ids) }

    /// Members of exactly one of the two.
    func symmetricDifferenceCount(_ other: MemberSet) -> Int {
        ids.count { !other.contains($0) } + other.ids.count { !contains($0) }
    }

    /// Decimal numbers in parentheses, as etcd's logs show a configuration.
    var logText: String { "(" + ids.map { String($0.rawValue) }.joined(separator: " ") + ")" }
}
