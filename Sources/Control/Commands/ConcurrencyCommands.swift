// lock and elect.

import Client
import CommandLineTools
import Wire

#if canImport(Glibc)
import Glibc
#endif

extension ControlTool {
    func lockCommand() -> Command {
        let command = Command("lock <lockname> [exec-command arg1 arg2 ...]", "Acquires a named lock")
        let ttl = command.flags.add("ttl", 10 as Int64, "timeout for session")
        command.runAsync = { [unowned self] invocation in
            guard let name = invocation.arguments.first else {
                throw badArguments("lock takes a lock name argument and an optional command to execute")
            }
            let program = Array(invocation.arguments.dropFirst())
            let client = try await self.client(invocation.console)
            let session = try await attempt { try await Session(client, ttl: ttl.value) }
            let mutex = DistributedMutex(session, name)
            Signals.catchTermination()
            let waiting = Task { try await mutex.lock() }
            let signal = Task {
                await Signals.wait()
                waiting.cancel()
                return true
            }
            do { try await waiting.value } catch let error as ClientError {
                _ = try? await session.close(timeout: self.timeout)
                if error.code == .cancelled { throw CommandFailure("context canceled") }
                throw failure(error)
            }
            let key = await mutex.key
            if !program.isEmpty {
                let header = await mutex.header
                let variables = ["ETCD_LOCK_KEY=\(String(decoding: key, as: UTF8.self))", "ETCD_LOCK_REV=\(header.revision)"]
                let (status, reason) = await Processes.run(program, variables: variables)
                _ = try? await mutex.unlock(timeout: self.timeout)
                _ = try? await session.close(timeout: self.timeout)
                guard status == 0 else { throw CommandFailure(reason, status: status.map { $0 > 0 ? $0 : Status.error } ?? Status.error) }
                return
            }
            let own = try await attempt { try await client.getAnswer(Get(.key(key)), timeout: self.timeout) }
            guard !own.message.kvs.isEmpty else { throw CommandFailure("lock lost on init") }
            try self.printer(invocation.console).get(own)
            invocation.console.flush()
            let isEnded = await first(signal, session)
            guard isEnded else { throw CommandFailure("session expired") }
            try await giveBack(ttl.value) { () async throws(ClientError) in
                try await mutex.unlock(timeout: self.timeout)
                try await session.close(timeout: self.timeout)
            }
        }
        return command
    }

    func electCommand() -> Command {
        let command = Command("elect <election-name> [proposal]", "Observes and participates in leader election")
        let listens = command.flags.add("listen", short: "l", false, "observation mode")
        command.runAsync = { [unowned self] invocation in
            let arguments = invocation.arguments
            guard arguments.count == 1 || arguments.count == 2 else {
                throw badArguments("elect takes one election name argument and an optional proposal argument")
            }
            let printer = self.printer(invocation.console)
            if listens.value {
                guard arguments.count == 1 else { throw badArguments("elect takes no proposal argument in observation mode") }
                let client = try await self.client(invocation.console)
                return try await self.observe(client, arguments[0], printer)
            }
            guard arguments.count == 2 else { throw badArguments("no proposal argument but -l not set") }
            let client = try await self.client(invocation.console)
            let session = try await attempt { try await Session(client, ttl: 60) }
            let election = Election(session, arguments[0])
            Signals.catchTermination()
            let campaign = Task { try await election.campaign(Array(arguments[1].utf8)) }
            let signal = Task {
                await Signals.wait()
                campaign.cancel()
                return true
            }
            do { try await campaign.value } catch let error as ClientError {
                _ = try? await session.close(timeout: self.timeout)
                if error.code == .cancelled { throw CommandFailure("context canceled") }
                throw failure(error)
            }
            let key = await election.key
            let own = try await attempt { try await client.getAnswer(Get(.key(key)), timeout: self.timeout) }
            try printer.get(own)
            invocation.console.flush()
            let isEnded = await first(signal, session)
            guard isEnded else { throw CommandFailure("elect: session expired") }
            try await giveBack(60) { () async throws(ClientError) in
                try await election.resign(timeout: self.timeout)
                try await session.close(timeout: self.timeout)
            }
        }
        return command
    }

    private nonisolated(nonsending) func observe(_ client: Client, _ name: String, _ printer: Printer) async throws {
        let (stream, feed) = AsyncStream.makeStream(of: GetResponse.self, bufferingPolicy: .bufferingNewest(64))
        let observer = Task {
            defer { feed.finish() }
            try await Election.observe(client, name) { header, kv in
                var response = GetResponse()
                response.header = header
                response.kvs = [kv]
                feed.yield(response)
            }
        }
        for await response in stream {
            let sink = ByteSink()
            sink.message(1) { printer.protobuf(response.header, to: $0) }
            for kv in response.kvs { sink.message(2) { printer.protobuf(kv, to: $0) } }
            try printer.get(Answer(response, bytes: sink.array()))
            printer.console.flush()
        }
        do { try await observer.value } catch let error as ClientError { throw failure(error) }
    }
}

/// Ends what a lease holds. Where the server does not answer, the lease's end does it.
private nonisolated(nonsending) func giveBack(_ ttl: Int64, _ body: nonisolated(nonsending) () async throws(ClientError) -> Void) async throws {
    do throws(ClientError) { try await body() } catch {
        Hints.show(error)
        throw CommandFailure("\(text(error)); the server gives it back when the lease ends, after \(ttl)s at most")
    }
}

/// True when a signal came, false when the session was lost.
private func first(_ signal: Task<Bool, Never>, _ session: Session) async -> Bool {
    await withCheckedContinuation { continuation in
        let isTold = Told()
        Task {
            _ = await signal.value
            if await isTold.isFirst() { continuation.resume(returning: true) }
        }
        Task {
            await session.expired()
            if await isTold.isFirst() { continuation.resume(returning: false) }
        }
    }
}

private actor Told {
    private var isTold = false

    func isFirst() -> Bool {
        defer { isTold = true }
        return !isTold
    }
}
