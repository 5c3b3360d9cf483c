"""What the server says of itself: the exposition against the table of etcd's metrics and a real etcd under the same load,
figures by resource and client, /debug/martlet, and a real Prometheus that scrapes it and evaluates every expression of the
dashboards and rules in the repository."""

import collections
import csv
import functools
import gzip
import http.client
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request

from harness import api, peers
from harness.case import Case, run
from harness.client import Client, KeepAlive, compare, op_delete, op_put, op_range, prefix_end
from harness.server import Server, free_port
from suites.http import parse_metrics

TABLE = pathlib.Path(__file__).resolve().parents[1] / "data/metrics.csv"
REPOSITORY = peers.REPOSITORY

#: Families of etcd that a martlet never has, with the reason.
NOT_HERE = {
    **{name: "there is no v2 store" for name in (
        "etcd_debugging_store_reads_failed_total", "etcd_debugging_store_reads_total",
        "etcd_debugging_store_writes_failed_total", "etcd_debugging_store_writes_total")},
}
#: Families whose first event takes what these tests do not have: other members.
NEEDS_MEMBERS = {
    "etcd_network_active_peers", "etcd_network_disconnected_peers_total", "etcd_network_peer_received_bytes_total",
    "etcd_network_peer_received_failures_total", "etcd_network_peer_round_trip_time_seconds", "etcd_network_peer_sent_bytes_total",
    "etcd_network_peer_sent_failures_total", "etcd_network_snapshot_receive_failures", "etcd_network_snapshot_receive_inflights_total",
    "etcd_network_snapshot_receive_success", "etcd_network_snapshot_receive_total_duration_seconds",
    "etcd_network_snapshot_send_failures", "etcd_network_snapshot_send_inflights_total", "etcd_network_snapshot_send_success",
    "etcd_network_snapshot_send_total_duration_seconds", "etcd_server_learner_promote_failures",
    # A broken stream is no event that a client can be relied on to cause.
    "etcd_network_server_stream_failures_total"}
ALLOWED_ONLY_HERE = ("martlet_",)


def only_martlet(test):
    return unittest.skipUnless(peers.is_martlet(peers.server()), "what only martlet has")(test)


