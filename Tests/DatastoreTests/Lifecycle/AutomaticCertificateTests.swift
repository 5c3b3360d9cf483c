// --auto-tls: one certificate for as long as it is good, a new one in time.

import DatastoreTracing
import Glibc
import Storage
import Testing
import Transport

@testable import Datastore

@Suite struct AutomaticCertificateTests {
    private let day = 86_400
    private let begin = 1_800_000_000

    @Test func isRenewedBeforeItEnds() throws {
        let temporary = TemporaryDirectory()
        let log = Log(core: try LogCore(outputs: LogOutputs([temporary.path + "/log"])))
        let certificate = AutomaticCertificate(directory: temporary.path + "/fixtures/client", hosts: ["127.0.0.1"], years: 1)
        func content() throws -> [UInt8] {
            try FileReadError.read(certificate.certificateFile) + (try FileReadError.read(certificate.keyFile))
        }
        try certificate.prepare(now: begin, log: log)
        let first = try content()
        #expect(try TLSServer.check(certificateFile: certificate.certificateFile, keyFile: certificate.keyFile) == begin + 365 * day)
        for later in [0, 1, 300, 334] {
            certificate.renewIfDue(now: begin + later * day, log: log)
            #expect(try content() == first, "after \(later) days")
        }
        certificate.renewIfDue(now: begin + 335 * day, log: log)
        let second = try content()
        #expect(second != first)
        #expect(try TLSServer.check(certificateFile: certificate.certificateFile, keyFile: certificate.keyFile) == begin + (335 + 365) * day)
        // One that nobody can read is replaced as well.
        try overwrite(certificate.certificateFile)
        certificate.renewIfDue(now: begin + 336 * day, log: log)
        #expect(try TLSServer.check(certificateFile: certificate.certificateFile, keyFile: certificate.keyFile) == begin + (336 + 365) * day)
        // Where nothing can be written, what is there stays, and nobody is harmed.
        let elsewhere = AutomaticCertificate(directory: certificate.certificateFile + "/nothing", hosts: [], years: 1)
        elsewhere.renewIfDue(now: begin, log: log)
        #expect(throws: (any Error).self) { try elsewhere.prepare(now: begin, log: log) }
    }

    private func overwrite(_ path: String) throws {
        let descriptor = open(path, O_WRONLY | O_TRUNC)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        #expect(write(descriptor, "x", 1) == 1)
    }
}
