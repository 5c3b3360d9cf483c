// Every bound of reading stores in one place.

public enum ArchiveLimits {
    /// Keys that one pass over a store remembers. More keys take more passes, not more memory.
    public static let keysPerPass = 300_000
    /// Bytes of those keys.
    public static let keyBytesPerPass = 24 << 20
    /// Progress is told each time so many bytes were read.
    static let progressStepBytes: UInt64 = 4 << 20
    /// Notes about one store; further ones are counted only.
    static let notesMax = 20
    /// A value that is read again keeps this much memory at most.
    static let bytesKept = 4 << 20
}

/// What was passed over: the first few in words, then a number.
struct Notes {
    private var texts: [String] = []
    private var more = 0

    mutating func add(_ text: String) {
        guard !texts.contains(text) else { return }
        if texts.count < ArchiveLimits.notesMax { texts.append(text) } else { more += 1 }
    }

    var all: [String] { more == 0 ? texts : texts + ["and \(more) more of this kind"] }
}
