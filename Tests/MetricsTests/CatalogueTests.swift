// The catalogue against the list of what etcd exposes.

import Testing

@testable import DatastoreMetrics

/// Declares every group of the catalogue.
private struct WholeCatalogue {
    let registry = Registry()
    let server: ServerMetrics
    let grpc: GRPCMetrics
    let health: HealthMetrics

    init(extensive: Bool = true) {
        server = ServerMetrics(registry)
        health = HealthMetrics(registry)
        grpc = GRPCMetrics(registry, extensive: extensive)
        _ = LearnerMetrics(registry)
        _ = KnownPeerMetrics(registry)
        _ = MVCCMetrics(registry)
        _ = StoreLevelMetrics(registry) {
            StoreLevels(
                allocatedBytes: 1_048_576, usedBytes: 524_288, openReadTransactions: 1, currentRevision: 7,
                compactRevision: 3)
        }
        _ = CompactionMetrics(registry)
        _ = WatchMetrics(registry)
        _ = LeaseMetrics(registry)
        _ = AuthMetrics(registry) { 1 }
        _ = WALMetrics(registry)
        _ = BackendMetrics(registry)
        _ = SnapshotFileMetrics(registry)
        _ = ReceivedDatabaseMetrics(registry)
        _ = ClientTrafficMetrics(registry)
        _ = PeerMetrics(registry)
        _ = SnapshotTransferMetrics(registry)
        _ = ScrapeMetrics(registry)
        _ = V2StoreMetrics(registry)
        _ = ProxyMetrics(registry)
        _ = ProcessMetrics(registry)
        _ = FileDescriptorMetrics(registry)
    }

    var lines: [String] { text.split(separator: "\n").map(String.init) }
    var text: String { String(decoding: registry.exposition(), as: UTF8.self) }
}

private struct Fact {
    let name, type, labels: String
    let presentBeforeFirstEvent: Bool
    let buckets: [String]
    init(_ line: Substring) {
        let words = line.split(separator: " ").map(String.init)
        name = words[0]
        type = words[1]
        labels = words[2]
        presentBeforeFirstEvent = words[3] == "yes"
        buckets = words[4] == "-" ? [] : words[4].split(separator: "/").map(String.init)
    }
}

private let facts = metricFacts.split(separator: "\n").map(Fact.init)
/// The v2 store has no reads and writes here, hence no series of them, ever.
private let neverHere: Set<String> = [
    "etcd_debugging_store_reads_failed_total", "etcd_debugging_store_reads_total",
    "etcd_debugging_store_writes_failed_total", "etcd_debugging_store_writes_total",
]

@Test func theCatalogueNamesExactlyTheFamiliesOfEtcd() {
    let declared = Set(WholeCatalogue().registry.familyNames)
    let expected = Set(facts.map(\.name)).subtracting(neverHere)
    #expect(declared.subtracting(expected).isEmpty, "more than etcd has")
    #expect(expected.subtracting(declared).isEmpty, "missing")
}

@Test func familiesHaveEtcdsTypesAndArePresentWhenEtcdsAre() {
    let lines = WholeCatalogue().lines
    var types: [String: String] = [:]
    for line in lines where line.hasPrefix("# TYPE ") {
        let words = line.split(separator: " ")
        types[String(words[2])] = String(words[3])
    }
    for fact in facts where !neverHere.contains(fact.name) {
        if fact.presentBeforeFirstEvent {
            #expect(types[fact.name] == fact.type, "\(fact.name)")
        } else {
            #expect(types[fact.name] == nil, "\(fact.name) has series before its first event")
        }
    }
}

@Test func histogramsHaveEtcdsBuckets() {
    let lines = WholeCatalogue().lines
    for fact in facts where fact.type == "histogram" && fact.presentBeforeFirstEvent {
        var seen: [String] = []
        for line in lines where line.hasPrefix(fact.name + "_bucket{") {
            let from = line.range(of: "le=\"")
            let bound = String(line[from!.upperBound...].prefix { $0 != "\"" })
            if !seen.contains(bound) { seen.append(bound) }
        }
        #expect(seen == fact.buckets, "\(fact.name)")
    }
}

@Test func labelledHistogramsHaveEtcdsBuckets() {
    let catalogue = WholeCatalogue()
    catalogue.server.applyDuration.series("v3", "Put", "true").observe(nanoseconds: 1)
    catalogue.server.requestDuration.series("Put", "true").observe(nanoseconds: 1)
    catalogue.server.rangeDuration.series("true").observe(nanoseconds: 1)
    let text = catalogue.text
    for name in ["apply", "request", "range"].map({ "etcd_server_\($0)_duration_seconds" }) {
        for bound in facts.first(where: { $0.name == name })!.buckets {
            #expect(text.contains("le=\"\(bound)\"} 1\n"), "\(name) \(bound)")
        }
    }
    #expect(text.contains("etcd_server_apply_duration_seconds_bucket{op=\"Put\",success=\"true\",version=\"v3\",le=\"0.0001\"} 1\n"))
}

@Test func everyMethodHasEveryCodeFromTheStart() {
    let lines = WholeCatalogue().lines
    #expect(lines.filter { $0.hasPrefix("grpc_server_handled_total{") }.count == 45 * 17)
    #expect(lines.filter { $0.hasPrefix("grpc_server_started_total{") }.count == 45)
    #expect(
        lines.contains(
            "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"} 0"))
}

