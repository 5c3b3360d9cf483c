// Whether a client whose certificate is in order may come in: revocations, names, addresses.

#if canImport(Glibc)
import Glibc
#endif

enum PeerCheck {
    enum Verdict: Equatable {
        case admitted
        case refused(String)
        /// It depends on what the name server says about this address.
        case asksForNames(address: String)
    }

    /// - Parameter address: that of the client; nil behind a Unix socket.
    static func judge(
        _ certificate: PeerCertificate, _ material: TLSMaterial, _ settings: TLSServerSettings, address: String?
    ) -> Verdict {
        // A resumed session brings the certificate of its first handshake, which may have expired since.
        if certificate.notAfter < time(nil) {
            return .refused("tls: failed to verify certificate: x509: certificate has expired or is not yet valid")
        }
        if let reason = refusedName(certificate, settings) { return .refused(reason) }
        switch material.revocations {
        case .failure(let error)?: return .refused(error.description)
        case .success(let list)? where list.contains(certificate.serial):
            return .refused("transport: certificate serial \(certificate.serialText) revoked")
        default: break
        }
        guard settings.verifiesAddress, let address else { return .admitted }
        return judge(certificate, address: address)
    }

    private static func refusedName(_ certificate: PeerCertificate, _ settings: TLSServerSettings) -> String? {
        let failure = "client certificate authentication failed"
        if !settings.allowedCommonNames.isEmpty {
            return settings.allowedCommonNames.contains(certificate.commonName) ? nil : failure
        }
        guard !settings.allowedHostNames.isEmpty else { return nil }
        return settings.allowedHostNames.contains(where: certificate.isValid(for:)) ? nil : failure
    }

    /// A certificate without names is good for any address; with addresses it must have this one; host names are
    /// asked about if that fails.
    static func judge(_ certificate: PeerCertificate, address: String) -> Verdict {
        if certificate.addresses.isEmpty && certificate.hostNames.isEmpty { return .admitted }
        if certificate.isValid(for: address) { return .admitted }
        if certificate.hostNames.isEmpty {
            return .refused(
                "x509: certificate is valid for \(certificate.addresses.joined(separator: ", ")), not \(address)")
        }
        return .asksForNames(address: address)
    }
}
