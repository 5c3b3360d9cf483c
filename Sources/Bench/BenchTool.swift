// The tool: its tree of commands and the flags that all have.

import Client
import CommandLineTools
import Transport

/// `martlet-bench`, a drop-in for etcd's `benchmark`, and more.
public final class BenchTool {
    /// The etcd release whose tool this one stands for.
    public static let version = BenchLimits.version

    let root = Command(
        "martlet-bench", "Measures etcd and martlet from the client's side.",
        long: """
            Measures etcd and martlet from the client's side: the commands, flags and reports of etcd's benchmark,
            loads of the shapes that kube-apiserver sends, a search for what a server can bear (capacity), and two
            servers side by side (compare).

            One thread makes all calls. With --rate, latency is counted from the moment a call was due.
            """)
    let endpoints: TypedFlag<[String]>
    let connections: TypedFlag<UInt>
    let clients: TypedFlag<UInt>
    let isPrecise: TypedFlag<Bool>
    let hasSamples: TypedFlag<Bool>
    let duration: TypedFlag<Duration>
    let isOpenLoop: TypedFlag<Bool>
    let arrivals: TypedFlag<String>
    let inFlight: TypedFlag<Int>
    let seed: TypedFlag<UInt64>
    let reports: TypedFlag<[String]>
    let writesPerfDash: TypedFlag<Bool>
    private let certificate: TypedFlag<String>
    private let key: TypedFlag<String>
    private let authority: TypedFlag<String>
    private let skipVerify: TypedFlag<Bool>
    private let user: TypedFlag<String>
    private let dialTimeout: TypedFlag<Duration>
    private let autoSync: TypedFlag<Duration>
    private let targetsLeader: TypedFlag<Bool>
    private var credentials: (name: String, password: String)?

    /// What a command line inside another one described, instead of being run.
    var collected: Plan?
    let isCollecting: Bool

    public convenience init() { self.init(isCollecting: false) }

    init(isCollecting: Bool) {
        self.isCollecting = isCollecting
        let flags = root.persistentFlags
        endpoints = flags.add("endpoints", ["127.0.0.1:2379"], "gRPC endpoints")
        connections = flags.add("conns", 1, "connections in all; they go to the endpoints in turn")
        clients = flags.add("clients", 1, "clients in all, each with one call at a time; they share the connections")
        isPrecise = flags.add("precise", false, "print all digits of numbers")
        hasSamples = flags.add("sample", false, "print a table by second")
        certificate = flags.add("cert", "", "show this TLS certificate `file` to servers")
        key = flags.add("key", "", "its TLS key `file`")
        authority = flags.add("cacert", "", "verify servers by the authorities in this `file`")
        skipVerify = flags.add("insecure-skip-tls-verify", false, "do not verify servers' certificates (for tests only)")
        user = flags.add("user", "", "username[:password]; without a password it is asked for")
        dialTimeout = flags.add("dial-timeout", .zero, "limit of connecting")
        autoSync = flags.add("auto-sync-interval", .zero, "not zero: use the endpoints that the cluster's members advertise")
        targetsLeader = flags.add("target-leader", false, "connect to the leader alone")
        writesPerfDash = flags.add("report-perfdash", false, "write a JSON file for perfdash to $ARTIFACTS or ./_artifacts")
        duration = flags.add("duration", .zero, "stop beginning calls after this; without --total the only limit")
        isOpenLoop = flags.add("open-loop", false, "with --rate: begin calls when they are due, whether or not a client is free")
        arrivals = flags.add("arrivals", "uniform", "with --rate: distances between calls (uniform, poisson)")
        inFlight = flags.add("max-in-flight", BenchLimits.inFlightDefault, "calls at a time in an open loop; further ones begin late")
        seed = flags.add("seed", 0 as UInt64, "of random keys and values; 0: another one each time")
        reports = flags.add(
            "report", [], "`FORM[=FILE]`: text, json, csv or html; without a file instead of the text report; repeatable")
        arrivals.proposedValues = ["uniform", "poisson"]
        root.version = Self.version
        root.suggestedFor = ["benchmark"]
        root.prepare = { [unowned self] _ in try self.check() }
        root.add(
            putCommand(), rangeCommand(), transactionPutCommand(), transactionMixedCommand(), keepAliveCommand(), stmCommand(),
            watchCommand(), watchGetCommand(), watchLatencyCommand(), mvccCommand(), kubernetesCommand(), capacityCommand(), compareCommand())
    }

    /// Runs what the process was asked for and says the status to exit with.
    public func run() async -> Int32 { await root.execute() }

    // MARK: For commands

    var seedValue: UInt64 { seed.value != 0 ? seed.value : UInt64.random(in: 1...UInt64.max) }

    private func check() throws {
        guard connections.value > 0 else { throw CommandFailure("expected positive --conns, got (0)") }
        guard clients.value > 0 else { throw CommandFailure("expected positive --clients, got (0)") }
        guard connections.value <= UInt(BenchLimits.connectionsMax) else {
            throw CommandFailure("at most \(BenchLimits.connectionsMax) connections, got (\(connections.value))")
        }
        guard clients.value <= UInt(BenchLimits.clientsMax), inFlight.value <= BenchLimits.clientsMax, inFlight.value > 0 else {
            throw CommandFailure("--clients and --max-in-flight are 1 to \(BenchLimits.clientsMax)")
        }
        guard duration.value >= .zero else { throw CommandFailure("expected a positive --duration") }
        guard ["uniform", "poisson"].contains(arrivals.value) else { throw CommandFailure("unknown --arrivals \(arrivals.value) (uniform, poisson)") }
        _ = try reportTargets()
    }

