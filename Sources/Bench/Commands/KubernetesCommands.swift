// k8s: what kube-apiserver asks of its store.

import CShims
import Client
import CommandLineTools
import Wire

extension BenchTool {
    /// Resources that an API server watches: one watch each.
    static let watchedResources = [
        "pods", "leases", "events", "minions", "configmaps", "secrets", "serviceaccounts", "services/specs", "services/endpoints", "endpointslices",
        "namespaces", "deployments", "replicasets", "statefulsets", "daemonsets", "controllerrevisions", "jobs", "cronjobs", "persistentvolumes",
        "persistentvolumeclaims", "storageclasses", "csidrivers", "csinodes", "csistoragecapacities", "volumeattachments", "roles", "rolebindings",
        "clusterroles", "clusterrolebindings", "networkpolicies", "ingress", "ingressclasses", "limitranges", "resourcequotas", "podtemplates",
        "poddisruptionbudgets", "priorityclasses", "horizontalpodautoscalers", "replicationcontrollers", "runtimeclasses", "flowschemas",
        "prioritylevelconfigurations", "mutatingwebhookconfigurations", "validatingwebhookconfigurations", "validatingadmissionpolicies",
        "validatingadmissionpolicybindings", "certificatesigningrequests", "apiregistration.k8s.io/apiservices",
        "apiextensions.k8s.io/customresourcedefinitions", "ipaddresses", "servicecidrs",
    ]

    /// Flags that its commands share.
    private struct Shape {
        let total: TypedFlag<Int>
        let rate: TypedFlag<Int>

        init(_ command: Command, what: String) {
            total = command.flags.add("total", 10_000, "\(what) in all")
            rate = command.flags.add("rate", 0, "\(what) per second at most (0: no limit)")
            command.arguments = ArgumentRule.none
        }
    }

    func kubernetesCommand() -> Command {
        let command = Command(
            "k8s", "Loads of the shapes that kube-apiserver sends",
            long: """
                Loads of the shapes that kube-apiserver sends: transactions with one comparison of a mod revision, lists by
                pages of one revision, watches with previous values and progress notifications, events on leases. Keys are
                those of Kubernetes (/registry/...), values its envelopes. What is written stays in the store.
                """)
        command.add(leasesCommand(), podsCommand(), listsCommand(), eventsCommand(), watchCacheCommand(), allCommand())
        return command
    }

    private func most(_ flag: TypedFlag<Int>, _ most: Int) throws -> Int {
        guard flag.value > 0, flag.value <= most else { throw CommandFailure("--\(flag.name) is 1 to \(most), got (\(flag.value))") }
        return flag.value
    }

    private func sections(_ outcome: RunOutcome) -> [ReportSection] {
        outcome.operations.filter { $0.latencies.count + $0.errorCount > 0 }.map { recorder in
            let conflicts = recorder.conflicts > 0 ? " (\(recorder.conflicts) conflicts)" : ""
            return ReportSection(heading: "\(recorder.name)\(conflicts):\n", recorder: recorder, seconds: outcome.seconds, hasBlankLine: true)
        }
    }

    private func traffic(
        _ name: String, _ shape: Shape, _ invocation: Invocation,
        _ make: @escaping (UInt64) -> [(actor: KubernetesActor, weight: Double)]
    ) async throws {
        let settings = try settings(total: shape.total, rate: shape.rate)
        let plan = Plan.calls(name, settings, sections: { [unowned self] in self.sections($0) }) { _ -> Workload in
            KubernetesWorkload(make(settings.seed), seed: settings.seed)
        }
        try await execute(plan, invocation)
    }

    private func leasesCommand() -> Command {
        let command = Command(
            "leases", "Kubelets renew the leases of their nodes",
            long: "Kubelets renew the leases of their nodes: if unchanged, put, else get. In a cluster each node does so every 10 s.")
        let shape = Shape(command, what: "renewals")
        let nodes = command.flags.add("nodes", 1_000, "nodes")
        let valueSize = command.flags.add("val-size", 500, "bytes of a Lease")
        command.runAsync = { [unowned self] invocation in
            let (nodes, size) = (try self.most(nodes, 1_000_000), try self.size(valueSize))
            try await self.traffic("k8s leases", shape, invocation) { _ in [(NodeLeases(nodes: nodes, valueSize: size), 1)] }
        }
        return command
    }

    private func podsCommand() -> Command {
        let command = Command(
            "pods", "Pods are created, updated and deleted",
            long: "Pods are created, updated some times and deleted, each by a transaction on the revision that was seen last.")
        let shape = Shape(command, what: "calls")
        let pods = command.flags.add("pods", 1_000, "pods that come and go")
        let updates = command.flags.add("updates", 4, "updates of a pod before it is deleted")
        let valueSize = command.flags.add("val-size", 4_096, "bytes of a Pod")
        command.runAsync = { [unowned self] invocation in
            let (pods, size) = (try self.most(pods, 10_000_000), try self.size(valueSize))
            let updates = max(0, updates.value)
            try await self.traffic("k8s pods", shape, invocation) { _ in [(Pods(pods: pods, valueSize: size, updates: updates), 1)] }
        }
        return command
    }

