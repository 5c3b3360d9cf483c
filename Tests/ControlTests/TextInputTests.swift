// Transactions and watches as text.

import Client
import CommandLineTools
import Testing

@testable import Control

struct TextInputTests {
    private func input(_ text: String) -> TxnInput {
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { $0 + "\n" }[...]
        // What follows the last line end is the end of the input.
        lines.removeLast()
        return TxnInput(nextLine: { lines.popFirst().map(String.init) })
    }

    private func failure(_ body: () throws -> Void) -> String? {
        do { try body() } catch let error as CommandFailure { return "\(error.status): \(error)" } catch { return "another error: \(error)" }
        return nil
    }

    @Test(arguments: [
        ("mod(\"k\") > \"7\"", Comparison([0x6b], .greater, .modRevision(7))), ("m(\"k\") != \"0\"", Comparison([0x6b], .notEqual, .modRevision(0))),
        ("create(\"k\") = \"-1\"", Comparison([0x6b], .equal, .createRevision(-1))), ("ver(\"k\")   <   \"2\"", Comparison([0x6b], .less, .version(2))),
        ("value(\"k\") = \"a b\\x00\\u00fc\\\"\"", Comparison([0x6b], .equal, .value(Array("a b\0ü\"".utf8)))),
        ("lease(\"k\") = \"1f\"", Comparison([0x6b], .equal, .lease(31))), ("val( \"\") = \"\"", Comparison([], .equal, .value([]))),
    ])
    func comparisons(_ line: String, _ wanted: Comparison) throws {
        #expect("\(try TxnInput.comparison(line))" == "\(wanted)")
    }

    @Test(arguments: [
        ("nonsense", "3: malformed comparison: nonsense"), ("mod(k) = \"1\"", "3: malformed comparison: mod(k) = \"1\"; got mod(\"\")  \"\""),
        ("mod(\"k\")=\"1\"", "3: malformed comparison: mod(\"k\")=\"1\"; got mod(\"k\")  \"\""),
        ("mod(\"k\") = 1", "3: malformed comparison: mod(\"k\") = 1; got mod(\"k\") = \"\""),
        ("zzz(\"k\") = \"1\"", "3: malformed comparison: zzz(\"k\") = \"1\" (unknown target zzz)"),
        ("mod(\"k\") ~ \"1\"", "3: malformed comparison: mod(\"k\") ~ \"1\" (unknown op ~)"),
        ("mod(\"k\") = \"x\"", "3: invalid txn compare request: mod(\"k\") = \"x\""),
    ])
    func malformedComparisons(_ line: String, _ wanted: String) {
        #expect(failure { _ = try TxnInput.comparison(line) } == wanted)
    }

    @Test func operations() throws {
        guard case .put(let put) = try TxnInput.operation("put 'a b' \"c\\td\" --lease=1f --prev-kv") else { return #expect(Bool(false), "no put") }
        #expect(put.key == Array("a b".utf8) && put.value == Array("c\td".utf8) && put.lease == 31 && put.wantsPrevious)
        guard case .get(let get) = try TxnInput.operation("get k --prefix --limit 3 --order DESCEND") else { return #expect(Bool(false), "no get") }
        #expect(get.range == .prefix("k") && get.limit == 3 && get.order == .descending)
        guard case .delete(let delete) = try TxnInput.operation("del a z") else { return #expect(Bool(false), "no del") }
        #expect(delete.range == .interval([0x61], [0x7a]))
        #expect(failure { _ = try TxnInput.operation("frob a") } == "3: invalid txn request: frob a")
        #expect(failure { _ = try TxnInput.operation("get") } == "3: invalid txn compare request: get")
        #expect(failure { _ = try TxnInput.operation("get a --nope") } == "3: invalid txn request: get a --nope")
        #expect(failure { _ = try TxnInput.operation("put a 'x") } == "3: invalid txn request: put a 'x")
    }

    @Test func blocksEndWithEmptyLines() throws {
        var text = input("mod(\"a\") > \"0\"\n  ver(\"b\") = \"1\"  \n\nput a 1\n\n\n")
        #expect(try text.comparisons().count == 2)
        #expect(try text.operations().count == 1)
        #expect(try text.operations().isEmpty)
        #expect(failure { _ = try text.operations() } == "3: EOF")
    }

    // MARK: watch

    private func line(_ words: String, dash: Int? = nil, key: String = "", end: String = "") -> String {
        do {
            let line = try WatchLine(words.split(separator: " ").map(String.init), dash: dash, (key, end))
            return "\(line.range.joined(separator: " ")) | \(line.program.joined(separator: " "))"
        } catch { return "\(error)" }
    }

    @Test func watchLines() {
        #expect(line("a") == "a | ")
        #expect(line("a b echo x", dash: 2) == "a b | echo x")
        #expect(line("a", dash: 1) == "bad number of arguments (found separator --, but no commands)")
        #expect(line("") == "bad number of arguments")
        #expect(line("", key: "k") == "k | ")
        #expect(line("", key: "k", end: "z") == "k z | ")
        #expect(line("echo", dash: 0, key: "k") == "k | echo")
        #expect(line("a", key: "k") == "bad number of arguments (found conflicting environment key)")
    }

    @Test func watchFlags() throws {
        let set = FlagSet()
        let flags = WatchFlags(set)
        let rest = try set.parse(["a", "--rev", "7", "--prev-kv", "--progress-notify", "--prefix"])
        let watch = try flags.request(rest)
        #expect(watch.range == .prefix("a") && watch.startRevision == 7 && watch.wantsPrevious && watch.wantsProgress)
        #expect(failure { _ = try flags.request(["a", "b"]) } == "128: `range_end` and `--prefix` are mutually exclusive")
    }

    @Test(arguments: [("7f", 127), ("-1", -1), ("8000000000000000", nil), ("", nil), ("g", nil), ("7fffffffffffffff", Int64.max)] as [(String, Int64?)])
    func hexadecimalNumbers(_ text: String, _ wanted: Int64?) {
        switch Numbers.hexadecimal(text) {
        case .success(let number): #expect(number == wanted)
        case .failure(let error): #expect(wanted == nil && "\(error)".hasPrefix("strconv.ParseInt: parsing "))
        }
    }
}
