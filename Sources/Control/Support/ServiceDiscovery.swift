// Endpoints from SRV records of the domain name system.

import CResolver

#if canImport(Glibc)
import Glibc
#endif

enum ServiceDiscovery {
    struct Failure: Error, CustomStringConvertible { let description: String }

    /// Endpoints of `_etcd-client-ssl._tcp` and `_etcd-client._tcp` of a domain.
    static func endpoints(domain: String, name: String, acceptsInsecure: Bool) throws -> [String] {
        let suffix = name.isEmpty ? "" : "-\(name)"
        var result: [String] = []
        for (service, scheme) in [("etcd-client-ssl", "https"), ("etcd-client", "http")] where scheme == "https" || acceptsInsecure {
            for record in query("_\(service)\(suffix)._tcp.\(domain)") { result.append("\(scheme)://\(record.host):\(record.port)") }
        }
        guard !result.isEmpty else { throw Failure(description: "error querying DNS SRV records for _etcd-client: no such host") }
        return result
    }

    private static func query(_ name: String) -> [(host: String, port: Int)] {
        var answer = [UInt8](repeating: 0, count: 64 << 10)
        let length = Int(martlet_res_query(name, Int32(1), Int32(33), &answer, Int32(answer.count)))
        guard length > 12, length <= answer.count else { return [] }
        return records(Array(answer[..<length]))
    }

    /// SRV records of an answer, those with the lowest priority first.
    static func records(_ answer: [UInt8]) -> [(host: String, port: Int)] {
        func number(_ at: Int) -> Int { Int(answer[at]) << 8 | Int(answer[at + 1]) }
        /// The name at an offset and the offset behind it.
        func name(_ at: Int) -> (String, Int)? {
            var labels: [String] = []
            var at = at
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
                    guard at + 1 + length <= answer.count else { return nil }
                    labels.append(String(decoding: answer[(at + 1)..<(at + 1 + length)], as: UTF8.self))
                    at += 1 + length
                }
            }
            return at < answer.count ? (labels.joined(separator: "."), end ?? at + 1) : nil
        }
        guard answer.count >= 12 else { return [] }
        var at = 12
        for _ in 0..<number(4) {
            guard let (_, next) = name(at) else { return [] }
            at = next + 4
        }
        var found: [(priority: Int, host: String, port: Int)] = []
        for _ in 0..<number(6) {
            guard let (_, next) = name(at), next + 10 <= answer.count else { break }
            let length = number(next + 8)
            guard next + 10 + length <= answer.count else { break }
            if number(next) == 33, length > 6, let (host, _) = name(next + 16) {
                found.append((number(next + 10), host, number(next + 14)))
            }
            at = next + 10 + length
        }
        return found.sorted { $0.priority < $1.priority }.map { ($0.host, $0.port) }
    }
}
