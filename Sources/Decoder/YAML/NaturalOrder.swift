// The order of keys in YAML output: numbers inside names count as numbers, letters come behind everything else.

enum NaturalOrder {
    /// Whether one key stands before another.
    ///
    /// At the first difference two letters are compared as such, a letter comes after what is none, and digits are
    /// compared as the numbers that start there.
    static func precedes(_ a: [Unicode.Scalar], _ b: [Unicode.Scalar]) -> Bool {
        var at = 0
        while at < a.count, at < b.count, a[at] == b[at] { at += 1 }
        guard at < a.count, at < b.count else { return a.count < b.count }
        let areLetters = (a[at].properties.isAlphabetic, b[at].properties.isAlphabetic)
        if areLetters.0, areLetters.1 { return a[at] < b[at] }
        if areLetters.0 || areLetters.1 { return areLetters.1 }
        // A zero inside a number that has begun before is not a leading one.
        var begun: UInt64 = 0
        if a[at] == "0" || b[at] == "0" {
            var before = at - 1
            while before >= 0, isDigit(a[before]) {
                if a[before] != "0" {
                    begun = 1
                    break
                }
                before -= 1
            }
        }
        let left = number(a, at, begun)
        let right = number(b, at, begun)
        if left.value != right.value { return left.value < right.value }
        if left.end != right.end { return left.end < right.end }
        return a[at] < b[at]
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { scalar >= "0" && scalar <= "9" }

    private static func number(_ text: [Unicode.Scalar], _ start: Int, _ begun: UInt64) -> (value: UInt64, end: Int) {
        var value = begun
        var at = start
        while at < text.count, isDigit(text[at]) {
            value = value &* 10 &+ UInt64(text[at].value - 48)
            at += 1
        }
        return (value, at)
    }
}
