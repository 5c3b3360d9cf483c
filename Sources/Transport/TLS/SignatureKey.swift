// Signing and checking what is not TLS: keys in PEM, with the algorithms of signed tokens (RFC 7518, RFC 8037).

internal import CNIOBoringSSL

/// How a signature is made.
public enum SignatureAlgorithm: Sendable, Hashable {
    public enum Hash: Sendable, Hashable { case sha256, sha384, sha512 }

    /// PKCS #1 v1.5.
    case rsa(Hash)
    /// A salt as long as the hash when signing; of any length when checking.
    case rsaPSS(Hash)
    /// On the curve that belongs to the hash: P-256, P-384, P-521. The signature is both numbers, one behind the other.
    case ecdsa(Hash)
    case ed25519
    /// A shared secret.
    case hmac(Hash)
}

/// What is wrong with the keys that were given.
public struct SignatureKeyError: Error, Equatable, CustomStringConvertible {
    public let description: String

    static let missing = SignatureKeyError(description: "auth: missing key data")
    static let mismatch = SignatureKeyError(description: "auth: public and private keys don't match")
    static let notPEM = SignatureKeyError(description: "invalid key: Key must be a PEM encoded PKCS1 or PKCS8 key")

    static func wrongKind(_ algorithm: SignatureAlgorithm, isPrivate: Bool) -> SignatureKeyError {
        SignatureKeyError(description: "key is not a valid \(algorithm.keyName) \(isPrivate ? "private" : "public") key")
    }
}

/// A key that checks signatures, and makes them if its private half is there. From any thread.
public final class SignatureKey: @unchecked Sendable {
    // Unchecked: BoringSSL's keys may be used by several threads as long as nobody changes them.
    private enum Material {
        case pair(OpaquePointer)
        case secret([UInt8])
    }

    private let algorithm: SignatureAlgorithm
    private let material: Material
    public let canSign: Bool

    /// - Parameters:
    ///   - privateKey: PEM (PKCS #8, PKCS #1, SEC 1), or the secret itself; nil or empty without one.
    ///   - publicKey: PEM (SubjectPublicKeyInfo, PKCS #1, or a certificate). With a private key it must be its other half.
    public init(
        _ algorithm: SignatureAlgorithm, privateKey: [UInt8]?, publicKey: [UInt8]?
    ) throws(SignatureKeyError) {
        self.algorithm = algorithm
        let privateKey = privateKey ?? []
        let publicKey = publicKey ?? []
        if case .hmac = algorithm {
            guard !privateKey.isEmpty else { throw .missing }
            material = .secret(privateKey)
            canSign = true
            return
        }
        guard !privateKey.isEmpty || !publicKey.isEmpty else { throw .missing }
        let own = privateKey.isEmpty ? nil : try Self.privateKey(privateKey, algorithm)
        let other: OpaquePointer?
        do throws(SignatureKeyError) {
            other = publicKey.isEmpty ? nil : try Self.publicKey(publicKey, algorithm)
        } catch {
            EVP_PKEY_free(own)
            throw error
        }
        canSign = own != nil
        guard let own else {
            material = .pair(other!)
            return
        }
        material = .pair(own)
        guard let other else { return }
        defer { EVP_PKEY_free(other) }
        // From here on `deinit` frees the private key.
        if EVP_PKEY_cmp(own, other) != 1 { throw .mismatch }
    }

    deinit {
        if case .pair(let key) = material { EVP_PKEY_free(key) }
    }

    // MARK: Reading

    private static func privateKey(_ text: [UInt8], _ algorithm: SignatureAlgorithm) throws(SignatureKeyError) -> OpaquePointer {
        guard let key = read(text, { PEM_read_bio_PrivateKey($0, nil, noPassword, nil) }) else {
            throw isPEM(text) ? .wrongKind(algorithm, isPrivate: true) : .notPEM
        }
        return try check(key, algorithm, isPrivate: true)
    }

