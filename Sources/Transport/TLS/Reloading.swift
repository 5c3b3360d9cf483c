// Something made of files that is made anew when they change.

import Synchronization

#if canImport(Glibc)
import Glibc
#endif

/// Looks at the files' stamps each time it is asked (a system call per file: a hundredth of what a handshake costs)
/// and reads them only if one has changed.
final class Reloading<Material: Sendable>: Sendable {
    typealias Contents = [Result<[UInt8], TLSSetupError>]
    /// Makes the material of the files' contents; the second argument is the one in use so far.
    typealias Make = @Sendable (Contents, Material?) throws(TLSSetupError) -> Material

    enum News {
        case same
        case changed
        /// What was made before goes on being used.
        case failed(TLSSetupError)
    }

    private struct State {
        var material: Material
        var stamps: [FileStamp?]
        /// Of the contents last read, good or bad.
        var hashes: [Int]
        /// A file was so new that its stamp may not tell of a further change: it is read again.
        var isFresh: Bool
    }

    private let files: [String]
    private let make: Make
    private let state: Mutex<State>

    init(_ files: [String], _ make: @escaping Make) throws(TLSSetupError) {
        self.files = files
        self.make = make
        let read = Reading(files)
        state = Mutex(
            State(material: try make(read.contents, nil), stamps: read.stamps, hashes: read.hashes, isFresh: read.isFresh))
    }

    /// What the files hold now, or held when they were last good. From any thread.
    func current() -> (material: Material, news: News) {
        state.withLock { state in
            guard state.isFresh || files.map(FileStamp.init) != state.stamps else { return (state.material, .same) }
            let read = Reading(files)
            let hasChanged = read.hashes != state.hashes
            state.stamps = read.stamps
            state.hashes = read.hashes
            state.isFresh = read.isFresh
            guard hasChanged else { return (state.material, .same) }
            do throws(TLSSetupError) {
                state.material = try make(read.contents, state.material)
                return (state.material, .changed)
            } catch {
                return (state.material, .failed(error))
            }
        }
    }

    /// What there is without looking at the files.
    var last: Material { state.withLock { $0.material } }

    /// The files as they were at one moment, or nearly: a key that does not fit its certificate because it was
    /// replaced meanwhile makes a failure that the next handshake corrects.
    private struct Reading {
        let stamps: [FileStamp?]
        let contents: Contents

        init(_ files: [String]) {
            stamps = files.map(FileStamp.init)
            contents = files.map { path in Result { () throws(TLSSetupError) in try TLSFile.read(path) } }
        }

        /// Hashes instead of contents, so that no second copy of a private key is kept.
        var hashes: [Int] {
            contents.map { content in
                var hasher = Hasher()
                switch content {
                case .success(let bytes): bytes.withUnsafeBytes { hasher.combine(bytes: $0) }
                case .failure(let error): hasher.combine(error.description)
                }
                return hasher.finalize()
            }
        }

        var isFresh: Bool {
            let now = time(nil)
            return stamps.contains { $0?.isFresh(now: now) ?? false }
        }
    }
}
