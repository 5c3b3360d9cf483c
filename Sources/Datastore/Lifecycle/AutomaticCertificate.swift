// --auto-tls: the certificate that a member makes for itself, kept below its data directory.

import DatastoreTracing
import Glibc
import Storage
import Transport

struct AutomaticCertificate: Sendable {
    let directory: String
    /// Names and addresses that it is good for.
    let hosts: [String]
    let years: UInt64
    /// With less time left than this it is made anew. A server reads the new files with its next handshake.
    static let renewalSeconds = 30 * 86_400

    var certificateFile: String { directory + "/cert.pem" }
    var keyFile: String { directory + "/key.pem" }

    /// While the server runs: nobody waits for it, and what is there goes on being used when it fails.
    func renewIfDue(now: Int = time(nil), log: Log) {
        do { try prepare(now: now, log: log) } catch {
            log.warn("failed to renew a self-signed certificate", .string("path", certificateFile), .error("\(error)"))
        }
    }

    /// Uses the files that are there; makes them when one is missing, cannot be read, or expires soon.
    ///
    /// - Parameter now: seconds since 1970.
    func prepare(now: Int = time(nil), log: Log) throws {
        guard years > 0 else {
            let error = TLSSetupError("selfSignedCertValidity is invalid,it should be greater than 0")
            log.warn("cannot generate cert", .error(error.description))
            throw error
        }
        let fileSystem = PosixFileSystem()
        if fileSystem.exists(certificateFile) && fileSystem.exists(keyFile) {
            do {
                let notAfter = try TLSServer.check(certificateFile: certificateFile, keyFile: keyFile)
                if notAfter - now > Self.renewalSeconds { return }
                let message =
                    notAfter > now
                    ? "automatically generated certificate expires soon" : "automatically generated certificate has expired"
                log.warn(message, .string("path", certificateFile))
            } catch {
                log.warn(
                    "automatically generated certificate cannot be used", .string("path", certificateFile),
                    .error(error.description))
            }
        }
        try fileSystem.createDirectory(directory)
        let made = try SelfSignedCertificate(hosts: hosts, years: years, now: now)
        // Nanoseconds end in 2262, certificates in 9999.
        let notAfter = Int64(min(made.notAfter, 9_223_372_036)) * 1_000_000_000
        log.warn("automatically generate certificates", .time("certificate-validity-bound-not-after", unixNanoseconds: notAfter))
        // The key first: a certificate without its key would look complete to nobody.
        try write(made.key, to: keyFile, mode: 0o600)
        try write(made.certificate, to: certificateFile, mode: 0o644)
        log.info("created cert file", .string("path", certificateFile))
        log.info("created key file", .string("path", keyFile))
    }

    /// Whole or not at all.
    private func write(_ bytes: [UInt8], to path: String, mode: mode_t) throws(TLSSetupError) {
        let temporary = path + ".tmp"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw TLSSetupError("open \(temporary): \(String(cString: strerror(errno)))") }
        let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
        let isDurable = written == bytes.count && fsync(descriptor) == 0
        let failure = errno
        close(descriptor)
        guard isDurable, rename(temporary, path) == 0 else {
            throw TLSSetupError("write \(path): \(String(cString: strerror(failure)))")
        }
    }
}
