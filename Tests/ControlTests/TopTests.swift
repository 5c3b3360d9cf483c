// `top`: metrics and pages read, members' rows added up, sorted, shown.

import Testing

@testable import Control

struct TopTests {
    @Test func metrics() {
        let metrics = Metrics(
            text: """
                # HELP a b
                plain 7
                labelled{code="OK",agent="a, \\"b\\" = {c}",slash="\\\\"} 2
                labelled{code="OK"} 1e3
                broken
                """)
        #expect(metrics.value("plain") == 7)
        #expect(metrics.value("labelled") == 1002)
        #expect(metrics.value("labelled") { $0["agent"] == "a, \"b\" = {c}" && $0["slash"] == "\\" } == 2)
        #expect(metrics.value("broken") == nil)
    }

    @Test func pages() {
        let body = Array("{\"revision\":7,\"resources\":[{\"resource\":\"pods\",\"keys\":3,\"odd\":[1]},{\"resource\":\"x\",\"keys\":1e2}]}".utf8)
        #expect(
            PageRow.rows(body, "resources") == [
                PageRow(texts: ["resource": "pods"], numbers: ["keys": 3]), PageRow(texts: ["resource": "x"], numbers: ["keys": 100]),
            ])
        #expect(PageRow.rows(Array("nonsense".utf8), "resources").isEmpty)
        #expect(PageRow.rows(Array("{\"resources\":7}".utf8), "resources").isEmpty)
    }

    private func row(_ resource: String, _ numbers: [String: Double]) -> PageRow { PageRow(texts: ["resource": resource], numbers: numbers) }

    /// What all members have counts once, what each one serves is added up; a counter that began anew counts from nought.
    @Test func membersBecomeOne() {
        let rows = TopTable.resources.rows([
            ([row("pods", ["puts": 10, "gets": 5])], [row("pods", ["keys": 7, "puts": 30, "gets": 9, "watchers": 2])], 2),
            ([row("pods", ["puts": 90, "gets": 5])], [row("pods", ["keys": 6, "puts": 4, "gets": 5, "watchers": 3])], 2),
        ])
        #expect(rows.count == 1)
        func value(_ name: String) -> Double { rows[0].values[TopTable.resources.columns.firstIndex { $0.name == name }!] }
        #expect(value("keys") == 7 && value("puts") == 10 && value("gets") == 2 && value("watchers") == 5)
    }

    @Test func sorting() {
        let table = TopTable.resources
        let rows = table.rows([
            ([], [row("a", ["keys": 5]), row("b", ["keys": 9, "puts": 1]), row("c", ["keys": 5, "lists": 7])], 1)
        ])
        func names(_ column: String) -> [String] { table.sorted(rows, by: column).map { $0.names[0] } }
        #expect(names("busy") == ["c", "b", "a"])
        #expect(names("keys") == ["b", "a", "c"])
        #expect(names("name") == ["a", "b", "c"])
        #expect(names("puts") == ["b", "a", "c"])
        // A column of the other table.
        #expect(names("open") == names("busy"))
        #expect(Set(TopTable.sortNames).count == TopTable.sortNames.count)
    }

    @Test func lines() {
        let lines = PlainTable.lines(["NAME", "N"], [["a", "10"], ["long name", "7"]], leftColumns: 1, Style(isOn: false))
        #expect(lines == ["NAME        N", "a          10", "long name   7"])
        #expect(TopScreen.clipped("\u{1b}[1mabcdef\u{1b}[0m", 3) == "\u{1b}[1mabc\u{1b}[0m")
        #expect(TopScreen.bound(0.002) == "<2ms" && TopScreen.bound(nil) == "-" && TopScreen.bound(.infinity) == ">8s")
    }
}
