// The tool: its tree of commands, the flags that all have, and the client that these make.

import Client
import CommandLineTools
import Transport
import Wire

#if canImport(Glibc)
import Glibc
#endif

/// `martletctl`, a drop-in for etcdctl 3.7.
public final class ControlTool {
    /// The etcd release whose tool this one stands for.
    public static let version = "3.7.1"

    let root = Command("martletctl", "A simple command line client for etcd3.")
    let endpoints: TypedFlag<[String]>
    let writeOut: TypedFlag<String>
    let isHex: TypedFlag<Bool>
    let isDebug: TypedFlag<Bool>
    let commandTimeout: TypedFlag<Duration>
    private let dialTimeout: TypedFlag<Duration>
    private let keepAliveTime: TypedFlag<Duration>
    private let keepAliveTimeout: TypedFlag<Duration>
    private let requestBytes: TypedFlag<Int>
    private let receiveBytes: TypedFlag<Int>
    private let insecureTransport: TypedFlag<Bool>
    private let insecureDiscovery: TypedFlag<Bool>
    private let skipVerify: TypedFlag<Bool>
    private let certificate: TypedFlag<String>
    private let key: TypedFlag<String>
    private let authority: TypedFlag<String>
    private let user: TypedFlag<String>
    private let password: TypedFlag<String>
    private let token: TypedFlag<String>
    private let discovery: TypedFlag<String>
    private let discoveryName: TypedFlag<String>

    /// Of `endpoint`.
    var isWholeCluster: TypedFlag<Bool>?

    public init() {
        let flags = root.persistentFlags
        endpoints = flags.add("endpoints", ["127.0.0.1:2379"], "gRPC endpoints")
        isDebug = flags.add("debug", false, "enable client-side debug logging")
        writeOut = flags.add("write-out", short: "w", "simple", "set the output format (fields, json, protobuf, simple, table)")
        isHex = flags.add("hex", false, "print byte strings as hex encoded strings")
        dialTimeout = flags.add("dial-timeout", .seconds(2), "dial timeout for client connections")
        commandTimeout = flags.add("command-timeout", .seconds(5), "timeout for short running command (excluding dial timeout)")
        keepAliveTime = flags.add("keepalive-time", .seconds(2), "keepalive time for client connections")
        keepAliveTimeout = flags.add("keepalive-timeout", .seconds(6), "keepalive timeout for client connections")
        requestBytes = flags.add("max-request-bytes", 0, "client-side request send limit in bytes (if 0, it defaults to 2.0 MiB (2 * 1024 * 1024).)")
        receiveBytes = flags.add("max-recv-bytes", 0, "client-side response receive limit in bytes (if 0, it defaults to \"math.MaxInt32\")")
        insecureTransport = flags.add("insecure-transport", true, "disable transport security for client connections")
        insecureDiscovery = flags.add("insecure-discovery", true, "accept insecure SRV records describing cluster endpoints")
        skipVerify = flags.add(
            "insecure-skip-tls-verify", false,
            "skip server certificate verification (CAUTION: this option should be enabled only for testing purposes)")
        certificate = flags.add("cert", "", "identify secure client using this TLS certificate file")
        key = flags.add("key", "", "identify secure client using this TLS key file")
        authority = flags.add("cacert", "", "verify certificates of TLS-enabled secure servers using this CA bundle")
        user = flags.add("user", "", "username[:password] for authentication (prompt if password is not supplied)")
        password = flags.add(
            "password", "", "password for authentication (if this option is used, --user option shouldn't include password)")
        token = flags.add("auth-jwt-token", "", "JWT token used for authentication (if this option is used, --user and --password should not be set)")
        discovery = flags.add("discovery-srv", short: "d", "", "domain name to query for SRV records describing cluster endpoints")
        discoveryName = flags.add("discovery-srv-name", "", "service name to query when using DNS discovery")
        writeOut.proposedValues = ["simple", "fields", "json", "protobuf", "table"]

        root.allowsPrefixes = true
        root.usageStream = .output
        root.groups = [Group.keys, Group.cluster, Group.concurrency, Group.auth, Group.utility]
        root.suggestedFor = ["etcdctl"]
        root.environment = EnvironmentFallback(
            prefix: "ETCDCTL", otherVariables: ["ETCDCTL_WATCH_KEY", "ETCDCTL_WATCH_RANGE_END"],
            onConflict: { variable in
                Diagnostics.log(
                    "fatal", "pkg/flags",
                    "conflicting environment variable is shadowed by corresponding command-line flag (either unset environment variable or disable flag))",
                    [("environment-variable", variable)])
                throw CommandFailure("", status: Status.error)
            },
            onUnknown: { variable, value in
                Diagnostics.log("warn", "pkg/flags", "unrecognized environment variable", [("environment-variable", "\(variable)=\(value)")])
            })
        root.prepare = { [unowned self] invocation in
            // Before anything is connected.
            guard Format(rawValue: self.writeOut.value) != nil else {
                throw CommandFailure("unsupported output format", status: Status.badFeature)
            }
            if self.isDebug.value {
                for flag in flags.all.sorted(by: { $0.name < $1.name }) {
                    let name = self.root.environment!.variable(flag.name)
                    invocation.console.print("\(name)=\(flag.text)", to: .error)
                }
            }
        }
        addCommands()
    }

    /// Runs what the process was asked for and says the status to exit with.
    nonisolated(nonsending) public func run() async -> Int32 { await root.execute() }

    // MARK: For commands

