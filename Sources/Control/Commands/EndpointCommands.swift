// endpoint health, status, hashkv.

import Client
import CommandLineTools
import Wire

extension ControlTool {
    func endpointCommand() -> Command {
        let parent = parent("endpoint <subcommand>", "Endpoint related commands", healthCommand(), statusCommand(), hashCommand())
        isWholeCluster = parent.persistentFlags.add("cluster", false, "use all endpoints from the cluster member list")
        return parent
    }

    /// The endpoints of the flags, or those that the members advertise.
    func chosenEndpoints(_ console: Console) async throws -> [String] {
        let given = try discovered()
        guard isWholeCluster?.value == true else { return given }
        return try await clusterEndpoints(console, given)
    }

    func clusterEndpoints(_ console: Console, _ given: [String]) async throws -> [String] {
        let client = try await client(console, endpoints: given)
        let answer = try await attempt(frame: { "failed to fetch endpoints from etcd cluster member list: \($0)" }) {
            try await client.members(timeout: self.timeout)
        }
        return answer.message.members.flatMap(\.clientURLs)
    }

    // MARK: health

    private func healthCommand() -> Command {
        let command = Command("health", "Checks the healthiness of endpoints specified in `--endpoints` flag")
        command.runAsync = { [unowned self] invocation in
            let endpoints = try await self.chosenEndpoints(invocation.console)
            let options = try self.options(invocation.console)
            let timeout = self.timeout
            let printer = self.printer(invocation.console)
            let results = await withTaskGroup(of: Health.self) { group in
                for endpoint in endpoints { group.addTask { await Health.ask(endpoint, options, timeout) } }
                var results: [Health] = []
                for await result in group { results.append(result) }
                return results
            }
            try printer.health(results)
            if results.contains(where: { !$0.isHealthy }) { throw CommandFailure("unhealthy cluster") }
        }
        return command
    }

    // MARK: status

    private func statusCommand() -> Command {
        let command = Command("status", "Prints out the status of endpoints specified in `--endpoints` flag")
        command.long = """
            When --write-out is set to simple, this command prints out comma-separated status lists for each endpoint.
            The items in the lists are endpoint, ID, version, storage version, db size, in use, percentage not in use, quota, is leader,
            is learner, raft term, raft index, raft applied index, errors, downgrade target version, downgrade enabled.
            """
        command.runAsync = { [unowned self] invocation in
            var found: [(String, Answer<MemberStatusResponse>)] = []
            var isFailed = false
            for endpoint in try await self.chosenEndpoints(invocation.console) {
                let client = try await self.client(invocation.console, endpoints: [endpoint])
                do { found.append((endpoint, try await client.status(timeout: self.timeout))) } catch let error as ClientError {
                    isFailed = true
                    invocation.console.print("Failed to get the status of endpoint \(endpoint) (\(text(error)))", to: .error)
                }
                client.close()
            }
            try self.printer(invocation.console).statuses(found)
            if isFailed { throw CommandFailure("", status: Status.error) }
        }
        return command
    }

    // MARK: hashkv

    private func hashCommand() -> Command {
        let command = Command("hashkv", "Prints the KV history hash for each endpoint in --endpoints")
        let revision = command.flags.add("rev", 0 as Int64, "maximum revision to hash (default: latest revision)")
        command.runAsync = { [unowned self] invocation in
            var found: [(String, Answer<HashResponse>)] = []
            var last: ClientError?
            for endpoint in try await self.chosenEndpoints(invocation.console) {
                let client = try await self.client(invocation.console, endpoints: [endpoint])
                do { found.append((endpoint, try await client.hashKV(revision: revision.value, timeout: self.timeout))) } catch let error as ClientError {
                    last = error
                    invocation.console.print("Failed to get the hash of endpoint \(endpoint) (\(text(error)))", to: .error)
                }
                client.close()
            }
            try self.printer(invocation.console).hashes(found)
            if let last { throw failure(last) }
        }
        return command
    }
}

/// Whether an endpoint answers as it should.
struct Health: Sendable {
    let endpoint: String
    let isHealthy: Bool
    let took: Duration
    let error: String

    static func ask(_ endpoint: String, _ options: ClientOptions, _ timeout: Duration) async -> Health {
        var options = options
        options.endpoints = [endpoint]
        let clock = ContinuousClock()
        let start = clock.now
        func unhealthy(_ error: String) -> Health {
            Health(endpoint: endpoint, isHealthy: false, took: clock.now - start, error: error)
        }
        let client: Client
        do { client = try Client(options) } catch { return unhealthy(error.description) }
        defer { client.close() }
        do throws(ClientError) { _ = try await client.get(Get("health"), timeout: timeout) } catch {
            // Who may not read has an answer from the leader all the same.
            if !error.matches(.permissionDenied) { return unhealthy(text(error)) }
        }
        let took = clock.now - start
        var problem = ""
        do throws(ClientError) {
            let alarms = try await client.alarms(timeout: timeout).message.alarms
            if !alarms.isEmpty {
                problem = "Active Alarm(s): " + alarms.map { ($0.kind == 1 || $0.kind == 2 ? $0.name : "UNKNOWN") + " " }.joined()
            }
        } catch {
            problem = "Unable to fetch the alarm list"
        }
        return Health(endpoint: endpoint, isHealthy: problem.isEmpty, took: took, error: problem)
    }
}

