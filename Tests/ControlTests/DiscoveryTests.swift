// SRV records: answers as they come over the wire, their order, the endpoints that they make.

import Testing

@testable import Control

struct DiscoveryTests {
    private func name(_ text: String) -> [UInt8] { text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0] }

    /// An answer with one question; each record names its owner and perhaps its host by a pointer.
    private func answer(_ records: [(priority: UInt16, weight: UInt16, port: UInt16, host: [UInt8])]) -> [UInt8] {
        func two(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 0xff)] }
        var bytes: [UInt8] = [0, 1, 0x81, 0x80, 0, 1] + two(UInt16(records.count)) + [0, 0, 0, 0]
        bytes += name("_etcd-client._tcp.example.com") + [0, 33, 0, 1]
        for record in records {
            bytes += [0xc0, 12, 0, 33, 0, 1, 0, 0, 0, 60] + two(UInt16(6 + record.host.count))
            bytes += two(record.priority) + two(record.weight) + two(record.port) + record.host
        }
        return bytes
    }

    @Test func records() {
        // "example.com" stands in the question, behind "_etcd-client._tcp": 12 + 13 + 5.
        let bytes = answer([(10, 5, 2379, name("a.example.com")), (20, 0, 2380, [1, 0x62, 0xc0, 30])])
        #expect(
            ServiceDiscovery.records(bytes) == [
                .init(priority: 10, weight: 5, host: "a.example.com.", port: 2379), .init(priority: 20, weight: 0, host: "b.example.com.", port: 2380),
            ])
    }

    @Test func damagedAnswers() {
        let whole = answer([(10, 5, 2379, name("a.example.com"))])
        for length in 0..<whole.count { #expect(ServiceDiscovery.records(Array(whole[..<length])).isEmpty) }
        // A pointer to itself.
        var loop = whole
        loop[12] = 0xc0
        loop[13] = 12
        #expect(ServiceDiscovery.records(loop).isEmpty)
        var random = SeededRandom(7)
        for _ in 0..<2000 {
            var bytes = whole
            for _ in 0..<3 { bytes[Int.random(in: 0..<bytes.count, using: &random)] = .random(in: 0...255, using: &random) }
            _ = ServiceDiscovery.records(bytes)
        }
    }

    @Test func order() {
        let records = [
            ServiceDiscovery.Record(priority: 2, weight: 0, host: "late.", port: 1), .init(priority: 1, weight: 0, host: "light.", port: 1),
            .init(priority: 1, weight: 90, host: "heavy.", port: 1), .init(priority: 1, weight: 10, host: "middle.", port: 1),
        ]
        var random = SeededRandom(1)
        var firsts: [String: Int] = [:]
        for _ in 0..<1000 {
            let hosts = ServiceDiscovery.ordered(records, using: &random).map(\.host)
            #expect(hosts.count == 4 && hosts[3] == "late.")
            firsts[hosts[0], default: 0] += 1
        }
        #expect(firsts["heavy.", default: 0] > 800 && firsts["middle.", default: 0] > 50)
    }

    @Test func endpoints() throws {
        let one = ServiceDiscovery.Record(priority: 0, weight: 0, host: "h.", port: 2379)
        var asked: [String] = []
        let found = try ServiceDiscovery.endpoints(domain: "example.com", name: "blue") { name in
            asked.append(name)
            return name.contains("-ssl-") ? .success([one]) : .failure(.init(description: "lookup \(name): no such host"))
        }
        #expect(asked == ["_etcd-client-ssl-blue._tcp.example.com", "_etcd-client-blue._tcp.example.com"])
        #expect(found == ["https://h.:2379"])
        #expect(throws: ServiceDiscovery.Failure.self) {
            try ServiceDiscovery.endpoints(domain: "d", name: "") { .failure(.init(description: "lookup \($0): no such host")) }
        }
    }
}

struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