    private func listsCommand() -> Command {
        let command = Command(
            "lists", "Lists of all pods by pages",
            long: "Lists of all pods by pages of one revision, as `kubectl get pods -A` asks for. Missing pods are made first.")
        let shape = Shape(command, what: "pages")
        let pods = command.flags.add("pods", 5_000, "pods that there are at least")
        let limit = command.flags.add("limit", 500, "objects of a page")
        let valueSize = command.flags.add("val-size", 4_096, "bytes of a Pod")
        command.runAsync = { [unowned self] invocation in
            let (pods, limit, size) = (try self.most(pods, 10_000_000), try self.most(limit, 100_000), try self.size(valueSize))
            let settings = try self.settings(total: shape.total, rate: shape.rate)
            let plan = Plan.calls("k8s lists", settings, sections: { [unowned self] in self.sections($0) }) { context -> Workload in
                try await Self.makePods(context, pods, size)
                return KubernetesWorkload([(PodLists(readers: max(settings.clients, 1), limit: limit), 1)], seed: settings.seed)
            }
            try await self.execute(plan, invocation)
        }
        return command
    }

    /// Puts the pods from a number on, if there are fewer than so many.
    private static func makePods(_ context: BenchContext, _ count: Int, _ size: Int, from first: Int = 0) async throws {
        let client = try context.client()
        var get = Get(.prefix(Pods.prefix))
        get.countOnly = true
        let there = Int(try await client.get(get).count)
        client.close()
        guard there < count - first else { return }
        var settings = RunSettings()
        settings.total = count - first
        settings.clients = 64
        let outcome = try await context.perform(PodSeed(size: size, from: first), settings)
        if let failure = outcome.failure ?? outcome.operations[0].errors.keys.first { throw EngineError("making pods: \(failure)") }
    }

    private func eventsCommand() -> Command {
        let command = Command(
            "events", "Events are created on leases",
            long: "Events are created on leases. A lease is used for a thousand events or a minute, then there is a new one.")
        let shape = Shape(command, what: "calls")
        let ttl = command.flags.add("ttl", 3_660, "seconds that events live")
        let valueSize = command.flags.add("val-size", 800, "bytes of an Event")
        command.runAsync = { [unowned self] invocation in
            let (ttl, size) = (try self.most(ttl, 1_000_000_000), try self.size(valueSize))
            let writers = self.isOpenLoop.value ? self.inFlight.value : Int(self.clients.value)
            // A search for capacity has more calls in flight than clients.
            let most = max(writers, self.isCollecting ? self.inFlight.value : 0)
            try await self.traffic("k8s events", shape, invocation) { seed in
                [(Events(writers: most, valueSize: size, ttl: Int64(ttl), seed: seed), 1)]
            }
        }
        return command
    }

    private func watchCacheCommand() -> Command {
        let command = Command(
            "watch-cache", "API servers' watch caches under changing pods",
            long: """
                Watches of all resources for each API server, one stream each, while pods come and go. Reported are the
                calls, and how long events take from the moment they are written.
                """)
        let shape = Shape(command, what: "calls")
        let servers = command.flags.add("apiservers", 3, "API servers")
        let pods = command.flags.add("pods", 1_000, "pods that come and go")
        let valueSize = command.flags.add("val-size", 4_096, "bytes of a Pod")
        command.runAsync = { [unowned self] invocation in
            let (servers, pods, size) = (try self.most(servers, 1_000), try self.most(pods, 10_000_000), try self.size(valueSize))
            let settings = try self.settings(total: shape.total, rate: shape.rate)
            let plan = Plan(name: "k8s watch-cache", settings: settings) { context, settings in
                try await self.watchCaches("k8s watch-cache", context, settings, servers: servers) {
                    KubernetesWorkload([(Pods(pods: pods, valueSize: size), 1)], seed: settings.seed)
                }
            }
            try await self.execute(plan, invocation)
        }
        return command
    }

