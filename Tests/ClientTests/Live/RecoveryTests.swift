// What a client does when servers die, come back, or never answer.

import Testing

@testable import Client

@Suite struct RecoveryTests {
    /// Every change once and in its order, over kills of the server.
    @Test(.enabled(if: LiveServer.path != nil, "no martlet beside the tests"))
    func watchesOverKills() async throws {
        try await withServer { server in
            let client = try server.connect()
            let first = try await client.put("w/begin", "").header.revision
            var watch = Watch(.prefix("w/"))
            watch.startRevision = first
            let sequence = await client.watch(watch)
            let isStopped = Counter()
            let acknowledged = Counter()
            let writer = Task {
                var done: [String] = []
                while isStopped.value == 0 {
                    let key = "w/\(done.count)"
                    // A write whose fate is unknown is made again: another version of the same key.
                    do { try await client.put(key, "v", timeout: .seconds(30)) } catch { continue }
                    done.append(key)
                    acknowledged.set(done.count)
                }
                try await client.put("w/end", "", timeout: .seconds(60))
                return done
            }
            for round in 1...3 {
                while acknowledged.value < round * 20 { try await Task.sleep(for: .milliseconds(5)) }
                server.kill()
                try await server.start()
            }
            isStopped.set(1)
            let done = try await writer.value
            var keys: [String] = []
            var revisions: [Int64] = []
            reading: for try await response in sequence {
                for event in response.events {
                    keys.append(String(decoding: event.kv.key, as: UTF8.self))
                    revisions.append(event.kv.modRevision)
                }
                if keys.last == "w/end" { break reading }
            }
            // One key a revision, and nothing else is written: so no revision is missed and none comes twice.
            #expect(revisions == Array(first..<(first + Int64(revisions.count))))
            #expect(Set(done).isSubset(of: Set(keys)))
            #expect(keys.first == "w/begin")
        }
    }

    /// A lease outlives its server's death, and its keeper goes on by itself.
    @Test(.enabled(if: LiveServer.path != nil, "no martlet beside the tests"))
    func leasesOverKills() async throws {
        try await withServer { server in
            let client = try server.connect()
            let lease = try await client.grantLease(ttl: 15).message.id
            let renewals = client.keepAlive(lease).makeAsyncIterator()
            #expect(try await renewals.next()?.message.ttl == 15)
            server.kill()
            try await server.start()
            #expect(try await renewals.next()?.message.ttl == 15)
            try await client.revokeLease(lease)
            // Gone: the end, not an error.
            #expect(try await renewals.next() == nil)
        }
    }

    /// Reads are made again when the server comes back, and writes that nobody saw.
    @Test(.enabled(if: LiveServer.path != nil, "no martlet beside the tests"))
    func callsThatWait() async throws {
        try await withServer { server in
            let client = try server.connect()
            try await client.put("k", "1")
            server.kill()
            // Until the client knows: a write on the connection that is dying would not be repeated.
            while true {
                do throws(ClientError) { _ = try await client.get(Get("k"), timeout: .milliseconds(50)) } catch {
                    if error.connectionFailure != nil { break }
                }
            }
            async let read = client.value(of: "k")
            async let written = client.put("k2", "2")
            try await server.start()
            #expect(try await read == [0x31])
            #expect(try await written.header.revision == 3)
        }
    }

    // MARK: Peers that are silent

    private func silent(_ listener: Listener, _ change: (inout ClientOptions) -> Void = { _ in }) throws -> Client {
        var options = ClientOptions(endpoints: ["127.0.0.1:\(listener.port)"])
        options.dialTimeout = .milliseconds(100)
        change(&options)
        return try Client(options)
    }

    @Test func aSilentPeerIsNamed() async throws {
        let listener = try #require(Listener())
        let failures = Shared<[FailedConnection]>([])
        let client = try silent(listener) { options in options.onConnectionFailure = { failure in failures.change { $0.append(failure) } } }
        let error = await #expect(throws: ClientError.self) { try await client.put("k", "v", timeout: .milliseconds(600)) }
        #expect(error?.code == .deadlineExceeded && error?.wasSent == false)
        #expect(error?.connectionFailure?.contains("i/o timeout") == true)
        let told = failures.value
        #expect(told.first?.endpoint == "127.0.0.1:\(listener.port)" && told.first?.isWaitedFor == true && told.map(\.failures) == Array(1...told.count))
        client.close()
    }

    /// As clientv3: a second longer than connecting may take, then the lease counts as lost.
    @Test func aLeaseOfASilentPeerIsLost() async throws {
        let listener = try #require(Listener())
        let client = try silent(listener)
        let renewals = client.keepAlive(7).makeAsyncIterator()
        #expect(try await renewals.next() == nil)
        client.close()
    }

    @Test func aSilentPeerDoesNotHoldUpOthers() async throws {
        let listener = try #require(Listener())
        guard LiveServer.path != nil else { return }
        try await withServer { server in
            let client = try server.connect {
                $0.endpoints = ["127.0.0.1:\(listener.port)", $0.endpoints[0]]
                $0.dialTimeout = .seconds(30)
            }
            for _ in 0..<10 { try await client.put("k", "v", timeout: .seconds(20)) }
        }
    }

    /// Canceling ends a call that waits for a peer.
    @Test func waitingIsCanceled() async throws {
        let listener = try #require(Listener())
        let client = try silent(listener)
        let waiting = Task { try await client.get(Get("k")) }
        let watching = Task {
            for try await _ in await client.watch(Watch(.key("k"))) {}
        }
        try await Task.sleep(for: .milliseconds(100))
        waiting.cancel()
        watching.cancel()
        await #expect(throws: ClientError.self) { try await waiting.value }
        try await watching.value
        client.close()
    }
}
