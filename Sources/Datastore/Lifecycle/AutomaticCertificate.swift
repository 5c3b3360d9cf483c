// --auto-tls: the certificate that a member makes for itself, kept below its data directory.

import DatastoreTracing
import Glibc
import Storage
import Transport

struct AutomaticCertificate {
    let directory: String
    var certificateFile: String { directory + "/cert.pem" }
    var keyFile: String { directory + "/key.pem" }

    /// Uses the files that are there; makes them when one is missing, cannot be read, or has expired.
    func prepare(hosts: [String], years: UInt64, log: Log) throws {
        guard years > 0 else {
            let error = TLSSetupError("selfSignedCertValidity is invalid,it should be greater than 0")
            log.warn("cannot generate cert", .error(error.description))
            throw error
        }
        let fileSystem = PosixFileSystem()
        if fileSystem.exists(certificateFile) && fileSystem.exists(keyFile) {
            do {
                let notAfter = try TLSServer.check(certificateFile: certificateFile, keyFile: keyFile)
                if notAfter > time(nil) { return }
                log.warn("automatically generated certificate has expired", .string("path", certificateFile))
            } catch {
                log.warn(
                    "automatically generated certificate cannot be used", .string("path", certificateFile),
                    .error(error.description))
            }
        }
        try fileSystem.createDirectory(directory)
        let made = try SelfSignedCertificate(hosts: hosts, years: years)
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
