// A data directory that is made aside and put in its place with one rename: killed at any moment, there is either all of it or
// nothing under its name.

import CommandLineTools
import Storage

#if canImport(Glibc)
import Glibc
#endif

/// The directory of a member on its way. Where the data directory is there already and empty, such as a mounted disk, `member` is
/// made in it; else the whole directory is made beside its place.
final class NewDirectory {
    /// Where the member's files are made.
    let member: String
    /// Where its log is made.
    let wal: String
    private let from: String
    private let to: String
    /// A log outside the data directory: where it is made, and where it goes.
    private let outerLog: (from: String, to: String)?
    private let system = PosixFileSystem()
    private var lock: (any DirectoryLock)?
    private var isInPlace = false

    private static let suffix = ".part"

    /// - Parameter walDirectory: empty: the usual place.
    /// - Throws: `CommandFailure` if one of the two is taken; in etcdutl's words.
    init(_ dataDirectory: String, walDirectory: String) throws {
        var directory = dataDirectory
        while directory.count > 1, directory.hasSuffix("/") { directory.removeLast() }
        let exists = system.exists(directory)
        if exists {
            // What an interrupted attempt has left there does not count.
            guard let names = try? system.list(directory), names.allSatisfy({ $0 == "member" + Self.suffix }) else {
                throw CommandFailure("data-dir \(GoText.quoted(dataDirectory)) not empty or could not be read")
            }
        }
        to = exists ? directory + "/member" : directory
        from = to + Self.suffix
        member = exists ? from : from + "/member"
        let usual = MemberPaths.join(dataDirectory, "member/wal")
        if walDirectory.isEmpty || walDirectory == usual || walDirectory == directory + "/member/wal" {
            wal = member + "/wal"
            outerLog = nil
        } else {
            guard !system.exists(walDirectory) else { throw CommandFailure("wal-dir \(GoText.quoted(walDirectory)) exists") }
            var target = walDirectory
            while target.count > 1, target.hasSuffix("/") { target.removeLast() }
            wal = target + Self.suffix
            outerLog = (wal, target)
        }
    }

    deinit { abandon() }

    /// Makes the directories, after what an earlier attempt has left was removed.
    func begin() throws {
        // Held until the end, so that two do not work on the same; taken on what is removed only if that is nobody's.
        if system.exists(from) {
            do { _ = try system.lockDirectory(from) } catch {
                guard error.reason == .locked else { throw error }
                throw CommandFailure("\(from) is in use: another process makes the same directory")
            }
            try removeLeftover(from) { member == from ? $0 == "snap" || $0 == "wal" || $0 == "wal.tmp" : $0 == "member" }
        }
        if let outerLog {
            for path in [outerLog.from, outerLog.from + ".tmp"] where system.exists(path) {
                try removeLeftover(path) { $0.hasSuffix(".wal") || $0.hasSuffix(".tmp") }
            }
        }
        try system.createDirectoryDurably(parentDirectory(of: from))
        try system.createDirectory(from)
        lock = try system.lockDirectory(from)
        try system.createDirectory(member + "/snap")
    }

    /// Makes everything durable and puts it in its place.
    func finish() throws {
        try system.syncDirectory(member + "/snap")
        if outerLog == nil { try system.syncDirectory(wal) }
        try system.syncDirectory(member)
        if member != from { try system.syncDirectory(from) }
        if let outerLog {
            try system.syncDirectory(outerLog.from)
            try system.rename(outerLog.from, to: outerLog.to)
            try system.syncDirectory(parentDirectory(of: outerLog.to))
        }
        do { try system.rename(from, to: to) } catch {
            if let outerLog { try? system.rename(outerLog.to, to: outerLog.from) }
            throw error
        }
        isInPlace = true
        try system.syncDirectory(parentDirectory(of: to))
        lock = nil
    }

    /// Removes what an earlier attempt has left; what does not look like that is somebody else's.
    private func removeLeftover(_ path: String, isOurs: (String) -> Bool) throws {
        guard try system.list(path).allSatisfy(isOurs) else { throw CommandFailure("\(path) is in the way: it is not what an interrupted attempt leaves") }
        try Self.removeTree(path, system)
    }

    /// Removes what was made; nothing once it is in its place.
    private func abandon() {
        guard !isInPlace, lock != nil else { return }
        try? Self.removeTree(from, system)
        if let outerLog { try? Self.removeTree(outerLog.from, system) }
    }

    /// Directories are three deep at most, and all in them is ours.
    private static func removeTree(_ path: String, _ system: PosixFileSystem, depth: Int = 0) throws {
        guard depth < 5, let names = try? system.list(path) else { return try system.remove(path) }
        for name in names { try removeTree(path + "/" + name, system, depth: depth + 1) }
        try system.removeDirectory(path)
    }
}
