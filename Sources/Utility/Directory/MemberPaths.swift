// Where things are in a data directory, and which kind it is.

import CommandLineTools
import KeySpace
import Storage

struct MemberPaths {
    let dataDirectory: String
    let walDirectory: String

    /// - Parameter walDirectory: empty: the usual place.
    init(_ dataDirectory: String, walDirectory: String = "") {
        self.dataDirectory = dataDirectory
        self.walDirectory = walDirectory.isEmpty ? Self.join(dataDirectory, "member/wal") : walDirectory
    }

    var member: String { Self.join(dataDirectory, "member") }
    var snapshots: String { Self.join(dataDirectory, "member/snap") }
    var database: String { Self.join(dataDirectory, "member/snap/db") }
    var store: String { Self.join(dataDirectory, "member/store") }

    /// A martlet that started on etcd's directory has both; its store is what counts.
    var isMartlets: Bool { PosixFileSystem().exists(store + "/MANIFEST") }

    static func join(_ directory: String, _ name: String) -> String {
        directory.isEmpty ? name : directory.hasSuffix("/") ? directory + name : directory + "/" + name
    }

    /// A store opened to be looked at: locked, and left as it is.
    func openStore(_ patience: LockPatience) throws -> MVCCStore { try Self.openStore(store, in: ReadOnlyFileSystem(), patience) }

    static func openStore(_ path: String, in fileSystem: any FileSystem, _ patience: LockPatience, notice: String? = nil) throws -> MVCCStore {
        var store: MVCCStore?
        try patience.wait(for: path, notice: notice) {
            do { store = try MVCCStore.open(fileSystem: fileSystem, directory: path) } catch let error as StorageError where error.reason == .locked {
                return false
            }
            return true
        }
        return store!
    }

    /// What a path names for commands that read one store.
    enum Target {
        case database(String)
        case store(MemberPaths)
    }

    /// - Parameter path: a file, or a data directory of etcd's or martlet's.
    static func target(_ path: String) throws -> Target {
        let system = PosixFileSystem()
        guard system.exists(path) else { throw CommandFailure("\(GoText.quoted(path)) does not exist") }
        guard (try? system.list(path)) != nil else { return .database(path) }
        let paths = MemberPaths(path)
        if paths.isMartlets { return .store(paths) }
        guard system.exists(paths.database) else { throw CommandFailure("\(GoText.quoted(paths.database)) does not exist") }
        return .database(paths.database)
    }
}
