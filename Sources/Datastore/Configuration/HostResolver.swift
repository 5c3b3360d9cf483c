// What the system knows of hosts: addresses of names, and the address of the default route.

import Glibc

/// Look-ups of the start-up.
public enum HostResolver {
    /// Scheme, first address and port of a URL as one text; the URL's own text where its host has no address.
    @Sendable
    public static func address(_ url: EndpointURL) -> String {
        guard !url.isUnix else { return url.text }
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(url.host, url.portText, &hints, &list) == 0, let first = list else { return url.text }
        defer { freeaddrinfo(list) }
        guard let text = numericHost(first.pointee.ai_addr, first.pointee.ai_addrlen) else { return url.text }
        return "\(url.scheme.rawValue)://\(text):\(url.portText)"
    }

    /// The IPv4 address of the interface of the default route, as the kernel's table tells.
    @Sendable
    public static func defaultRouteAddress() -> String? {
        guard let interface = defaultRouteInterface() else { return nil }
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return nil }
        defer { freeifaddrs(list) }
        var next = list
        while let entry = next {
            next = entry.pointee.ifa_next
            guard String(cString: entry.pointee.ifa_name) == interface, let address = entry.pointee.ifa_addr,
                Int32(address.pointee.sa_family) == AF_INET
            else { continue }
            return numericHost(address, socklen_t(MemoryLayout<sockaddr_in>.size))
        }
        return nil
    }

    private static func defaultRouteInterface() -> String? {
        guard let file = fopen("/proc/net/route", "re") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        while fgets(&line, Int32(line.count), file) != nil {
            let bytes = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
            let words = String(decoding: bytes, as: UTF8.self).split(whereSeparator: \.isWhitespace)
            // Interface, destination, gateway, flags, …, mask: the default route goes to 0 under mask 0.
            if words.count >= 8 && words[1] == "00000000" && words[7] == "00000000" { return String(words[0]) }
        }
        return nil
    }

    private static func numericHost(_ address: UnsafePointer<sockaddr>?, _ length: socklen_t) -> String? {
        var host = [CChar](repeating: 0, count: Int(NI_MAXHOST))
        guard let address,
            getnameinfo(address, length, &host, socklen_t(host.count), nil, 0, NI_NUMERICHOST) == 0
        else { return nil }
        return String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
