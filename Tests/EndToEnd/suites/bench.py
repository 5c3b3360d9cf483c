"""martlet-bench: each command against the server under test and real etcd; what it says it did is counted on the server. The layout
of its reports is compared with recorded ones of etcd's own benchmark (data/benchmark-reports.json), whatever the figures are."""

import contextlib
import csv
import html.parser
import io
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

from harness import api, peers
from harness.case import Case
from harness.client import Client, prefix_end
from harness.server import Server
from suites.tls import SecureServer, certificates

RECORDED = json.loads((pathlib.Path(__file__).parents[1] / "data/benchmark-reports.json").read_text())
TIMEOUT = 120


def skeleton(text):
    """A report without its figures."""
    text = re.sub("∎+", "", text)
    text = re.sub(r"\d+(\.\d+)?(e[-+]?\d+)?(µs|ms|ns|s\b)?", "N", text)
    # How many seconds there are depends on the moment, how many percentiles on how much was done.
    text = re.sub(r"(N,N,N,N,N\n)+", "N,N,N,N,N\n", text)
    return re.sub(r"(  N% in N secs\.\n)+", "  N% in N secs.\n", text)


def setUpModule():
    if not peers.bench():
        raise unittest.SkipTest("no martlet-bench beside the server")


class Work(Case):
    """A directory to run in, and the tool."""

    def setUp(self):
        self.work = tempfile.mkdtemp(prefix="martlet-bench-")
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)

    def command(self, *arguments, endpoint=None):
        return [peers.bench(), *(["--endpoints", endpoint] if endpoint else []), *map(str, arguments)]

    def run_tool(self, *arguments, endpoint=None, status=0, timeout=TIMEOUT, input=None):
        done = subprocess.run(self.command(*arguments, endpoint=endpoint), cwd=self.work, capture_output=True, text=True, timeout=timeout,
                              input=input, env={"PATH": os.environ["PATH"]})
        self.assertEqual(done.returncode, status, f"{arguments}\n{done.stdout}{done.stderr}")
        return done

    def file(self, name):
        return pathlib.Path(self.work, name)

    def nothing_left_aside(self):
        self.assertEqual([p.name for p in pathlib.Path(self.work).iterdir() if ".part-" in p.name or p.name.startswith("mvcc-bench")], [])


