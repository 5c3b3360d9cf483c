// A real server beside the tests: the executable that stands beside the tests' own, or the one that MARTLET_BIN names.

import Client
import NIOPosix
import Synchronization
import Testing

#if canImport(Glibc)
import Glibc
#endif

/// A server of one member on a directory of its own. Stopped, and its files removed, when it is let go.
final class LiveServer: @unchecked Sendable {
    // Unchecked: used by one task at a time.
    static let path: String? = {
        if let named = getenv("MARTLET_BIN") { return String(cString: named) }
        var buffer = [CChar](repeating: 0, count: 4096)
        let length = readlink("/proc/self/exe", &buffer, buffer.count)
        guard length > 0 else { return nil }
        let own = String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let path = own[...own.lastIndex(of: "/")!] + "martlet"
        return access(String(path), X_OK) == 0 ? String(path) : nil
    }()

    let directory: String
    private let ports: (client: Int, peer: Int)
    private var pid: pid_t = 0

    init() throws {
        var template = Array("/tmp/martlet-client-tests-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        ports = (try Self.freePort(), try Self.freePort())
    }

    deinit {
        kill()
        removeTree(directory)
    }

    var endpoint: String { "127.0.0.1:\(ports.client)" }

    /// Starts it, again after `kill`, and waits until it answers.
    func start() async throws {
        let path = try #require(Self.path)
        let client = "http://\(endpoint)", peer = "http://127.0.0.1:\(ports.peer)"
        // The server ends with the tests, however these end: with the thread that has started it, so one that stays.
        let guarded = access("/usr/bin/setpriv", X_OK) == 0 ? ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"] : []
        let words =
            guarded + [
                path, "--data-dir", directory + "/data", "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls",
                peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=\(peer)", "--log-outputs", directory + "/log",
            ]
        pid = try await NIOThreadPool.singleton.runIfActive { Self.spawn(words) }
        try #require(pid > 0)
        _ = try await connect().status(timeout: .seconds(60))
    }

    private static func spawn(_ words: [String]) -> pid_t {
        var arguments = words.map { strdup($0) } + [nil]
        defer { for text in arguments { free(text) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
            posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
        }
        var pid: pid_t = 0
        return posix_spawn(&pid, words[0], &actions, nil, &arguments, environ) == 0 ? pid : 0
    }

    /// As a crash ends it.
    func kill() {
        guard pid > 0 else { return }
        Glibc.kill(pid, SIGKILL)
        var status: Int32 = 0
        waitpid(pid, &status, 0)
        pid = 0
    }

    func connect(_ change: (inout ClientOptions) -> Void = { _ in }) throws -> Client {
        var options = ClientOptions(endpoints: [endpoint])
        options.callTimeout = .seconds(60)
        change(&options)
        return try Client(options)
    }

    /// Below what the system hands out by itself, so that no client sits on it.
    private static func freePort() throws -> Int {
        for _ in 0..<1000 {
            let port = Int.random(in: 12_000..<32_000)
            if let probe = Listener(port: port, backlog: nil) {
                probe.close()
                return port
            }
        }
        Issue.record("no port is free")
        throw ClientSetupError("no port is free")
    }

    private func removeTree(_ path: String) {
        if let folder = opendir(path) {
            while let entry = readdir(folder) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
                if name != ".", name != ".." { removeTree(path + "/" + name) }
            }
            closedir(folder)
        }
        remove(path)
    }
}

/// A socket that connections can be made to, and that never answers.
final class Listener {
    private var descriptor: Int32
    private(set) var port = 0

    /// - Parameters:
    ///   - port: 0 for any.
    ///   - backlog: nil: bound only.
    init?(port: Int = 0, backlog: Int32? = 16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = descriptor
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                bind(descriptor, name, length) == 0 && (backlog == nil || listen(descriptor, backlog!) == 0) && getsockname(descriptor, name, &length) == 0
            }
        }
        guard isBound else {
            Glibc.close(descriptor)
            return nil
        }
        self.port = Int(UInt16(bigEndian: address.sin_port))
    }

    func close() {
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
    }

    deinit { close() }
}

/// The body with a server that runs.
func withServer(_ body: (LiveServer) async throws -> Void) async throws {
    let server = try LiveServer()
    try await server.start()
    try await body(server)
}

/// A number that tasks share.
final class Counter: Sendable {
    private let number = Atomic<Int>(0)

    var value: Int { number.load(ordering: .sequentiallyConsistent) }
    @discardableResult
    func add(_ amount: Int = 1) -> Int { number.add(amount, ordering: .sequentiallyConsistent).newValue }
    func set(_ value: Int) { number.store(value, ordering: .sequentiallyConsistent) }
}

/// A value that tasks share.
final class Shared<Value: Sendable>: Sendable {
    private let state: Mutex<Value>

    init(_ value: Value) { state = Mutex(value) }

    var value: Value { state.withLock { $0 } }
    func change(_ body: @Sendable (inout Value) -> Void) { state.withLock { body(&$0) } }
}
