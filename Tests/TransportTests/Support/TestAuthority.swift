// Certificates for tests, made by the openssl program: authorities, leaves, revocation lists.

import Testing

#if canImport(Glibc)
import Glibc
#endif

/// A directory of certificates, removed at the end.
final class TestAuthority: Sendable {
    let directory: String

    init() throws {
        var template = Array("/tmp/martlet-tls-XXXXXX".utf8CString)
        directory = String(cString: try #require(mkdtemp(&template)))
        try shell(
            """
            for ca in ca1 ca2; do
              openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout $ca.key -out $ca.crt \
                -subj /CN=$ca -days 30
            done
            """)
    }

    deinit { _ = system("rm -rf \(directory)") }

    func path(_ name: String) -> String { directory + "/" + name }

    func shell(_ script: String) throws {
        let status = system("cd \(directory) && { set -e; \(script)\n} >log 2>&1")
        try #require(status == 0, "\((try? text("log")) ?? "")")
    }

    /// `name.crt` and `name.key`, signed by `authority`.
    func make(
        _ name: String, by authority: String = "ca1", commonName: String = "someone", names: String = "IP:127.0.0.1,DNS:localhost",
        usage: String = "serverAuth,clientAuth", key: String = "ec -pkeyopt ec_paramgen_curve:P-256", days: Int = 20,
        serial: Int? = nil
    ) throws {
        try shell(
            """
            openssl req -newkey \(key) -nodes -keyout \(name).key.new -out \(name).csr -subj "/O=martlet/CN=\(commonName)"
            printf 'subjectAltName=\(names)\\nextendedKeyUsage=\(usage)\\n' > \(name).ext
            openssl x509 -req -in \(name).csr -CA \(authority).crt -CAkey \(authority).key \
              \(serial.map { "-set_serial \($0)" } ?? "-CAcreateserial") -out \(name).crt.new -days \(days) -extfile \(name).ext
            mv \(name).key.new \(name).key; mv \(name).crt.new \(name).crt
            """)
    }

    /// `crl.pem` and `crl.der` with these serial numbers.
    func revoke(_ serials: [Int], by authority: String = "ca1") throws {
        let entries = serials.map { serial in
            let text = String(serial, radix: 16, uppercase: true)
            return "R\\t330101000000Z\\t250101000000Z\\t\(text.count % 2 == 0 ? "" : "0")\(text)\\tunknown\\t/CN=x\\n"
        }
        try shell(
            """
            printf '\(entries.joined())' > index.txt; echo 01 > crlnumber
            printf '[ca]\\ndefault_ca=c\\n[c]\\ndatabase=index.txt\\ncrlnumber=crlnumber\\ndefault_md=sha256\\n' > ca.conf
            openssl ca -config ca.conf -gencrl -crldays 30 -keyfile \(authority).key -cert \(authority).crt -out crl.pem
            openssl crl -in crl.pem -outform DER -out crl.der
            """)
    }

    func text(_ name: String) throws -> String {
        let file = try #require(fopen(path(name), "r"))
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    func write(_ name: String, _ text: String) throws {
        let file = try #require(fopen(path(name), "w"))
        fputs(text, file)
        fclose(file)
    }
}
