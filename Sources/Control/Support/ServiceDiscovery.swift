// Endpoints from SRV records of the domain name system, as etcd's clients find them.

import CResolver
import CommandLineTools

#if canImport(Glibc)
import Glibc
#endif

enum ServiceDiscovery {
    struct Failure: Error, CustomStringConvertible { let description: String }

    /// One SRV record. The host is as the record has it, with the dot behind it.
    struct Record: Sendable, Equatable {
        let priority: Int
        let weight: Int
        let host: String
        let port: Int
    }

    /// Names of the secure and the plain service: `etcd-client-ssl`, `etcd-client`, with the suffix of `--discovery-srv-name`.
    static func services(_ name: String) -> [(service: String, scheme: String)] {
        let suffix = name.isEmpty ? "" : "-\(name)"
        return [("etcd-client-ssl" + suffix, "https"), ("etcd-client" + suffix, "http")]
    }

    /// Endpoints of `_etcd-client-ssl._tcp` and `_etcd-client._tcp` of a domain, in this order. Those of records with equal
    /// priority come in an order that weights make likely, as RFC 2782 wants it.
    static func endpoints(
        domain: String, name: String, look: (String) -> Result<[Record], Failure> = { query($0) }
    ) throws(Failure) -> [String] {
        var result: [String] = []
        var failures: [String] = []
        for (service, scheme) in services(name) {
            switch look("_\(service)._tcp.\(domain)") {
            case .success(let records):
                var random = SystemRandomNumberGenerator()
                result += ordered(records, using: &random).map { "\(scheme)://\($0.host.contains(":") ? "[\($0.host)]" : $0.host):\($0.port)" }
            case .failure(let failure): failures.append(failure.description)
            }
        }
        guard failures.count < 2 else { throw Failure(description: "dns lookup errors: \(failures[0]) and \(failures[1])") }
        return result
    }

    // MARK: Asking

    private static func query(_ name: String) -> Result<[Record], Failure> {
        var answer = [UInt8](repeating: 0, count: 64 << 10)
        let length = Int(martlet_res_query(name, Int32(1), Int32(33), &answer, Int32(answer.count)))
        guard length > 12, length <= answer.count else { return .failure(Failure(description: "lookup \(name): \(reason(martlet_resolver_error()))")) }
        let found = records(Array(answer[..<length]))
        return found.isEmpty ? .failure(Failure(description: "lookup \(name): no such host")) : .success(found)
    }

    /// In the words of Go's resolver.
    private static func reason(_ code: Int32) -> String {
        switch code {
        case 1, 4: "no such host"
        case 2: "server misbehaving, or none answers (resolv.conf names it)"
        default: "server misbehaving"
        }
    }

    // MARK: Answers

    /// SRV records of an answer, as they come; none of an answer that is malformed.
    static func records(_ answer: [UInt8]) -> [Record] {
        func number(_ at: Int) -> Int { Int(answer[at]) << 8 | Int(answer[at + 1]) }
        guard answer.count >= 12 else { return [] }
        var at = 12
        for _ in 0..<number(4) {
            guard let (_, next) = name(answer, at) else { return [] }
            at = next + 4
        }
        var found: [Record] = []
        for _ in 0..<number(6) {
            guard let (_, next) = name(answer, at), next + 10 <= answer.count else { break }
            let length = number(next + 8)
            guard next + 10 + length <= answer.count else { break }
            if number(next) == 33, length > 6, let (host, _) = name(answer, next + 16) {
                found.append(Record(priority: number(next + 10), weight: number(next + 12), host: host + ".", port: number(next + 14)))
            }
            at = next + 10 + length
        }
        return found
    }

    /// The name at an offset, perhaps in several places, and the offset behind it.
    private static func name(_ answer: [UInt8], _ start: Int) -> (String, Int)? {
        var labels: [String] = []
        var at = start
        var end: Int?
        var jumps = 0
        while at < answer.count, answer[at] != 0 {
            let length = Int(answer[at])
            if length & 0xc0 == 0xc0 {
                guard at + 1 < answer.count, jumps < 64 else { return nil }
                end = end ?? at + 2
                at = (length & 0x3f) << 8 | Int(answer[at + 1])
                jumps += 1
            } else {
                guard length & 0xc0 == 0, at + 1 + length <= answer.count, labels.count < 128 else { return nil }
                labels.append(String(decoding: answer[(at + 1)..<(at + 1 + length)], as: UTF8.self))
                at += 1 + length
            }
        }
        return at < answer.count ? (labels.joined(separator: "."), end ?? at + 1) : nil
    }

    // MARK: Order

    /// The lowest priority first; among equals each next one by chance, as likely as its weight says.
    static func ordered(_ records: [Record], using random: inout some RandomNumberGenerator) -> [Record] {
        var result: [Record] = []
        for priority in Set(records.map(\.priority)).sorted() {
            var rest = records.filter { $0.priority == priority }.shuffled(using: &random)
            while !rest.isEmpty {
                // Those without a weight have a very small chance.
                var ticket = Int.random(in: 0..<max(1, rest.reduce(0) { $0 + $1.weight }), using: &random)
                let index = rest.firstIndex {
                    ticket -= $0.weight
                    return ticket < 0
                }
                result.append(rest.remove(at: index ?? 0))
            }
        }
        return result
    }
}