    private static func publicKey(_ text: [UInt8], _ algorithm: SignatureAlgorithm) throws(SignatureKeyError) -> OpaquePointer {
        let key =
            read(text) { PEM_read_bio_PUBKEY($0, nil, noPassword, nil) }
            ?? read(text) { bio in
                guard let certificate = PEM_read_bio_X509(bio, nil, noPassword, nil) else { return nil }
                defer { X509_free(certificate) }
                return X509_get_pubkey(certificate)
            }
            ?? read(text) { bio in
                guard let numbers = PEM_read_bio_RSAPublicKey(bio, nil, noPassword, nil) else { return nil }
                defer { RSA_free(numbers) }
                guard let key = EVP_PKEY_new() else { return nil }
                EVP_PKEY_set1_RSA(key, numbers)
                return key
            }
        guard let key else { throw isPEM(text) ? .wrongKind(algorithm, isPrivate: false) : .notPEM }
        return try check(key, algorithm, isPrivate: false)
    }

    private static func read(_ text: [UInt8], _ body: (OpaquePointer) -> OpaquePointer?) -> OpaquePointer? {
        defer { ERR_clear_error() }
        return text.withUnsafeBytes { bytes in
            guard let bio = BIO_new_mem_buf(bytes.baseAddress, bytes.count) else { return nil }
            defer { BIO_free(bio) }
            return body(bio)
        }
    }

    private static func isPEM(_ text: [UInt8]) -> Bool {
        String(decoding: text, as: UTF8.self).contains("-----BEGIN ")
    }

    /// Frees a key that does not fit.
    private static func check(
        _ key: OpaquePointer, _ algorithm: SignatureAlgorithm, isPrivate: Bool
    ) throws(SignatureKeyError) -> OpaquePointer {
        let kind = EVP_PKEY_id(key)
        let fits: Bool
        switch algorithm {
        case .rsa, .rsaPSS: fits = kind == NID_rsaEncryption
        case .ed25519: fits = kind == NID_ED25519
        case .hmac: fits = false
        case .ecdsa(let hash):
            fits = kind == NID_X9_62_id_ecPublicKey
            if fits, EC_GROUP_get_curve_name(EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key))) != hash.curve {
                EVP_PKEY_free(key)
                throw SignatureKeyError(description: "key is invalid: it is not of the curve that the signing method has")
            }
        }
        guard fits else {
            EVP_PKEY_free(key)
            throw .wrongKind(algorithm, isPrivate: isPrivate)
        }
        return key
    }

    // MARK: Using

    /// Nil without a private key, or if the key is too short for the algorithm.
    public func sign(_ message: [UInt8]) -> [UInt8]? {
        guard canSign else { return nil }
        switch material {
        case .secret(let secret): return hmac(secret, message)
        case .pair(let key):
            defer { ERR_clear_error() }
            guard let context = EVP_MD_CTX_new() else { return nil }
            defer { EVP_MD_CTX_free(context) }
            var parameters: OpaquePointer?
            guard EVP_DigestSignInit(context, &parameters, algorithm.digest, nil, key) == 1, setPadding(parameters, RSA_PSS_SALTLEN_DIGEST)
            else { return nil }
            var count = 0
            guard EVP_DigestSign(context, nil, &count, message, message.count) == 1 else { return nil }
            var signature = [UInt8](repeating: 0, count: count)
            guard EVP_DigestSign(context, &signature, &count, message, message.count) == 1 else { return nil }
            signature.removeSubrange(count...)
            guard case .ecdsa(let hash) = algorithm else { return signature }
            return Self.numbers(of: signature, each: hash.curveBytes)
        }
    }

    public func verify(_ message: [UInt8], _ signature: [UInt8]) -> Bool {
        switch material {
        case .secret(let secret):
            guard let expected = hmac(secret, message), expected.count == signature.count else { return false }
            return CRYPTO_memcmp(expected, signature, expected.count) == 0
        case .pair(let key):
            defer { ERR_clear_error() }
            var signature = signature
            if case .ecdsa(let hash) = algorithm {
                guard let encoded = Self.signature(ofNumbers: signature, each: hash.curveBytes) else { return false }
                signature = encoded
            }
            guard let context = EVP_MD_CTX_new() else { return false }
            defer { EVP_MD_CTX_free(context) }
            var parameters: OpaquePointer?
            return EVP_DigestVerifyInit(context, &parameters, algorithm.digest, nil, key) == 1
                && setPadding(parameters, RSA_PSS_SALTLEN_AUTO)
                && EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
        }
    }

    private func setPadding(_ parameters: OpaquePointer?, _ saltLength: Int32) -> Bool {
        guard case .rsaPSS = algorithm else { return true }
        return EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) == 1
            && EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, saltLength) == 1
    }

    private func hmac(_ secret: [UInt8], _ message: [UInt8]) -> [UInt8]? {
        var code = [UInt8](repeating: 0, count: Int(EVP_MAX_MD_SIZE))
        var count: UInt32 = 0
        guard HMAC(algorithm.digest, secret, secret.count, message, message.count, &code, &count) != nil else { return nil }
        code.removeSubrange(Int(count)...)
        return code
    }

    // MARK: The two forms of an ECDSA signature

    private static func numbers(of signature: [UInt8], each count: Int) -> [UInt8]? {
        guard let parsed = ECDSA_SIG_from_bytes(signature, signature.count) else { return nil }
        defer { ECDSA_SIG_free(parsed) }
        var numbers = [UInt8](repeating: 0, count: 2 * count)
        let isWritten = numbers.withUnsafeMutableBufferPointer { target in
            BN_bn2bin_padded(target.baseAddress, count, ECDSA_SIG_get0_r(parsed)) == 1
                && BN_bn2bin_padded(target.baseAddress! + count, count, ECDSA_SIG_get0_s(parsed)) == 1
        }
        return isWritten ? numbers : nil
    }

    private static func signature(ofNumbers numbers: [UInt8], each count: Int) -> [UInt8]? {
        guard numbers.count == 2 * count, let parsed = ECDSA_SIG_new() else { return nil }
        defer { ECDSA_SIG_free(parsed) }
        let (first, second) = numbers.withUnsafeBufferPointer { numbers in
            (BN_bin2bn(numbers.baseAddress, count, nil), BN_bin2bn(numbers.baseAddress! + count, count, nil))
        }
        // Takes both numbers over.
        guard ECDSA_SIG_set0(parsed, first, second) == 1 else {
            BN_free(first)
            BN_free(second)
            return nil
        }
        var bytes: UnsafeMutablePointer<UInt8>?
        var length = 0
        guard ECDSA_SIG_to_bytes(&bytes, &length, parsed) == 1 else { return nil }
        defer { OPENSSL_free(bytes) }
        return Array(UnsafeBufferPointer(start: bytes, count: length))
    }
}

