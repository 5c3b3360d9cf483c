// A certificate that a server makes for itself (--auto-tls), with the fields that etcd gives it.

internal import CNIOBoringSSL

#if canImport(Glibc)
import Glibc
#endif

/// An ECDSA P-521 key and a certificate signed with it, both in PEM.
public struct SelfSignedCertificate: Sendable {
    public let certificate: [UInt8]
    public let key: [UInt8]
    /// Seconds since 1970.
    public let notAfter: Int

    /// - Parameters:
    ///   - hosts: names and addresses that the certificate is good for.
    ///   - years: validity, of 365 days each.
    ///   - now: seconds since 1970; nil asks the clock.
    public init(hosts: [String], years: UInt64, now: Int? = nil) throws(TLSSetupError) {
        let day = 86_400
        let now = now ?? time(nil)
        let (seconds, overflow) = Int(clamping: years).multipliedReportingOverflow(by: 365 * day)
        // The last second that a certificate can name.
        notAfter = overflow ? 253_402_300_799 : min(now + seconds, 253_402_300_799)
        guard let made = Self.make(hosts, from: now, to: notAfter) else {
            throw TLSSetupError("cannot generate cert: \(Self.libraryText())")
        }
        (certificate, key) = made
    }

    private static func libraryText() -> String {
        var text = [CChar](repeating: 0, count: 256)
        ERR_error_string_n(ERR_get_error(), &text, text.count)
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func make(
        _ hosts: [String], from notBefore: Int, to notAfter: Int
    ) -> (certificate: [UInt8], key: [UInt8])? {
        guard let curve = EC_KEY_new_by_curve_name(NID_secp521r1) else { return nil }
        defer { EC_KEY_free(curve) }
        guard EC_KEY_generate_key(curve) == 1, let key = EVP_PKEY_new() else { return nil }
        defer { EVP_PKEY_free(key) }
        guard EVP_PKEY_set1_EC_KEY(key, curve) == 1, let certificate = X509_new() else { return nil }
        defer { X509_free(certificate) }
        guard X509_set_version(certificate, Int(X509_VERSION_3)) == 1, setSerial(certificate),
            ASN1_TIME_set_posix(X509_getm_notBefore(certificate), Int64(notBefore)) != nil,
            ASN1_TIME_set_posix(X509_getm_notAfter(certificate), Int64(notAfter)) != nil,
            let subject = X509_get_subject_name(certificate),
            X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC, "etcd", -1, -1, 0) == 1,
            X509_set_issuer_name(certificate, subject) == 1, X509_set_pubkey(certificate, key) == 1,
            addExtensions(certificate, hosts),
            X509_sign(certificate, key, EVP_sha512()) > 0,
            let certificateText = text({ PEM_write_bio_X509($0, certificate) }),
            let keyText = text({ PEM_write_bio_ECPrivateKey($0, curve, nil, nil, 0, nil, nil) })
        else { return nil }
        return (certificateText, keyText)
    }

    /// 127 random bits.
    private static func setSerial(_ certificate: OpaquePointer) -> Bool {
        var bytes = [UInt8](repeating: 0, count: 16)
        RAND_bytes(&bytes, bytes.count)
        bytes[0] &= 0x7f
        guard let number = BN_bin2bn(bytes, bytes.count, nil) else { return false }
        defer { BN_free(number) }
        return BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != nil
    }

    private static func addExtensions(_ certificate: OpaquePointer, _ hosts: [String]) -> Bool {
        var fields: [(nid: Int32, value: String)] = [
            (NID_key_usage, "critical,digitalSignature,keyEncipherment,cRLSign"),
            (NID_ext_key_usage, "serverAuth"),
            (NID_basic_constraints, "critical,CA:TRUE"),
            (NID_subject_key_identifier, "hash"),
        ]
        // A comma or a line end would begin another entry; no host has one.
        let names = hosts.filter { !$0.isEmpty && !$0.contains { ",\n".contains($0) } }
        if !names.isEmpty {
            let list = names.map { addressBytes($0) == nil ? "DNS:\($0)" : "IP:\($0)" }.joined(separator: ",")
            fields.append((NID_subject_alt_name, list))
        }
        return fields.allSatisfy { field in
            var context = X509V3_CTX()
            X509V3_set_ctx(&context, certificate, certificate, nil, nil, 0)
            guard let made = X509V3_EXT_nconf_nid(nil, &context, field.nid, field.value) else { return false }
            defer { X509_EXTENSION_free(made) }
            return X509_add_ext(certificate, made, -1) == 1
        }
    }

    private static func text(_ write: (OpaquePointer) -> Int32) -> [UInt8]? {
        guard let sink = BIO_new(BIO_s_mem()) else { return nil }
        defer { BIO_free(sink) }
        guard write(sink) == 1 else { return nil }
        var bytes: UnsafePointer<UInt8>?
        var count = 0
        guard BIO_mem_contents(sink, &bytes, &count) == 1 else { return nil }
        return Array(UnsafeBufferPointer(start: bytes, count: count))
    }
}
