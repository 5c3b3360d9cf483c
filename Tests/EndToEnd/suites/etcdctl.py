"""etcdctl of several versions: the same commands on the server under test and on real etcd, side by side,
must print the same, but for ids, sizes, indexes and times."""

import json
import os
import re
import subprocess
import time
import unittest

from harness import peers
from harness.case import Case, run
from harness.client import Client, served
from harness.server import Server

LEASE = 0x1234


class Pair:
    """The server under test and real etcd, with the same names and tokens."""

    def __init__(self, *flags):
        self.tested, self.real = Server(*flags), Server(*flags, binary=peers.etcd())
        # One peer URL makes one member id, hence one cluster id.
        self.real.peer_port = self.tested.peer_port
        try:
            self.real.start()
            self.real.stop()
            self.tested.start()
            # Restarted on a peer port of its own; the ids are in its data by now.
            own = self.real.own_flags()
            spare = Server(binary=peers.etcd())
            own[own.index("--listen-peer-urls") + 1] = spare.peer_url
            spare.close()
            self.real.own_flags = lambda: own
            self.real.start()
        except BaseException:
            self.close()
            raise

    def close(self):
        self.tested.close()
        self.real.close()


def normalise(text, server):
    text = text.replace(server.url, "URL").replace(server.address, "ADDRESS")
    text = re.sub(r"took = \S+|took \S+", "took T", text)
    text = re.sub(r'"(raft_term|raftTerm|raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":\d+', r'"\1":0', text)
    text = re.sub(r'"(RaftTerm|RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse)" : \d+', r'"\1" : 0', text)
    text = re.sub(r'"took":"[^"]*"|"Took" : \S+', "took", text)
    return text