/// An encrypted key cannot be read: there is nobody to ask for its password.
private func noPassword(_: UnsafeMutablePointer<CChar>?, _: Int32, _: Int32, _: UnsafeMutableRawPointer?) -> Int32 { -1 }

extension SignatureAlgorithm {
    fileprivate var hash: Hash? {
        switch self {
        case .rsa(let hash), .rsaPSS(let hash), .ecdsa(let hash), .hmac(let hash): hash
        case .ed25519: nil
        }
    }

    fileprivate var digest: OpaquePointer? {
        switch hash {
        case .sha256?: EVP_sha256()
        case .sha384?: EVP_sha384()
        case .sha512?: EVP_sha512()
        case nil: nil
        }
    }

    fileprivate var keyName: String {
        switch self {
        case .rsa, .rsaPSS: "RSA"
        case .ecdsa: "ECDSA"
        case .ed25519: "Ed25519"
        case .hmac: "HMAC"
        }
    }
}

extension SignatureAlgorithm.Hash {
    fileprivate var curve: Int32 {
        switch self {
        case .sha256: NID_X9_62_prime256v1
        case .sha384: NID_secp384r1
        case .sha512: NID_secp521r1
        }
    }

    /// Of each of a signature's numbers.
    fileprivate var curveBytes: Int {
        switch self {
        case .sha256: 32
        case .sha384: 48
        case .sha512: 66
        }
    }
}
