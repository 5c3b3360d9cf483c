// Whether an address has one of the host names in a certificate, by asking the resolver. Blocks: not on event loops.

#if canImport(Glibc)
import Glibc
#endif

enum AddressNames {
    /// Succeeds if the address's own name is one of `names` (or falls under one that begins with `*.`), or if one of
    /// `names` has the address.
    static func match(_ address: String, _ names: [String]) -> Result<Void, TLSSetupError> {
        if let own = name(of: address) {
            for name in names {
                let matches = name.hasPrefix("*.") ? own.hasSuffix(name.dropFirst()) : own == name
                if matches { return .success(()) }
            }
        }
        let wanted = addressBytes(address)
        for name in names where !name.hasPrefix("*.") {
            if addresses(of: name).contains(where: { addressBytes($0) == wanted }) { return .success(()) }
        }
        let list = names.map { "\"\($0)\"" }.joined(separator: " ")
        return .failure(TLSSetupError("tls: \"\(address)\" does not match any of DNSNames [\(list)]"))
    }

    /// The address's name without a dot at its end.
    private static func name(of address: String) -> String? {
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(address, nil, &hints, &list) == 0, let found = list else { return nil }
        defer { freeaddrinfo(found) }
        var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard
            getnameinfo(found.pointee.ai_addr, found.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NAMEREQD) == 0
        else { return nil }
        let name = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return name.hasSuffix(".") ? String(name.dropLast()) : name
    }

    private static func addresses(of name: String) -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [String] = []
        var next = list
        while let entry = next {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let size = socklen_t(text.count)
            if getnameinfo(entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, size, nil, 0, NI_NUMERICHOST) == 0 {
                found.append(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
            }
            next = entry.pointee.ai_next
        }
        return found
    }
}
