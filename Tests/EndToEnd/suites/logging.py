"""Logs: in the words of real etcd, field by field; rotated; whole after kills; lines that cannot be written are dropped, counted and
said, and nobody waits for them. And the audit log."""

import base64
import gzip
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.request

import grpc

from harness import api, peers
from harness.case import Case, flag
from harness.client import Client, compare, op_delete, op_put, op_range
from harness.server import READY, Server, free_port
from suites.disk import SmallDisk

SLOW = ("apply request took too long", "request stats")
#: What differs from call to call, or is ours.
VARIES = {"ts", "caller", "took", "start time", "time spent", "remote"}
OURS = {"user", "client-cn", "user-agent", "resource", "key", "revision", "status", "request-steps", "slowest-step", "trace-id"}


def fetch(server, path, method="GET", body=None, headers=None):
    request = urllib.request.Request(server.url + path, data=body, method=method, headers=headers or {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, answer.read().decode()


def metric(server, name):
    for line in fetch(server, "/metrics")[1].splitlines():
        if line.split(" ")[0].split("{")[0] == name:
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError(f"no metric {name}")


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it did not come to pass")
        time.sleep(0.02)


def provoke(client):
    """Requests of every kind whose lines tell something of them."""
    client.put(b"/registry/pods/default/a", b"xx")
    lease = client.grant(100).ID
    client.put(b"leased", b"value", lease=lease)
    client.put(b"odd \"\\\n\xff", b"")
    client.range(b"/registry/pods/default/a")
    client.range(b"/registry", b"/registrz", sort_order=2, sort_target=2, keys_only=True, limit=7)
    client.range(b"/registry", b"/registrz", serializable=True, count_only=True)
    client.range(b"\0", b"\0", min_mod_revision=1, max_create_revision=9)
    client.range(b"missing")
    for broken in ({"revision": 10_000},):
        try:
            client.range(b"x", **broken)
        except grpc.RpcError:
            pass
    client.txn([compare(b"k", "mod_revision", ">", 0)], [op_put(b"k", b"v"), op_range(b"k")], [op_range(b"k")])
    client.txn(
        [compare(b"k", "value", "=", b"nope"), compare(b"k", "version", "<", 3)],
        [op_put(b"k", b"1")], [op_put(b"k", b"22"), op_put(b"k2", b"22"), op_delete(b"gone", b"gonf", prev_kv=True)])
    client.txn([], [op_range(b"k"), op_range(b"/", b"0")], [])
    client.delete(b"/registry", b"/registrz", prev_kv=True)
    client.compact(3)
    client.call("Lease.LeaseRevoke", ID=lease)
    client.call("Auth.RoleAdd", name="r")
    client.call("Auth.UserAdd", name="u", password="secret")
    client.call("Auth.UserGrantRole", user="u", role="r")
    client.call("Cluster.MemberList")


def slow_lines(entries):
    """The lines about requests, without what varies."""
    lines = []
    for entry in entries:
        if entry.get("msg") in SLOW and "/0/" not in entry.get("request", ""):
            text = json.dumps({name: value for name, value in entry.items() if name not in VARIES | OURS})
            text = re.sub(r"ID:\d+ ", "ID:N ", text)
            text = re.sub(r"id:[0-9a-f]{16}", "id:N", text)
            text = re.sub(r"lease:\d+", "lease:N", text)
            lines.append(json.loads(text))
    return lines


class Words(Case):
    """The same requests to martlet and to real etcd, both told to find everything slow."""

    @unittest.skipUnless(peers.etcd(), "no real etcd")
    def test_slow_requests_are_told_as_etcd_tells_them(self):
        told, ports = {}, (free_port(), free_port())
        for name, binary in (("tested", None), ("etcd", peers.etcd())):
            version = peers.version(binary or peers.server())
            option = "--warning-apply-duration" if version >= (3, 6) else "--experimental-warning-apply-duration"
            server = Server("--log-level=debug", f"{option}=1ns", binary=binary)
            # The same addresses make the same ids, and so answers of the same size.
            server.client_port, server.peer_port = ports
            with server, Client(server.address) as client:
                provoke(client)
                server.wait_for_line("/etcdserverpb.Cluster/MemberList")
                time.sleep(0.1)
                entries = [e for e in map(self.entry, list(server.lines)) if e]
                told[name] = slow_lines(entries)
                order = [list(e)[:4] for e in entries if e.get("msg") in SLOW]
                self.assertTrue(all(fields == ["level", "ts", "caller", "msg"] for fields in order))
        # Entries of the members' own come when they come.
        own = re.compile(r"cluster_version_set|cluster_member_attr_set|^header:<ID:N > $")
        tested = [line for line in told["tested"] if not own.search(line.get("request", ""))]
        etcd = [line for line in told["etcd"] if not own.search(line.get("request", ""))]
        differences = [(ours, theirs) for ours, theirs in zip(tested, etcd) if list(ours.items()) != list(theirs.items())]
        self.assertEqual(differences, [], "\n".join(f"\n{ours}\n{theirs}" for ours, theirs in differences))
        self.assertEqual(len(tested), len(etcd))
        self.assertGreater(len(etcd), 30)
        self.assertNotIn("secret", json.dumps(told["tested"]))

    @staticmethod
    def entry(line):
        try:
            return json.loads(line)
        except ValueError:
            return None

    def test_a_slow_request_says_who_and_which_step(self):
        with Server(f"{flag('warning-unary-request-duration')}=1ns") as server, Client(server.address) as client:
            client.put(b"/registry/apps.example.com/widgets/default/w", b"secret value")
            number = server.wait_for_line('"msg":"request stats"')
            line = json.loads(server.lines[number])
            self.assertEqual(line["level"], "warn")
            self.assertEqual(line["resource"], "widgets.apps.example.com")
            self.assertEqual(line["revision"], 2)
            self.assertIn("grpc-python", line["user-agent"])
            self.assertRegex(line["remote"], r"^127\.0\.0\.1:\d+$")
            names = [step.rsplit(" ", 1)[0] for step in line["request-steps"]]
            self.assertEqual(names, ["queued", "proposed", "appended", "fsynced", "committed", "applied", "encoded",
                                     "flow control wait", "flushed"])
            self.assertIn(line["slowest-step"], names)
            self.assertNotIn("secret", server.lines[number])
            client.range(b"/registry/apps.example.com/widgets/default/w")
            number = server.wait_for_line("KV/Range", after=number)
            names = [step.rsplit(" ", 1)[0] for step in json.loads(server.lines[number])["request-steps"]]
            self.assertEqual(names, ["queued", "ranged", "encoded", "flow control wait", "flushed"])

    def test_the_requests_page(self):
        with Server(f"{flag('warning-unary-request-duration')}=1ns") as server, Client(server.address) as client:
            client.put(b"/registry/pods/<b>&x", b"v")
            server.wait_for_line('"msg":"request stats"')
            wait_until(lambda: json.loads(fetch(server, "/debug/martlet/requests")[1])["last"])
            shown = json.loads(fetch(server, "/debug/martlet/requests")[1])
            self.assertEqual(shown["last"][0]["key"], "/registry/pods/<b>&x")
            self.assertEqual(shown["slowest"][0]["resource"], "pods")
            self.assertAlmostEqual(sum(step["seconds"] for step in shown["last"][0]["steps"]), shown["last"][0]["seconds"], 6)
            page = fetch(server, "/debug/martlet/requests", headers={"Accept": "text/html"})[1]
            self.assertIn("/registry/pods/&lt;b&gt;&amp;x", page)
            self.assertNotIn("<b>", page)
            with self.assertRaises(urllib.error.HTTPError) as refused:
                fetch(server, "/debug/martlet/requests", "POST", b"")
            self.assertEqual(refused.exception.code, 405)

    def test_operators_only_with_authentication(self):
        with Server() as server, Client(server.address) as client:
            client.call("Auth.UserAdd", name="root", password="p")
            client.call("Auth.RoleAdd", name="root")
            client.call("Auth.UserGrantRole", user="root", role="root")
            client.call("Auth.AuthEnable")
            for path, method in (("/debug/martlet/requests", "GET"), ("/config/local/log", "GET"), ("/config/local/log", "PUT")):
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    fetch(server, path, method, b"{}" if method == "PUT" else None)
                self.assertEqual(refused.exception.code, 403)
            token = client.call("Auth.Authenticate", name="root", password="p").token
            self.assertEqual(fetch(server, "/debug/martlet/requests", headers={"Authorization": token})[0], 200)


class Level(Case):
    def test_the_level_changes_while_the_server_runs(self):
        with Server() as server, Client(server.address) as client:
            self.assertEqual(json.loads(fetch(server, "/config/local/log")[1]), {"level": "info"})
            client.put(b"quiet", b"")
            self.assertEqual(fetch(server, "/config/local/log", "PUT", b'{"Level":"DEBUG"}')[0], 204)
            client.put(b"loud", b"")
            server.wait_for_line('"request content":"key:\\"loud\\"')
            self.assertEqual(fetch(server, "/config/local/log", "PUT", b'{"level":"error"}')[0], 204)
            self.assertEqual(json.loads(fetch(server, "/config/local/log")[1]), {"level": "error"})
            count = len(server.lines)
            client.put(b"quiet", b"")
            for body, text in ((b"{", "Invalid json body"), (b'{"Level":"LOUD"}', "Invalid log level LOUD"), (b"{}", "Invalid log level ")):
                with self.assertRaises(urllib.error.HTTPError) as refused:
                    fetch(server, "/config/local/log", "PUT", body)
                self.assertEqual(refused.exception.code, 400)
                self.assertEqual(json.loads(refused.exception.read()), {"message": text})
            self.assertFalse(any('"key:\\"quiet\\"' in line for line in server.lines))
            self.assertLessEqual(len(server.lines) - count, 1)


def rotation(directory, **settings):
    path = pathlib.Path(directory) / "etcd.log"
    return path, (f"--log-outputs={path},stderr", "--enable-log-rotation", "--log-rotation-config-json=" + json.dumps(settings))


BACKUP = re.compile(r"^etcd-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}\.log(\.gz)?$")
TALKATIVE = ("--log-level=debug", "--slow-request-log-rate=100000", f"{flag('warning-apply-duration')}=1ns")


def lines_of(path):
    data = path.read_bytes()
    return (gzip.decompress(data) if path.suffix == ".gz" else data).decode().splitlines()


class Rotation(Case):
    def setUp(self):
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="martlet-log-")))

    def backups(self):
        return sorted(p for p in self.directory.iterdir() if p.name != "etcd.log")

    @staticmethod
    def fill(client, count=400, size=6000):
        """Each line names a key, so each put is some kilobytes of log."""
        futures = [threading.Thread(target=lambda n=n: [client.put(b"%d/" % n + os.urandom(4).hex().encode() * (size // 8))
                                                         for _ in range(count // 4)]) for n in range(4)]
        for each in futures:
            each.start()
        for each in futures:
            each.join()

    def test_rotation_over_kills(self):
        """Backups are named as lumberjack names them, whole, readable by gzip, and as many as asked for, with kill -9 in between."""
        log, flags = rotation(self.directory, maxsize=1, maxbackups=4, compress=True)
        with Server(*flags, *TALKATIVE) as server:
            # What a kill while compressing leaves, and what only looks like a backup.
            (self.directory / "etcd-2020-01-02T03-04-05.678.log.gz.tmp").write_bytes(b"half")
            (self.directory / "etcd-notabackup.log").write_bytes(b"keep")
            for round in range(3):
                with Client(server.address) as client:
                    self.fill(client, 240)
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
                server.start()
            wait_until(lambda: [p.name for p in self.backups() if p.name.endswith(".tmp")] == [])
            wait_until(lambda: all(p.suffix == ".gz" for p in self.backups() if BACKUP.match(p.name)))
            wait_until(lambda: len([p for p in self.backups() if BACKUP.match(p.name)]) == 4)
            self.assertEqual(server.stop(), 143)
        others = [p.name for p in self.backups() if not BACKUP.match(p.name)]
        self.assertEqual(others, ["etcd-notabackup.log"])
        for path in [log] + [p for p in self.backups() if BACKUP.match(p.name)]:
            self.assertLessEqual(len(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()), 1 << 20)
            self.assertEqual(subprocess.run(["gzip", "-t", path], capture_output=True).returncode if path.suffix == ".gz" else 0, 0)
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            lines = lines_of(path)
            for number, line in enumerate(lines):
                # A kill may cut the last line that was written before it, which then is continued by no other.
                try:
                    json.loads(line)
                except ValueError:
                    self.fail(f"{path.name}:{number + 1}: {line[:200]}")

    def test_clock_that_goes_back_overwrites_nothing(self):
        """Backups from the future, as after a clock was set back, stay; new ones get names of their own."""
        log, flags = rotation(self.directory, maxsize=1)
        future = [self.directory / f"etcd-2099-01-0{n}T00-00-00.000.log" for n in (1, 2, 3)]
        for path in future:
            path.write_text(path.name)
        with Server(*flags, *TALKATIVE) as server, Client(server.address) as client:
            self.fill(client, 200)
            wait_until(lambda: metric(server, "martlet_log_rotations_total") >= 1)
        for path in future:
            self.assertEqual(path.read_text(), path.name)
        self.assertGreaterEqual(len(self.backups()), 4)

    def test_age(self):
        log, flags = rotation(self.directory, maxsize=1, maxage=2)
        old = self.directory / "etcd-2020-01-01T00-00-00.000.log"
        old.write_text("old")
        zipped = self.directory / "etcd-2020-01-01T00-00-01.000.log.gz"
        zipped.write_bytes(gzip.compress(b"old"))
        with Server(*flags):
            wait_until(lambda: not old.exists() and not zipped.exists())

    def test_hangup_reopens(self):
        path = self.directory / "plain.log"
        with Server(f"--log-outputs={path},stderr", "--log-level=debug") as server, Client(server.address) as client:
            moved = self.directory / "moved.log"
            path.rename(moved)
            server.process.send_signal(signal.SIGHUP)
            wait_until(path.exists)
            client.put(b"after the hangup", b"")
            wait_until(lambda: "after the hangup" in path.read_text())
            self.assertNotIn("after the hangup", moved.read_text())
            self.assertIn(READY, moved.read_text())

    def test_a_full_disk_loses_lines_and_nothing_else(self):
        with SmallDisk(3) as disk:
            log, flags = rotation(disk.path, maxsize=1)
            with Server(*flags, *TALKATIVE) as server, Client(server.address) as client:
                self.fill(client, 400, 8000)
                wait_until(lambda: metric(server, "martlet_log_lines_dropped_total") > 0)
                client.put(b"still served", b"")
                server.wait_for_line("log output fails")
                for path in disk.path.iterdir():
                    if path != log:
                        path.unlink()
                client.put(b"with space again", b"")
                wait_until(lambda: (client.put(b"x", b""), '"log lines were dropped"' in log.read_text())[1])
                # None is torn, whatever the disk did.
                for line in log.read_text().splitlines():
                    json.loads(line)


class Stalled(Case):
    def test_a_reader_that_does_not_read(self):
        """A pipe nobody reads fills; requests go on at their pace, the other output has its lines, drops are counted, and said once
        somebody reads again."""
        with tempfile.TemporaryDirectory() as directory:
            fifo = os.path.join(directory, "pipe")
            other = pathlib.Path(directory) / "other.log"
            os.mkfifo(fifo)
            reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
            server = Server(f"--log-outputs={fifo},{other}", *TALKATIVE)
            try:
                server.spawn()
                wait_until(lambda: other.exists() and READY in other.read_text())
                with Client(server.address) as client:
                    deadline = time.monotonic() + 30
                    while metric(server, "martlet_log_lines_dropped_total") == 0:
                        Rotation.fill(client, 400, 6000)
                        self.assertLess(time.monotonic(), deadline, "nothing is dropped")
                    # Said by the thread of the other output.
                    wait_until(lambda: "nobody takes what is written" in other.read_text())
                    client.put(b"the other output goes on", b"")
                    wait_until(lambda: "the other output goes on" in other.read_text())
                    seen = b""
                    deadline = time.monotonic() + 20
                    while b"log lines were dropped" not in seen:
                        try:
                            seen = seen[-100:] + os.read(reader, 1 << 20)
                        except BlockingIOError:
                            time.sleep(0.01)
                        self.assertLess(time.monotonic(), deadline, "the drops are not said")
                self.assertEqual(server.stop(), 143)
            finally:
                server.close()
                os.close(reader)


class Flood(Case):
    def test_too_many_slow_requests_are_counted_and_said(self):
        """Every request is slow and there are more than are asked for: lines up to the rate, the rest counted, and said."""
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "log"
            server = Server("--slow-request-log-rate=20", f"{flag('warning-apply-duration')}=1ns", f"--log-outputs={path}")
            try:
                server.spawn()
                wait_until(lambda: path.exists() and READY in path.read_text())
                with Client(server.address) as client:
                    count = 0
                    # As fast as it goes, until a second has had more of them than its share.
                    while metric(server, "martlet_slow_request_lines_dropped_total") == 0:
                        for future in [client.stub("KV.Put").future(api.PutRequest(key=b"key/%d" % n)) for n in range(500)]:
                            future.result(20)
                        count += 500
                        self.assertLess(count, 100_000, "nothing is dropped")
                    # What is asked for after the storm is told again.
                    wait_until(lambda: "slow requests were not logged" in path.read_text())
                    wait_until(lambda: (client.put(b"after/the/storm", b""), "after/the/storm" in path.read_text())[1])
                    slow = metric(server, "etcd_server_slow_apply_total")
                    wait_until(lambda: metric(server, "martlet_slow_requests_queued") == 0)
                    lost = metric(server, "martlet_slow_request_lines_dropped_total") + metric(server, "martlet_slow_requests_dropped_total")
                    written = [json.loads(line) for line in path.read_text().splitlines()]
                self.assertGreaterEqual(slow, count)
                lines = sum(line["msg"] == SLOW[0] for line in written)
                self.assertLess(lines, count)
                # Each apply has its line, or is among those that have none.
                self.assertGreaterEqual(lines + lost, count)
                said = [line for line in written if line["msg"] == "slow requests were not logged"]
                self.assertGreater(sum(line["lines"] for line in said), 0)
            finally:
                server.close()


class Audit(Case):
    def test_who_changed_what(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "audit.log"
            with Server(f"--audit-log-output={path}") as server, Client(server.address) as client:
                client.put(b"/registry/pods/a", b"top secret")
                client.delete(b"/registry/", b"/registry0")
                client.txn([compare(b"k", "version", "=", 0)], [op_put(b"k", b"top secret")], [op_put(b"other", b"")])
                client.txn([], [op_range(b"k")], [])
                client.put(b"\xff\xfe", b"")
                lease = client.grant(60).ID
                client.range(b"k")
                client.call("Auth.UserAdd", name="alice", password="top secret")
                with self.assertRaises(grpc.RpcError):
                    client.put(b"", b"no key")
                with self.assertRaises(grpc.RpcError):
                    client.put(b"x", b"", lease=77)
                wait_until(lambda: path.read_text().count("\n") == 8)
                lines = [json.loads(line) for line in path.read_text().splitlines()]
                self.assertNotIn("top secret", path.read_text())
                self.assertEqual([line["method"].rsplit("/", 1)[1] for line in lines],
                                 ["Put", "DeleteRange", "Txn", "Put", "LeaseGrant", "UserAdd", "Put", "Put"])
                self.assertEqual(lines[0]["changes"], [{"op": "put", "key": "/registry/pods/a"}])
                self.assertEqual([line.get("revision") for line in lines[:4]], [2, 3, 4, 5])
                self.assertEqual(lines[1]["changes"], [{"op": "delete", "key": "/registry/", "prefix": True}])
                self.assertEqual((lines[2]["changes"], lines[2]["succeeded"]), ([{"op": "put", "key": "k"}], True))
                self.assertEqual(lines[3]["changes"], [{"op": "put", "key-base64": base64.b64encode(b"\xff\xfe").decode()}])
                self.assertEqual(lines[4]["lease"], f"{lease:x}")
                self.assertEqual(lines[5]["subject-user"], "alice")
                self.assertEqual(lines[6]["result"], "InvalidArgument")
                self.assertEqual((lines[7]["result"], lines[7]["error"]), ("NotFound", "etcdserver: requested lease not found"))
                self.assertTrue(all(line["result"] == "OK" for line in lines[:6]))
                self.assertTrue(all("grpc-python" in line["user-agent"] and line["address"] for line in lines))

    def test_filters_and_users(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "audit.log"
            with Server(f"--audit-log-output={path}", "--audit-log-key-prefixes=/a/,/b/", "--audit-log-methods=Put,DeleteRange") as server:
                with Client(server.address) as client:
                    for name in ("root", "bob"):
                        client.call("Auth.UserAdd", name=name, password="p")
                    client.call("Auth.RoleAdd", name="root")
                    client.call("Auth.UserGrantRole", user="root", role="root")
                    client.call("Auth.AuthEnable")
                    token = [(("token", client.call("Auth.Authenticate", name=name, password="p").token)) for name in ("root", "bob")]
                    client.call("KV.Put", key=b"/a/1", value=b"", metadata=[token[0]])
                    client.call("KV.Put", key=b"/c/1", value=b"", metadata=[token[0]])
                    client.call("KV.DeleteRange", key=b"\0", range_end=b"\0", metadata=[token[0]])
                    with self.assertRaises(grpc.RpcError):
                        client.call("KV.Put", key=b"/b/1", value=b"", metadata=[token[1]])
                    wait_until(lambda: path.read_text().count("\n") == 3)
                    lines = [json.loads(line) for line in path.read_text().splitlines()]
                    self.assertEqual([(line["user"], line["result"]) for line in lines],
                                     [("root", "OK"), ("root", "OK"), ("bob", "PermissionDenied")])
                    self.assertTrue(lines[1]["changes"][0]["to-the-end"])

    def test_what_the_server_does_by_itself(self):
        """Keys that go with their lease, and compactions that nobody asked for."""
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "audit.log"
            with Server(f"--audit-log-output={path}", "--audit-log-methods=LeaseExpiry,martlet/AutoCompaction", "--auto-compaction-mode=periodic",
                        "--auto-compaction-retention=2s") as server, Client(server.address) as client:
                lease, empty = client.grant(1).ID, client.grant(1).ID
                for key in (b"/registry/events/b", b"/registry/events/a"):
                    client.put(key, b"top secret", lease=lease)
                self.assertNotEqual(lease, empty)

                def lines(method):
                    return [json.loads(line) for line in path.read_text().splitlines() if json.loads(line)["method"] == f"martlet/{method}"]
                wait_until(lambda: len(lines("LeaseExpiry")) == 2)
                told = {line["lease"]: line for line in lines("LeaseExpiry")}
                self.assertEqual(set(told), {f"{lease:x}", f"{empty:x}"})
                self.assertEqual(sorted(change["key"] for change in told[f"{lease:x}"]["changes"]), ["/registry/events/a", "/registry/events/b"])
                self.assertTrue(all(change["op"] == "delete" for change in told[f"{lease:x}"]["changes"]))
                self.assertEqual((told[f"{lease:x}"]["result"], told[f"{empty:x}"].get("changes")), ("OK", None))
                wait_until(lambda: (client.put(b"revisions", b""), lines("AutoCompaction"))[1], 60)
                compaction = lines("AutoCompaction")[0]
                self.assertGreater(int(compaction["compact-revision"]), 1)
                self.assertEqual(compaction["result"], "OK")
                self.assertEqual({json.loads(line)["method"] for line in path.read_text().splitlines()}, {"martlet/LeaseExpiry", "martlet/AutoCompaction"})
