// Transactions in software, locks and elections against a real server, with many tasks at the same keys.

import Testing

@testable import Client

@Suite(.enabled(if: LiveServer.path != nil, "no martlet beside the tests"))
struct ConcurrencyTests {
    private func number(_ bytes: [UInt8]?) -> Int { bytes.flatMap { Int(String(decoding: $0, as: UTF8.self)) } ?? 0 }

    /// No increment is lost, and both counters are always seen alike.
    @Test func transactionsThatMeet() async throws {
        try await withServer { server in
            let clients = try (0..<3).map { _ in try server.connect() }
            let rounds = Counter()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<6 {
                    group.addTask {
                        for _ in 0..<15 {
                            try await clients[task % 3].atomically { stm in
                                rounds.add()
                                let a = number(try await stm.get("a")), b = number(try await stm.get("b"))
                                #expect(a == b)
                                await stm.put("a", "\(a + 1)")
                                // What was written is read.
                                #expect(number(try await stm.get("a")) == a + 1)
                                await stm.put("b", "\(b + 1)")
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(number(try await clients[0].value(of: "a")) == 90)
            #expect(number(try await clients[0].value(of: "b")) == 90)
            // Without conflicts nothing would have been tested.
            #expect(rounds.value > 90)
        }
    }

    /// Money moves between accounts, some of which come and go; a reader never sees more or less of it.
    @Test func readersSeeOneMoment() async throws {
        try await withServer { server in
            let client = try server.connect()
            try await client.put("account/0", "100")
            let isDone = Counter()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<4 {
                    group.addTask {
                        var random = SplitMix(state: UInt64(task))
                        for _ in 0..<15 {
                            let from = "account/\(Int.random(in: 0..<4, using: &random))", to = "account/\(Int.random(in: 0..<4, using: &random))"
                            let amount = Int.random(in: 1...40, using: &random)
                            try await client.atomically { stm in
                                let has = number(try await stm.get(from))
                                guard has >= amount, from != to else { return }
                                // An empty account is closed.
                                if has == amount { await stm.delete(Array(from.utf8)) } else { await stm.put(from, "\(has - amount)") }
                                await stm.put(to, "\(number(try await stm.get(to)) + amount)")
                            }
                        }
                    }
                }
                group.addTask {
                    while isDone.value == 0 {
                        let sum = Counter()
                        try await client.atomically { stm in
                            var total = 0
                            for account in 0..<4 { total += number(try await stm.get("account/\(account)")) }
                            sum.set(total)
                        }
                        #expect(sum.value == 100)
                    }
                }
                for _ in 0..<4 { try await group.next() }
                isDone.set(1)
                try await group.waitForAll()
            }
        }
    }

    @Test func whatThrowsWritesNothing() async throws {
        struct Refusal: Error {}
        try await withServer { server in
            let client = try server.connect()
            await #expect(throws: Refusal.self) {
                try await client.atomically { stm in
                    await stm.put("k", "v")
                    throw Refusal()
                }
            }
            #expect(try await client.value(of: "k") == nil)
        }
    }

    @Test func oneHolderAtATime() async throws {
        try await withServer { server in
            let inside = Counter()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<5 {
                    group.addTask {
                        let client = try server.connect()
                        let session = try await Session(client, ttl: 60)
                        let mutex = DistributedMutex(session, "lock")
                        for _ in 0..<4 {
                            try await mutex.lock()
                            #expect(inside.add() == 1)
                            let fenced = try await client.transaction(Transaction(if: [await mutex.isOwner], then: [.put(Put("fenced", "x"))]))
                            #expect(fenced.succeeded)
                            inside.add(-1)
                            try await mutex.unlock()
                        }
                        try await session.close()
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await server.connect().get(Get(.prefix("lock/"))).kvs.isEmpty)
        }
    }

    @Test func triesAndLosses() async throws {
        try await withServer { server in
            let client = try server.connect()
            let first = try await Session(client, ttl: 6), second = try await Session(client, ttl: 60)
            let held = DistributedMutex(first, "m"), wanted = DistributedMutex(second, "m")
            #expect(try await held.tryLock())
            #expect(try await !wanted.tryLock())
            // A waiter that is canceled leaves nothing behind.
            let waiting = Task { try await wanted.lock() }
            while try await client.get(Get(.prefix("m/"))).kvs.count < 2 {}
            waiting.cancel()
            await #expect(throws: ClientError.self) { try await waiting.value }
            #expect(try await client.get(Get(.prefix("m/"))).kvs.count == 1)
            // The lock goes with its lease.
            let next = Task { try await wanted.lock() }
            try await client.revokeLease(first.lease)
            try await next.value
            await first.expired()
            let isOwner = await held.isOwner
            #expect(try await !client.transaction(Transaction(if: [isOwner], then: [])).succeeded)
        }
    }

    /// The services of the server, with and beside the client's own locks.
    @Test func locksOfTheServer() async throws {
        try await withServer { server in
            let client = try server.connect()
            let one = try await client.grantLease(ttl: 60).message.id, two = try await client.grantLease(ttl: 60).message.id
            let held = try await client.lock(Array("s".utf8), lease: one).message.key
            #expect(held == Array("s/\(String(one, radix: 16))".utf8))
            await #expect(throws: ClientError.self) { try await client.lock(Array("s".utf8), lease: two, timeout: .milliseconds(300)) }
            let session = try await Session(client, ttl: 60)
            let mutex = DistributedMutex(session, "s")
            #expect(try await !mutex.tryLock())
            _ = try await client.unlock(held)
            #expect(try await mutex.tryLock())
        }
    }

    @Test func electionsOfTheServer() async throws {
        try await withServer { server in
            let client = try server.connect()
            let lease = try await client.grantLease(ttl: 60).message.id
            let name = Array("e".utf8)
            await #expect(throws: ClientError.self) { try await client.leader(of: name) }
            let won = try await client.campaign(name, lease: lease, value: Array("one".utf8)).message.leader
            #expect(try await client.leader(of: name).message.kv?.value == Array("one".utf8))
            _ = try await client.proclaim(won, value: Array("two".utf8))
            #expect(try await Election.leader(client, "e").kvs.first?.value == Array("two".utf8))
            _ = try await client.resign(won)
            #expect(try await Election.leader(client, "e").kvs.isEmpty)
        }
    }

    /// Candidates lead in the order in which they came, and an observer is told of each.
    @Test func leadersInTheirOrder() async throws {
        try await withServer { server in
            let client = try server.connect()
            let seen = Shared<[String]>([])
            let observer = Task {
                try await Election.observe(client, "e") { _, kv in seen.change { $0.append(String(decoding: kv.value, as: UTF8.self)) } }
            }
            func hasSeen(_ value: String) async { while !seen.value.contains(value) { try? await Task.sleep(for: .milliseconds(2)) } }
            let sessions = [try await Session(client, ttl: 60), try await Session(client, ttl: 60), try await Session(client, ttl: 60)]
            let elections = sessions.map { Election($0, "e") }
            try await elections[0].campaign(Array("a".utf8))
            await hasSeen("a")
            var campaigns: [Task<Void, any Error>] = []
            for (index, value) in [(1, "b"), (2, "c")] {
                campaigns.append(Task { try await elections[index].campaign(Array(value.utf8)) })
                while try await client.get(Get(.prefix("e/"))).kvs.count < index + 1 {}
            }
            try await elections[0].proclaim(Array("a2".utf8))
            await hasSeen("a2")
            // Who does not lead cannot proclaim.
            let loser = Election(try await Session(client, ttl: 60), "e")
            await #expect(throws: ClientError.self) { try await loser.proclaim([0]) }
            try await elections[0].resign()
            try await campaigns[0].value
            await hasSeen("b")
            #expect(await elections[1].isLeader)
            #expect(await !elections[2].isLeader)
            // A session that ends takes its leadership with it.
            try await sessions[1].close()
            try await campaigns[1].value
            await hasSeen("c")
            observer.cancel()
            #expect(seen.value == ["a", "a2", "b", "c"])
        }
    }
}
