// Templates, filters, differences, names, times and tables.

import CommandLineTools
import StorageSimulation
import Testing
import Wire

@testable import DecoderCommands

@Suite struct TemplateTests {
    static let data = try! JSONValue(
        parsing: Array(#"{"Key":"/a","Version":3,"Value":{"metadata":{"name":"web","labels":{"app":"x","b.c/d":"y"}},"spec":{"replicas":0,"list":[1,"two",{"n":3}]},"on":true,"none":null}}"#.utf8))

    @Test(arguments: [
        ("plain", "plain"), ("{{.Key}} {{ .Version }}", "/a 3"), ("{{.Value.metadata.name}}", "web"), ("{{.Value.nothing.at.all}}", "<no value>"),
        ("{{.Value.metadata.labels}}", "map[app:x b.c/d:y]"), ("{{.Value.spec.list}}", "[1 two map[n:3]]"),
        (#"{{index .Value.metadata.labels "b.c/d"}}"#, "y"), ("{{index .Value.spec.list 2}}", "map[n:3]"), ("{{len .Value.spec.list}}", "3"),
        ("{{if .Value.spec.replicas}}yes{{else}}no{{end}}", "no"), ("{{if .Value.on}}yes{{end}}", "yes"),
        ("{{if .Value.none}}a{{else if eq .Version 3}}b{{else}}c{{end}}", "b"), ("{{with .Value.metadata}}{{.name}} {{$.Key}}{{end}}", "web /a"),
        ("{{range .Value.spec.list}}<{{.}}>{{end}}", "<1><two><map[n:3]>"), ("{{range .Value.nothing}}x{{else}}empty{{end}}", "empty"),
        (#"{{.Key | printf "%s=%q" "k"}}"#, "k=\"/a\""), (#"{{printf "%d%%" .Version}}"#, "3%"), (#"{{"}}"}}{{/* a comment */}}"#, "}}"),
        ("a  {{- .Version -}}  b", "a3b"), (#"{{and .Value.on (or .Value.none "last")}}"#, "last"), ("{{not .Value.on}}", "false"),
        (#"{{ne .Key "/b"}} {{eq .Key "/b" "/a"}}"#, "true true"),
    ])
    func texts(template: String, expected: String) throws {
        #expect(try Template(template).text(Self.data) == expected)
    }

    @Test(arguments: [
        "{{", "{{.a", "{{end}}", "{{if .a}}", "{{else}}", "{{if}}x{{end}}", "{{frob .a}}", "{{.a b}}", "{{index}}", "{{.a..b}}", "{{.a-b}}", "{{|.a}}", "{{(.a}}",
        "{{\"a}}", "{{.Key .Version}}", "{{index .Value.spec.list 9}}", "{{range .Key}}{{end}}", "{{len 3}}", "{{if .a}}{{else}}{{else}}{{end}}",
        String(repeating: "{{if true}}", count: 100), "{{" + String(repeating: "(", count: 100) + "1" + String(repeating: ")", count: 100) + "}}",
    ])
    func errors(template: String) {
        #expect(throws: CommandFailure.self) { try Template(template).text(Self.data) }
    }

    /// Whatever a template is, it ends, with a text or an error.
    @Test func random() {
        let parts = ["{{", "}}", "{{.Key}}", "{{if ", "{{end}}", "{{else}}", "{{range .Value.spec.list}}", ".Value", " | ", "(", ")", "\"", "`", "-", " ", "index", "$", "x", "{{- ", " -}}", "/*", "*/"]
        var random = SplitMix64(seed: 1)
        var texts = 0
        for _ in 0..<3000 {
            let template = (0..<Int.random(in: 0...8, using: &random)).map { _ in parts.randomElement(using: &random)! }.joined()
            if (try? Template(template).text(Self.data)) != nil { texts += 1 }
        }
        #expect(texts > 100)
    }

    @Test func filters() throws {
        #expect(try Filters(".Value.metadata.name=web, .Version=3").accept(Self.data))
        #expect(try !Filters(".Value.metadata.name=web,.Version=4").accept(Self.data))
        #expect(try Filters("").isEmpty)
        #expect(throws: CommandFailure.self) { try Filters(".a") }
        #expect(throws: CommandFailure.self) { try Filters(".a=b=c") }
    }
}

@Suite struct TextDiffTests {
    /// A unified difference applied to the old text, with its numbers checked.
    private func apply(_ difference: String, to old: String) throws -> String {
        let lines = old.split(separator: "\n", omittingEmptySubsequences: false).dropLast().map(String.init)
        var result: [String] = []
        var at = 0
        for line in difference.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
            if line.hasPrefix("@@") {
                let fields = line.split(separator: " ")
                let from = fields[1].dropFirst().split(separator: ",").map { Int($0)! }
                let start = from.count == 2 && from[1] == 0 ? from[0] : from[0] - 1
                result += lines[at..<start]
                at = start
                let to = fields[2].dropFirst().split(separator: ",").map { Int($0)! }
                #expect(result.count == (to.count == 2 && to[1] == 0 ? to[0] : to[0] - 1))
            } else if line.hasPrefix("+") {
                result.append(String(line.dropFirst()))
            } else {
                try #require(lines[at] == line.dropFirst())
                if line.hasPrefix(" ") { result.append(lines[at]) }
                at += 1
            }
        }
        return (result + lines[at...]).map { $0 + "\n" }.joined()
    }

    @Test(arguments: 1...200 as ClosedRange<UInt64>)
    func random(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let old = (0..<Int.random(in: 0...40, using: &random)).map { _ in "line \(Int.random(in: 0...9, using: &random))" }
        var new = old
        for _ in 0..<Int.random(in: 0...6, using: &random) {
            switch Int.random(in: 0...2, using: &random) {
            case 0: new.insert("new \(Int.random(in: 0...3, using: &random))", at: Int.random(in: 0...new.count, using: &random))
            case 1: if !new.isEmpty { new.remove(at: Int.random(in: 0..<new.count, using: &random)) }
            default: if !new.isEmpty { new[Int.random(in: 0..<new.count, using: &random)] = "other" }
            }
        }
        let (a, b) = (old.map { $0 + "\n" }.joined(), new.map { $0 + "\n" }.joined())
        let difference = TextDiff.unified(a, b)
        #expect(difference.isEmpty == (a == b), "seed \(seed)")
        #expect(try apply(difference, to: a) == b, "seed \(seed)\n\(difference)")
    }

    @Test func context() {
        let old = (1...20).map { "\($0)\n" }.joined()
        #expect(TextDiff.unified(old, old.replacing("\n10\n", with: "\nten\n")) == "@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n")
        #expect(TextDiff.unified("", "a\nb\n") == "@@ -0,0 +1,2 @@\n+a\n+b\n")
        #expect(TextDiff.unified("a\n", "") == "@@ -1 +0,0 @@\n-a\n")
    }

    @Test func managedFieldsAreLeftOut() {
        let yaml = "kind: Pod\nmetadata:\n  managedFields:\n  - apiVersion: v1\n    fieldsV1:\n      f:a: {}\n  - b: c\n  name: x\nspec:\n  managedFields:\n  - kept\n"
        #expect(RevisionText.withoutManagedFields(yaml) == "kind: Pod\nmetadata:\n  name: x\nspec:\n  managedFields:\n  - kept\n")
    }
}

extension String {
    fileprivate func replacing(_ old: String, with new: String) -> String {
        var result = ""
        var rest = self[...]
        while let start = rest.indices.first(where: { rest[$0...].hasPrefix(old) }) {
            result += rest[..<start] + new
            rest = rest[rest.index(start, offsetBy: old.count)...]
        }
        return result + rest
    }
}

@Suite struct NameTests {
    @Test(arguments: [
        ("/registry/pods/default/web", "pods", "default", "web"), ("/registry/deployments/kube-system/dns", "deployments.apps", "kube-system", "dns"),
        ("/registry/minions/node1", "nodes", "", "node1"), ("/registry/services/specs/default/kubernetes", "services", "default", "kubernetes"),
        ("/registry/example.com/widgets/ns/w", "widgets.example.com", "ns", "w"), ("/registry/example.com/clusters/c", "clusters.example.com", "", "c"),
        ("/registry/events/default/x.17", "events", "default", "x.17"), ("/registry/ranges/serviceips", "ranges", "", "serviceips"),
        ("compact_rev_key", "(other)", "", "compact_rev_key"), ("/a", "(other)", "", "/a"), ("/other/leases/n/l", "leases.coordination.k8s.io", "n", "l"),
    ])
    func keys(key: String, resource: String, namespace: String, name: String) {
        let names = ResourceNames()
        let found = Array(key.utf8).withUnsafeBytes { names.name(of: $0) }
        #expect(found == KeyName(resource: resource, namespace: namespace, name: name))
    }

    @Test(arguments: [
        ("pods", "/registry/pods/", true), ("po", "/registry/pods/", true), ("Deployment", "/registry/deployments/", true), ("deploy.apps", "/registry/deployments/", true),
        ("svc", "/registry/services/specs/", true), ("no", "/registry/minions/", false), ("events", "/registry/events/", true),
        ("widgets.example.com", "/registry/example.com/widgets/", nil), ("namespace", "/registry/namespaces/", false),
    ] as [(String, String, Bool?)])
    func resources(text: String, prefix: String, isNamespaced: Bool?) throws {
        let found = try ResourceArgument(text, registry: "/registry")
        #expect(found.prefix == prefix && found.isNamespaced == isNamespaced)
        #expect(try ResourceArgument(text, registry: "/other/").prefix == "/other" + prefix.dropFirst("/registry".count))
        #expect(throws: CommandFailure.self) { try ResourceArgument("frobs", registry: "/registry") }
    }

    @Test func times() {
        for (text, seconds) in [("1970-01-01T00:00:00Z", 0), ("2026-11-21T17:05:09Z", 1_795_280_709), ("2024-02-29T23:59:59Z", 1_709_251_199), ("1969-12-31T23:59:59Z", -1)] as [(String, Int64)] {
            #expect(Array(text.utf8).withUnsafeBytes { Timestamp.seconds($0) } == seconds)
            #expect(Timestamp.text(seconds) == text)
        }
        var random = SplitMix64(seed: 3)
        for _ in 0..<1000 {
            let seconds = Int64.random(in: 0...4_000_000_000, using: &random)
            #expect(Array(Timestamp.text(seconds).utf8).withUnsafeBytes { Timestamp.seconds($0) } == seconds)
        }
        #expect(Array("2026-13-01T00:00:00Z".utf8).withUnsafeBytes { Timestamp.seconds($0) } == nil)
    }

    @Test func sizes() {
        #expect([0, 999, 1000, 1500, 9949, 9999, 25_000, 999_499, 999_500, 2_147_483_648].map { sizeText($0) } == ["0 B", "999 B", "1.0 kB", "1.5 kB", "9.9 kB", "10 kB", "25 kB", "999 kB", "1.0 MB", "2.1 GB"])
    }

    @Test func heads() throws {
        let json = Array(#" {"metadata":{"a":"}","creationTimestamp":"2026-11-21T17:05:09Z"},"kind":"Widget","x":[{"kind":"no"}],"apiVersion":"example.com/v1"}"#.utf8)
        try json.dropFirst().withUnsafeBytes { bytes in
            let head = try #require(ObjectHead(bytes))
            #expect(head.names == ("example.com/v1", "Widget") && head.creationTime == 1_795_280_709)
        }
        for text in ["", "x", "{}", "{\"kind\":", "k8s\0", "k8s\0\u{ff}", "{\"kind\":\"\\", "[]"] {
            Array(text.utf8).withUnsafeBytes { #expect(ObjectHead($0) == nil) }
        }
    }

    @Test func topLists() {
        var list = TopList<Int>(3)
        for value in [5, 1, 7, 7, 2, 9, 7] { list.offer(value) { value } }
        #expect(list.entries.map(\.value) == [9, 7, 7])
    }

    @Test func tables() {
        var table = Table([("NAME", .left), ("COUNT", .right)])
        table.add(["é", "1"])
        table.add(["longer", "12345"])
        #expect(table.text == "NAME     COUNT\né            1\nlonger   12345\n")
    }
}
