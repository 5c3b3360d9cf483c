// Where the stores of the tests live.

import Storage

#if canImport(Glibc)
import Glibc
#endif

@testable import KeySpace

/// A directory of its own below the system's temporary one; removed with the object.
final class TemporaryDirectory {
    let path: String

    init() {
        var template = Array("/tmp/martlet-mvcc-XXXXXX".utf8CString)
        precondition(mkdtemp(&template) != nil)
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit {
        let files = PosixFileSystem()
        for name in (try? files.list(path)) ?? [] { try? files.remove(path + "/" + name) }
        try? files.removeDirectory(path)
    }
}
