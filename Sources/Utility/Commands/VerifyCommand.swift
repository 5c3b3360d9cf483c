// verify: walks a data directory and says what is wrong with it, and what can be saved.

import CommandLineTools
import Storage

extension UtilityTool {
    func verifyCommand() -> Command {
        let command = Command(
            "verify PATH", "Checks a data directory or database, and says what is wrong and what can be saved",
            long: """
                Reads everything in a data directory of martlet's or etcd's, or a database or snapshot file: checksums, pages, index and
                records, the chain of the write-ahead log, and whether the parts fit. Nothing is changed. The directory must not be in use.
                The status is 0 if all is well, and 1 if anything is wrong.
                """)
        let walDirectory = command.flags.add("wal-dir", "", "WAL `directory`, if it is not within")
        command.arguments = .exactly(1)
        command.run = { [unowned self] invocation in
            let format = try self.format()
            guard format == .simple || format == .json else { throw format.unsupported() }
            let console = invocation.console
            let verification = Verification(self.patience(console))
            let path = invocation.arguments[0]
            switch try MemberPaths.target(path) {
            case .database(let file):
                try verification.database(file)
                if file != path {
                    let paths = MemberPaths(path, walDirectory: walDirectory.value)
                    try verification.log(paths.walDirectory)
                    try verification.snapshotFiles(paths.snapshots)
                    try verification.fit(databaseAt: file)
                }
            case .store(let found):
                let paths = MemberPaths(found.dataDirectory, walDirectory: walDirectory.value)
                try verification.store(paths)
                try verification.log(paths.walDirectory)
                try verification.fit(storeOf: paths)
            }
            show(verification.parts, path, format, console)
            if verification.parts.contains(where: { !$0.isGood }) { throw CommandFailure("\(path) is damaged") }
        }
        return command
    }
}

/// What was found of one part of a directory.
struct VerifiedPart {
    let name: String
    let path: String
    /// What is there, in words.
    var facts: [String] = []
    /// Odd, but no damage: a start deals with it.
    var notes: [String] = []
    private(set) var problems: [String] = []
    private(set) var moreProblems = 0
    /// What can be saved, and how.
    var advice: [String] = []

    var isGood: Bool { problems.isEmpty }

    init(_ name: String, _ path: String) {
        self.name = name
        self.path = path
    }

    mutating func problem(_ text: String) {
        guard !problems.contains(text) else { return }
        if problems.count < UtilityLimits.problemsPerPart { problems.append(text) } else { moreProblems += 1 }
    }

    /// Runs a check whose error is a problem; nil if it failed.
    @discardableResult
    mutating func attempt<Result>(_ body: (inout VerifiedPart) throws -> Result) -> Result? {
        do { return try body(&self) } catch {
            problem("\(error)")
            return nil
        }
    }
}

private func show(_ parts: [VerifiedPart], _ path: String, _ format: Format, _ console: Console) {
    let isGood = parts.allSatisfy(\.isGood)
    guard format == .simple else {
        let list = parts.map { part in
            "{\"part\":\(JSONText.quoted(part.name)),\"path\":\(JSONText.quoted(part.path)),\"ok\":\(part.isGood),\"facts\":\(JSONText.list(part.facts)),"
                + "\"notes\":\(JSONText.list(part.notes)),\"problems\":\(JSONText.list(part.problems)),\"moreProblems\":\(part.moreProblems),"
                + "\"advice\":\(JSONText.list(part.advice))}"
        }
        return console.print("{\"path\":\(JSONText.quoted(path)),\"ok\":\(isGood),\"parts\":[\(list.joined(separator: ","))]}")
    }
    for part in parts {
        console.print("\(part.isGood ? "ok     " : "DAMAGED")  \(part.name): \(part.facts.isEmpty ? part.path : part.facts.joined(separator: ", "))")
        for problem in part.problems { console.print("         - \(problem)") }
        if part.moreProblems > 0 { console.print("         - and \(part.moreProblems) more") }
        for note in part.notes { console.print("         note: \(note)") }
        for advice in part.advice { console.print("         can be saved: \(advice)") }
    }
}
