// The example of the README, as it stands there, on a real server.

import Client
import Testing

@Suite(.enabled(if: LiveServer.path != nil, "no martlet beside the tests"))
struct ExampleTests {
    @Test func readme() async throws {
        try await withServer { server in
            let endpoints = [server.endpoint]

            // README: begin
            let client = try Client(ClientOptions(endpoints: endpoints))

            let revision = try await client.put("greeting", "hello").header.revision
            let value = try await client.value(of: "greeting")  // [UInt8]?

            // Many keys as of one revision, in parts.
            for try await page in client.pages(Get(.prefix("registry/")), size: 500) { print(page.kvs.count) }

            // Changes from a revision on, each once, over lost connections.
            var watch = Watch(.prefix("gre"))
            watch.startRevision = revision
            for try await answer in await client.watch(watch) {
                for event in answer.events { print(event.kind, event.kv.key, event.kv.modRevision) }
                break
            }

            // Read and write as one, again until nobody came between.
            try await client.atomically { stm in
                let visits = try await stm.get("visits").flatMap { Int(String(decoding: $0, as: UTF8.self)) } ?? 0
                await stm.put("visits", "\(visits + 1)")
            }

            // A lock that is free again when this process dies.
            let session = try await Session(client, ttl: 10)
            let mutex = DistributedMutex(session, "jobs")
            try await mutex.lock()
            try await mutex.unlock()
            try await session.close()
            // README: end

            #expect(value == Array("hello".utf8))
            #expect(try await client.value(of: "visits") == [0x31])
            #expect(try await client.get(Get(.prefix("jobs/"))).kvs.isEmpty)
        }
    }
}
