// Why a handshake failed, in the words of Go's TLS: operators, alerts and tests look for them in the log.

import NIOSSL

enum TLSFailure {
    /// What the parts of BoringSSL's texts stand for.
    private static let texts: [(part: String, text: String)] = [
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "tls: client didn't provide a certificate"),
        ("HTTP_REQUEST", "tls: first record does not look like a TLS handshake"),
        ("HTTPS_PROXY_REQUEST", "tls: first record does not look like a TLS handshake"),
        ("WRONG_VERSION_NUMBER", "tls: first record does not look like a TLS handshake"),
        ("UNSUPPORTED_PROTOCOL", "tls: client offered only unsupported versions"),
        ("NO_SHARED_CIPHER", "tls: no cipher suite supported by both client and server"),
        ("NO_SHARED_GROUP", "tls: no ECDHE curve supported by both client and server"),
        ("NO_COMMON_SIGNATURE_ALGORITHMS", "tls: peer doesn't support any of the certificate's signature algorithms"),
        ("EXCESSIVE_MESSAGE_SIZE", "tls: handshake message too large"),
        ("DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "local error: tls: bad record MAC"),
        ("ALERT_CLOSE_NOTIFY", "remote error: tls: close notify"),
        ("ALERT_UNKNOWN_CA", "remote error: tls: unknown certificate authority"),
        ("ALERT_BAD_CERTIFICATE", "remote error: tls: bad certificate"),
        ("ALERT_CERTIFICATE_EXPIRED", "remote error: tls: expired certificate"),
        ("ALERT_CERTIFICATE_REVOKED", "remote error: tls: revoked certificate"),
        ("ALERT_CERTIFICATE_UNKNOWN", "remote error: tls: unknown certificate"),
        ("ALERT_UNSUPPORTED_CERTIFICATE", "remote error: tls: unsupported certificate"),
        ("ALERT_HANDSHAKE_FAILURE", "remote error: tls: handshake failure"),
        ("ALERT_PROTOCOL_VERSION", "remote error: tls: protocol version not supported"),
        ("ALERT_INTERNAL_ERROR", "remote error: tls: internal error"),
        ("ALERT_DECRYPT_ERROR", "remote error: tls: error decrypting message"),
        ("ALERT_USER_CANCELLED", "remote error: tls: user canceled"),
    ]

    /// Whether the peer went away without a word.
    static func isEndOfFile(_ error: any Error) -> Bool {
        switch error {
        case NIOSSLError.handshakeFailed(.sslError(let stack)): stack == [.eofDuringHandshake]
        case NIOSSLError.handshakeFailed(.syscallError), NIOSSLError.uncleanShutdown: true
        default: false
        }
    }

    static func isBadCertificate(_ error: any Error) -> Bool { "\(error)".contains("CERTIFICATE_VERIFY_FAILED") }

    static func text(_ error: any Error) -> String {
        if isEndOfFile(error) { return "EOF" }
        let text = "\(error)"
        return texts.first { text.contains($0.part) }?.text ?? "tls: \(text)"
    }
}
