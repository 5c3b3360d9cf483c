// Moments as log lines have them: local zone, six digits of microseconds, `Z` or `+0100`.

import Glibc

/// Nanoseconds since 1970.
public func unixNanoseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Int64(now.tv_sec) * 1_000_000_000 + Int64(now.tv_nsec)
}

/// Appends `2026-11-20T23:51:25.406028Z`.
func appendTimestamp(_ unixNanoseconds: Int64, to bytes: inout [UInt8]) {
    let second: Int64 = 1_000_000_000
    var seconds = time_t(unixNanoseconds / second)
    var nanoseconds = unixNanoseconds % second
    if nanoseconds < 0 {
        seconds -= 1
        nanoseconds += second
    }
    var local = tm()
    localtime_r(&seconds, &local)
    appendTimestamp(local, microseconds: UInt64(nanoseconds / 1_000), to: &bytes)
}

/// The same from broken-down local time.
func appendTimestamp(_ local: tm, microseconds: UInt64, to bytes: inout [UInt8]) {
    func two(_ value: Int32, before separator: Character? = nil) {
        bytes.append(UInt8(ascii: "0") + UInt8(value / 10 % 10))
        bytes.append(UInt8(ascii: "0") + UInt8(value % 10))
        if let separator { bytes.append(separator.asciiValue!) }
    }
    let year = local.tm_year + 1_900
    two(year / 100)
    two(year % 100, before: "-")
    two(local.tm_mon + 1, before: "-")
    two(local.tm_mday, before: "T")
    two(local.tm_hour, before: ":")
    two(local.tm_min, before: ":")
    two(local.tm_sec)
    bytes.append(UInt8(ascii: "."))
    var scale: UInt64 = 100_000
    while scale > 0 {
        bytes.append(UInt8(ascii: "0") + UInt8(microseconds / scale % 10))
        scale /= 10
    }
    let offsetMinutes = Int32(local.tm_gmtoff / 60)
    if offsetMinutes == 0 {
        bytes.append(UInt8(ascii: "Z"))
    } else {
        bytes.append(UInt8(ascii: offsetMinutes < 0 ? "-" : "+"))
        two(abs(offsetMinutes) / 60)
        two(abs(offsetMinutes) % 60)
    }
}
