// migrate: makes the files of a data directory fit for another version of etcd.

import CommandLineTools
import KeySpace
import Storage
import Wire

extension UtilityTool {
    func migrateCommand() -> Command {
        let command = Command("migrate", "Migrates schema of etcd data dir files to make them compatible with different etcd version")
        let dataDirectory = command.flags.add("data-dir", "", "Path to the etcd data dir")
        let target = command.flags.add(
            "target-version", "", "Target etcd version to migrate contents of data dir. Minimal value 3.5. Format \"X.Y\" for example 3.6.")
        let isForced = command.flags.add(
            "force", false, "Ignore migration failure and forcefully override storage version. Not recommended.")
        dataDirectory.isRequired = true
        target.isRequired = true
        command.run = { [unowned self] invocation in
            let version = try SchemaVersion(target: target.value)
            let paths = MemberPaths(dataDirectory.value)
            let log = LogLines(console: invocation.console)
            guard !paths.isMartlets else {
                // Nothing in its files depends on it.
                return log.info("the data directory is martlet's, whose files fit all versions; for etcd use export", [("storage-version", .text(version.short))])
            }
            try Migration(paths: paths, target: version, isForced: isForced.value, log: log).run(self.patience(invocation.console))
        }
        return command
    }
}

/// A version as far as the schema depends on it.
struct SchemaVersion: Comparable {
    let major: Int
    let minor: Int

    static let first = SchemaVersion(major: 3, minor: 5)
    /// The first that stands in the file.
    static let named = SchemaVersion(major: 3, minor: 6)
    static let last = SchemaVersion(major: 3, minor: 7)

    var short: String { "\(major).\(minor)" }
    var long: String { "\(major).\(minor).0" }

    static func < (a: SchemaVersion, b: SchemaVersion) -> Bool { (a.major, a.minor) < (b.major, b.minor) }

    init(major: Int, minor: Int) {
        self.major = major
        self.minor = minor
    }

    /// Reads `3.6.0`; nil if it is none.
    init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count >= 2, let major = parts[0], let minor = parts[1] else { return nil }
        self.init(major: major, minor: minor)
    }

    /// Reads what the user asks for.
    init(target text: String) throws {
        guard text.count(where: { $0 == "." }) == 1 else {
            throw badArguments("wrong target version format, expected \"X.Y\", got \(GoText.quoted(text))")
        }
        guard let version = SchemaVersion(text) else {
            throw badArguments("failed to parse target version: \(text).0 is not in dotted-tri format")
        }
        guard version >= .first else { throw badArguments("target version \(GoText.quoted(version.short)) not supported. Minimal \"3.5\"") }
        self = version
    }
}

private struct Migration {
    let paths: MemberPaths
    let target: SchemaVersion
    let isForced: Bool
    let log: LogLines

    func run(_ patience: LockPatience) throws {
        let database = try DatabaseFile(paths.database, isShared: false, patience)
        let needed = try versionOfLog()
        let meta = try database.meta()
        let current: SchemaVersion
        if let text = meta[BackendKeys.storageVersion], let version = SchemaVersion(String(decoding: text, as: UTF8.self)) {
            current = version
        } else {
            let missing = meta[BackendKeys.configuration] == nil ? "confstate" : meta[BackendKeys.term] == nil ? "term" : nil
            if let missing {
                log.error("failed to detect storage version. Please make sure you are using data dir from etcd v3.5 and older")
                throw CommandFailure("missing \(missing) information")
            }
            current = .first
        }
        guard current != target else { return log.info("storage version up-to-date", [("storage-version", .text(target.short))]) }
        do { try check(current, needed) } catch let refusal as CommandFailure {
            guard isForced else { throw refusal }
            log.info("normal migrate failed, trying with force", [("error", .text(refusal.description))])
            try write(database)
            if target < .named {
                log.warn("forcefully cleared storage version")
            } else {
                log.warn("forcefully set storage version", [("storage-version", .text(target.short))])
            }
            return
        }
        try write(database)
        log.info("updated storage version", [("new-storage-version", .text(target.long))])
    }

    private func check(_ current: SchemaVersion, _ needed: SchemaVersion?) throws {
        for version in [current, target] where version > .last || version < .first {
            throw CommandFailure("cannot create migration plan: version \(GoText.quoted(version.long)) is not supported")
        }
        if target < current, let needed, needed > target { throw CommandFailure("cannot downgrade storage, WAL contains newer entries") }
    }

    private func write(_ database: DatabaseFile) throws {
        var changes = DatabaseChanges()
        changes.setStorageVersion(target < .named ? nil : target.long)
        try DatabaseReplacement.replace(database, changes, in: paths, log.console, "migrating")
    }

    /// The oldest version that understands all entries behind the last snapshot; nil: any.
    private func versionOfLog() throws -> SchemaVersion? {
        var needed: SchemaVersion?
        let walk: WALWalk
        do { walk = try WALWalk(paths.walDirectory) } catch { throw badArguments("failed to open wal: \(error)") }
        try walk.forEachEntry { entry in
            guard entry.kind == .normal, let version = entry.data.withUnsafeBytes({ DowngradeTest.version($0) }) else { return true }
            needed = max(needed ?? version, version)
            return true
        }
        return needed
    }
}

/// The one proposal that names the version that it needs.
private enum DowngradeTest {
    static func version(_ bytes: UnsafeRawBufferPointer) -> SchemaVersion? {
        guard let request = try? InternalRequest(decoding: bytes), request.kind == .downgradeVersionTest else { return nil }
        var reader = ProtobufReader(request.body)
        while let (field, type) = try? reader.next() {
            if field == 1 { return (try? reader.string(type)).flatMap { SchemaVersion($0) } }
            guard (try? reader.skip(type, field: field)) != nil else { return nil }
        }
        return nil
    }
}
