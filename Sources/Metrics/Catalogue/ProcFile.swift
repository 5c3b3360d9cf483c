// Reading and parsing the files of /proc.

import Glibc

enum ProcFile {
    /// Bytes of a /proc file that are read; what we need stands before.
    private static let bytesMaximum = 64 * 1_024

    /// The whole of a small /proc file.
    static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4_096)
        while bytes.count < bytesMaximum {
            let count = chunk.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            guard count > 0 else { break }
            bytes.append(contentsOf: chunk[..<count])
        }
        return bytes
    }

    /// The fields of /proc/self/stat that are exposed.
    struct Stat: Equatable {
        var userTicks: UInt64
        var systemTicks: UInt64
        var startTicks: UInt64
        var virtualBytes: UInt64
        var residentPages: UInt64

        init?(_ bytes: [UInt8]) {
            // The second field is the program's name in parentheses and may hold anything, parentheses too.
            guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
            let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
            func field(_ number: Int) -> UInt64? {
                let index = number - 3  // fields are numbered from 1; the first after the name is 3
                guard index < fields.count else { return nil }
                return UInt64(String(decoding: fields[index], as: UTF8.self))
            }
            guard let userTicks = field(14), let systemTicks = field(15), let startTicks = field(22),
                let virtualBytes = field(23), let residentPages = field(24)
            else { return nil }
            self.userTicks = userTicks
            self.systemTicks = systemTicks
            self.startTicks = startTicks
            self.virtualBytes = virtualBytes
            self.residentPages = residentPages
        }
    }

    /// Unix second at which the machine started; read once.
    static let bootTime: UInt64? = {
        guard let bytes = read("/proc/stat") else { return nil }
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            let words = line.split(separator: UInt8(ascii: " "))
            if words.count == 2 && words[0].elementsEqual("btime".utf8) {
                return UInt64(String(decoding: words[1], as: UTF8.self))
            }
        }
        return nil
    }()

    /// InOctets and OutOctets of the `IpExt` pair of lines in a netstat file.
    static func networkOctets(_ bytes: [UInt8]) -> (received: UInt64, sent: UInt64)? {
        let lines = bytes.split(separator: UInt8(ascii: "\n")).filter { $0.starts(with: "IpExt:".utf8) }
        guard lines.count == 2 else { return nil }
        let names = lines[0].split(separator: UInt8(ascii: " "))
        let values = lines[1].split(separator: UInt8(ascii: " "))
        func value(_ name: String) -> UInt64? {
            guard let index = names.firstIndex(where: { $0.elementsEqual(name.utf8) }), index < values.count
            else { return nil }
            return UInt64(String(decoding: values[index], as: UTF8.self))
        }
        guard let received = value("InOctets"), let sent = value("OutOctets") else { return nil }
        return (received, sent)
    }

    /// Entries of /proc/self/fd but the one opened to count them.
    static func countOpenFileDescriptors() -> UInt64? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count: UInt64 = 0
        while let entry = readdir(directory) {
            // Names are numbers, but for "." and "..".
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        return count > 0 ? count - 1 : 0
    }

    /// The soft limit of a resource; "unlimited" is the largest number.
    static func limit(_ resource: __rlimit_resource) -> UInt64? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0 else { return nil }
        return UInt64(limit.rlim_cur)
    }
}