def get(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.status, answer.headers, answer.read()


def scrape(server):
    return parse_metrics(get(server.url + "/metrics")[2].decode())


def debug(server, page):
    return json.loads(get(f"{server.url}/debug/martlet/{page}")[2])


def load(server, client):
    """A little of everything, the same on every server."""
    for i in range(20):
        client.put(b"load/%d" % i, b"v" * 100)
    for i in range(5):
        client.delete(b"load/%d" % i)
    client.range(b"load/", b"load0")
    client.range(b"load/7", serializable=True)
    try:
        client.range(b"load/7", revision=1000)
    except Exception:
        pass
    client.txn([compare(b"load/9", "version", "=", 1)], [op_put(b"load/9", b"x"), op_put(b"load/a", b"y")], [op_range(b"load/9")])
    client.txn([compare(b"load/9", "version", "=", 7)], [op_put(b"load/9", b"z")], [op_range(b"load/9"), op_range(b"load/a")])
    client.txn([], [op_range(b"load/9"), op_range(b"load/8")])
    with client.watch() as stream:
        stream.create(b"load/", b"load0")
        for i in range(10, 15):
            client.put(b"load/%d" % i, b"w")
        stream.events(5)
    lease = client.grant(60).ID
    client.put(b"load/leased", b"", lease=lease)
    with KeepAlive(client) as stream:
        stream.renew(lease)
    client.call("Lease.LeaseTimeToLive", ID=lease)
    client.call("Lease.LeaseRevoke", ID=lease)
    client.compact(client.revision(), physical=True)
    client.call("Maintenance.HashKV", revision=0)
    client.call("Maintenance.Hash")
    client.call("Maintenance.Defragment")
    for _ in client.call("Maintenance.Snapshot"):
        pass
    client.status()
    client.call("Cluster.MemberList")
    client.call("Auth.AuthStatus")
    for action in (1, 2):
        client.call("Maintenance.Alarm", action=action, memberID=client.status().header.member_id, alarm=1)
    for path in ("/health", "/livez", "/readyz", "/version"):
        get(server.url + path)
    # What happens in the background is over soon; both servers commit within a second.
    time.sleep(1.5)


def moved(before, after):
    """{(sample, labels): how much} of every counter and histogram that grew."""
    result = {}
    for family, (kind, samples) in after.items():
        old = before.get(family, (kind, {}))[1]
        for key, value in samples.items():
            if key[0].endswith("_bucket"):
                continue
            if (kind in ("counter", "histogram") or family.endswith("_total")) and value != old.get(key, 0):
                result[key] = value - old.get(key, 0)
    return result


class Table(Case):
    """The exposition against what etcd 3.7.1 has."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server("--metrics=extensive", "--snapshot-count=10"))
        client = cls.enterClassContext(Client(cls.server.address))
        load(cls.server, client)
        scrape(cls.server)
        cls.families = scrape(cls.server)
        cls.rows = list(csv.DictReader(TABLE.open()))

    def expected(self):
        if peers.version(peers.server()) >= (3, 7):
            return self.rows
        return [row for row in self.rows if row["in_3.5"] == "yes"]

    def test_every_family_is_there(self):
        missing = [row["metric"] for row in self.expected() if row["metric"] not in self.families
                   and row["metric"] not in NEEDS_MEMBERS and row["metric"] not in NOT_HERE and not row["metric"].startswith("go_")]
        self.assertEqual(missing, [])

    @only_martlet
    def test_and_no_other(self):
        known = {row["metric"] for row in self.rows}
        self.assertEqual([name for name in self.families if name not in known and not name.startswith(ALLOWED_ONLY_HERE)], [])
        self.assertEqual([name for name in self.families if name.startswith("go_") or name in NOT_HERE], [])

    def test_types_labels_and_buckets(self):
        for row in self.expected():
            kind, samples = self.families.get(row["metric"], (None, {}))
            if kind is None:
                continue
            with self.subTest(row["metric"]):
                self.assertEqual(kind, row["type"])
                if row["type"] == "summary":
                    continue
                wanted = {tuple(row["labels"].split()) if row["labels"] else ()}
                plain = {tuple(sorted(name for name, _ in pairs if name != "le")) for _, pairs in samples}
                self.assertEqual(plain, wanted)
                if row["type"] == "histogram":
                    bounds = collections.OrderedDict((dict(pairs)["le"], 1) for name, pairs in samples if name.endswith("_bucket"))
                    self.assertEqual(list(bounds), row["buckets"].split())

    def test_nothing_that_happened_is_still_zero(self):
        """Histograms and counters of what the load does have moved: none is a constant."""
        quiet = {
            # Nothing of these happened.
            "etcd_debugging_server_lease_expired_total", "etcd_server_health_failures", "etcd_server_heartbeat_send_failures_total",
            "etcd_server_learner_promote_successes", "etcd_server_proposals_failed_total", "etcd_server_read_indexes_failed_total",
            "etcd_server_slow_apply_total", "etcd_server_slow_read_indexes_total", "etcd_snap_db_fsync_duration_seconds",
            "etcd_snap_db_save_total_duration_seconds", "etcd_debugging_store_expires_total", "etcd_debugging_store_watch_requests_total",
            "etcd_grpc_proxy_events_coalescing_total", "etcd_debugging_server_watch_send_loop_progress_duration_seconds"}
        still = []
        for row in self.expected():
            kind, samples = self.families.get(row["metric"], (None, {}))
            if row["type"] not in ("counter", "histogram") or kind is None or row["metric"] in quiet:
                continue
            values = [value for (name, _), value in samples.items() if not name.endswith(("_bucket", "_sum"))]
            if not any(values):
                still.append(row["metric"])
        self.assertEqual(still, [])


class BesideEtcd(Case):
    """The same load on real etcd: what moved there moved here, and by as much where that is exact."""

    #: Moved by as much as etcd's.
    EXACT = (
        "etcd_mvcc_put_total", "etcd_mvcc_delete_total", "etcd_debugging_mvcc_events_total",
        "etcd_debugging_lease_granted_total", "etcd_debugging_lease_renewed_total", "etcd_debugging_lease_revoked_total",
        "etcd_debugging_lease_ttl_total_count", "etcd_debugging_lease_ttl_total_sum", "etcd_debugging_mvcc_total_put_size_in_bytes",
        "etcd_server_health_success", "etcd_mvcc_hash_duration_seconds_count", "etcd_mvcc_hash_rev_duration_seconds_count",
        "etcd_disk_backend_defrag_duration_seconds_count", "etcd_server_client_requests_total", "grpc_server_started_total",
        "grpc_server_handled_total", "grpc_server_msg_received_total", "etcd_server_healthchecks_total")
    #: Need not move here when they move there.
    EXCUSED = {
        "etcd_debugging_mvcc_keys_total": "keys that a compaction took",
        "etcd_debugging_store_reads_total": "no v2 store", "etcd_debugging_store_writes_total": "no v2 store",
        "etcd_debugging_store_reads_failed_total": "no v2 store", "etcd_debugging_store_writes_failed_total": "no v2 store",
        "etcd_debugging_mvcc_db_compaction_last": "a time",
        ("etcd_server_apply_duration_seconds_count", (("op", "unknown"), ("success", "true"), ("version", "v3"))):
            "what 3.5 calls so has the name AuthStatus here",
        ("grpc_server_handled_total", (("grpc_code", "Unavailable"), ("grpc_method", "LeaseKeepAlive"),
                                       ("grpc_service", "etcdserverpb.Lease"), ("grpc_type", "bidi_stream"))):
            "a client that ends its stream has cancelled it; etcd says Unavailable, which its own alert takes for a failure",
    }

    def measured(self, binary):
        with Server("--metrics=extensive", "--snapshot-count=10", binary=binary) as server, Client(server.address) as client:
            client.put(b"warm")
            time.sleep(0.3)
            before = scrape(server)
            load(server, client)
            return moved(before, scrape(server))

    def test_values_move_alike(self):
        if not peers.etcd():
            self.skipTest("no etcd to compare with")
        results = {}

        def take(name, binary):
            results[name] = self.measured(binary)
        threads = [threading.Thread(target=take, args=pair) for pair in (("here", peers.server()), ("there", peers.etcd()))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        here, there = results["here"], results["there"]
        names = {row["metric"] for row in csv.DictReader(TABLE.open())}

        def comparable(key):
            name, labels = key
            # A sum may be zero where a count is not: whole milliseconds, or phases that a log does not have.
            return name.removesuffix("_count") in names and name.startswith(("etcd_", "grpc_", "promhttp_")) \
                and name not in self.EXCUSED and key not in self.EXCUSED and dict(labels).get("version") != "v2"
        still = sorted(key for key in there if comparable(key) and key not in here)
        self.assertEqual(still, [], "moved in etcd and not here")
        for key in sorted(there):
            if key[0] in self.EXACT and key not in self.EXCUSED:
                with self.subTest(key):
                    self.assertEqual(here.get(key), there[key])


class Formats(Case):
    @classmethod
    def setUpClass(cls):
        cls.metrics_port = free_port()
        cls.server = cls.enterClassContext(Server(f"--listen-metrics-urls=http://127.0.0.1:{cls.metrics_port}"))
        client = cls.enterClassContext(Client(cls.server.address))
        for i in range(10):
            client.put(b"/registry/pods/a/%d" % i, b"v")
        client.range(b"/registry/pods/", b"/registry/pods0")

    def promtool(self, *arguments, **options):
        tool = peers.prometheus("promtool")
        if not tool:
            self.skipTest("no promtool: scripts/test fetches it")
        return run([tool, *arguments], **options)

    def test_basic_has_no_handling_times(self):
        self.assertNotIn("grpc_server_handling_seconds", scrape(self.server))

    @only_martlet
    def test_openmetrics(self):
        for accept in ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"):
            _, headers, body = get(self.server.url + "/metrics", Accept=accept)
            self.assertTrue(headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8"), headers["Content-Type"])
            text = body.decode()
            self.assertTrue(text.endswith("\n# EOF\n"))
            self.assertEqual(text.count("# EOF"), 1)
            families = {}
            for line in text.splitlines()[:-1]:
                if line.startswith("# TYPE "):
                    _, _, name, kind = line.split(" ")
                    self.assertNotIn(name, families)
                    families[name] = kind
                    current = name
                    if kind == "counter":
                        self.assertFalse(name.endswith("_total"), name)
                elif not line.startswith("#"):
                    name, value = re.match(r"([^{ ]+)(?:\{.*\})? (\S+)$", line).groups()
                    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(families[current], ("",))
                    self.assertIn(name, [current + suffix for suffix in suffixes], line)
                    float(value)
            self.assertEqual(families["grpc_server_started"], "counter")
            self.assertEqual(families["etcd_server_health_success"], "unknown")
            # Bounds are floats in this format.
            self.assertIn('le="1.0"', text)
        # Whoever takes the older format gets it, as from etcd.
        _, headers, _ = get(self.server.url + "/metrics", Accept="application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
        self.assertTrue(headers["Content-Type"].startswith("text/plain; version=0.0.4"))

    def test_gzip(self):
        _, headers, body = get(self.server.url + "/metrics", **{"Accept-Encoding": "gzip"})
        self.assertEqual(headers["Content-Encoding"], "gzip")
        self.assertIn("etcd_server_has_leader", parse_metrics(gzip.decompress(body).decode()))

    def test_metrics_listener(self):
        _, _, body = get(f"http://127.0.0.1:{self.metrics_port}/metrics")
        self.assertIn("etcd_server_has_leader", parse_metrics(body.decode()))

    def test_promtool_check_metrics(self):
        """Complaints are about names that are etcd's own, none of ours."""
        text = get(self.server.url + "/metrics")[2].decode()
        done = self.promtool("check", "metrics", input=text)
        names = {row["metric"] for row in csv.DictReader(TABLE.open())}
        for line in (done.stdout + done.stderr).splitlines():
            self.assertIn(line.split(" ")[0], names, line)


@only_martlet
class Resources(Case):
    """Figures by resource, against what the store says when everything is read."""

    SIZES = {"pods": 40, "services/specs": 7, "services/endpoints": 5, "example.com/widgets": 9, "leases": 3}

    def fill(self, client):
        for resource, count in self.SIZES.items():
            for i in range(count):
                client.put(f"/registry/{resource}/default/{i}".encode(), bytes(100 + 10 * i))
        for key in (b"/registry/health", b"plain", b"compact_rev_key", b"/registry/ranges"):
            client.put(key, b"x")

    def rows(self, server):
        return {row["resource"]: row for row in debug(server, "resources")["resources"]}

    def recount(self, client):
        """{resource: (keys, bytes, largest)} by reading everything."""
        counted = collections.defaultdict(lambda: [0, 0, 0])
        for kv in client.range(b"\0", b"\0").kvs:
            parts = kv.key.decode().split("/")
            name = "other"
            if len(parts) > 3 and parts[1] == "registry":
                name = "/".join(parts[2:4]) if "." in parts[2] or parts[2] == "services" else parts[2]
            size = kv.ByteSize()
            counted[name][0] += 1
            counted[name][1] += size
            counted[name][2] = max(counted[name][2], size)
        return {name: tuple(values) for name, values in counted.items()}

    def check(self, server, client, exact_largest=True):
        told = {name: (row["keys"], row["live_bytes"], row["largest_bytes"]) for name, row in self.rows(server).items() if row["keys"]}
        wanted = self.recount(client)
        if not exact_largest:
            for name, (_, _, largest) in wanted.items():
                self.assertTrue(largest <= told[name][2] <= largest * 1.26, (name, largest, told[name]))
            told, wanted = ({name: values[:2] for name, values in one.items()} for one in (told, wanted))
        self.assertEqual(told, wanted)

    def test_what_is_stored(self):
        with Server() as server, Client(server.address) as client:
            self.fill(client)
            self.check(server, client)
            history = self.rows(server)
            self.assertEqual(sum(row["history_bytes"] for row in history.values()), 0)
            # New versions, other sizes, deletions.
            for i in range(10):
                client.put(f"/registry/pods/default/{i}".encode(), bytes(20))
            client.delete(b"/registry/pods/default/39")
            client.delete(b"/registry/leases/", b"/registry/leases0")
            client.txn([], [op_delete(b"/registry/example.com/widgets/default/0"), op_put(b"/registry/secrets/a/b", b"s")])
            self.check(server, client, exact_largest=False)
            rows = self.rows(server)
            self.assertGreater(rows["pods"]["history_bytes"], 10 * 100)
            self.assertEqual((rows["leases"]["keys"], rows["leases"]["live_bytes"], rows["leases"]["deletes"]), (0, 0, 3))
            self.assertEqual((rows["pods"]["puts"], rows["pods"]["deletes"]), (50, 1))
            # The same after a start from the checkpoint, and from the log alone.
            stored = {name: {k: row[k] for k in ("keys", "live_bytes", "history_bytes")} for name, row in rows.items() if row["keys"] or row["history_bytes"]}
            for end in ("stop", "kill"):
                client.close()
                server.stop() if end == "stop" else server.kill()
                server.start()
                client = self.enterContext(Client(server.address))
                self.check(server, client)
                again = {name: {k: row[k] for k in ("keys", "live_bytes", "history_bytes")} for name, row in self.rows(server).items() if row["keys"] or row["history_bytes"]}
                self.assertEqual(again, stored, end)
            client.compact(client.revision(), physical=True)
            self.check(server, client)
            history = {name: row["history_bytes"] for name, row in self.rows(server).items() if row["history_bytes"]}
            # A tombstone at the compacted revision itself stays until the next one.
            self.assertLess(sum(history.values()), 200, history)
            # A snapshot, restored by etcd's tool, taken over.
            if not peers.etcdutl():
                self.skipTest("no etcdutl")
            wanted = self.recount(client)
            with tempfile.TemporaryDirectory() as work:
                file = pathlib.Path(work, "snapshot")
                file.write_bytes(b"".join(part.blob for part in client.call("Maintenance.Snapshot")))
                with_dir = pathlib.Path(work, "data")
                other = Server(data_dir=with_dir)
                run([peers.etcdutl(), "snapshot", "restore", str(file), "--data-dir", str(with_dir), "--name", other.name,
                     "--initial-cluster", f"{other.name}={other.peer_url}", "--initial-advertise-peer-urls", other.peer_url], check=True)
                with other, Client(other.address) as second:
                    self.check(other, second)
                    self.assertEqual({n: v[:2] for n, v in self.recount(second).items()}, {n: v[:2] for n, v in wanted.items()})

    def test_what_moves(self):
        with Server("--resource-prefixes=/registry,/other/", "--resource-metrics-max=3") as server, Client(server.address) as client:
            client.put(b"/registry/pods/a/b", b"v" * 50)
            client.put(b"/other/things/x", b"v")
            answer = client.range(b"/registry/pods/", b"/registry/pods0")
            client.range(b"/registry/pods/", b"/registry/pods0", count_only=True)
            client.range(b"/registry/pods/a/b")
            client.range(b"/registry/pods/a/none")
            client.range(b"/registry/nothing/a/none")
            client.txn([], [op_range(b"/registry/pods/a/b")])
            client.txn([compare(b"/registry/pods/a/b", "version", "=", 9)], [op_put(b"/registry/pods/a/b", b"")], [op_range(b"/registry/pods/a/b")])
            with client.watch() as stream:
                stream.create(b"/registry/pods/", b"/registry/pods0")
                stream.create(b"/registry/configmaps/", b"/registry/configmaps0")
                client.put(b"/registry/pods/a/c", b"v" * 60)
                stream.events(1)
                rows = self.rows(server)
                self.assertEqual((rows["pods"]["watchers"], rows["configmaps"]["watchers"]), (1, 1))
                for name in (b"jobs", b"nodes", b"secrets"):
                    client.put(b"/registry/" + name + b"/a/b", b"v")
                families = scrape(server)
            rows = self.rows(server)
            pods = rows["pods"]
            self.assertEqual({k: pods[k] for k in ("puts", "gets", "transaction_reads", "lists", "list_keys", "watches", "watch_events")},
                             {"puts": 2, "gets": 3, "transaction_reads": 1, "lists": 2, "list_keys": 1, "watches": 1, "watch_events": 1})
            self.assertEqual(pods["put_bytes"], 2 * len("/registry/pods/a/b") + 110)
            self.assertGreater(pods["list_bytes"], answer.kvs[0].ByteSize())
            self.assertGreater(pods["watch_bytes"], 60)
            self.assertEqual((rows["things"]["puts"], rows["other"]["gets"], rows["nothing"]["gets"] if "nothing" in rows else 0), (1, 1, 0))
            # Three have series of their own in /metrics, the rest is together.
            series = families["martlet_resource_keys"][1]
            self.assertEqual({dict(labels)["resource"]: value for (_, labels), value in series.items()},
                             {"other": 3, "pods": 2, "things": 1, "configmaps": 0})
            written = {dict(labels)["resource"]: value for (_, labels), value in families["martlet_resource_ops_total"][1].items()
                       if dict(labels)["op"] == "put"}
            self.assertEqual(written, {"other": 3, "pods": 2, "things": 1})

    def test_sorted_and_limited(self):
        with Server() as server, Client(server.address) as client:
            self.fill(client)
            rows = debug(server, "resources?sort=puts&limit=2")["resources"]
            self.assertEqual([row["resource"] for row in rows], ["pods", "example.com/widgets"])
            rows = debug(server, "resources?sort=live_bytes&limit=1")["resources"]
            self.assertEqual((rows[0]["resource"], rows[0]["largest_key"]), ("pods", "/registry/pods/default/39"))


@only_martlet
class Pages(Case):
    def test_clients(self):
        with Server() as server, Client(server.address) as first, \
                Client(server.address, options=[("grpc.primary_user_agent", "second/1.0")]) as second:
            for i in range(5):
                first.put(b"a", b"v" * 1000)
            for i in range(3):
                second.range(b"a")
            with self.fails_any():
                second.range(b"a", revision=99)
            rows = {row["user_agent"].split(" ")[0]: row for row in debug(server, "clients")["clients"]}
            self.assertEqual(set(rows), {"grpc-python/" + rows_version(rows), "second/1.0"})
            mine = rows["second/1.0"]
            self.assertEqual((mine["requests"], mine["errors"], mine["address"], mine["client"]), (4, 1, "127.0.0.1", ""))
            self.assertGreater(mine["sent_bytes"], 3000)
            other = next(row for agent, row in rows.items() if agent != "second/1.0")
            self.assertEqual((other["requests"], other["errors"]), (5, 0))
            self.assertGreater(other["received_bytes"], 5000)
            families = scrape(server)
            told = {dict(labels)["user_agent"].split(" ")[0]: value for (_, labels), value in families["martlet_client_requests_total"][1].items()}
            self.assertEqual(told["second/1.0"], 4)

    def fails_any(self):
        import grpc
        return self.assertRaises(grpc.RpcError)

    def test_users(self):
        with Server() as server, Client(server.address) as client:
            for call, fields in (("UserAdd", {"name": "root", "password": "p"}), ("RoleAdd", {"name": "root"}),
                                 ("UserGrantRole", {"user": "root", "role": "root"}), ("AuthEnable", {})):
                client.call(f"Auth.{call}", **fields)
            token = client.call("Auth.Authenticate", name="root", password="p").token
            for _ in range(4):
                client.call("KV.Put", key=b"/registry/pods/a", value=b"v", metadata=[("token", token)])
            rows = {row["client"]: row for row in debug(server, "clients")["clients"]}
            self.assertEqual(rows["root"]["requests"], 4)
            self.assertNotIn("largest_key", debug(server, "resources")["resources"][0])

    def test_a_stream_that_is_not_read(self):
        with Server() as server, Client(server.address) as client, Client(server.address) as slow:
            # Requests go out, answers are never asked for.
            wait = threading.Event()

            def requests():
                yield api.WatchRequest(create_request=api.WatchCreateRequest(key=b"/registry/pods/", range_end=b"/registry/pods0"))
                wait.wait(60)
            call = slow.stub("Watch.Watch")(requests())
            try:
                next(iter(call))
                value = bytes(500_000)
                for i in range(60):
                    client.put(b"/registry/pods/a/%d" % (i % 4), value)
                deadline = time.monotonic() + 20
                while time.monotonic() < deadline:
                    page = debug(server, "watches")
                    if page["streams_behind"]:
                        break
                    time.sleep(0.2)
                self.assertEqual((page["streams"], page["streams_behind"]), (1, 1))
                stream = page["slowest"][0]
                self.assertEqual((stream["watchers"], stream["watchers_behind"]), (1, 1))
                self.assertTrue(stream["address"].startswith("127.0.0.1:"))
                self.assertIn("grpc-python", stream["user_agent"])
                self.assertGreater(stream["lag_revisions"], 0)
                self.assertGreater(stream["queued_bytes"], 0)
                families = scrape(server)
                self.assertGreater(families["martlet_watch_lag_revisions"][1][("martlet_watch_lag_revisions", ())], 0)
                self.assertEqual(families["martlet_watch_streams_behind"][1][("martlet_watch_streams_behind", ())], 1)
            finally:
                wait.set()
                call.cancel()

    def test_shapes(self):
        port = free_port()
        with Server(f"--listen-metrics-urls=http://127.0.0.1:{port}") as server, Client(server.address) as client:
            client.put(b"/registry/pods/a/b", b"v")
            for base in (server.url, f"http://127.0.0.1:{port}"):
                pages = json.loads(get(base + "/debug/martlet")[2])["pages"]
                self.assertIn("/debug/martlet/resources", pages)
                for page in pages:
                    status, headers, body = get(base + page)
                    if headers["Content-Type"].startswith("application/json"):
                        json.loads(body)
                with self.assertRaises(urllib.error.HTTPError) as error:
                    get(base + "/debug/martlet/nope")
                self.assertEqual(error.exception.code, 404)
            queues = {row["queue"]: row for row in debug(server, "queues")["queues"]}
            self.assertEqual((queues["proposals"]["level"], queues["proposals"]["limit"]), (0, 20000))
            self.assertLessEqual({"linearizable_reads", "connections", "output_bytes", "unapplied_entries"}, set(queues))
            store = debug(server, "store")
            self.assertEqual((store["revision"], store["keys"], store["etcd_version"]), (2, 1, "3.7.1"))
            self.assertGreaterEqual(store["applied_index"], store["durable_index"])

    def test_a_scrape_is_small(self):
        """A control plane's: forty resources that are written, read and watched, twenty clients, default settings. Nearly 190 KB are
        etcd's own series, more than half of them the status codes of every method, which it has before the first call."""
        with Server() as server, Client(server.address) as client:
            resources = [f"resources{i:02}" if i < 30 else f"group{i}.example.com/resources{i}" for i in range(40)]
            prefixes = [f"/registry/{resource}/".encode() for resource in resources]
            lease = client.grant(600).ID
            with client.watch() as stream:
                for prefix in prefixes:
                    stream.create(prefix, prefix[:-1] + b"0")
                for prefix in prefixes:
                    for i in range(3):
                        key = prefix + b"default/%d" % i
                        client.txn([compare(key, "mod_revision", "=", 0)], [op_put(key, bytes(500 * i), lease=lease if i == 2 else 0)], [op_range(key)])
                        client.txn([compare(key, "mod_revision", ">", 0)], [op_put(key, bytes(400 * i))], [op_range(key)])
                        client.range(key)
                    client.txn([], [op_delete(prefix + b"default/0")], [])
                    client.range(prefix, prefix[:-1] + b"0", limit=500)
                stream.events(7 * len(resources))
                client.compact(100)
                for i in range(20):
                    agent = f"kube-component-{i}/v1.36.0 (linux/amd64) kubernetes/0123456"
                    with Client(server.address, options=[("grpc.primary_user_agent", agent)]) as one:
                        one.range(b"/registry/leases/kube-system/%d" % i)
                body = get(server.url + "/metrics")[2].decode()
                packed = get(server.url + "/metrics", **{"Accept-Encoding": "gzip"})[2]
            families = parse_metrics(body)
            self.assertEqual(len({dict(labels)["resource"] for _, labels in families["martlet_resource_live_bytes"][1]}), 40)
            self.assertEqual(len(families["martlet_client_requests_total"][1]), 21)
            # Services that nobody has called have no series, as in etcd.
            self.assertNotIn("v3lockpb", body)
            ours = sum(len(line) + 1 for line in body.splitlines() if "martlet_" in line)
            self.assertLess(ours, 58_000)
            self.assertLess(len(body) - ours, 190_000)
            self.assertLess(len(packed), 25_000)

    def test_a_scrape_is_bounded(self):
        """With twice as many resources and clients as have series of their own."""
        with Server() as server, Client(server.address) as client:
            load(server, client)
            for i in range(130):
                client.put(b"/registry/group%d.example.com/resources%d/a/b" % (i, i), b"v")
            for i in range(70):
                with Client(server.address, options=[("grpc.primary_user_agent", f"client-with-a-long-name-{i}/v1.36.0 (linux/amd64) kubernetes/0123456")]) as one:
                    one.range(b"a")
            body = get(server.url + "/metrics")[2]
            parse_metrics(body.decode())
            ours = sum(len(line) + 1 for line in body.decode().splitlines() if "martlet_" in line)
            self.assertLess(ours, 110_000)
            # As Prometheus asks for it.
            self.assertLess(len(get(server.url + "/metrics", **{"Accept-Encoding": "gzip"})[2]), 60_000)
            self.assertEqual(len(debug(server, "clients")["clients"]), 71)


def rows_version(rows):
    return next(agent for agent in rows if agent.startswith("grpc-python/")).split("/", 1)[1]


# Prometheus and the files in dashboards/ and manifests/.

def dashboard_expressions():
    for path in sorted((REPOSITORY / "dashboards").glob("*.json")):
        for one in json.loads(path.read_text())["panels"]:
            for target in one.get("targets", ()):
                yield f"{path.stem}: {one['title']}", target["expr"]


def rules():
    """The alerts of manifests/prometheus/rules.yml, whose expressions are JSON strings."""
    name = None
    for line in (REPOSITORY / "manifests/prometheus/rules.yml").read_text().splitlines():
        if match := re.match(r"  - alert: (\S+)", line):
            name = match[1]
        elif match := re.match(r"    expr: (.*)", line):
            yield name, json.loads(match[1])


#: Expressions without data are right on a single healthy member: there are no peers, nothing fails, is slow or behind.
EMPTY_IS_RIGHT = re.compile(
    "peer_|learner|martlet_read_index|martlet_index_lock_wait|lease_expiry_late|tls_|_pause_duration|"
    # What is filtered to what is wrong.
    "grpc_code!=\"OK\"")


class Files(Case):
    def test_made_from_their_descriptions(self):
        for name in ("dashboards/generate", "manifests/generate"):
            run(["python3", str(REPOSITORY / name), "--check"], check=True)

    def test_promtool(self):
        tool = peers.prometheus("promtool")
        if not tool:
            self.skipTest("no promtool: scripts/test fetches it")
        folder = REPOSITORY / "manifests/prometheus"
        run([tool, "check", "rules", str(folder / "rules.yml")], check=True)
        run([tool, "check", "config", str(folder / "prometheus.yml")], check=True)
        run([tool, "test", "rules", str(folder / "rules-test.yml")], check=True, cwd=folder)

    def test_unit(self):
        tool = shutil.which("systemd-analyze")
        if not tool:
            self.skipTest("no systemd-analyze")
        with tempfile.TemporaryDirectory() as work:
            text = (REPOSITORY / "manifests/systemd/martlet.service").read_text()
            unit = pathlib.Path(work, "martlet.service")
            # The program it names is not installed here.
            unit.write_text(text.replace("ExecStart=/usr/local/bin/martlet", "ExecStart=/bin/true"))
            done = run([tool, "verify", str(unit)])
            self.assertEqual([line for line in done.stderr.splitlines() if "martlet.service" in line], [])

    def test_dashboards_are_whole(self):
        uids = set()
        for path in (REPOSITORY / "dashboards").glob("*.json"):
            board = json.loads(path.read_text())
            uids.add(board["uid"])
            ids = [one["id"] for one in board["panels"]]
            self.assertEqual(len(ids), len(set(ids)))
            for one in board["panels"]:
                self.assertLessEqual(one["gridPos"]["x"] + one["gridPos"]["w"], 24)
        self.assertEqual(len(uids), 5)


class Load(threading.Thread):
    """Keeps a server a little busy with what Kubernetes does."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.ended = server, threading.Event()

    def run(self):
        with Client(self.server.address) as client, client.watch() as stream:
            stream.create(b"/registry/", b"/registry0")
            lease, number = client.grant(600).ID, 0
            while not self.ended.is_set():
                number += 1
                key = b"/registry/pods/default/%d" % (number % 50)
                client.put(key, b"v" * 300)
                client.txn([compare(key, "version", ">", 0)], [op_put(b"/registry/leases/a/b", b"x", lease=lease)], [])
                client.range(b"/registry/pods/", b"/registry/pods0", limit=20)
                client.range(key)
                if number % 20 == 0:
                    client.delete(key)
                if number % 40 == 0:
                    client.compact(client.revision() - 5, physical=True)


class Prometheus(Case):
    """Debian's Prometheus scrapes a loaded server and answers every expression that the repository has."""

    def query(self, expression):
        url = f"http://127.0.0.1:{self.port}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        try:
            return json.loads(get(url)[2])["data"]["result"]
        except urllib.error.HTTPError as error:
            self.fail(f"{expression}: {error.read().decode()}")

    @only_martlet
    def test_every_expression(self):
        binary = peers.prometheus()
        if not binary:
            self.skipTest("no prometheus: scripts/test fetches it")
        work = pathlib.Path(tempfile.mkdtemp(prefix="martlet-prometheus-"))
        self.addCleanup(shutil.rmtree, work, True)
        server = self.enterContext(Server("--metrics=extensive"))
        load_thread = Load(server)
        load_thread.start()
        self.addCleanup(load_thread.join, 20)
        self.addCleanup(load_thread.ended.set)
        (work / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "1s"},
            "rule_files": [str(REPOSITORY / "manifests/prometheus/rules.yml")],
            "scrape_configs": [{"job_name": "etcd", "static_configs": [{"targets": [server.address]}]}]}))
        self.port = free_port()
        log = (work / "log").open("w")
        process = subprocess.Popen(
            [binary, f"--config.file={work}/prometheus.yml", f"--storage.tsdb.path={work}/data",
             f"--web.listen-address=127.0.0.1:{self.port}"], stdout=log, stderr=log)
        self.addCleanup(process.wait, 20)
        self.addCleanup(process.terminate)
        self.addCleanup(log.close)

        def scrapes():
            try:
                return sum(float(row["value"][1]) for row in self.query('count_over_time(up{job="etcd"}[1m])'))
            except (urllib.error.URLError, http.client.HTTPException, ConnectionError):
                return 0
        deadline = time.monotonic() + 60
        while scrapes() < 16:
            self.assertLess(time.monotonic(), deadline, (work / "log").read_text())
            time.sleep(0.3)
        target = json.loads(get(f"http://127.0.0.1:{self.port}/api/v1/targets")[2])["data"]["activeTargets"][0]
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))
        empty = []
        for name, expression in dashboard_expressions():
            expression = expression.replace("$__rate_interval", "5s").replace("$cluster", "etcd").replace("$instance", ".*")
            self.assertNotIn("$", expression)
            if not self.query(expression) and not EMPTY_IS_RIGHT.search(expression):
                empty.append((name, expression))
        self.assertEqual(empty, [], "expressions of dashboards without data")
        # An alert's expression is empty while all is well; its sides have data.
        for name, expression in rules():
            self.query(expression)
            for side in sides(expression):
                if not self.query(side) and not EMPTY_IS_RIGHT.search(side):
                    empty.append((name, side))
        self.assertEqual(empty, [], "expressions of alerts without data")
        groups = json.loads(get(f"http://127.0.0.1:{self.port}/api/v1/rules")[2])["data"]["groups"]
        states = {rule["name"]: (rule["health"], rule["state"]) for group in groups for rule in group["rules"]}
        self.assertEqual({name for name, (health, _) in states.items() if health != "ok"}, set())
        firing = {name for name, (_, state) in states.items() if state == "firing"}
        self.assertEqual(firing, set())


def sides(expression):
    """Every metric that an expression selects, by itself."""
    return sorted(set(re.findall(r"[a-z][a-z0-9_]*_[a-z0-9_]*\{[^}]*\}", expression)))