    func printer(_ console: Console) -> Printer { Printer(format: Format(rawValue: writeOut.value)!, isHex: isHex.value, console: console) }

    /// Limit of short calls.
    var timeout: Duration { commandTimeout.value }

    /// Options of the flags, but for the endpoints.
    func options(_ console: Console) throws -> ClientOptions {
        var options = ClientOptions(endpoints: endpoints.value)
        options.dialTimeout = dialTimeout.value
        options.keepAliveTime = keepAliveTime.value
        options.keepAliveTimeout = keepAliveTimeout.value
        if requestBytes.value > 0 { options.sendBytesMax = requestBytes.value }
        if receiveBytes.value > 0 { options.receiveBytesMax = receiveBytes.value }
        options.userAgent = "martletctl/\(Self.version)"
        options.tls = tls()
        if !token.value.isEmpty {
            guard user.value.isEmpty, password.value.isEmpty else {
                throw CommandFailure("--user or --password cannot be used together with --auth-jwt-token", status: Status.badArguments)
            }
            options.token = token.value
        }
        options.credentials = try credentials(user.value, password.value, console)
        options.onFailedAttempt = { attempt in
            Diagnostics.log(
                "warn", "etcd-client", "retrying of unary invoker failed",
                [
                    ("target", "etcd-endpoints://martletctl/\(attempt.target)"), ("method", attempt.method), ("attempt", "\(attempt.attempt)"),
                    ("error", attempt.error.status),
                ])
        }
        options.onConnectionFailure = { Hints.waiting($0) }
        return options
    }

    private func tls() -> TLSClientSettings? {
        var settings = TLSClientSettings()
        if !certificate.value.isEmpty { settings.certificateFile = certificate.value }
        if !key.value.isEmpty { settings.keyFile = key.value }
        if !authority.value.isEmpty { settings.authorityFile = authority.value }
        settings.skipsVerification = skipVerify.value
        // A domain that must not be lied about: its servers show its name.
        if !discovery.value.isEmpty, !insecureDiscovery.value { settings.serverName = discovery.value }
        let isAsked = !settings.isPlain || !insecureTransport.value
        return isAsked || skipVerify.value ? settings : nil
    }

    /// `name`, `name:password`, or a name and a password.
    func credentials(_ user: String, _ password: String, _ console: Console) throws -> (name: String, password: String)? {
        guard !user.isEmpty else {
            if !password.isEmpty { throw CommandFailure("--password requires --user to be specified", status: Status.badArguments) }
            return nil
        }
        if !password.isEmpty { return (user, password) }
        if let colon = user.firstIndex(of: ":") { return (String(user[..<colon]), String(user[user.index(after: colon)...])) }
        guard let typed = Terminal.password("Password: ", console) else {
            throw CommandFailure("bad user name or password", status: Status.badArguments)
        }
        return (user, typed)
    }

    /// The endpoints of the flags, or those that the name service has.
    func discovered() throws -> [String] {
        guard !discovery.value.isEmpty else { return endpoints.value.map(trim) }
        let found: [String]
        do throws(ServiceDiscovery.Failure) {
            found = try ServiceDiscovery.endpoints(domain: discovery.value, name: discoveryName.value)
        } catch { throw CommandFailure(error.description, status: Status.error) }
        guard !insecureDiscovery.value else { return found }
        return found.filter { endpoint in
            guard endpoint.hasPrefix("http://") else { return true }
            Diagnostics.say("ignoring discovered insecure endpoint \(GoText.quoted(endpoint))")
            return false
        }
    }

    /// A client, authenticated.
    func client(_ console: Console, endpoints: [String]? = nil) async throws -> Client {
        var options = try options(console)
        options.endpoints = try endpoints ?? discovered()
        return try await Self.connect(options)
    }

    static func connect(_ options: ClientOptions) async throws -> Client {
        do {
            let client = try Client(options)
            try await client.authenticate()
            return client
        } catch let error as ClientSetupError {
            throw CommandFailure(error.description, status: Status.badConnection)
        } catch let error as ClientError {
            throw failure(error, status: Status.badConnection)
        }
    }
}

extension TLSClientSettings {
    fileprivate var isPlain: Bool { authorityFile == nil && certificateFile == nil && keyFile == nil && serverName == nil }
}

/// Titles of the parts of the help.
enum Group {
    static let keys = "Key-value commands:"
    static let cluster = "Cluster maintenance commands:"
    static let concurrency = "Concurrency commands:"
    static let auth = "Authentication commands:"
    static let utility = "Utility commands:"
}

/// The text of a failed call behind `Error: `.
func text(_ error: ClientError) -> String {
    switch error.message {
    case "context deadline exceeded", "context canceled": error.message
    case let message where message.hasPrefix("etcdserver: ") || message.hasPrefix("election: ") || message.hasPrefix("mutex: "): message
    default: error.status
    }
}

func failure(_ error: ClientError, _ frame: (String) -> String = { $0 }, status: Int32 = Status.error) -> CommandFailure {
    Hints.show(error)
    return CommandFailure(frame(text(error)), status: status)
}

/// Runs a call, and turns its failure into that of the command.
nonisolated(nonsending) func attempt<Result>(
    status: Int32 = Status.error, frame: (String) -> String = { $0 }, _ body: nonisolated(nonsending) () async throws -> Result
) async throws -> Result {
    do { return try await body() } catch let error as ClientError { throw failure(error, frame, status: status) }
}

func badArguments(_ text: String) -> CommandFailure { CommandFailure(text, status: Status.badArguments) }
