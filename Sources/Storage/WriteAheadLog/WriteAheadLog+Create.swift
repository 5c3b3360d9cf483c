// A new log: made beside its place and renamed into it, so that a directory with half a log never exists.

import Wire

#if canImport(Glibc)
import Glibc
#endif

extension WriteAheadLog {
    /// Creates a log in `directory`, which must not hold one.
    public static func create(
        fileSystem: any FileSystem, directory: String, metadata: WALMetadata, options: WALOptions = .init()
    ) throws(StorageError) -> WriteAheadLog {
        guard !exists(fileSystem, directory) else { throw StorageError(.create, directory, .refused("there is a log already")) }
        let encoded = ByteSink(capacity: 32)
        metadata.encode(to: encoded)
        let head = ByteSink(capacity: 128)
        let nothing = UnsafeRawBufferPointer(start: nil, count: 0)
        WALFormat.appendChecksum(0, to: head)
        var crc = WALFormat.append(.metadata, head: encoded.bytes, body: nothing, crc: 0, to: head)
        let start = ByteSink(capacity: 16)
        WALSnapshot().encode(to: start)
        crc = WALFormat.append(.snapshot, head: start.bytes, body: nothing, crc: crc, to: head)

        let path = directory + "/" + WALFormat.name(sequence: 0, index: 0)
        // An empty directory may be in the way, made by whoever prepared the disk. One that cannot be removed, such as a
        // mount point, or that has other things in it, is used as it is.
        let isTaken = fileSystem.exists(directory) && (try? fileSystem.removeDirectory(directory)) == nil
        let file =
            isTaken
            ? try createInPlace(fileSystem, directory, path, head, options)
            : try createBeside(fileSystem, directory, path, head, options)
        return WriteAheadLog(
            fileSystem: fileSystem, directory: directory, options: options, metadata: metadata, metadataBytes: encoded.array(),
            segments: [SegmentFile(sequence: 0, index: 0, path: path, file: file)], end: UInt64(head.count), crc: crc,
            hardState: HardState(), lastIndex: 0)
    }

    private static func createFirstFile(
        _ fileSystem: any FileSystem, _ path: String, _ head: ByteSink, _ options: WALOptions
    ) throws(StorageError) -> any File {
        let file = try fileSystem.open(path, .create)
        do throws(StorageError) {
            try file.lock()
            try file.preallocate(options.segmentBytes, extending: true)
            try file.write(head.bytes, at: 0)
            if !options.skipsSync { try file.sync() }
            return file
        } catch {
            file.close()
            throw error
        }
    }

    private static func createBeside(
        _ fileSystem: any FileSystem, _ directory: String, _ path: String, _ head: ByteSink, _ options: WALOptions
    ) throws(StorageError) -> any File {
        let parent = parentDirectory(of: directory)
        let temporary = directory + ".tmp"
        try fileSystem.createDirectoryDurably(parent)
        try removeTree(fileSystem, temporary)
        try fileSystem.createDirectory(temporary)
        let file = try createFirstFile(fileSystem, temporary + path.dropFirst(directory.count), head, options)
        do throws(StorageError) {
            if !options.skipsSync { try fileSystem.syncDirectory(temporary) }
            try fileSystem.rename(temporary, to: directory)
        } catch {
            file.close()
            try? removeTree(fileSystem, temporary)
            throw error
        }
        do throws(StorageError) {
            if !options.skipsSync { try fileSystem.syncDirectory(parent) }
        } catch {
            // Nobody knows whether the new name will last: it must not be taken for a log later.
            file.close()
            try? fileSystem.rename(directory, to: directory + ".broken." + timestamp())
            throw error
        }
        return file
    }

    private static func createInPlace(
        _ fileSystem: any FileSystem, _ directory: String, _ path: String, _ head: ByteSink, _ options: WALOptions
    ) throws(StorageError) -> any File {
        let temporary = directory + "/0.tmp"
        let file = try createFirstFile(fileSystem, temporary, head, options)
        do throws(StorageError) {
            try fileSystem.rename(temporary, to: path)
            if !options.skipsSync { try fileSystem.syncDirectory(directory) }
            return file
        } catch {
            file.close()
            throw error
        }
    }

    /// Removes a directory and the files in it, if it exists.
    private static func removeTree(_ fileSystem: any FileSystem, _ directory: String) throws(StorageError) {
        guard fileSystem.exists(directory) else { return }
        for name in try fileSystem.list(directory) { try fileSystem.remove(directory + "/" + name) }
        try fileSystem.removeDirectory(directory)
    }

    /// YYYYMMDD.HHMMSS.ffffff
    private static func timestamp() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var parts = tm()
        var seconds = now.tv_sec
        localtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        let count = strftime(&text, text.count, "%Y%m%d.%H%M%S", &parts)
        let micros = String(now.tv_nsec / 1000)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) + "."
            + String(repeating: "0", count: 6 - micros.utf8.count) + micros
    }
}
