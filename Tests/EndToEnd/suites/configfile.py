"""--config-file, what is refused and with which words, what the start does to the data directory, and flags whose effect
is seen from outside."""

import concurrent.futures
import json
import os
import pathlib
import re
import signal
import socket
import tempfile
import time

from harness import peers
from harness.case import Case, Code, run, since
from harness.client import Client, op_put
from harness.server import READY, Server


class FromFile(Server):
    """A server whose flags are in a file."""

    def __init__(self, text="", json_form=False, env=None, flags=()):
        super().__init__(env=env)
        self.more, self.text, self.json_form = list(flags), text, json_form

    def own_flags(self):
        settings = {
            "name": self.name, "data-dir": str(self.data_dir), "listen-client-urls": self.url, "advertise-client-urls": self.url,
            "listen-peer-urls": self.peer_url, "initial-advertise-peer-urls": self.peer_url,
            "initial-cluster": f"{self.name}={self.peer_url}"}
        text = json.dumps(settings) if self.json_form else "".join(f"{k}: {v}\n" for k, v in settings.items()) + self.text
        path = self.work / "etcd.conf.yml"
        path.write_text(text)
        return ["--config-file", str(path)] + self.more


class File(Case):
    def test_the_file_alone_decides(self):
        server = FromFile(
            "max-txn-ops: 2\n# a comment\nunknown-key: [1, {a: b}]\nlog-outputs: [stderr]\nauto-compaction-retention: \"1\"\n",
            env={"ETCD_NAME": "other", "ETCD_MAX_TXN_OPS": "7", "ETCD_NO_SUCH": "1"}, flags=["--max-txn-ops=9", "--name=else"])
        with server, Client(server.address) as client:
            client.txn(success=[op_put(b"1"), op_put(b"2")])
            with self.fails(Code.INVALID_ARGUMENT, "etcdserver: too many operations in txn request"):
                client.txn(success=[op_put(b"1"), op_put(b"2"), op_put(b"3")])
            self.assertEqual(client.call("Cluster.MemberList").members[0].name, "default")
            entries = server.entries()
            loaded = next(e for e in entries if e["msg"].startswith("loaded server configuration, other configuration"))
            self.assertEqual((loaded["level"], loaded["path"]), ("info", str(server.work / "etcd.conf.yml")))
            messages = {e["msg"] for e in entries}
            self.assertFalse(messages & {"unrecognized environment variable", "recognized and used environment variable"})
            self.assertEqual(server.stop(), 143)

    def test_json_and_the_variable(self):
        server = FromFile(json_form=True)
        own = server.own_flags()
        server.own_flags = lambda: []
        server.extra_env["ETCD_CONFIG_FILE"] = own[1]
        with server, Client(server.address) as client:
            client.put(b"a")

    def test_values(self):
        """Switches, numbers, nanoseconds, blocks; what the start tells of them."""
        with FromFile("pre-vote: no\nsnapshot-count: 0x20\nheartbeat-interval: 50\nelection-timeout: 500\n"
                      "socket-options: {reuse-port: true}\nhost-whitelist: \"b,a\"\nquota-backend-bytes: -1\n"
                      "grpc-keepalive-min-time: 1000000000\n") as server:
            start = next(e for e in server.entries() if e["msg"] == "starting an etcd server")
            self.assertEqual((start["pre-vote"], start["snapshot-count"], start["heartbeat-interval"], start["election-timeout"]),
                             (False, 32, "50ms", "500ms"))
            self.assertEqual((start["host-whitelist"], start["quota-backend-bytes"]), (["a", "b"], -1))

    def refused(self, text):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory) / "c.yml"
            path.write_text(text)
            done = run([peers.server(), f"--config-file={path}"], env={"PATH": os.environ["PATH"]}, cwd=directory, timeout=20)
            self.assertNotIn(READY, done.stderr)
            return done

    def test_types_are_checked(self):
        for text, found, key in (("name: [a]", "array", "name"), ("name: 12", "number", "name"), ("snapshot-count: '5'", "string", "snapshot-count"),
                                 ("pre-vote: maybe", "string", "pre-vote"), ("grpc-keepalive-min-time: 10m", "string", "grpc-keepalive-min-time"),
                                 ("snapshot-count: 1.5", "number 1.5", "snapshot-count"), ("snapshot-count: -1", "number -1", "snapshot-count"),
                                 ("log-outputs: stderr", "string", "log-outputs"), ("listen-client-urls: [a]", "array", "listen-client-urls"),
                                 ("client-transport-security: {cert-file: 5}", "number", "client-transport-security.cert-file")):
            with self.subTest(text=text):
                done = self.refused(text)
                self.assertEqual(done.returncode, 1)
                error = json.loads(done.stderr.splitlines()[-1])
                self.assertEqual(error["msg"], "failed to verify flags")
                self.assertIn("error unmarshaling JSON: while decoding JSON: ", error["error"])
                self.assertIn(f"cannot unmarshal {found}", error["error"])
                self.assertIn(key, error["error"])

    def test_what_is_not_yaml(self):
        for text, problem in (("a: b: c", "mapping values are not allowed in this context"), ("a: *x", "unknown anchor 'x' referenced"),
                              ("\tx: 1", "found character that cannot start any token"), ("{\"name\": ", "did not find expected node content")):
            with self.subTest(text=text):
                done = self.refused(text)
                self.assertEqual(done.returncode, 1)
                self.assertRegex(done.stderr, r"error converting YAML to JSON: yaml: .*" + problem)

    def test_bad_urls(self):
        done = self.refused("listen-peer-urls: ftp://a:1")
        self.assertEqual((done.returncode, done.stderr), (
            1, "unexpected error setting up listen-peer-urls: URL scheme must be http, https, unix, or unixs: ftp://a:1\n"))

    def test_hostile(self):
        """Aliases that unfold to more than any memory, nesting, size: bounded, at once."""
        if not peers.is_martlet(peers.server()):
            self.skipTest("etcd 3.5 takes its time")
        bomb = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)) + "log-outputs: *a59\n"
        for text in (bomb, "[" * 200_000, "{a: " * 20_000, "a: " + "x" * (2 << 20)):
            done = self.refused(text)
            self.assertEqual(done.returncode, 1, done.stderr[-300:])

    def test_missing(self):
        for path, reason in (("/nonexistent/c", "open /nonexistent/c: no such file or directory"), ("/tmp", "read /tmp: is a directory")):
            done = run([peers.server(), "--config-file", path], env={"PATH": os.environ["PATH"]})
            self.assertEqual(done.returncode, 1)
            self.assertEqual(json.loads(done.stderr.splitlines()[-1])["error"], reason)


