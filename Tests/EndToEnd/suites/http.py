"""The HTTP endpoints beside gRPC on the client port, by curl over HTTP/1.1 and HTTP/2."""

import contextlib
import json
import re
import time

import grpc

from harness import peers
from harness.case import Case, SharedServer, run, since
from harness.client import Client
from harness.server import Server, free_port


class Answer:
    """An HTTP answer as `curl -i` prints it, line ends made plain."""

    def __init__(self, text):
        head, _, self.body = text.partition("\n\n")
        lines = head.split("\n")
        self.protocol, status = lines[0].split(" ")[:2]
        self.status = int(status)
        self.headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers[name.lower()] = value.strip()


def curl(url, *arguments):
    return Answer(run(["curl", "-sS", "-i", "--max-time", "20", *arguments, url], check=True).stdout)


def ways():
    """The protocols to ask by, each with curl's flags for it."""
    both = (("HTTP/1.1", ["--http1.1"]), ("HTTP/2", ["--http2-prior-knowledge"]))
    # Before 3.7 etcd's port without TLS takes every HTTP/2 request for gRPC, and answers 415.
    return both if peers.version(peers.server()) >= (3, 7) else both[:1]


class Endpoints(SharedServer):
    def each_way(self, path, *arguments):
        for protocol, flags in ways():
            answer = curl(self.server.url + path, *flags, *arguments)
            self.assertEqual(answer.protocol, protocol)
            yield answer

    def test_version(self):
        for answer in self.each_way("/version"):
            self.assertEqual((answer.status, answer.headers["content-type"]), (200, "application/json"))
            body = json.loads(answer.body)
            self.assertRegex(body["etcdserver"], r"^\d+\.\d+\.\d+$")
            self.assertRegex(body["etcdcluster"], r"^\d+\.\d+\.0$")

    @since(3, 7)
    def test_version_exactly(self):
        for answer in self.each_way("/version"):
            self.assertEqual(answer.body, '{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}')

    def test_health(self):
        for path in ("/health", "/health?serializable=true", "/health?exclude=NOSPACE&exclude=CORRUPT", "/health?serializable=false"):
            for answer in self.each_way(path):
                self.assertEqual((answer.status, answer.body), (200, '{"health":"true","reason":""}'))

    def test_livez_and_readyz(self):
        for path in ("/livez", "/readyz", "/livez/serializable_read", "/readyz/data_corruption", "/readyz/serializable_read",
                     "/readyz/linearizable_read", "/livez?exclude=serializable_read", "/readyz?exclude=no_such_check"):
            for answer in self.each_way(path):
                self.assertEqual((answer.status, answer.body.rstrip("\n").splitlines()[-1]), (200, "ok"))
                self.assertEqual(answer.headers["content-type"], "text/plain; charset=utf-8")
                self.assertEqual(answer.headers["x-content-type-options"], "nosniff")

    def test_verbose(self):
        for answer in self.each_way("/livez?verbose"):
            self.assertEqual(answer.body, "[+]serializable_read ok\nok\n")
        for answer in self.each_way("/readyz?verbose=true"):
            lines = answer.body.splitlines()
            self.assertLessEqual({"[+]data_corruption ok", "[+]serializable_read ok", "[+]linearizable_read ok"}, set(lines))
            self.assertEqual(lines[-1], "ok")
        for answer in self.each_way("/readyz?verbose&exclude=linearizable_read"):
            self.assertNotIn("linearizable_read ok", answer.body)

    def test_plain_ok_is_two_letters(self):
        for answer in self.each_way("/readyz"):
            self.assertEqual(answer.body, "ok\n")

    def test_unknown_path(self):
        for path in ("/", "/nope", "/livez/nope", "/versions"):
            for answer in self.each_way(path):
                self.assertEqual((answer.status, answer.body), (404, "404 page not found\n"))
                self.assertEqual(answer.headers["content-type"], "text/plain; charset=utf-8")

    def test_wrong_method(self):
        for path in ("/version", "/health", "/livez", "/readyz"):
            for answer in self.each_way(path, "-X", "POST", "-d", "x"):
                self.assertEqual((answer.status, answer.headers["allow"], answer.body.strip()), (405, "GET", "Method Not Allowed"))

    def test_cors(self):
        for answer in self.each_way("/version"):
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")
            self.assertEqual(answer.headers["access-control-allow-methods"], "POST, GET, OPTIONS, PUT, DELETE")
            self.assertEqual(answer.headers["access-control-allow-headers"], "accept, content-type, authorization")
        for answer in self.each_way("/anything", "-X", "OPTIONS"):
            self.assertEqual((answer.status, answer.body), (200, ""))

    def test_many_requests_on_a_connection(self):
        """By HTTP/1.1; Debian 12's curl cannot reuse a connection of HTTP/2 without TLS (transport has that)."""
        done = run(["curl", "-sS", "--http1.1", *[self.server.url + "/health"] * 50], check=True)
        self.assertEqual(done.stdout, '{"health":"true","reason":""}' * 50)

    def test_body_and_close(self):
        answer = curl(self.server.url + "/version", "--http1.1", "-H", "Connection: close")
        self.assertEqual(answer.status, 200)
        answer = curl(self.server.url + "/version", "--http1.0")
        self.assertEqual(answer.status, 200)

    def test_debug_vars(self):
        for answer in self.each_way("/debug/vars"):
            self.assertEqual(answer.status, 200)
            variables = json.loads(answer.body)
            self.assertEqual(variables["cmdline"][0], self.server.binary)
            self.assertGreater(variables["memstats"]["Alloc"], 0)
            self.assertGreater(variables["file_descriptor_limit"], 0)
            status = variables["raft.status"]
            self.assertEqual((status["raftState"], status["lead"]), ("StateLeader", status["id"]))
            self.assertEqual(status["progress"][status["id"]]["state"], "StateReplicate")