class OnServer(Work):
    """The commands; `Real` runs them against real etcd."""

    BINARY = staticmethod(lambda: None)

    @classmethod
    def setUpClass(cls):
        cls.server = Server(binary=cls.BINARY()).start()
        cls.addClassCleanup(cls.server.close)
        cls.client = Client(cls.server.address)
        cls.addClassCleanup(cls.client.close)

    # What the server knows.

    def calls(self, method):
        text = urllib.request.urlopen(self.server.url + "/metrics", timeout=30).read().decode()
        found = re.findall(r'^grpc_server_handled_total\{([^}]*)\} ([0-9.e+]+)$', text, re.MULTILINE)
        return sum(float(value) for labels, value in found if f'grpc_method="{method}"' in labels and 'grpc_code="OK"' in labels)

    def keys(self, prefix):
        return self.client.range(prefix, prefix_end(prefix), count_only=True).count if prefix else self.client.range(b"\0", b"\0", count_only=True).count

    def clear(self):
        self.client.delete(b"\0", b"\0")

    def revision(self):
        return self.client.range(b"revision").header.revision

    @contextlib.contextmanager
    def moves(self, revisions=0, **methods):
        """The block must move the store's revision and the server's counters by this much."""
        before = self.revision(), {name: self.calls(name) for name in methods}
        yield
        self.assertEqual(self.revision() - before[0], revisions)
        # A call is counted when its stream is closed, a moment after the answer.
        deadline = time.monotonic() + 20
        while (now := {name: self.calls(name) - before[1][name] for name in methods}) != methods and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(now, methods)

    def bench(self, *arguments, status=0):
        """Runs the tool; its text and what its JSON report says."""
        path = self.file("report.json")
        done = self.run_tool("--report", "text", "--report", f"json={path}", *arguments, endpoint=self.server.address, status=status)
        report = json.loads(path.read_text())
        self.nothing_left_aside()
        return done.stdout, report

    def counts(self, report):
        return {op["name"]: op["count"] for op in report["operations"]}

    # etcd's commands.

    def test_layouts_are_those_of_etcds_benchmark(self):
        for name, recorded in RECORDED.items():
            with self.subTest(name):
                out = self.run_tool(*recorded["arguments"].split(), endpoint=self.server.address).stdout
                self.assertEqual(skeleton(out), skeleton(recorded["report"]))
        self.nothing_left_aside()

    def test_put(self):
        self.clear()
        with self.moves(revisions=600, Put=600):
            out, report = self.bench("--conns=3", "--clients=20", "put", "--total=600", "--key-space-size=40", "--sequential-keys", "--val-size=100")
        self.assertEqual(self.keys(b""), 40)
        self.assertEqual({len(kv.value) for kv in self.client.range(b"\0", b"\0").kvs}, {100})
        self.assertEqual({kv.version for kv in self.client.range(b"\0", b"\0").kvs}, {15})
        self.assertEqual(self.counts(report), {"put": 600})
        operation = report["operations"][0]
        self.assertEqual((operation["errors"], report["failure"], report["clients"], report["connections"]), (0, None, 20, 3))
        latency = operation["latency_ms"]
        order = ["min", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "max"]
        values = [latency[key] for key in order]
        self.assertEqual(values, sorted(values))
        self.assertTrue(latency["min"] <= latency["mean"] <= latency["max"])
        self.assertEqual(sum(row["count"] for row in operation["histogram"]), 600)
        self.assertEqual(sum(row["count"] for row in operation["seconds"]), 600)
        self.assertEqual(sum(point["count"] for point in operation["timeline"]["points"]), 600)
        self.assertAlmostEqual(operation["requests_per_second"], 600 / report["seconds"], delta=0.01 * operation["requests_per_second"])

    def test_random_keys_with_a_prefix(self):
        self.clear()
        with self.moves(revisions=400, Put=400):
            self.bench("--clients=8", "put", "--total=400", "--key-space-size=5", "--prefix=bench/", "--key-size=16", "--seed=7")
        kvs = self.client.range(b"bench/", b"bench0").kvs
        self.assertEqual(len(kvs), 5)
        self.assertEqual({len(kv.key) for kv in kvs}, {22})

    def test_a_rate_is_kept_and_counted_from(self):
        with self.moves(revisions=100, Put=100):
            _, report = self.bench("--clients=4", "put", "--total=100", "--rate=400")
        # A quarter of a second must have passed, however fast the machine.
        self.assertGreaterEqual(report["seconds"], 99 / 400)
        operation = report["operations"][0]
        self.assertLessEqual(operation["service_ms"]["max"], operation["latency_ms"]["max"] + 0.001)
        with self.moves(revisions=100, Put=100):
            _, report = self.bench("--open-loop", "--arrivals=poisson", "put", "--total=100", "--rate=2000")
        self.assertTrue(report["open_loop"])

    def test_a_duration_ends_a_run(self):
        before = self.revision()
        _, report = self.bench("--duration=300ms", "--clients=3", "put")
        self.assertEqual(self.revision() - before, report["operations"][0]["count"])
        self.assertGreater(report["operations"][0]["count"], 0)

    def test_compaction_and_hash(self):
        out, _ = self.bench("--clients=4", "--duration=700ms", "put", "--compact-interval=100ms", "--compact-index-delta=10", "--check-hashkv")
        match = re.search(r"\nHashKV Summary:\n\tHashKV: (\d+)\n\tEndpoint: (\S+)\n\tTime taken to get hashkv: \S+\n\tDB size: \d[\d.]* [kM]?B\n$", out)
        self.assertTrue(match, out)
        self.assertEqual(match[2], self.server.address)
        self.assertEqual(int(match[1]), self.client.call("Maintenance.HashKV").hash)
        with self.assertRaisesRegex(Exception, "compacted"):
            self.client.range(b"a", revision=2)

    def test_range(self):
        self.clear()
        for index in range(30):
            self.client.put(b"range/%02d" % index, b"x" * 10)
        for flag, first in (("l", "bench with linearizable range"), ("s", "bench with serializable range")):
            with self.moves(Range=250 + 1):
                out, report = self.bench("--clients=5", "--conns=2", "range", "range/01", f"--consistency={flag}", "--total=250")
            self.assertEqual(out.splitlines()[0], first)
            self.assertEqual(self.counts(report), {"range": 250})
        # Pages of seven of thirty keys: five calls each.
        with self.moves(Range=5 * 20 + 1):
            _, report = self.bench("--clients=3", "range", "range/", "--prefix", "--paginate", "--limit=7", "--total=20")
        self.assertEqual(self.counts(report), {"range": 20})
        for extra in (["range/", "range0"], ["range/", "--prefix", "--count-only"], ["range/", "--prefix", "--keys-only", "--limit=3"]):
            with self.moves(Range=50 + 1):
                self.bench("range", "--total=50", *extra)

    def test_calls_that_fail(self):
        """A method that the server does not have, or a value that is too large."""
        out, report = self.bench("--clients=4", "put", "--total=20", "--val-size=2000000", status=1)
        self.assertEqual(out, "\nError distribution:\n  [20]\tetcdserver: request is too large\n\n")
        operation = report["operations"][0]
        self.assertEqual((operation["count"], operation["errors"], operation["error_distribution"]),
                         (0, 20, {"etcdserver: request is too large": 20}))
        if self.server.version < (3, 7):
            out, _ = self.bench("range", "a", "--stream", "--total=5", status=1)
            self.assertIn("[5]\trpc error: code = Unimplemented desc = ", out)
        else:
            with self.moves(RangeStream=5):
                self.bench("range", "a", "--stream", "--total=5")

    def test_transactions(self):
        self.clear()
        with self.moves(revisions=90, Txn=90):
            _, report = self.bench("--clients=6", "txn-put", "--total=90", "--txn-ops=4", "--key-space-size=12")
        kvs = self.client.range(b"\0", b"\0").kvs
        self.assertEqual((len(kvs), {kv.version for kv in kvs}), (12, {30}))
        before, calls = self.revision(), self.calls("Txn")
        out, report = self.bench("--clients=6", "txn-mixed", "--total=300", "--rw-ratio=3", "--key-space-size=20", "--limit=2")
        counts = self.counts(report)
        self.assertEqual(sum(counts.values()), 300)
        self.assertEqual(self.revision() - before, counts["txn-mixed-write"])
        self.assertGreater(counts["txn-mixed-read"], counts["txn-mixed-write"])
        self.assertIn(f"Total Read Ops: {counts['txn-mixed-read']}\nDetails:\nSummary:", out)
        self.assertIn(f"Total Write Ops: {counts['txn-mixed-write']}\nDetails:\nSummary:", out)

    def test_leases(self):
        leases = lambda: len(self.client.call("Lease.LeaseLeases").leases)
        before = leases()
        with self.moves(LeaseGrant=7, LeaseKeepAlive=210):
            _, report = self.bench("--clients=7", "--conns=2", "lease-keepalive", "--total=210")
        self.assertEqual((leases() - before, self.counts(report)), (7, {"lease-keepalive": 210}))

    def test_stm(self):
        for index, (isolation, locker) in enumerate((("c", "stm"), ("r", "stm"), ("s", "stm"), ("ss", "stm"), ("r", "lock-rpc"), ("ss", "lock-client"))):
            with self.subTest(isolation=isolation, locker=locker):
                self.clear()
                _, report = self.bench("--clients=4", "--conns=2", "stm", "--total=40", "--keys=6", "--keys-per-txn=3", "--txn-wr-percent=70",
                                       f"--isolation={isolation}", f"--stm-locker={locker}", "--seed=%d" % (index + 1))
                self.assertEqual((self.counts(report), report["operations"][0]["errors"]), ({"stm": 40}, 0))
                kvs = [kv for kv in self.client.range(b"\0", b"\0").kvs if len(kv.key) == 16]
                # Each of forty transactions has written two keys, once.
                self.assertEqual(sum(kv.version for kv in kvs), 80)
                self.assertLessEqual(len(kvs), 6)

    def test_watch(self):
        with self.moves(revisions=30, Put=30):
            out, report = self.bench("--conns=2", "--clients=3", "watch", "--streams=4", "--watch-per-stream=5", "--watched-key-total=3",
                                     "--key-space-size=3", "--sequential-keys", "--put-total=30")
        counts = self.counts(report)
        # Twenty watchers on three keys in turn: seven, seven and six; ten puts each.
        self.assertEqual(counts, {"watch-make": 20, "watch-event": 200, "watch-put": 30})
        self.assertLess(out.index("Watch creation summary:"), out.index("Watch events received summary:"))

    def test_watch_get(self):
        with self.moves(revisions=5, Put=5):
            _, report = self.bench("--conns=2", "watch-get", "--watchers=60", "--streams=2", "--events=5")
        counts = self.counts(report)
        self.assertEqual(counts["watch-make"], 60)
        self.assertGreater(counts["watch-get"], 0)

    def test_watch_latency(self):
        with self.moves(revisions=25, Put=25):
            out, report = self.bench("--conns=2", "watch-latency", "--streams=3", "--watchers-per-stream=4", "--put-total=25", "--put-rate=1000", "--prevkv")
        self.assertEqual(self.counts(report), {"watch-latency-put": 25, "watch-latency-watch": 300, "watch-latency-since-put": 300})
        self.assertLess(out.index("Put summary:"), out.index("Watch events summary:"))

    # Kubernetes.

    def test_node_leases(self):
        self.clear()
        before = self.revision()
        _, report = self.bench("--clients=10", "--conns=3", "k8s", "leases", "--nodes=25", "--total=300")
        operation = report["operations"][0]
        self.assertEqual((operation["name"], operation["count"], operation["conflicts"]), ("node-lease-renewal", 300, 0))
        self.assertEqual(self.revision() - before, 300)
        kvs = self.client.range(b"/registry/leases/kube-node-lease/", b"/registry/leases/kube-node-lease0").kvs
        self.assertEqual((len(kvs), sum(kv.version for kv in kvs)), (25, 300))
        self.assertTrue(all(kv.value.startswith(b"k8s\0") for kv in kvs))
        # A second run learns the revisions by losing once for each node.
        _, report = self.bench("--clients=10", "k8s", "leases", "--nodes=25", "--total=100")
        self.assertEqual(report["operations"][0]["conflicts"], 25)

    def test_pods(self):
        self.clear()
        before = self.revision()
        _, report = self.bench("--clients=12", "--conns=2", "k8s", "pods", "--pods=30", "--updates=2", "--total=610", "--val-size=1000")
        counts = self.counts(report)
        self.assertEqual(sum(counts.values()), 610)
        self.assertEqual(self.revision() - before, 610)
        # 610 calls are no whole number of lives of four calls.
        self.assertGreater(self.keys(b"/registry/pods/"), 0)
        self.assertEqual(self.keys(b"/registry/pods/"), counts["pod-create"] - counts["pod-delete"])
        # Left over ones are found and used.
        _, report = self.bench("--clients=12", "k8s", "pods", "--pods=30", "--updates=2", "--total=300")
        operations = {op["name"]: op for op in report["operations"]}
        self.assertEqual(sum(op["errors"] for op in operations.values()), 0)
        self.assertEqual(operations["pod-create"]["conflicts"], operations["pod-get"]["count"])

    def test_lists(self):
        self.clear()
        with self.moves(revisions=450, Range=30 + 1 + 1):
            out, report = self.bench("k8s", "lists", "--pods=450", "--limit=200", "--total=30", "--val-size=400")
        self.assertEqual(self.counts(report), {"list-page": 30})
        # Three pages each.
        self.assertEqual(report["notes"], ["10 whole lists were read."])

    def test_events(self):
        self.clear()
        with self.moves(revisions=299, LeaseGrant=1):
            _, report = self.bench("k8s", "events", "--total=300", "--ttl=600")
        self.assertEqual(self.counts(report), {"event-create": 299, "event-lease-grant": 1})
        kvs = self.client.range(b"/registry/events/", b"/registry/events0").kvs
        self.assertEqual((len(kvs), len({kv.lease for kv in kvs})), (299, 1))
        self.assertEqual(self.client.call("Lease.LeaseTimeToLive", ID=kvs[0].lease).grantedTTL, 600)

    def test_watch_caches(self):
        self.clear()
        _, report = self.bench("--clients=8", "--conns=4", "k8s", "watch-cache", "--apiservers=2", "--pods=20", "--total=200", "--val-size=500")
        counts = self.counts(report)
        changes = sum(counts[name] for name in ("pod-create", "pod-update", "pod-delete"))
        self.assertEqual(changes, 200)
        # A deletion's event has no value that would say when it was written.
        self.assertEqual(counts["watch-event"], 2 * (200 - counts.get("pod-delete", 0)))
        self.assertRegex(report["notes"][-1], r"^102 watches saw 400 events and \d+ progress notifications\.$")

    def test_a_whole_cluster(self):
        self.clear()
        _, report = self.bench("--conns=4", "k8s", "all", "--nodes=50", "--apiservers=1", "--speed=40", "--pods=100", "--total=500", "--val-size=500")
        counts = self.counts(report)
        self.assertEqual(sum(count for name, count in counts.items() if name != "watch-event"), 500)
        self.assertEqual(sum(op["errors"] for op in report["operations"]), 0)
        self.assertGreater(counts["node-lease-renewal"], 0)
        self.assertGreater(counts["watch-event"], 0)

    # Beyond.

    def test_capacity(self):
        """Only that it comes to an end and says what it saw: how much a machine bears is no matter of a test."""
        out, report = self.bench("--conns=2", "capacity", "--slo=p99<10s", "--start=100", "--most=225", "--step-duration=200ms", "put", "--val-size=64")
        self.assertRegex(out, r"put: p99 < 10000 ms was not kept at any rate|put p99 < 10000 ms up to [\d.]+k?/s( \(no limit was found below --most\))?\n$")
        table = report["tables"][0]
        self.assertEqual(table["columns"][:2], ["asked/s", "reached/s"])
        self.assertEqual(table["rows"][0][0], "100")
        self.assertTrue(all(len(row) == len(table["columns"]) for row in table["rows"]))
        out, _ = self.bench("capacity", "--slo=p50<1ns", "--start=200", "--step-duration=50ms", "range", "a")
        self.assertIn("range: p50 < 1e-06 ms was not kept at any rate", out)

    def test_compare(self):
        with Server(binary=self.BINARY()) as other, Client(other.address) as client:
            before = client.range(b"a").header.revision
            with self.moves(revisions=300, Put=300):
                out, report = self.bench("--clients=5", "compare", "--rounds=3", self.server.address, other.address, "put", "--total=100")
            self.assertEqual(client.range(b"a").header.revision - before, 300)
        table = report["tables"][0]
        self.assertEqual(table["columns"], ["operation", "figure", f"A {self.server.address}", f"B {other.address}", "B/A"])
        self.assertEqual([row[1] for row in table["rows"]], ["calls/s", "mean", "p50", "p90", "p99"])
        for row in table["rows"]:
            self.assertGreater(float(row[4]), 0)
        self.assertEqual(self.counts(report), {"A put": 300, "B put": 300})
        self.assertIn("put: medians of 3 rounds\n", out)

    def test_report_files(self):
        names = ["run.txt", "run.csv", "run.json", "run.html"]
        done = self.run_tool(*(f"--report={name}" for name in names), "--clients=4", "k8s", "pods", "--total=200", "--pods=10",
                             endpoint=self.server.address)
        text, table, report, page = (self.file(name).read_text() for name in names)
        self.assertEqual(text, done.stdout)
        rows = list(csv.DictReader(io.StringIO(table)))
        operations = [op for op in json.loads(report)["operations"]]
        self.assertEqual([(row["operation"], int(row["count"])) for row in rows], [(op["name"], op["count"]) for op in operations])
        for row, op in zip(rows, operations):
            self.assertAlmostEqual(float(row["p50_ms"]), op["latency_ms"]["p50"], places=5)
        checker = Page()
        checker.feed(page)
        checker.close()
        self.assertEqual(checker.open, [])
        self.assertEqual((checker.tags["svg"], checker.tags.get("script"), checker.links), (3, None, []))
        self.nothing_left_aside()
        # One form instead of the text.
        done = self.run_tool("--report=json", "put", "--total=10", endpoint=self.server.address)
        self.assertEqual(json.loads(done.stdout)["operations"][0]["count"], 10)
        # Nothing is begun that could not be kept, and nothing is left half.
        self.run_tool("--report=missing/run.json", "put", "--total=10", endpoint=self.server.address, status=1)

    def test_perfdash(self):
        done = self.run_tool("--report-perfdash", "txn-mixed", "--total=100", endpoint=self.server.address)
        files = re.findall(r"^Successfully created a JSON perf report at (.+)$", done.stdout, re.MULTILINE)
        self.assertEqual(len(files), 2)
        for path in files:
            self.assertRegex(path, r"^\./_artifacts/EtcdAPI_benchmark_txn-mixed-(read|write)_\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\.json$")
            data = json.loads(self.file(path).read_text())
            item = data["dataItems"][0]
            self.assertEqual((data["version"], sorted(item["data"]), item["unit"]), ("v1", ["Perc50", "Perc90", "Perc99"], "ms"))

    def test_leader_and_members(self):
        with self.moves(revisions=50, Put=50):
            self.bench("--target-leader", "put", "--total=50")
        with self.moves(revisions=50, Put=50):
            self.bench("--auto-sync-interval=1s", "put", "--total=50")


