// Names of backups: `etcd.log` becomes `etcd-2026-11-20T23-51-25.406.log`, compressed `….log.gz`.

import Glibc

/// The parts of a log file's path from which its backups are named.
struct BackupName {
    static let compressedSuffix = ".gz"
    /// What a compressed backup is called while it is made; such a file is worth nothing.
    static let unfinishedSuffix = ".gz.tmp"

    let directory: String
    let prefix: String
    let ending: String

    init(path: String) {
        let slash = path.lastIndex(of: "/")
        directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
        let dot = name.lastIndex(of: ".") ?? name.endIndex
        prefix = name[..<dot] + "-"
        ending = String(name[dot...])
    }

    func path(_ name: String) -> String { directory == "/" ? "/" + name : directory + "/" + name }

    /// The name of a backup made at a moment.
    func name(milliseconds: Int64, local: Bool) -> String {
        var seconds = time_t(milliseconds / 1_000)
        var parts = tm()
        if local { localtime_r(&seconds, &parts) } else { gmtime_r(&seconds, &parts) }
        func digits(_ value: Int32, _ count: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
        }
        let day = "\(digits(parts.tm_year + 1_900, 4))-\(digits(parts.tm_mon + 1, 2))-\(digits(parts.tm_mday, 2))"
        let time = "\(digits(parts.tm_hour, 2))-\(digits(parts.tm_min, 2))-\(digits(parts.tm_sec, 2))"
        return "\(prefix)\(day)T\(time).\(digits(Int32(milliseconds % 1_000), 3))\(ending)"
    }

    /// The moment in the name of an uncompressed backup, nil for any other file.
    func milliseconds(of name: some StringProtocol, local: Bool) -> Int64? {
        let text = Array(name.utf8)
        let before = Array(prefix.utf8)
        let after = Array(ending.utf8)
        let shape = Array("0000-00-00T00-00-00.000".utf8)
        guard text.count == before.count + shape.count + after.count, text.starts(with: before), text.suffix(after.count).elementsEqual(after)
        else { return nil }
        let middle = Array(text[before.count..<before.count + shape.count])
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        for (byte, expected) in zip(middle, shape) {
            guard expected == UInt8(ascii: "0") ? digits.contains(byte) : byte == expected else { return nil }
        }
        func number(_ range: Range<Int>) -> Int32 { middle[range].reduce(0) { $0 * 10 + Int32($1 - digits.lowerBound) } }
        var parts = tm()
        parts.tm_year = number(0..<4) - 1_900
        parts.tm_mon = number(5..<7) - 1
        parts.tm_mday = number(8..<10)
        parts.tm_hour = number(11..<13)
        parts.tm_min = number(14..<16)
        parts.tm_sec = number(17..<19)
        parts.tm_isdst = -1
        guard (0..<12).contains(parts.tm_mon), (1...31).contains(parts.tm_mday), parts.tm_hour < 24, parts.tm_min < 60, parts.tm_sec < 60
        else { return nil }
        let seconds = local ? mktime(&parts) : timegm(&parts)
        return Int64(seconds) * 1_000 + Int64(number(20..<23))
    }
}

/// What is to be done with the backups of a file: a value made from the names in its directory.
struct BackupPlan: Equatable {
    var remove: [String] = []
    var compress: [String] = []

    init() {}

    /// - Parameter leftovers: whether unfinished compressed files are removed, which nobody can be writing at the start.
    init(
        names: [String], of file: BackupName, _ rotation: FileRotation, nowMilliseconds: Int64, leftovers: Bool = false
    ) {
        struct Backup {
            /// Without `.gz`.
            let name: String
            let milliseconds: Int64
            var plain = false
            var compressed = false
        }
        var backups: [String: Backup] = [:]
        for name in names {
            func note(_ plain: Substring, _ change: (inout Backup) -> Void) {
                guard let moment = file.milliseconds(of: plain, local: rotation.usesLocalTime) else { return }
                change(&backups[String(plain), default: Backup(name: String(plain), milliseconds: moment)])
            }
            if name.hasSuffix(BackupName.unfinishedSuffix) {
                let plain = name.dropLast(BackupName.unfinishedSuffix.count)
                if leftovers, file.milliseconds(of: plain, local: rotation.usesLocalTime) != nil { remove.append(name) }
            } else if name.hasSuffix(BackupName.compressedSuffix) {
                note(name.dropLast(BackupName.compressedSuffix.count)) { $0.compressed = true }
            } else {
                note(name[...]) { $0.plain = true }
            }
        }
        let day: Int64 = 86_400_000
        let oldest = rotation.ageDaysMaximum > 0 ? nowMilliseconds - rotation.ageDaysMaximum.multipliedOrMax(by: day) : .min
        let newestFirst = backups.values.sorted { ($0.milliseconds, $0.name) > ($1.milliseconds, $1.name) }
        for (position, backup) in newestFirst.enumerated() {
            let isSurplus = rotation.backupsMaximum > 0 && position >= rotation.backupsMaximum
            if isSurplus || backup.milliseconds < oldest {
                if backup.plain { remove.append(backup.name) }
                if backup.compressed { remove.append(backup.name + BackupName.compressedSuffix) }
            } else if rotation.compresses, backup.plain {
                // Also beside a compressed one, which may be half a file that another program left.
                compress.append(backup.name)
            }
        }
        remove.sort()
        compress.sort()
    }
}

extension Int64 {
    fileprivate func multipliedOrMax(by factor: Int64) -> Int64 {
        let (product, overflow) = multipliedReportingOverflow(by: factor)
        return overflow ? .max : product
    }
}