class Access(Case):
    """--host-whitelist and --cors: the same answers as real etcd gives, where it is there."""

    NAMES = ("access-control-allow-origin", "access-control-allow-methods", "access-control-allow-headers")

    def compare(self, flags, requests):
        servers = [Server(*flags)] + ([Server(*flags, binary=peers.etcd())] if peers.etcd() else [])
        with contextlib.ExitStack() as stack:
            for server in servers:
                stack.enter_context(server)
            for path, arguments, status, origin in requests:
                with self.subTest(flags=flags, path=path, arguments=arguments):
                    got = []
                    for server in servers:
                        answer = curl(server.url + path, *arguments)
                        got.append((answer.status, [answer.headers.get(name) for name in self.NAMES]))
                    self.assertEqual(got[0], (status, [origin, "POST, GET, OPTIONS, PUT, DELETE", "accept, content-type, authorization"]
                                              if origin else [None] * 3))
                    self.assertEqual(got[0], got[-1])
                    # Over HTTP/2 as well, which 3.5 does not serve without TLS.
                    if (protocols := ways())[-1][0] == "HTTP/2":
                        answer = curl(servers[0].url + path, *protocols[-1][1], *arguments)
                        self.assertEqual((answer.status, [answer.headers.get(name) for name in self.NAMES]), got[0])
            return servers[0].entries()

    def test_origins(self):
        def origin(name):
            return ["-H", f"Origin: {name}"]
        flags = ["--cors=http://a.example:80,https://b.example:8443"]
        put = ["-X", "POST", "-d", '{"key":"YQ==","value":"YQ=="}']
        self.compare(flags, [
            ("/version", origin("http://a.example:80"), 200, "http://a.example:80"),
            ("/version", origin("https://b.example:8443"), 200, "https://b.example:8443"),
            ("/version", origin("http://a.example"), 200, None), ("/version", origin("null"), 200, None),
            ("/version", origin("http://a.example:80.evil"), 200, None), ("/version", [], 200, None),
            ("/nope", origin("http://a.example:80"), 404, "http://a.example:80"),
            ("/v3/kv/put", put + origin("http://a.example:80"), 200, "http://a.example:80"),
            ("/v3/kv/put", put + origin("http://c.example:80"), 200, None),
            ("/v3beta/kv/put", put + origin("http://a.example:80"), 200, "http://a.example:80"),
            ("/v3/kv/put", ["-X", "OPTIONS"] + origin("https://b.example:8443"), 200, "https://b.example:8443"),
            ("/anything", ["-X", "OPTIONS"] + origin("http://c.example:80"), 200, None),
        ])
        self.compare([], [("/v3/kv/put", put, 200, "*"), ("/version", origin("http://x:1"), 200, "*"), ("/x", ["-X", "OPTIONS"], 200, "*")])

    def test_hosts(self):
        def host(name):
            return ["-H", f"Host: {name}"]
        port = free_port()
        entries = self.compare([f"--listen-metrics-urls=http://127.0.0.1:{port}", "--host-whitelist=localhost,a.example,::1"][1:], [
            ("/version", host("localhost"), 200, "*"), ("/version", host("a.example:99"), 200, "*"), ("/version", host("[::1]:7"), 200, "*"),
            ("/version", [], 421, None), ("/health", host("evil.example"), 421, None), ("/x", ["-X", "OPTIONS"] + host("b.example"), 421, None),
            ("/v3/kv/range", ["-X", "POST", "-d", '{"key":"YQ=="}'] + host("b.example"), 421, None),
            ("/v3/kv/range", ["-X", "POST", "-d", '{"key":"YQ=="}'] + host("a.example"), 200, "*"),
            ("/version", host("a.example.evil"), 421, None), ("/version", host("A.EXAMPLE"), 421, None),
        ])
        rejected = [e["host"] for e in entries if e["msg"] == "rejecting HTTP request to prevent DNS rebinding attacks"]
        self.assertLessEqual({"127.0.0.1", "evil.example", "b.example"}, set(rejected))

    def test_what_the_refusal_says(self):
        metrics = free_port()
        with Server("--host-whitelist=a.example", f"--listen-metrics-urls=http://127.0.0.1:{metrics}") as server:
            answer = curl(server.url + "/version")
            self.assertIn("CVE-2018-5702", answer.body)
            self.assertIn('--host-whitelist "127.0.0.1"', answer.body)
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
            # Neither gRPC nor the metrics port is asked for a host.
            with Client(server.address) as client:
                client.put(b"a")
            self.assertEqual(curl(f"http://127.0.0.1:{metrics}/health").status, 200)
            self.assertNotIn("access-control-allow-origin", curl(f"http://127.0.0.1:{metrics}/metrics").headers)
            self.assertEqual(curl(f"http://127.0.0.1:{metrics}/version").status, 404)