    func reportTargets() throws -> [ReportTarget] {
        try reports.value.map { text in
            guard let target = ReportTarget(text) else {
                throw CommandFailure("unknown --report \(GoText.quoted(text)): text, json, csv or html, with =FILE for a file")
            }
            return target
        }
    }

    /// A size from the command line.
    func size(_ flag: TypedFlag<Int>, least: Int = 0) throws -> Int {
        guard flag.value >= least, flag.value <= BenchLimits.sizeMax else {
            throw CommandFailure("--\(flag.name) is \(least) to \(BenchLimits.sizeMax), got (\(flag.value))")
        }
        return flag.value
    }

    /// Settings of a run of single calls.
    func settings(total: TypedFlag<Int>, rate: TypedFlag<Int>? = nil, clients wanted: Int? = nil) throws -> RunSettings {
        guard total.value >= 0 else { throw CommandFailure("expected positive --\(total.name), got (\(total.value))") }
        var settings = RunSettings()
        settings.duration = duration.value
        // Only a total that was asked for limits a run that has a duration.
        settings.total = duration.value > .zero && !total.isGiven ? nil : total.value
        settings.clients = wanted ?? Int(clients.value)
        if let rate {
            guard rate.value >= 0 else { throw CommandFailure("expected positive --\(rate.name), got (\(rate.value))") }
            settings.rate = Double(rate.value)
        }
        guard !isOpenLoop.value || settings.rate > 0 || isCollecting else { throw CommandFailure("--open-loop needs a --rate") }
        if isOpenLoop.value { settings.clients = inFlight.value }
        settings.arrivals = arrivals.value == "poisson" ? .poisson : .uniform
        settings.seed = seedValue
        return settings
    }

    // MARK: Connecting

    private var tls: TLSClientSettings? {
        var settings = TLSClientSettings()
        if !certificate.value.isEmpty { settings.certificateFile = certificate.value }
        if !key.value.isEmpty { settings.keyFile = key.value }
        if !authority.value.isEmpty { settings.authorityFile = authority.value }
        settings.skipsVerification = skipVerify.value
        return settings == TLSClientSettings() ? nil : settings
    }

    private func clientOptions(_ endpoints: [String]) throws -> ClientOptions {
        var options = ClientOptions(endpoints: endpoints)
        options.tls = tls
        options.userAgent = "martlet-bench/\(Self.version)"
        options.callTimeout = .seconds(10)
        if dialTimeout.value > .zero { options.dialTimeout = dialTimeout.value }
        if !user.value.isEmpty {
            if credentials == nil { credentials = try askCredentials() }
            options.credentials = credentials
        }
        return options
    }

    private func askCredentials() throws -> (name: String, password: String) {
        if let colon = user.value.firstIndex(of: ":") {
            return (String(user.value[..<colon]), String(user.value[user.value.index(after: colon)...]))
        }
        guard let password = Secret.ask("Password: ") else { throw CommandFailure("bad user information: \(user.value)") }
        return (user.value, password)
    }

    /// A client for what is done beside the load.
    func client(_ endpoints: [String]? = nil) throws -> Client {
        do { return try Client(try clientOptions(endpoints ?? self.endpoints.value)) } catch let error as ClientSetupError {
            throw CommandFailure(error.description)
        }
    }

    /// How a run's connections are made: to the members and with the token that the flags ask for.
    func engineOptions(_ endpoints: [String]? = nil) async throws -> EngineOptions {
        var options = EngineOptions(endpoints: endpoints ?? self.endpoints.value)
        options.connections = Int(connections.value)
        options.tls = tls
        options.dialTimeout = dialTimeout.value
        do {
            if targetsLeader.value || autoSync.value > .zero {
                let client = try client(options.endpoints)
                options.endpoints = targetsLeader.value ? try await leader(client) : try await advertised(client)
                client.close()
            }
            if !user.value.isEmpty {
                let client = try client(options.endpoints)
                options.token = try await client.token()
                client.close()
            }
        } catch let error as ClientError {
            throw CommandFailure("dial error: \(error.status)")
        }
        return options
    }

    private func leader(_ client: Client) async throws -> [String] {
        let members = try await client.members().message.members
        for endpoint in client.options.endpoints {
            let member = try client.client(for: [endpoint])
            defer { member.close() }
            guard let status = try? await member.status().message else { continue }
            if let leader = members.first(where: { $0.id == status.leader }), !leader.clientURLs.isEmpty { return [leader.clientURLs[0]] }
        }
        throw CommandFailure("failed to find a leader endpoint")
    }

    private func advertised(_ client: Client) async throws -> [String] {
        let found = try await client.members().message.members.flatMap(\.clientURLs)
        return found.isEmpty ? client.options.endpoints : found
    }
}
