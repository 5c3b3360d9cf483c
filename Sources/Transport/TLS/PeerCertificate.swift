// What a peer's certificate says about it, and whether that is who it may be.

internal import CNIOBoringSSL
import NIOCore
import NIOSSL

#if canImport(Glibc)
import Glibc
#endif

/// The parts of a certificate that the server decides by, read once per connection.
struct PeerCertificate: Sendable {
    /// The last common name of the subject, empty without one.
    let commonName: String
    let hostNames: [String]
    /// As text.
    let addresses: [String]
    let serial: [UInt8]
    /// Seconds since 1970.
    let notAfter: Int

    init(_ certificate: NIOSSLCertificate) {
        commonName = certificate.subjectName.last { $0.type == .commonName }?.value ?? ""
        serial = certificate.serialNumber
        notAfter = certificate.notValidAfter
        var hostNames: [String] = []
        var addresses: [String] = []
        for name in certificate._subjectAlternativeNames() {
            switch name.nameType {
            case .dnsName: hostNames.append(String(decoding: name.contents, as: UTF8.self))
            case .ipAddress: if let text = addressText(Array(name.contents)) { addresses.append(text) }
            default: continue
            }
        }
        self.hostNames = hostNames
        self.addresses = addresses
    }

    /// The serial number in hexadecimal, as Go prints it.
    var serialText: String {
        let digits = Array("0123456789abcdef".utf8)
        let bytes = serial.drop { $0 == 0 }
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// Whether the certificate is good for a host: an address must be named as an address, a name as a name, where a
    /// first label `*` stands for any. Common names do not count.
    func isValid(for host: String) -> Bool {
        if let address = addressBytes(host) { return addresses.contains { addressBytes($0) == address } }
        let wanted = labels(host)
        guard !wanted.isEmpty else { return false }
        return hostNames.contains { pattern in
            let pattern = labels(pattern)
            guard pattern.count == wanted.count else { return false }
            return zip(pattern, wanted).enumerated().allSatisfy { position, pair in
                pair.0 == pair.1 || (position == 0 && pair.0 == "*")
            }
        }
    }

    /// Lower-case labels of a host name; none for what is no name.
    private func labels(_ name: String) -> [String] {
        let name = name.hasSuffix(".") ? String(name.dropLast()) : name
        let labels = name.lowercased().split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        return labels.contains("") ? [] : labels
    }
}

/// The bytes of an address, 4 or 16; nil for what is none. IPv4 inside IPv6 is IPv4.
func addressBytes(_ text: String) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 16)
    if inet_pton(AF_INET, text, &bytes) == 1 { return Array(bytes.prefix(4)) }
    guard inet_pton(AF_INET6, text, &bytes) == 1 else { return nil }
    let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
    return bytes.starts(with: mapped) ? Array(bytes.suffix(4)) : bytes
}

private func addressText(_ bytes: [UInt8]) -> String? {
    guard bytes.count == 4 || bytes.count == 16 else { return nil }
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    guard inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count)) != nil else { return nil }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Why BoringSSL did not accept a client's certificate, in Go's words. It tells only that it did not.
func refusalText(of certificate: NIOSSLCertificate, now: Int) -> String {
    if now > certificate.notValidAfter || now < certificate.notValidBefore {
        return "x509: certificate has expired or is not yet valid"
    }
    if let bytes = try? certificate.toDERBytes() {
        let parsed = bytes.withUnsafeBufferPointer { buffer in
            var position = buffer.baseAddress
            return d2i_X509(nil, &position, buffer.count)
        }
        if let parsed {
            defer { X509_free(parsed) }
            if X509_check_purpose(parsed, X509_PURPOSE_SSL_CLIENT, 0) != 1 {
                return "x509: certificate specifies an incompatible key usage"
            }
        }
    }
    return "x509: certificate signed by unknown authority"
}
