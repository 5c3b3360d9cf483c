// Certificate revocation lists: only the serial numbers count, as in etcd.

// The BoringSSL inside swift-nio-ssl: its Swift API has neither revocation lists nor the making of certificates.
// A second library for them would double what the binary carries.
internal import CNIOBoringSSL

/// Serial numbers of revoked certificates.
struct RevocationList: Sendable {
    private let serials: Set<[UInt8]>

    var count: Int { serials.count }

    /// Reads a list in PEM or DER. Its signature and its dates are not looked at: whoever can write the server's
    /// files is trusted.
    init(_ bytes: [UInt8], path: String) throws(TLSSetupError) {
        guard let list = Self.parse(bytes) else { throw TLSSetupError("x509: malformed crl \(path)") }
        defer { X509_CRL_free(list) }
        var serials: Set<[UInt8]> = []
        let revoked = X509_CRL_get_REVOKED(list)
        for position in 0..<(revoked == nil ? 0 : OPENSSL_sk_num(revoked)) {
            guard let entry = OPENSSL_sk_value(revoked, position),
                let serial = X509_REVOKED_get0_serialNumber(OpaquePointer(entry))
            else { continue }
            let start = ASN1_STRING_get0_data(serial)
            let count = Int(ASN1_STRING_length(serial))
            serials.insert(Self.canonical(Array(UnsafeBufferPointer(start: start, count: count))))
        }
        self.serials = serials
    }

    func contains(_ serial: [UInt8]) -> Bool { serials.contains(Self.canonical(serial)) }

    /// A number without leading zeros.
    private static func canonical(_ serial: [UInt8]) -> [UInt8] { Array(serial.drop { $0 == 0 }) }

    private static func parse(_ bytes: [UInt8]) -> OpaquePointer? {
        defer { ERR_clear_error() }
        return bytes.withUnsafeBufferPointer { buffer -> OpaquePointer? in
            guard let start = buffer.baseAddress else { return nil }
            guard let source = BIO_new_mem_buf(start, ossl_ssize_t(buffer.count)) else { return nil }
            defer { BIO_free(source) }
            if let list = PEM_read_bio_X509_CRL(source, nil, nil, nil) { return list }
            var position: UnsafePointer<UInt8>? = start
            return d2i_X509_CRL(nil, &position, buffer.count)
        }
    }
}