#: Command lines that must not start. `@taken` is a port in use.
MISTAKES = [
    ["--bogus"], ["-bogus=1"], ["--=x"], ["---name=x"], ["--name"], ["--max-txn-ops=abc"], ["--max-txn-ops="], ["--max-txn-ops=-1"],
    ["--snapshot-count=1.5"], ["--quota-backend-bytes=2GB"], ["--pre-vote=perhaps"], ["--heartbeat-interval=-5"], ["--unsafe-no-fsync=2"],
    ["--max-concurrent-streams=4294967296"], ["--max-concurrent-streams=x"], ["--max-request-bytes=99999999999999999999"],
    ["--grpc-keepalive-min-time=10"], ["--grpc-keepalive-min-time=x"], ["--heartbeat-interval=0"], ["--election-timeout=0"],
    ["--heartbeat-interval=500"], ["--election-timeout=60000"], ["--listen-client-urls=http://127.0.0.1:1"],
    ["--listen-client-urls=http://example.com:1", "--advertise-client-urls=http://a:1"], ["--listen-peer-urls=http://example.com:1"],
    ["--listen-client-urls=ftp://127.0.0.1:1"], ["--listen-client-urls=http://127.0.0.1"], ["--listen-client-urls=http://127.0.0.1:1/p"],
    ["--listen-client-urls=127.0.0.1:1"], ["--listen-client-urls=localhost:1"], ["--listen-client-urls=http://127.0.0.1:abc"],
    ["--listen-client-urls="], ["--listen-client-urls=http://127.0.0.1:1,,http://127.0.0.1:2", "--advertise-client-urls=http://a:1"],
    ["--listen-client-urls=http://[::1", "--advertise-client-urls=http://a:1"], ["--listen-client-urls=http://127.0.0.1:-1"],
    ["--listen-client-urls=http://127.0.0.1:99999", "--advertise-client-urls=http://a:1"],
    ["--advertise-client-urls=http://:1"], ["--initial-advertise-peer-urls=http://:1"],
    ["--auto-compaction-mode=sometimes"], ["--auto-compaction-retention=x"], ["--auto-compaction-retention=-1"],
    ["--initial-cluster=b=http://localhost:2380"], ["--name=a", "--initial-cluster=a=http://localhost:9"],
    ["--initial-cluster=default=http://localhost:2380,x=http://localhost:2380"], ["--initial-cluster=default="], ["--initial-cluster=default"],
    ["--initial-cluster="], ["--initial-cluster=default=ftp://a:1"], ["--initial-cluster-state=bogus"], ["--initial-cluster-state="],
    ["--auth-token=bogus"], ["--cipher-suites=NOPE"], ["--tls-min-version=TLS1.1"], ["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
    ["--logger=x"], ["--log-outputs=default,stderr"], ["--log-outputs=/nope/dir/file"], ["--enable-log-rotation"], ["--cors=nothing"],
    ["--discovery-fallback=x"], ["--data-dir=/proc/nope"], ["--listen-metrics-urls=http://example.com:1"], ["--listen-metrics-urls=bogus"],
    ["--listen-client-http-urls=http://127.0.0.1:24444", "--listen-client-urls=http://127.0.0.1:24444", "--advertise-client-urls=http://a:1"],
    ["--listen-client-urls=http://@taken", "--advertise-client-urls=http://a:1"], ["--listen-metrics-urls=http://@taken"],
    ["--listen-client-urls=http://10.254.254.254:2379", "--advertise-client-urls=http://a:1"],
    ["--listen-client-urls=unix:///nope/dir/s", "--advertise-client-urls=http://a:1"], ["--config-file=/nope"],
]


class Mistakes(Case):
    """What is refused, with status and words; where real etcd is there, compared with what it says."""

    DEFAULTS = ["--listen-client-urls=http://127.0.0.1:0", "--advertise-client-urls=http://127.0.0.1:1", "--listen-peer-urls=http://127.0.0.1:0"]

    def outcome(self, binary, flags, taken):
        given = {f.split("=")[0] for f in flags}
        defaults = [f for f in self.DEFAULTS if f.split("=")[0] not in given]
        if "--listen-client-urls" in given:
            defaults = [f for f in defaults if not f.startswith("--advertise-client")]
        with tempfile.TemporaryDirectory() as directory:
            done = run([binary, *defaults, *(f.replace("@taken", f"127.0.0.1:{taken}") for f in flags)],
                       env={"PATH": os.environ["PATH"]}, cwd=directory, timeout=30)
        lines = []
        for line in done.stderr.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry["msg"] in ("failed to verify flags", "failed to start etcd", "discovery failed",
                                                            "advertise client URLs are not set"):
                lines.append((entry["level"], entry["msg"], entry.get("error")))
        return done.returncode, lines or done.stderr.splitlines()[:1]

    def test_all(self):
        etcd = peers.etcd()
        with socket.socket() as listener, concurrent.futures.ThreadPoolExecutor(3) as pool:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            taken = listener.getsockname()[1]
            ours = [pool.submit(self.outcome, peers.server(), flags, taken) for flags in MISTAKES]
            theirs = [pool.submit(self.outcome, etcd, flags, taken) if etcd else None for flags in MISTAKES]
            for flags, mine, real in zip(MISTAKES, ours, theirs):
                with self.subTest(flags=flags):
                    status, lines = mine.result()
                    self.assertIn(status, (1, 2))
                    self.assertTrue(lines and lines[-1], "refused without a word")
                    if real:
                        self.assertEqual((status, lines), real.result())


class OnlyHere(Case):
    """What etcd's binary does and this one says that it does not, or says better."""

    def setUp(self):
        if not peers.is_martlet(peers.server()):
            self.skipTest("not martlet")

    def refusal(self, *flags):
        done = run([peers.server(), *flags], env={"PATH": os.environ["PATH"]}, timeout=20)
        self.assertNotIn(READY, done.stderr)
        return done.returncode, done.stderr

    def test_other_programs(self):
        for program in ("gateway", "grpc-proxy"):
            status, text = self.refusal(program, "start", "--endpoints=a")
            self.assertEqual(status, 1)
            self.assertIn(f"\"{program}\" is not provided", text)

    def test_discovery(self):
        for flags in (["--discovery-srv=example.com"], ["--discovery-endpoints=a:1", "--discovery-token=t"]):
            status, text = self.refusal(*flags)
            self.assertEqual(status, 1)
            self.assertIn("is not supported by this build: there is no discovery yet", text)

    def test_unknown_gates(self):
        for value, reason in (("Bogus=true", "unrecognized feature gate: Bogus"), ("LeaseCheckpoint", "missing bool value for LeaseCheckpoint"),
                              ("LeaseCheckpoint=x", "invalid value of LeaseCheckpoint=x, err: strconv.ParseBool: parsing \"x\": invalid syntax")):
            status, text = self.refusal(f"--feature-gates={value}")
            self.assertEqual((status, text.splitlines()[0]), (2, f"invalid value \"{value}\" for flag -feature-gates: {reason}"))

    def test_flags_without_effect_are_named(self):
        with Server("--backend-batch-limit=5", "--feature-gates=StopGRPCServiceOnDefrag=true") as server:
            named = {e["flag"]: e["reason"] for e in server.entries() if e["msg"] == "flag is accepted but has no effect in this build"}
            self.assertEqual(named.keys(), {"backend-batch-limit", "feature-gates=StopGRPCServiceOnDefrag"})
            self.assertTrue(all(named.values()))


class DataDirectory(Case):
    def test_permissions_are_warned_about(self):
        with tempfile.TemporaryDirectory() as directory:
            data = pathlib.Path(directory) / "data"
            data.mkdir(mode=0o755)
            data.chmod(0o755)
            (data / "stranger").touch()
            with Server(data_dir=data) as server:
                entries = server.entries()
                self.assertEqual([e["error"] for e in entries if e["msg"] == "check file permission"][:1], [
                    f"directory \"{data}\" exist, but the permission is \"drwxr-xr-x\". The recommended permission is \"-rwx------\" to "
                    "prevent possible unprivileged access to the data"])
                self.assertIn(("stranger", str(data)), [(e.get("filename"), e.get("data-dir")) for e in entries
                                                        if e["msg"] == "found invalid file under data directory"])

    def test_a_second_process_waits(self):
        """As etcd does for its database file; it goes on when the first is gone."""
        with Server() as first:
            with Client(first.address) as client:
                client.put(b"a", b"1")
            second = Server(data_dir=first.data_dir, name=first.name)
            second.peer_port = first.peer_port
            second.own_flags = lambda: [f if f != first.peer_url or own[i - 1] != "--listen-peer-urls" else "http://127.0.0.1:0"
                                        for i, f in enumerate(own)]
            own = Server.own_flags(second)
            try:
                second.spawn()
                time.sleep(1.5)
                self.assertIsNone(second.process.poll())
                self.assertNotIn(READY, second.tail())
                # The first is not disturbed.
                with Client(first.address) as client:
                    client.put(b"a", b"2")
                self.assertEqual(first.stop(), 143)
                second.wait_for_line(READY, 20)
                with Client(second.address) as client:
                    self.assertEqual(client.get(b"a").value, b"2")
                # And while it waits, a signal ends it at once.
                third = Server(data_dir=first.data_dir, name=first.name)
                try:
                    third.spawn()
                    time.sleep(1)
                    self.assertEqual(third.stop(signal.SIGTERM), 143)
                finally:
                    third.close()
            finally:
                second.close()

    def test_too_few_descriptors(self):
        with tempfile.TemporaryDirectory() as directory:
            done = run(["bash", "-c", f"ulimit -n 140; exec {peers.server()} --data-dir {directory}/d --listen-client-urls http://127.0.0.1:0 "
                        "--advertise-client-urls http://a:1 --listen-peer-urls http://127.0.0.1:0"], timeout=20)
            self.assertEqual(done.returncode, 1)
            entry = next(json.loads(line) for line in done.stderr.splitlines() if '"fatal"' in line)
            self.assertEqual((entry["msg"], entry["limit"]), ("file descriptor limit of etcd process is too low; please set higher", 140))


def seconds(text):
    """Go's form of a duration."""
    units = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(h|ms|m|s|µs|ns)", text))


class Effects(Case):
    """Flags whose effect no other suite sees."""

    def test_force_new_cluster_of_one(self):
        with Server() as server:
            with Client(server.address) as client:
                client.put(b"a", b"1")
                before = client.status().header
            server.stop()
            server.flags.append("--force-new-cluster")
            server.start()
            with Client(server.address) as client:
                self.assertEqual(client.get(b"a").value, b"1")
                self.assertEqual((client.status().header.member_id, client.status().header.cluster_id), (before.member_id, before.cluster_id))
                client.put(b"a", b"2")
            server.stop()
            server.flags.pop()
            server.start()
            with Client(server.address) as client:
                self.assertEqual(client.get(b"a").value, b"2")

    @since(3, 7)
    def test_bootstrap_defragmentation(self):
        with Server("--bootstrap-defrag-threshold-megabytes=5") as server:
            skipped = next(e for e in server.entries() if e["msg"] == "Skipping defragmentation")
            self.assertEqual(skipped["bootstrap-defrag-threshold-bytes"], 5 << 20)
            with Client(server.address) as client:
                for i in range(12):
                    client.put(b"a", os.urandom(1_000_000))
                revision = client.get(b"a").mod_revision
                client.compact(revision, physical=True)
            server.restart()
            with Client(server.address) as client:
                client.put(b"b")
                server.wait_for_line("finished defragmenting directory", 30)
                self.assertLess(client.status().dbSize, 8_000_000)

    def test_paced_compaction(self):
        """A slice of 50 versions every 20 ms: 1,000 versions take a while, and get done."""
        if not peers.is_martlet(peers.server()):
            self.skipTest("not martlet")
        with Server("--compaction-batch-limit=50", "--compaction-sleep-interval=20ms") as server, Client(server.address) as client:
            for i in range(1_000):
                client.put(b"k", b"%d" % i)
            client.compact(1_000, physical=True)
            server.wait_for_line("finished scheduled compaction")
            done = next(e for e in server.entries() if e["msg"] == "finished scheduled compaction")
            # At least 20 pauses of 20 ms, however fast the machine.
            self.assertGreaterEqual(seconds(done["took"]), 0.3)
            self.assertEqual(client.get(b"k").value, b"999")

    def test_locked_memory(self):
        if os.geteuid() != 0 or not peers.is_martlet(peers.server()):
            self.skipTest("needs root, and is done otherwise by etcd")
        with Server("--memory-mlock") as server, Client(server.address) as client:
            client.put(b"a")
            status = pathlib.Path(f"/proc/{server.pid}/status").read_text()
            locked = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmLck:"))
            self.assertGreater(locked, 1_000)

    def test_profiles(self):
        with Server("--enable-pprof") as server:
            if not peers.is_martlet(peers.server()):
                self.skipTest("not martlet")
            def code(path):
                return run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", server.url + path]).stdout
            self.assertEqual([code(p) for p in ("/debug/pprof", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/heap", "/debug/pprof/nope")],
                             ["301", "200", "200", "501", "404"])
            self.assertIn("perf record -g -p %d" % server.pid, run(["curl", "-sS", server.url + "/debug/pprof/profile"]).stdout)
        with Server() as server:
            self.assertEqual(run(["curl", "-sS", server.url + "/debug/pprof/"]).stdout, "404 page not found\n")