class SideBySide:
    """The tests, without an etcdctl; the classes below add one each."""

    CTL = staticmethod(lambda: None)
    API = 3, 5
    RANGE = ()  # What makes `del a b` go without a warning and a pause.

    @classmethod
    def setUpClass(cls):
        cls.ctl_path = cls.CTL()
        if not cls.ctl_path or not peers.etcd():
            raise unittest.SkipTest("this etcdctl or real etcd is not in the cache (scripts/test fetches them)")
        cls.pair = Pair()
        cls.addClassCleanup(cls.pair.close)

    def ctl(self, server, *arguments, input=None, timeout=30):
        env = {"PATH": os.environ["PATH"]}
        if self.API == (3, 4):
            env["ETCDCTL_API"] = "3"
        return run([self.ctl_path, "--endpoints", server.address, *arguments], input=input, env=env, timeout=timeout)

    def same(self, *arguments, input=None, status=0):
        """Runs the command on both; output and status must agree. Returns the output."""
        answers = []
        for server in (self.pair.real, self.pair.tested):
            done = self.ctl(server, *arguments, input=input)
            errors = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("{"))
            answers.append((done.returncode, normalise(done.stdout, server), normalise(errors, server)))
        self.assertEqual(answers[1], answers[0], f"etcdctl {' '.join(arguments)}")
        if status is not None:
            self.assertEqual(answers[0][0], status, answers[0])
        return answers[1][1]

    def each_format(self, *arguments, formats=("simple", "fields", "json"), **options):
        for form in formats:
            self.same("-w", form, *arguments, **options)

    def test_keys(self):
        for form in ("simple", "fields", "json"):
            self.same("-w", form, "put", "foo", "bar")
            self.same("-w", form, "put", "foo", "bar2", "--prev-kv")
        for i in range(6):
            out = self.same("-w", "json", "put", f"k{i}", f"v{9 - i}")
        middle = str(json.loads(out)["header"]["revision"] - 2)
        self.same("put", "k3", "again")
        self.same("put", "from-stdin", input="some\nlines\n")
        self.each_format("get", "foo")
        self.each_format("get", "nothing")
        for flags in (["--prefix"], ["--from-key"], ["--prefix", "--keys-only"], ["--prefix", "--limit", "2"],
                      ["--prefix", "--rev", middle], ["--prefix", "--order", "DESCEND"],
                      ["--prefix", "--sort-by", "VALUE"], ["--prefix", "--sort-by", "MODIFY", "--order", "DESCEND"],
                      ["--prefix", "--sort-by", "CREATE"], ["--prefix", "--sort-by", "VERSION", "--limit", "3"],
                      ["--prefix", "--consistency", "s"]):
            self.each_format("get", "k", *flags)
        self.each_format("get", "k1", "k4")
        self.same("get", "", "--prefix", "--print-value-only")
        self.same("--hex", "get", "k1")
        if self.API >= (3, 5):
            self.same("-w", "fields", "get", "k", "--prefix", "--count-only")
        self.same("get", "k", "--rev", "100000", status=None)
        self.same("put", "foo", "--ignore-value")
        self.same("put", "foo", "x", "--ignore-lease")
        self.same("put", "absent", "--ignore-value", status=1)
        self.same("put", "absent", "x", "--lease", "4711", status=1)
        self.each_format("del", "k0", "--prev-kv")
        self.each_format("del", "nothing")
        self.same("del", "k1", "k3", "--prev-kv", *self.RANGE)
        self.same("del", "k", "--prefix")
        self.same("del", "zzz", "--from-key")

    def test_transactions(self):
        self.same("put", "t", "1")
        for form in ("simple", "fields", "json"):
            for text in ('mod("t") > "0"\nval("t") = "1"\n\nput a b\nget t\n\nput c d\n\n',
                         'ver("t") = "7"\n\nput a b\n\nget t\ndel a --prev-kv\n\n',
                         '\n\n\n', 'create("none") = "0"\n\nget t --prefix\n\n\n'):
                self.same("-w", form, "txn", input=text)
        self.same("txn", input='mod("t") > "0"\n\nput a 1\nput a 2\n\n\n', status=1)
        self.same("txn", input="nonsense\n\n\n\n", status=None)

    def test_leases(self):
        # Ids that both agree on are given through the API; the tools then show them.
        for server in (self.pair.real, self.pair.tested):
            with Client(server.address) as client:
                client.grant(5000, LEASE)
        self.same("put", "leased", "v", "--lease", "%x" % LEASE)
        self.each_format("get", "leased")
        for form in ("simple", "json", "fields"):
            text = re.compile(r"remaining\(\d+s\)|\"ttl\":\d+|\"TTL\" : \d+")
            outs = [text.sub("T", normalise(self.ctl(s, "-w", form, "lease", "timetolive", "%x" % LEASE, "--keys").stdout, s))
                    for s in (self.pair.real, self.pair.tested)]
            self.assertEqual(outs[1], outs[0])
        self.each_format("lease", "list")
        self.each_format("lease", "keep-alive", "%x" % LEASE, "--once")
        self.same("lease", "timetolive", "4711")
        self.same("lease", "revoke", "%x" % LEASE)
        self.same("lease", "revoke", "%x" % LEASE, status=1)
        self.same("get", "leased")
        for server in (self.pair.real, self.pair.tested):
            done = self.ctl(server, "lease", "grant", "0")
            self.assertRegex(done.stdout, r"^lease [0-9a-f]{16} granted with TTL\(2s\)\n$")
            self.ctl(server, "lease", "revoke", done.stdout.split()[1])

    def watched(self, server, arguments, actions, lines):
        """What a watch prints until so many lines came."""
        env = {"PATH": os.environ["PATH"], "ETCDCTL_API": "3"}
        process = subprocess.Popen([self.ctl_path, "--endpoints", server.address, "watch", *arguments], env=env,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            time.sleep(0.5)
            for action in actions:
                self.assertEqual(self.ctl(server, *action).returncode, 0)
            out = [process.stdout.readline() for _ in range(lines)]
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        return normalise("".join(out), server)

    def test_watch(self):
        first = self.same("-w", "json", "put", "w0", "x")
        revision = str(json.loads(first)["header"]["revision"])
        actions = [["put", "w1", "a"], ["put", "w1", "b"], ["del", "w", "--prefix"]]
        for arguments, lines in ((["w", "--prefix"], 12), (["w", "--prefix", "--prev-kv"], 15),
                                 (["w1"], 9), (["w", "--prefix", "-w", "json"], 3), (["w1", "-w", "fields"], 20),
                                 (["w", "--prefix", "--rev", revision], 15), (["w0", "w2"], 12)):
            outs = [self.watched(s, arguments, actions, lines) for s in (self.pair.real, self.pair.tested)]
            self.assertEqual(outs[1], outs[0], arguments)
            self.same("put", "w0", "x")

    def test_compaction(self):
        for i in range(5):
            out = self.same("-w", "json", "put", "c", str(i))
        revision = json.loads(out)["header"]["revision"]
        self.same("compaction", str(revision - 1))
        self.same("compaction", str(revision - 1), status=1)
        self.same("compaction", str(revision + 10), status=1)
        self.same("get", "c", "--rev", str(revision - 2), status=1)
        self.same("get", "c", "--rev", str(revision - 1))
        self.same("compaction", str(revision), "--physical")
        self.same("watch", "c", "--rev", "1", status=None)

    def test_cluster(self):
        self.each_format("member", "list", formats=("simple", "json", "fields", "table"))
        self.each_format("endpoint", "health", formats=("simple", "json", "fields"))
        self.each_format("alarm", "list")
        for server in (self.pair.real, self.pair.tested):
            done = self.ctl(server, "endpoint", "status", "-w", "json")
            self.assertEqual(done.returncode, 0, done.stderr)
            status = json.loads(done.stdout)[0]["Status"]
            self.assertEqual(status["leader"], status["header"]["member_id"])
            for form in ("simple", "table", "fields"):
                done = self.ctl(server, "endpoint", "status", "-w", form)
                self.assertEqual(done.returncode, 0)
                self.assertIn(".".join(map(str, server.version)), done.stdout)
            health = self.ctl(server, "endpoint", "health", "-w", "table")
            self.assertEqual(health.returncode, 0)

    def test_hash(self):
        if not served("Maintenance.HashKV"):
            self.skipTest("martlet does not serve Maintenance.HashKV yet")
        self.same("put", "h", "1")
        outs = []
        for server in (self.pair.real, self.pair.tested):
            done = self.ctl(server, "endpoint", "hashkv", "-w", "json")
            self.assertEqual(done.returncode, 0, done.stderr)
            answer = json.loads(done.stdout)[0]["HashKV"]
            outs.append((answer["hash"], answer.get("compact_revision")))
        self.assertEqual(outs[1], outs[0])


class Debian12(SideBySide, Case):
    CTL = staticmethod(peers.debian_etcdctl)
    API = 3, 4


class FromPyPI(SideBySide, Case):
    CTL = staticmethod(peers.old_etcdctl)


class Newest(SideBySide, Case):
    CTL = staticmethod(peers.etcdctl)
    RANGE = ("--range",)

    def test_check_perf(self):
        """etcdctl's own load test, small (a minute): only when asked for."""
        if not os.environ.get("MARTLET_LONG"):
            self.skipTest("takes a minute; MARTLET_LONG=1 runs it")
        done = self.ctl(self.pair.tested, "check", "perf", timeout=120)
        self.assertIn("PASS: Throughput", done.stdout)

    def test_lock_and_elect(self):
        env = {"PATH": os.environ["PATH"]}
        for server in (self.pair.real, self.pair.tested):
            done = run([self.ctl_path, "--endpoints", server.address, "lock", "mutex", "--", "sh", "-c", "echo $ETCD_LOCK_KEY; exit 7"],
                       env=env, timeout=30)
            self.assertEqual(done.returncode, 7, done.stderr)
            self.assertRegex(done.stdout, r"^mutex/[0-9a-f]+\n$")

    def test_snapshot(self):
        if not peers.etcdutl():
            self.skipTest("no etcdutl")
        if not served("Maintenance.Snapshot"):
            self.skipTest("martlet does not serve Maintenance.Snapshot yet")
        for i in range(20):
            self.same("put", f"snap{i}", "x" * 100)
        outs = []
        for server in (self.pair.real, self.pair.tested):
            path = server.work / "snapshot.db"
            done = self.ctl(server, "snapshot", "save", str(path))
            self.assertEqual(done.returncode, 0, done.stderr)
            done = run([peers.etcdutl(), "snapshot", "status", str(path), "-w", "json"], check=True)
            status = json.loads(done.stdout)
            outs.append((status["revision"], status["totalKey"]))
        self.assertEqual(outs[1], outs[0])