class Page(html.parser.HTMLParser):
    """Counts tags, and remembers those that are not closed and what is fetched."""

    VOID = {"meta", "br"}

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.links = [], {}, []

    def handle_starttag(self, tag, attributes):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags[tag] = self.tags.get(tag, 0) + 1

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()


@unittest.skipIf(peers.is_martlet(peers.server()) is False, "the server under test is etcd itself")
@unittest.skipUnless(peers.etcd(), "no real etcd in the cache (scripts/test fetches it)")
class OnRealEtcd(OnServer):
    BINARY = staticmethod(peers.etcd)


class Troubles(Work):
    """Servers that die, users who lose patience, wrong flags, terminals."""

    def start(self, server, *arguments):
        process = subprocess.Popen(self.command(*arguments, endpoint=server.address), cwd=self.work, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env={"PATH": os.environ["PATH"]})
        self.addCleanup(process.kill)
        return process

    def wait_for_revision(self, address, wanted):
        with Client(address) as client:
            deadline = time.monotonic() + 60
            while client.range(b"a").header.revision < wanted:
                self.assertLess(time.monotonic(), deadline, "no puts come")
                time.sleep(0.02)

    def test_the_server_dies(self):
        with Server() as server:
            process = self.start(server, "--clients=20", "--conns=2", "--report=run.json", "--report=run.html", "put", "--total=100000000")
            self.wait_for_revision(server.address, 100)
            server.kill()
            out, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(errors, r"^Error: no connection for \d+ s: dial 127\.0\.0\.1:\d+: connect: connection refused\n$")
        self.assertIn("Requests/sec:", out)
        self.assertIn("\nError distribution:\n", out)
        report = json.loads(self.file("run.json").read_text())
        operation = report["operations"][0]
        self.assertGreater(operation["count"], 90)
        # Each client lost the call it had, perhaps another on the other connection, and waits with one more.
        self.assertLessEqual(operation["errors"], 60)
        self.assertGreaterEqual(operation["errors"], 20)
        self.assertEqual(sum(operation["error_distribution"].values()), operation["errors"])
        self.assertIn("no connection", report["failure"])
        self.assertTrue(self.file("run.html").read_text().endswith("</body></html>\n"))
        self.nothing_left_aside()

    def test_the_server_comes_back(self):
        with Server() as server:
            process = self.start(server, "--clients=10", "--conns=2", "--report=run.json", "put", "--total=100000000")
            self.wait_for_revision(server.address, 100)
            server.kill()
            server.start()
            with Client(server.address) as client:
                self.wait_for_revision(server.address, client.range(b"a").header.revision + 50)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, errors), (130, "Error: interrupted; the report is of what was done until then\n"))
        report = json.loads(self.file("run.json").read_text())
        self.assertTrue(report["interrupted"])
        self.assertGreater(report["operations"][0]["errors"], 0)
        self.assertIsNone(report["failure"])

    def test_interrupted(self):
        with Server() as server, Client(server.address) as client:
            before = client.range(b"a").header.revision
            process = self.start(server, "--clients=5", "--report=run.json", "put", "--total=100000000")
            self.wait_for_revision(server.address, before + 50)
            process.send_signal(signal.SIGINT)
            out, _ = process.communicate(timeout=60)
            count = json.loads(self.file("run.json").read_text())["operations"][0]["count"]
            self.assertEqual((process.returncode, client.range(b"a").header.revision - before), (130, count))
            self.assertIn("Latency distribution:", out)

    def test_watchers_lose_their_server(self):
        with Server() as server:
            process = self.start(server, "--report=run.json", "watch-latency", "--put-total=1000000", "--put-rate=50")
            self.wait_for_revision(server.address, 5)
            server.kill()
            _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1)
        self.assertRegex(errors, r"^Error: watch stream lost: rpc error: code = Unavailable desc = ")
        self.assertIn("watch stream lost", json.loads(self.file("run.json").read_text())["failure"])

    def test_nobody_there(self):
        done = self.run_tool("put", "--total=10", endpoint="127.0.0.1:1", status=1)
        self.assertEqual((done.stdout, done.stderr), ("", "Error: dial 127.0.0.1:1: connect: connection refused\n"))

    def test_wrong_flags(self):
        for arguments, text in (
                (["put", "--key-space-size=0"], "expected positive --key-space-size, got (0)"),
                (["put", "--key-size=1", "--key-space-size=1000"], "--key-space-size 1000 needs keys of 2 bytes, got --key-size 1"),
                (["txn-put", "--txn-ops=3", "--key-space-size=2"],
                 "expected --txn-ops no larger than --key-space-size, got txn-ops(3) key-space-size(2)"),
                (["stm", "--keys=0"], "expected positive --keys, got (0)"), (["stm", "--txn-wr-percent=101"], "expected [0, 100] --txn-wr-percent, got (101)"),
                (["stm", "--keys-per-txn=2"], "expected --keys-per-txn between 0 and 1, got (2)"),
                (["stm", "--stm-locker=x"], 'unexpected stm locker "x"'), (["--conns=0", "put"], "expected positive --conns, got (0)"),
                (["--open-loop", "put"], "--open-loop needs a --rate"), (["--report=pdf", "put"], 'unknown --report "pdf"'),
                (["range"], "accepts between 1 and 2 arg(s), received 0"), (["range", "a", "--consistency=x"], 'unknown consistency "x"'),
                (["capacity", "--slo=fast", "put"], 'unknown --slo "fast"'), (["capacity", "watch-get"], "watch-get has no rate that could be raised"),
                (["capacity", "mvcc", "put"], None), (["compare", "a"], "requires at least 2 arg(s), only received 1"),
                (["mvcc", "put", "--cpuprofile=x"], "--cpuprofile writes profiles of Go programs"), (["frob"], 'unknown command "frob" for "martlet-bench"')):
            with self.subTest(arguments):
                done = self.run_tool(*arguments, status=1, endpoint="127.0.0.1:1")
                self.assertTrue(text is None or done.stderr.startswith(f"Error: {text}"), done.stderr)

    def test_help_names_everything(self):
        help = self.run_tool("--help").stdout
        commands = re.findall(r"^  ([a-z0-9-]+) ", help[help.index("Available Commands:"):help.index("\nFlags:")], re.MULTILINE)
        self.assertEqual(set(commands), {"capacity", "compare", "help", "k8s", "lease-keepalive", "mvcc", "put", "range", "stm", "txn-mixed",
                                         "txn-put", "watch", "watch-get", "watch-latency"})
        for command in commands:
            self.assertIn("Usage:", self.run_tool(command, "--help").stdout)

    def test_the_store_by_itself(self):
        done = self.run_tool("--report=run.json", "mvcc", "put", "--total=3000", "--batch-limit=100", "--txn", "--txn-ops=3")
        operation = json.loads(self.file("run.json").read_text())["operations"][0]
        self.assertEqual((operation["name"], operation["count"]), ("mvcc-put", 3000))
        self.assertIn("Requests/sec:", done.stdout)
        self.nothing_left_aside()

    def test_progress_is_for_terminals(self):
        with Server() as server:
            arguments = self.command("--clients=2", "--duration=1s", "put", endpoint=server.address)
            quiet = subprocess.run(arguments, cwd=self.work, capture_output=True, timeout=TIMEOUT)
            self.assertEqual((quiet.returncode, quiet.stderr), (0, b""))
            self.assertNotIn(b"\r", quiet.stdout)
            primary, secondary = pty.openpty()
            process = subprocess.Popen(arguments, cwd=self.work, stdout=subprocess.PIPE, stderr=secondary)
            os.close(secondary)
            shown = b""
            with contextlib.suppress(OSError):
                while select.select([primary], [], [], TIMEOUT)[0]:
                    part = os.read(primary, 65536)
                    if not part:
                        break
                    shown += part
            os.close(primary)
            out = process.communicate(timeout=TIMEOUT)[0]
            self.assertEqual(process.returncode, 0)
            self.assertRegex(shown.decode(), r"\rput \[[█·]{24}\] \d+%  [\d.kM]+  [\d.kM]+/s  p99 [\d.]+ (µs|ms|s)")
            # The line is taken away.
            self.assertTrue(shown.endswith(b"\r\x1b[K"), shown[-40:])
            self.assertNotIn(b"\r", out)

    def test_tls_and_users(self):
        made = certificates()
        self.addCleanup(made.close)
        with SecureServer(made) as server:
            with server.client() as client:
                client.call("Auth.UserAdd", name="root", password="secret")
                client.call("Auth.RoleAdd", name="root")
                client.call("Auth.UserGrantRole", user="root", role="root")
                client.call("Auth.AuthEnable")
            tls = ["--cacert", made.path("ca1.crt"), "--cert", made.path("good.crt"), "--key", made.path("good.key")]
            for form, more in ((server.address, []), (server.url, []), (server.url, ["--insecure-skip-tls-verify"])):
                done = self.run_tool(*tls, *more, "--user=root:secret", "--clients=4", "--conns=2", "--report=run.json", "put", "--total=100", endpoint=form)
                self.assertEqual(json.loads(self.file("run.json").read_text())["operations"][0]["count"], 100, done.stdout)
            done = self.run_tool(*tls, "--user=root", "put", "--total=10", endpoint=server.url, input="secret\n")
            self.assertIn("Requests/sec:", done.stdout)
            done = self.run_tool(*tls, "--user=root:wrong", "put", "--total=10", endpoint=server.url, status=1)
            self.assertEqual(done.stderr, "Error: dial error: rpc error: code = InvalidArgument desc = etcdserver: authentication failed, invalid user ID or password\n")
            done = self.run_tool("put", "--total=10", endpoint=server.url, status=1)
            self.assertRegex(done.stderr, r"^Error: dial .*certificate")
