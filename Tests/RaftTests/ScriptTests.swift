// Every script in Scripts/, played and compared. MARTLET_REWRITE=1 accepts what comes out; review the difference.

import Foundation
import Testing

struct ScriptTests {
    @Test func thereAreScripts() { #expect(Script.names.count >= 20) }

    @Test(arguments: Script.names)
    func trace(of name: String) throws {
        let script = try Script(named: name)
        let cluster = ScriptedCluster()
        let actual = script.rewritten(cluster.run)
        guard actual != script.text else { return }
        if ProcessInfo.processInfo.environment["MARTLET_REWRITE"] == "1" {
            try script.rewrite(actual)
            return
        }
        let expectedLines = script.text.split(separator: "\n", omittingEmptySubsequences: false)
        let actualLines = actual.split(separator: "\n", omittingEmptySubsequences: false)
        let place = zip(expectedLines, actualLines).prefix { $0 == $1 }.count
        let expected = place < expectedLines.count ? expectedLines[place] : "the end"
        let found = place < actualLines.count ? actualLines[place] : "the end"
        Issue.record("\(name), line \(place + 1): expected “\(expected)”, found “\(found)”")
    }
}