@Test func aMethodsHandleMovesItsSeries() {
    let catalogue = WholeCatalogue()
    let range = catalogue.grpc.method(service: "etcdserverpb.KV", "Range", .unary)
    range.started.increment()
    range.handled(code: 0).increment()
    range.handled(code: 99).increment()
    range.handling?.observe(nanoseconds: 20_000_000)
    let lines = catalogue.lines
    let labels = "grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}"
    #expect(lines.contains("grpc_server_started_total{\(labels) 1"))
    #expect(lines.contains("grpc_server_handled_total{grpc_code=\"OK\",\(labels) 1"))
    #expect(lines.contains("grpc_server_handled_total{grpc_code=\"Unknown\",\(labels) 1"))
    #expect(lines.contains("grpc_server_handling_seconds_sum{\(labels) 0.02"))
    #expect(lines.contains("grpc_server_handling_seconds_bucket{\(labels.dropLast()),le=\"0.025\"} 1"))
}

@Test func handlingTimesAreThereOnlyWhenExtensive() {
    #expect(!WholeCatalogue(extensive: false).text.contains("grpc_server_handling_seconds"))
}

@Test func identityAndClusterVersionAreOnesOnLabels() {
    let catalogue = WholeCatalogue()
    catalogue.server.setIdentity(memberID: 0x00a8_f345_8387_986d, serverVersion: "3.7.1", runtimeVersion: "swift6.3")
    catalogue.server.setClusterVersion("3.6", replacing: nil)
    catalogue.server.setClusterVersion("3.7", replacing: "3.6")
    catalogue.server.setFeature("LeaseCheckpoint", stage: "ALPHA", enabled: false)
    let lines = catalogue.lines
    #expect(lines.contains("etcd_server_id{server_id=\"a8f3458387986d\"} 1"))
    #expect(lines.contains("etcd_server_version{server_version=\"3.7.1\"} 1"))
    #expect(lines.contains("etcd_cluster_version{cluster_version=\"3.6\"} 0"))
    #expect(lines.contains("etcd_cluster_version{cluster_version=\"3.7\"} 1"))
    #expect(lines.contains("etcd_server_feature_enabled{name=\"LeaseCheckpoint\",stage=\"ALPHA\"} 0"))
}

@Test func storeLevelsAreReadAtTheScrape() {
    let lines = WholeCatalogue().lines
    #expect(lines.contains("etcd_mvcc_db_total_size_in_bytes 1.048576e+06"))
    #expect(lines.contains("etcd_mvcc_db_total_size_in_use_in_bytes 524288"))
    #expect(lines.contains("etcd_debugging_mvcc_current_revision 7"))
}

@Test func healthChecksCountByStatus() {
    let catalogue = WholeCatalogue()
    catalogue.health.record(type: "readyz", name: "linearizable_read", success: true)
    catalogue.health.record(type: "readyz", name: "linearizable_read", success: false)
    let lines = catalogue.lines
    #expect(lines.contains("etcd_server_healthcheck{name=\"linearizable_read\",type=\"readyz\"} 0"))
    #expect(
        lines.contains(
            "etcd_server_healthchecks_total{name=\"linearizable_read\",status=\"error\",type=\"readyz\"} 1"))
}

@Test func theProcessIsReadFromProc() {
    let sample = ProcessSample.read()
    #expect((sample.residentBytes ?? 0) > 1_000_000)
    #expect((sample.openFileDescriptors ?? 0) >= 3)
    #expect((sample.startTimeSeconds ?? 0) > 1_600_000_000)
    #expect((sample.fileDescriptorMaximum ?? 0) > 0)
    #expect(sample.cpuSeconds != nil && sample.virtualBytes != nil && sample.virtualBytesMaximum != nil)
}

@Test func theStatFileOfAProgramWithAnOddNameIsParsed() {
    let line = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 7 9 0 0 20 0 3 0 1234 8192000 500 18446744073709551615"
    let stat = ProcFile.Stat(Array(line.utf8))
    #expect(stat?.userTicks == 7 && stat?.systemTicks == 9)
    #expect(stat?.startTicks == 1234 && stat?.virtualBytes == 8_192_000 && stat?.residentPages == 500)
    #expect(ProcFile.Stat(Array("42 nothing".utf8)) == nil)
}

@Test func networkOctetsComeFromTheIpExtLines() {
    let text = "TcpExt: A B\nTcpExt: 1 2\nIpExt: InNoRoutes InOctets OutOctets\nIpExt: 0 123 456\n"
    let octets = ProcFile.networkOctets(Array(text.utf8))
    #expect(octets?.received == 123 && octets?.sent == 456)
    #expect(ProcFile.networkOctets(Array("IpExt: InOctets\n".utf8)) == nil)
}

extension String {
    /// Just enough searching without Foundation.
    fileprivate func range(of needle: String) -> Range<Index>? {
        var from = startIndex
        while from < endIndex {
            if self[from...].hasPrefix(needle) { return from..<index(from, offsetBy: needle.count) }
            from = index(after: from)
        }
        return nil
    }
}
