// The data directory before anything in it is read: that it can be used, by us alone, and is kept from others.

import DatastoreTracing
import Glibc
import KeySpace
import Storage

extension DataDirectory {
    /// Makes the directory, or looks at the one that is there.
    static func prepare(_ path: String, _ fileSystem: PosixFileSystem, _ log: Log) throws(StartError) {
        var status = stat()
        if stat(path, &status) != 0 {
            do {
                try fileSystem.createDirectory(path)
            } catch {
                let code: Int32 = if case .system(let code) = error.reason { code } else { EIO }
                throw StartError("cannot access data directory: mkdir \(path): \(systemText(code))")
            }
        } else if status.st_mode & S_IFMT != S_IFDIR {
            throw StartError("cannot access data directory: \(path): not a directory")
        } else if status.st_mode & 0o777 != 0o700 {
            let mode = modeText(status.st_mode)
            log.warn(
                "check file permission",
                .error(
                    "directory \(quoted(path)) exist, but the permission is \(quoted("d" + mode)). The recommended permission is "
                        + "\"-rwx------\" to prevent possible unprivileged access to the data"))
        }
        let names = (try? fileSystem.list(path)) ?? []
        guard !names.contains("proxy") else {
            throw StartError("the data directory \(path) holds \"proxy\": it is that of an etcd proxy of version 2, not of a member")
        }
        for name in names where !known.contains(name) {
            log.warn("found invalid file under data directory", .string("filename", name), .string("data-dir", path))
        }
    }

    private static let known: Set<String> = ["member", "fixtures"]

    /// Opens the store; waits while another process has it, as etcd does for its database file.
    static func openStore(
        _ fileSystem: any FileSystem, _ directory: String, _ options: RevisionLogOptions, _ log: Log,
        resourcePrefixes: [String] = ResourceNames.prefixesDefault
    ) throws -> MVCCStore {
        var storeOptions = MVCCOptions()
        storeOptions.resources = ResourceNames(prefixes: resourcePrefixes)
        let began = monotonicNow()
        var hasSaidSo = false
        while true {
            do {
                let store = try MVCCStore.open(fileSystem: fileSystem, directory: directory, logOptions: options, options: storeOptions)
                log.info("opened backend db", .string("path", directory), .duration("took", monotonicNow() - began))
                return store
            } catch let error as StorageError where error.reason == .locked {
                if !hasSaidSo, monotonicNow() - began >= ServerLimits.lockNoticeNanoseconds {
                    hasSaidSo = true
                    log.info(
                        "db file is flocked by another process, or taking too long", .string("path", directory),
                        .duration("took", monotonicNow() - began))
                }
                usleep(UInt32(ServerLimits.lockRetryNanoseconds / 1_000))
            }
        }
    }

    private static func modeText(_ mode: mode_t) -> String {
        let letters = Array("rwxrwxrwx")
        return String((0..<9).map { mode & (1 << mode_t(8 - $0)) != 0 ? letters[$0] : "-" })
    }
}

/// The kernel's text for an error as Go's programs write it: without a capital.
func systemText(_ code: Int32) -> String {
    let text = String(cString: strerror(code))
    return text.prefix(1).lowercased() + text.dropFirst()
}