extension Printer {
    func health(_ results: [Health]) throws {
        switch format {
        case .simple:
            for result in results {
                if result.error.isEmpty {
                    line("\(result.endpoint) is healthy: successfully committed proposal: took = \(GoText.text(result.took))")
                } else {
                    console.print("\(result.endpoint) is unhealthy: failed to commit proposal: \(result.error)", to: .error)
                }
            }
        case .fields:
            for result in results {
                field("Endpoint", quoted: result.endpoint)
                field("Health", result.isHealthy)
                field("Took", GoText.text(result.took))
                field("Error", result.error)
                line("")
            }
        case .json:
            let items = results.map { result in
                let error = result.error.isEmpty ? "" : ",\"error\":\(jsonText(result.error))"
                return "{\"endpoint\":\(jsonText(result.endpoint)),\"health\":\(result.isHealthy),\"took\":\"\(GoText.text(result.took))\"\(error)}"
            }
            line("[" + items.joined(separator: ",") + "]")
        case .table:
            let rows = results.map { [$0.endpoint, $0.isHealthy ? "true" : "false", GoText.text($0.took), $0.error] }
            console.write(FramedTable.text(["endpoint", "health", "took", "error"], rows))
        case .protobuf: throw unsupported()
        }
    }

    private func row(_ endpoint: String, _ status: MemberStatusResponse) -> [String] {
        let size = max(status.dbSize, 0), used = max(status.dbSizeInUse, 0)
        let unused = size == 0 ? 0 : 100 - used * 100 / size
        func text(_ flag: Bool) -> String { flag ? "true" : "false" }
        var row: [String] = [endpoint, hex(status.header.memberID, 1), status.version, status.storageVersion]
        row += [GoText.bytes(UInt64(size)), GoText.bytes(UInt64(used)), "\(unused)%", GoText.bytes(UInt64(max(status.dbSizeQuota, 0)))]
        row += [text(status.leader == status.header.memberID), text(status.isLearner)]
        row += [String(status.raftTerm), String(status.raftIndex), String(status.raftAppliedIndex), status.errors.joined(separator: ", ")]
        row += [status.downgradeTargetVersion, text(status.isDowngradeEnabled)]
        return row
    }

    func statuses(_ found: [(String, Answer<MemberStatusResponse>)]) throws {
        switch format {
        case .simple: for (endpoint, answer) in found { line(row(endpoint, answer.message).joined(separator: ", ")) }
        case .fields:
            for (endpoint, answer) in found {
                let status = answer.message
                header(status.header)
                field("Version", quoted: status.version)
                field("StorageVersion", quoted: status.storageVersion)
                field("DBSize", status.dbSize)
                field("DBSizeInUse", status.dbSizeInUse)
                field("DBSizeQuota", status.dbSizeQuota)
                field("Leader", identity: status.leader)
                field("IsLearner", status.isLearner)
                field("RaftIndex", status.raftIndex)
                field("RaftTerm", status.raftTerm)
                field("RaftAppliedIndex", status.raftAppliedIndex)
                field("Errors", "[" + status.errors.map { GoText.quoted($0) }.joined(separator: " ") + "]")
                field("Endpoint", quoted: endpoint)
                field("DowngradeTargetVersion", quoted: status.downgradeTargetVersion)
                field("DowngradeEnabled", status.isDowngradeEnabled)
                line("")
            }
        case .json:
            let items = try found.map { endpoint, answer in
                "{\"Endpoint\":\(jsonText(endpoint)),\"Status\":\(try GoStructJSON().text(answer.bytes, "etcdserverpb.StatusResponse"))}"
            }
            line("[" + items.joined(separator: ",") + "]")
        case .table:
            let header = [
                "endpoint", "ID", "version", "storage version", "db size", "in use", "percentage not in use", "quota", "is leader", "is learner",
                "raft term", "raft index", "raft applied index", "errors", "downgrade target version", "downgrade enabled",
            ]
            console.write(FramedTable.text(header, found.map { row($0.0, $0.1.message) }))
        case .protobuf: throw unsupported()
        }
    }

    func hashes(_ found: [(String, Answer<HashResponse>)]) throws {
        func row(_ endpoint: String, _ hash: HashResponse) -> [String] { [endpoint, String(hash.hash), String(hash.hashRevision)] }
        switch format {
        case .simple: for (endpoint, answer) in found { line(row(endpoint, answer.message).joined(separator: ", ")) }
        case .fields:
            for (endpoint, answer) in found {
                header(answer.message.header)
                field("Endpoint", quoted: endpoint)
                field("Hash", answer.message.hash)
                field("HashRevision", answer.message.hashRevision)
                line("")
            }
        case .json:
            let items = try found.map { endpoint, answer in
                "{\"Endpoint\":\(jsonText(endpoint)),\"HashKV\":\(try GoStructJSON().text(answer.bytes, "etcdserverpb.HashKVResponse"))}"
            }
            line("[" + items.joined(separator: ",") + "]")
        case .table: console.write(FramedTable.text(["endpoint", "hash", "hash_revision"], found.map { row($0.0, $0.1.message) }))
        case .protobuf: throw unsupported()
        }
    }
}
