// The three ciphers of Kubernetes' encryption at rest, from OpenSSL and libsodium.

import COpenSSL
import CSodium

enum Cipher {
    /// AES-CBC with PKCS#7 padding behind its initialisation vector; nil if key or bytes do not fit.
    static func openAESCBC(_ sealed: UnsafeRawBufferPointer, key: [UInt8]) -> [UInt8]? {
        let vector = 16
        guard sealed.count >= 2 * vector, sealed.count % 16 == 0 else { return nil }
        let type: OpaquePointer? =
            switch key.count {
            case 16: EVP_aes_128_cbc()
            case 24: EVP_aes_192_cbc()
            case 32: EVP_aes_256_cbc()
            default: nil
            }
        guard let type else { return nil }
        return decrypt(
            type, key, UnsafeRawBufferPointer(rebasing: sealed[..<vector]), UnsafeRawBufferPointer(rebasing: sealed[vector...]), tag: nil,
            additional: nil)
    }

    /// AES-GCM between its nonce and its tag; nil if the key or the additional data are others, or a byte was changed.
    static func openAESGCM(_ sealed: UnsafeRawBufferPointer, key: [UInt8], additional: UnsafeRawBufferPointer) -> [UInt8]? {
        let nonce = 12
        let tag = 16
        guard sealed.count >= nonce + tag else { return nil }
        let type: OpaquePointer? =
            switch key.count {
            case 16: EVP_aes_128_gcm()
            case 24: EVP_aes_192_gcm()
            case 32: EVP_aes_256_gcm()
            default: nil
            }
        guard let type else { return nil }
        return decrypt(
            type, key, UnsafeRawBufferPointer(rebasing: sealed[..<nonce]), UnsafeRawBufferPointer(rebasing: sealed[nonce..<sealed.count - tag]),
            tag: UnsafeRawBufferPointer(rebasing: sealed[(sealed.count - tag)...]), additional: additional)
    }

    /// NaCl's secretbox behind its nonce; nil if the key is another or a byte was changed.
    static func openSecretbox(_ sealed: UnsafeRawBufferPointer, key: [UInt8]) -> [UInt8]? {
        let nonce = Int(crypto_secretbox_NONCEBYTES)
        let mac = Int(crypto_secretbox_MACBYTES)
        guard isSodiumReady, key.count == Int(crypto_secretbox_KEYBYTES), sealed.count >= nonce + mac else { return nil }
        let bytes = sealed.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)
        let length = sealed.count - nonce
        var isOpen = false
        let plain = [UInt8](unsafeUninitializedCapacity: length - mac) { plain, count in
            isOpen = crypto_secretbox_open_easy(plain.baseAddress, bytes + nonce, UInt64(length), bytes, key) == 0
            count = isOpen ? length - mac : 0
        }
        return isOpen ? plain : nil
    }

    private static let isSodiumReady = sodium_init() >= 0

    private static func decrypt(
        _ type: OpaquePointer, _ key: [UInt8], _ vector: UnsafeRawBufferPointer, _ content: UnsafeRawBufferPointer, tag: UnsafeRawBufferPointer?,
        additional: UnsafeRawBufferPointer?
    ) -> [UInt8]? {
        func bytes(_ buffer: UnsafeRawBufferPointer) -> UnsafePointer<UInt8>? { buffer.baseAddress?.assumingMemoryBound(to: UInt8.self) }
        guard content.count <= Int(Int32.max) - 32, (additional?.count ?? 0) <= Int(Int32.max), let context = EVP_CIPHER_CTX_new() else { return nil }
        defer { EVP_CIPHER_CTX_free(context) }
        guard EVP_DecryptInit_ex(context, type, nil, key, bytes(vector)) == 1 else { return nil }
        var written: Int32 = 0
        if let additional, additional.count > 0 {
            guard EVP_DecryptUpdate(context, nil, &written, bytes(additional), Int32(additional.count)) == 1 else { return nil }
        }
        var isGood = false
        let plain = [UInt8](unsafeUninitializedCapacity: content.count + 32) { plain, count in
            var last: Int32 = 0
            written = 0
            if content.count > 0 {
                guard EVP_DecryptUpdate(context, plain.baseAddress, &written, bytes(content), Int32(content.count)) == 1 else { return }
            }
            if let tag {
                let address = UnsafeMutableRawPointer(mutating: tag.baseAddress)
                guard EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(tag.count), address) == 1 else { return }
            }
            guard EVP_DecryptFinal_ex(context, plain.baseAddress.unsafelyUnwrapped + Int(written), &last) == 1 else { return }
            count = Int(written + last)
            isGood = true
        }
        return isGood ? plain : nil
    }
}