    private func allCommand() -> Command {
        let command = Command(
            "all", "All of a cluster at once",
            long: """
                All of a cluster at once: node leases, pods, events, lists, single reads and watch caches, in proportion
                to the number of nodes. --rate 0 asks for as much as a cluster of so many nodes does; --speed multiplies it.
                """)
        let shape = Shape(command, what: "calls")
        let nodes = command.flags.add("nodes", 1_000, "nodes")
        let servers = command.flags.add("apiservers", 3, "API servers")
        let speed = command.flags.add("speed", 1.0, "how many times as much as such a cluster does")
        let pods = command.flags.add("pods", 1_000, "pods that there are, for lists and reads; those that come and go are others")
        let podSize = command.flags.add("val-size", 4_096, "bytes of a Pod")
        command.runAsync = { [unowned self] invocation in
            let (nodes, servers, size) = (try self.most(nodes, 100_000), try self.most(servers, 1_000), try self.size(podSize))
            let pods = try self.most(pods, 10_000_000)
            var settings = try self.settings(total: shape.total, rate: shape.rate)
            // Calls per second and node.
            let weights = (renewals: 0.1, pods: 0.05, events: 0.05, gets: 0.2, pages: 0.002)
            if settings.rate == 0 {
                guard speed.value > 0 else { throw CommandFailure("expected positive --speed, got (\(speed.text))") }
                settings.rate = speed.value * Double(nodes) * (weights.renewals + weights.pods + weights.events + weights.gets + weights.pages)
            }
            // Many independent clients.
            settings.clients = max(settings.clients, self.inFlight.value)
            if !self.arrivals.isGiven { settings.arrivals = .poisson }
            // So few that each goes through its life in a run.
            let changing = max(16, nodes / 10)
            let plan = Plan(name: "k8s all", settings: settings) { context, settings in
                try await Self.makePods(context, changing + pods, size, from: changing)
                return try await self.watchCaches("k8s all", context, settings, servers: servers) {
                    KubernetesWorkload(
                        [
                            (NodeLeases(nodes: nodes, valueSize: 500), weights.renewals),
                            (Pods(pods: changing, valueSize: size), weights.pods),
                            (Events(writers: 256, valueSize: 800, ttl: 3_660, seed: settings.seed), weights.events),
                            (ObjectGets(readers: 512, objects: changing + pods, seed: settings.seed), weights.gets),
                            (PodLists(readers: 16, limit: 500), weights.pages),
                        ], seed: settings.seed)
                }
            }
            try await self.execute(plan, invocation)
        }
        return command
    }

    /// Runs a workload under watch caches.
    private func watchCaches(
        _ name: String, _ context: BenchContext, _ settings: RunSettings, servers: Int, _ make: () -> KubernetesWorkload
    ) async throws -> RunReport {
        let processor = Processor.seconds()
        let client = try context.client()
        let revision = try await client.get(Get("/registry/health")).header.revision
        client.close()
        let shapes = (0..<servers).flatMap { _ in
            Self.watchedResources.map { resource -> [WatchShape] in
                let (key, end) = KeyRange.prefix("/registry/\(resource)/").bounds
                // Caches ask for progress; events have no cache.
                return [WatchShape(key: key, end: end, startRevision: revision + 1, wantsPrevious: true, wantsProgress: resource != "events")]
            }
        }
        let watches = WatchStreams(context.engine)
        try await watches.create(shapes)
        let start = martlet_monotonic_ns()
        let events = try await context.engine.onLoop {
            let events = EventRecorder("watch-event", start: start)
            watches.onEvent = { event, now in
                if let moment = KubernetesObject.moment(event.value), moment >= start, moment <= now { events.took(moment, now) }
            }
            return events
        }
        let engine = context.engine
        // A consistent read from a cache asks how far its watch is.
        let asking = Task {
            while true {
                try await Task.sleep(for: .milliseconds(100))
                try await engine.onLoop { watches.requestProgress() }
            }
        }
        let workload = make()
        let outcome: RunOutcome
        do { outcome = try await context.perform(workload, settings) } catch {
            asking.cancel()
            throw error
        }
        asking.cancel()
        var report = RunReport(benchmark: name)
        report.take(outcome)
        // Each change is an event of one resource in each cache.
        let changes = outcome.operations.filter { Self.changing.contains($0.name) }.reduce(0) { $0 + Int($1.latencies.count - $1.conflicts) }
        if report.failure == nil, !report.wasInterrupted, outcome.errors == 0 {
            report.failure = try await context.waitForEvents(watches, changes * servers)
        }
        let (recorder, progress, count) = try await context.engine.onLoop {
            watches.close()
            return (events.finished(), watches.progress, watches.events)
        }
        report.processorSeconds = Processor.seconds() - processor
        report.sections = sections(outcome)
        report.sections.append(
            ReportSection(heading: "watch-event:\n", recorder: recorder, seconds: outcome.seconds, hasBlankLine: true))
        report.notes = workload.notes + ["\(shapes.count) watches saw \(count) events and \(progress) progress notifications."]
        return report
    }

    private static let changing: Set<String> = ["node-lease-renewal", "pod-create", "pod-update", "pod-delete", "event-create"]
}

/// Pods by plain puts, to have some.
final class PodSeed: Workload, @unchecked Sendable {
    private let key = NumberedKey(Pods.prefix)
    private let value: KubernetesObject
    private var next: Int

    init(size: Int, from first: Int) {
        next = first
        value = KubernetesObject(apiVersion: "v1", kind: "Pod", name: "bench", size: size)
        super.init(methods: [Path.put], operations: ["seed"])
    }

    override func write(_ client: Int, to sink: ByteSink) {
        sink.always(1, key.key(next))
        sink.always(2, value.stamped(0))
        next += 1
    }
}