class Split(Case):
    def test_ports_of_their_own(self):
        """With --listen-client-http-urls the client port serves gRPC only."""
        port = free_port()
        with Server(f"--listen-client-http-urls=http://127.0.0.1:{port}") as server:
            with Client(server.address) as client:
                client.put(b"a")
            self.assertEqual(curl(f"http://127.0.0.1:{port}/health").status, 200)
            self.assertEqual(json.loads(curl(f"http://127.0.0.1:{port}/v3/kv/range", "-X", "POST", "-d", '{"key":"YQ=="}').body)["count"], "1")
            done = run(["curl", "-sS", "--http1.1", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", server.url + "/health"])
            self.assertNotEqual(done.stdout, "200")
            with Client(f"127.0.0.1:{port}") as client, self.assertRaises(grpc.RpcError):
                client.call("KV.Range", key=b"a", timeout=2)


class Alarms(Case):
    def test_no_space_fails_health_only(self):
        with Server("--quota-backend-bytes=1000000") as server, Client(server.address) as client:
            try:
                for i in range(5000):
                    client.put(b"k%d" % i, b"x" * 10_000)
            except Exception:
                pass
            answer = curl(server.url + "/health")
            self.assertEqual((answer.status, answer.body), (503, '{"health":"false","reason":"ALARM NOSPACE"}\n'))
            self.assertEqual(answer.headers["x-content-type-options"], "nosniff")
            self.assertEqual(curl(server.url + "/health?exclude=NOSPACE").status, 200)
            self.assertEqual(curl(server.url + "/readyz").status, 200)


SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')


def parse_metrics(text):
    """A strict reader of the Prometheus text format: {family: (type, {(name, labels): value})}."""
    families, current = {}, None
    if not text.endswith("\n"):
        raise AssertionError("the last line has no end")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            current = line.split(" ", 3)[2]
            if current in families:
                raise AssertionError(f"{current} comes twice")
            families[current] = (None, {})
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            if name != current or families[name][0] is not None:
                raise AssertionError(f"TYPE without its HELP: {line}")
            if kind not in ("counter", "gauge", "histogram", "summary", "untyped"):
                raise AssertionError(line)
            families[name] = (kind, {})
        else:
            match = SAMPLE.match(line)
            if not match:
                raise AssertionError(f"not a sample: {line!r}")
            name, labels, value = match.groups()
            pairs, position = [], 0
            while labels and position < len(labels):
                label = LABEL.match(labels, position)
                if not label:
                    raise AssertionError(f"bad labels: {line!r}")
                pairs.append((label[1], label[2]))
                position = label.end()
            if len({k for k, _ in pairs}) != len(pairs):
                raise AssertionError(f"a label twice: {line!r}")
            kind, samples = families[current]
            suffixes = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}.get(kind, ("",))
            if name not in [current + s for s in suffixes]:
                raise AssertionError(f"{name} is not of {current}")
            key = (name, tuple(pairs))
            if key in samples:
                raise AssertionError(f"twice: {line!r}")
            samples[key] = float(value)
    for name, (kind, samples) in families.items():
        if kind == "histogram":
            check_histogram(name, samples)
    return families


def check_histogram(family, samples):
    series = {}
    for (name, pairs), value in samples.items():
        rest = tuple(p for p in pairs if p[0] != "le")
        slot = series.setdefault(rest, {"buckets": [], "count": None})
        if name.endswith("_bucket"):
            slot["buckets"].append((dict(pairs)["le"], value))
        elif name.endswith("_count"):
            slot["count"] = value
    for rest, slot in series.items():
        bounds = [float(le.replace("+Inf", "inf")) for le, _ in slot["buckets"]]
        counts = [c for _, c in slot["buckets"]]
        if bounds != sorted(bounds) or bounds[-1] != float("inf"):
            raise AssertionError(f"{family}{rest}: bounds {bounds}")
        if counts != sorted(counts) or counts[-1] != slot["count"]:
            raise AssertionError(f"{family}{rest}: counts {counts} of {slot['count']}")


class Metrics(SharedServer):
    def scrape(self, *flags):
        answer = curl(self.server.url + "/metrics", *flags)
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.headers["content-type"].startswith("text/plain; version=0.0.4; charset=utf-8"))
        return parse_metrics(answer.body)

    def value(self, families, name, **labels):
        kind, samples = families[name]
        for (sample, pairs), value in samples.items():
            if sample == name and dict(pairs) == labels:
                return value
        raise AssertionError(f"no {name}{labels}")

    def test_exposition(self):
        for _, flags in ways():
            families = self.scrape(*flags)
            self.assertEqual(list(families), sorted(families))
            for name in ("etcd_server_version", "etcd_cluster_version", "etcd_server_has_leader", "etcd_server_is_leader",
                         "etcd_server_id", "etcd_mvcc_db_total_size_in_bytes", "etcd_server_quota_backend_bytes",
                         "etcd_disk_wal_fsync_duration_seconds", "etcd_disk_backend_commit_duration_seconds",
                         "etcd_server_proposals_committed_total", "etcd_server_proposals_applied_total",
                         "etcd_debugging_mvcc_keys_total", "etcd_mvcc_put_total", "grpc_server_handled_total",
                         "grpc_server_started_total", "process_resident_memory_bytes", "process_cpu_seconds_total",
                         "process_open_fds", "process_start_time_seconds"):
                self.assertIn(name, families)

    def test_values_follow(self):
        before = self.scrape()
        for i in range(7):
            self.client.put(self.k(i))
        self.client.delete(self.k(3))
        self.client.range(self.k(1))
        after = self.scrape()
        def grew(name, **labels):
            return self.value(after, name, **labels) - self.value(before, name, **labels)
        self.assertEqual(grew("etcd_mvcc_put_total"), 7)
        self.assertEqual(grew("etcd_mvcc_delete_total"), 1)
        self.assertGreaterEqual(grew("etcd_mvcc_range_total"), 1)
        self.assertEqual(grew("etcd_debugging_mvcc_keys_total"), 6)
        self.assertEqual(grew("etcd_debugging_mvcc_current_revision"), 8)
        self.assertEqual(grew("grpc_server_handled_total", grpc_code="OK", grpc_method="Put", grpc_service="etcdserverpb.KV", grpc_type="unary"), 7)
        self.assertGreaterEqual(grew("etcd_server_proposals_committed_total"), 8)
        self.assertEqual(self.value(after, "etcd_server_has_leader"), 1)
        version = ".".join(map(str, self.server.version))
        self.assertEqual(self.value(after, "etcd_server_version", server_version=version), 1)
        self.assertEqual(self.value(after, "etcd_cluster_version", cluster_version=version.rsplit(".", 1)[0]), 1)
        self.assertEqual(self.value(after, "etcd_server_id", server_id="%x" % self.client.status().header.member_id), 1)

    def test_nothing_is_pending_at_rest(self):
        """What the server proposes itself counts up and down as clients' proposals do: its version at the start, ends of leases."""
        lease = self.client.grant(1).ID
        self.client.put(self.k(), lease=lease)
        deadline = time.monotonic() + 30
        while self.client.get(self.k()):
            self.assertLess(time.monotonic(), deadline, "the lease does not end")
            time.sleep(0.1)
        self.assertEqual(self.value(self.scrape(), "etcd_server_proposals_pending"), 0)

    def test_watchers_are_counted(self):
        with self.client.watch() as stream:
            before = self.value(self.scrape(), "etcd_debugging_mvcc_watcher_total")
            for i in range(3):
                stream.create(self.k(i))
            self.assertEqual(self.value(self.scrape(), "etcd_debugging_mvcc_watcher_total"), before + 3)

    def test_extensive(self):
        with Server("--metrics=extensive") as server, Client(server.address) as client:
            client.put(b"a")
            families = parse_metrics(curl(server.url + "/metrics").body)
            self.assertEqual(families["grpc_server_handling_seconds"][0], "histogram")
