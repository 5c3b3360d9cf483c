"""martletctl beside etcdctl of several versions: the same commands on servers in the same state print the same, fail with the
same words and end with the same status. Both tools are run against both servers: etcdctl against real etcd while martletctl
works on the server under test, and the other way round.

martletctl prints what etcdctl 3.7 prints. What earlier versions print otherwise is listed in `Translation`, and nothing else
is forgiven.
"""

import concurrent.futures
import json
import os
import re
import signal
import subprocess
import time
import unittest

from harness import api, peers
from harness.case import Case, run
from harness.client import Client
from harness.server import Server, free_port
from suites.ctlbeyond import Beyond, Discovery  # noqa: F401 - parts of this suite
from suites.ctlterminal import OnTerminal  # noqa: F401
from suites.ctltrouble import Trouble  # noqa: F401
from suites.etcdctl import Pair, SideBySide, normalise
from suites.tls import SecureServer, certificates

LEASE = 0x1234


#: What -w protobuf prints. Answers about leases are their header alone.
PROTOBUF = {
    "get": api.RangeResponse, "put": api.PutResponse, "del": api.DeleteRangeResponse, "txn": api.TxnResponse,
    "member list": api.MemberListResponse, "alarm": api.AlarmResponse, "lease list": api.ResponseHeader,
    "lease timetolive": api.ResponseHeader, "role": api.AuthRoleGetResponse,
}


class Translation:
    """An older etcdctl's words in those of 3.7."""

    def __init__(self, version):
        self.version = version

    @staticmethod
    def table(text):
        """Cells, row by row, whatever the frame is made of."""
        rows = [re.split(r"\s*[|│]\s*", line.strip())[1:-1] for line in text.splitlines() if re.match(r"[|│]", line)]
        return "\n".join(" / ".join(row) for row in rows)

    def output(self, arguments, form, text):
        words = [word for word in arguments if not word.startswith("-")]
        if form == "table":
            text = self.table(text)
        if form == "json":
            # 3.4 names the members of transactions' answers after Go's fields, and those of version 3.7's new fields are not known.
            for old, new in (("ResponseRange", "response_range"), ("ResponsePut", "response_put"),
                             ("ResponseDeleteRange", "response_delete_range")):
                text = text.replace(f'"{old}"', f'"{new}"')
        if form == "fields" and words[0] in ("member", "role", "user", "alarm", "lease", "auth"):
            # 3.7 leaves a revision of nought out.
            text = re.sub(r'^"Revision" : 0\n', "", text, flags=re.MULTILINE)
        # A slip that 3.7 has mended.
        text = text.replace('"clientURLS"', '"clientURLs"')
        return text

    def errors(self, text):
        return text


class Differential:
    """The tests; the classes below add a reference and say who works where."""

    CTL = staticmethod(lambda: None)
    VERSION = 3, 5
    CROSSED = False
    FORMATS = "simple", "fields", "json", "protobuf", "table"

    @classmethod
    def setUpClass(cls):
        cls.reference = cls.CTL()
        cls.ours = peers.martletctl()
        if not cls.reference or not peers.etcd():
            raise unittest.SkipTest("this etcdctl or real etcd is not in the cache (scripts/test fetches them)")
        if not cls.ours:
            raise unittest.SkipTest("no martletctl beside the server")
        cls.pair = Pair()
        cls.addClassCleanup(cls.pair.close)
        cls.translation = Translation(cls.VERSION)

    def sides(self):
        """Tool and server of the reference, then ours."""
        first, second = self.pair.real, self.pair.tested
        if self.CROSSED:
            first, second = second, first
        return (self.reference, first), (self.ours, second)

    def environment(self, tool):
        env = {"PATH": os.environ["PATH"]}
        if self.VERSION == (3, 4) and tool == self.reference:
            env["ETCDCTL_API"] = "3"
        return env

    def run_tool(self, tool, server, arguments, input=None, timeout=30):
        command = [tool, "--endpoints", server.address, *arguments]
        return subprocess.run(command, input=(input or "").encode(), env=self.environment(tool), capture_output=True, timeout=timeout)

    def answer(self, tool, server, arguments, form, input):
        done = self.run_tool(tool, server, ["-w", form, *arguments], input)
        if form == "protobuf":
            out = done.stdout
            if done.returncode == 0 and out:
                message = PROTOBUF[" ".join(arguments[:2] if arguments[0] in ("lease", "member") else arguments[:1])].FromString(out)
                # Read without a loss, but for the order of fields.
                self.assertEqual(len(message.SerializeToString()), len(out))
                (message if hasattr(message, "raft_term") else message.header).ClearField("raft_term")
                out = normalise(str(message), server)
        else:
            out = normalise(done.stdout.decode(), server)
        errors = [line for line in done.stderr.decode().splitlines() if line and not line.startswith("{")]
        if tool == self.reference and form != "protobuf":
            out = self.translation.output(arguments, form, out)
        elif form == "table":
            out = Translation.table(out)
        return done.returncode, out, normalise("\n".join(errors), server)

    def both(self, body):
        """The reference's result, then ours; made at the same time."""
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda side: body(*side), self.sides()))

    def same(self, *arguments, form="simple", input=None, status=0, strip=None):
        answers = []
        for code, out, errors in self.both(lambda tool, server: self.answer(tool, server, list(arguments), form, input)):
            if strip:
                out = re.sub(strip, "", out)
            answers.append((code, out, errors))
        self.assertEqual(answers[1], answers[0], f"{' '.join(arguments)} -w {form}")
        if status is not None:
            self.assertEqual(answers[0][0], status, answers[0])
        return answers[1][1]

    def each(self, *arguments, formats=("simple", "fields", "json"), **options):
        for form in formats:
            with self.subTest(arguments=arguments, form=form):
                self.same(*arguments, form=form, **options)

    # Keys

    def test_keys(self):
        self.each("put", "foo", "bar")
        self.each("put", "foo", "bar2", "--prev-kv")
        for i in range(6):
            out = self.same("put", f"k{i}", f"v{9 - i}", form="json")
        middle = str(json.loads(out)["header"]["revision"] - 2)
        self.same("put", "k3", "again")
        self.same("put", "from-stdin", input="some\nlines\n")
        self.same("put", "odd \"quoted\" \\ \t key", "<html> & 'ü' \x01")
        self.each("get", "odd", "--prefix")
        self.each("get", "odd", "--prefix", "--hex", formats=("simple", "json"))
        self.each("get", "foo", formats=self.FORMATS[:3])
        self.same("get", "foo", form="table", status=4)
        self.each("get", "foo", formats=("protobuf",))
        self.same("put", "foo", "bar3", "--prev-kv", form="protobuf")
        self.same("get", "o", "--prefix", "--limit", "1", form="protobuf")
        self.same("del", "nothing", form="protobuf")
        self.same("get", "foo", form="nonsense", status=None)
        self.each("get", "nothing")
        for flags in (["--prefix"], ["--from-key"], ["--prefix", "--keys-only"], ["--prefix", "--limit", "2"],
                      ["--prefix", "--rev", middle], ["--prefix", "--order", "DESCEND"], ["--prefix", "--sort-by", "value"],
                      ["--prefix", "--sort-by", "MODIFY", "--order", "descend"], ["--prefix", "--sort-by", "CREATE"],
                      ["--prefix", "--sort-by", "VERSION", "--limit", "3"], ["--prefix", "--consistency=s"]):
            self.each("get", "k", *flags)
        self.each("get", "k1", "k4")
        self.each("get", "", "--prefix", "--keys-only", formats=("simple", "json"))
        self.same("get", "", "--from-key", "--print-value-only")
        self.same("get", "k1", "--print-value-only", form="json", status=None)
        if self.VERSION >= (3, 5):
            self.same("get", "k", "--prefix", "--count-only", form="fields")
            self.same("get", "k", "--prefix", "--count-only", status=128)
        self.same("get", "k", "--rev", "100000", status=1)
        self.each("del", "k0", "--prev-kv")
        self.each("del", "nothing")
        self.same("del", "k1", "k3", "--prev-kv", "--range")
        self.same("del", "k", "--prefix")
        self.same("del", "zzz", "--from-key")

    def test_wrong_words(self):
        for arguments in (["get"], ["get", "a", "--prefix", "--from-key"], ["get", "a", "b", "--prefix"], ["get", "a", "--sort-by", "x"],
                          ["get", "a", "--order", "x"], ["get", "a", "--consistency", "x"], ["put"], ["put", "a"], ["put", "a", "b", "--lease", "zz"],
                          ["put", "absent", "--ignore-value"], ["put", "a", "x", "--ignore-value"], ["put", "absent", "x", "--lease", "4711"],
                          ["del"], ["del", "a", "--prefix", "--from-key"], ["compaction"], ["compaction", "x"], ["compaction", "100000"],
                          ["lease", "grant"], ["lease", "grant", "x"], ["lease", "revoke", "zz"], ["lease", "revoke", "4711"],
                          ["lease", "revoke"], ["lease", "timetolive"], ["lease", "timetolive", "zz"], ["lease", "keep-alive"],
                          ["lease", "keep-alive", "--once", "4711"],
                          ["member", "add"], ["member", "add", "a"], ["member", "remove"], ["member", "remove", "zz"], ["member", "remove", "4711"],
                          ["member", "update", "4711"], ["member", "promote", "4711"], ["move-leader"], ["move-leader", "4711"],
                          ["alarm", "list", "x"], ["user", "add"], ["user", "get", "nobody"], ["user", "delete", "nobody"], ["user", "grant-role", "a"],
                          ["user", "grant-role", "a", "b"], ["role", "get", "nothing"], ["role", "add"], ["role", "grant-permission", "a", "b"],
                          ["role", "grant-permission", "a", "bad", "c"], ["role", "delete", "nothing"],
                          ["role", "revoke-permission", "a"], ["auth", "enable", "x"], ["auth", "enable"],
                          ["snapshot", "save"], ["lock"], ["elect"], ["elect", "a"], ["make-mirror"], ["txn", "x"],
                          ["check", "perf", "--load", "x"], ["watch"], ["watch", "a", "--"]):
            with self.subTest(arguments=arguments):
                self.same(*arguments, status=None)

    def test_unknown_words(self):
        """Cobra's own errors; the name of the tool and the usage behind them are the tool's."""
        for arguments in (["frob"], ["get", "a", "--bogus"], ["get", "a", "--limit", "x"], ["get", "a", "--limit"], ["put", "-z"]):
            errors = []
            for tool, server in self.sides():
                done = self.run_tool(tool, server, arguments)
                self.assertEqual(done.returncode, 1, (tool, arguments))
                lines = done.stderr.decode().splitlines()
                errors.append(next(line for line in lines if line.startswith("Error: ")).replace("martletctl", "etcdctl"))
            self.assertEqual(errors[1], errors[0], arguments)

    def test_transactions(self):
        self.same("put", "t", "1")
        for text in ('mod("t") > "0"\nval("t") = "1"\n\nput a b\nget t\n\nput c d\n\n', 'ver("t") = "7"\n\nput a b\n\nget t\ndel a --prev-kv\n\n',
                     '\n\n\n', 'create("none") = "0"\n\nget t --prefix\n\n\n', 'version("t") != "1"\nc("t") < "9"\n\n\nput "quoted \\x41 key" \'single value\'\n\n'):
            self.each("txn", input=text, formats=("simple", "fields", "json", "protobuf"))
        for text in ("nonsense\n\n\n\n", 'c("t")<"9"\n\n\n\n', 'c("t") <"9"\n\n\n\n', 'c "t"\n\n\n\n', 'zzz("a") = "1"\n\n\n\n', 'mod("t") = "x"\n\n\n\n', 'mod("t") = 1\n\n\n\n', '\nfrob a\n\n\n', '\nget\n\n\n',
                     'mod("t") > "0"\n\nput a 1\nput a 2\n\n\n'):
            with self.subTest(text=text):
                self.same("txn", input=text, status=None)
        self.same("txn", "-i", input='mod("t") > "0"\n\nget t\n\n\n')

    def test_leases(self):
        for server in (self.pair.real, self.pair.tested):
            with Client(server.address) as client:
                client.grant(5000, LEASE)
        self.same("put", "leased", "v", "--lease", "%x" % LEASE)
        self.each("get", "leased")
        for form in ("simple", "fields", "json"):
            self.same("lease", "timetolive", "%x" % LEASE, "--keys", form=form, strip=r'remaining\(\d+s\)|"ttl":\d+|"TTL" : \d+')
            self.same("lease", "timetolive", "4711", form=form)
        self.each("lease", "list", formats=("simple", "fields", "json", "protobuf"))
        self.each("lease", "keep-alive", "%x" % LEASE, "--once")
        random = r'(?<=lease )[0-9a-f]{16}|"ID":\d+|"ID" : \d+'
        for form in ("simple", "fields", "json"):
            self.same("lease", "grant", "100", form=form, strip=random)
        self.same("lease", "grant", "100", form="table", status=4)
        self.same("lease", "revoke", "%x" % LEASE)
        self.same("lease", "timetolive", "%x" % LEASE)

    def test_members_and_endpoints(self):
        self.each("member", "list", formats=("simple", "fields", "json", "table", "protobuf"))
        self.each("member", "list", "--hex", formats=("json",))
        self.each("endpoint", "health", formats=("simple", "fields", "json"))
        self.each("alarm", "list")
        self.each("alarm", "disarm", formats=("simple", "json"))
        self.same("endpoint", "health", form="protobuf", status=4)
        self.same("endpoint", "hashkv", form="table" if self.VERSION > (3, 5) else "json",
                  strip=r'"(hash_revision|compact_revision|hash)":\d+,?')
        for tool, server in self.sides():
            done = self.run_tool(tool, server, ["defrag"])
            self.assertEqual(done.returncode, 0)
            self.assertTrue(done.stdout.decode().startswith(f"Finished defragmenting etcd member[{server.address}]"), done.stdout)
        # Its columns are those of 3.7; the values that both know must agree.
        (_, first), (_, second) = self.sides()
        done = self.run_tool(self.ours, second, ["endpoint", "status", "-w", "json"])
        ours = json.loads(done.stdout)[0]["Status"]
        known = json.loads(self.run_tool(self.reference, second, ["endpoint", "status", "-w", "json"]).stdout)[0]["Status"]
        for name, value in known.items():
            if name not in ("raftIndex", "raftAppliedIndex", "dbSize", "dbSizeInUse"):
                self.assertEqual(ours.get(name), value, name)
        line = self.run_tool(self.ours, second, ["endpoint", "status"]).stdout.decode().strip().split(", ")
        self.assertEqual(len(line), 16, line)
        self.assertEqual(line[1], "%x" % known["header"]["member_id"])

    def test_users(self):
        self.addCleanup(self.auth_off)
        self.each("role", "add", "r", formats=("simple",))
        self.same("role", "add", "r", status=1)
        for arguments in (["read", "foo"], ["write", "a", "b"], ["readwrite", "p", "--prefix"], ["read", "z", "--from-key"], ["read", "", "--prefix"]):
            self.same("role", "grant-permission", "r", *arguments)
        self.each("role", "get", "r", formats=("simple", "fields", "json", "protobuf"))
        self.each("role", "list")
        self.same("role", "revoke-permission", "r", "foo")
        self.same("role", "revoke-permission", "r", "a", "b")
        self.same("role", "revoke-permission", "r", "z", "--from-key")
        self.each("user", "add", "u1:pw", formats=("simple",))
        self.same("user", "add", "u2", "--interactive=false", input="pw2\n")
        self.same("user", "add", "u3", "--no-password")
        self.same("user", "passwd", "u2", "--interactive=false", input="other\n")
        self.same("user", "grant-role", "u1", "r")
        self.each("user", "get", "u1", formats=("simple", "json"))
        self.same("user", "get", "u1", "--detail")
        self.each("user", "list", formats=("simple", "json"))
        self.same("user", "list", form="fields", status=4)
        self.same("user", "add", "root:secret")
        if self.VERSION >= (3, 5):
            self.same("auth", "status")
        self.same("auth", "enable")
        root = ["--user", "root:secret"]
        self.same("get", "x", status=1)
        self.same("get", "x", "--user", "root:wrong", status=None)
        self.same("put", "x", "1", "--user", "u1:pw", status=1)
        self.same("put", "px", "1", "--user", "u1:pw")
        self.same("get", "px", "--user", "u1", "--password", "pw")
        if self.VERSION >= (3, 5):
            self.each("auth", "status", *root, formats=("simple", "json"))
        self.same("auth", "disable", *root)
        for name in ("u1", "u2", "u3", "root"):
            self.same("user", "delete", name)
        for name in ("r", "root"):
            self.same("role", "delete", name)

    def auth_off(self):
        for _, server in self.sides():
            self.run_tool(self.ours, server, ["--user", "root:secret", "auth", "disable"])

    def test_compaction(self):
        for i in range(4):
            out = self.same("put", "c", str(i), form="json")
        revision = json.loads(out)["header"]["revision"]
        self.same("compaction", str(revision - 1))
        self.same("compaction", str(revision - 1), status=1)
        self.same("compaction", str(revision), "--physical")
        self.same("get", "c", "--rev", str(revision - 2), status=1)
        self.same("watch", "c", "--rev", "1", status=5)

    # Commands that last

    def lasting(self, tool, server, arguments, actions, lines, input=None):
        """What a command prints until so many lines came."""
        process = subprocess.Popen([tool, "--endpoints", server.address, *arguments], env=self.environment(tool),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        try:
            if input:
                process.stdin.write(input.encode())
                process.stdin.flush()
            time.sleep(0.4)
            with Client(server.address) as client:
                for action in actions:
                    action(client)
            out = b"".join(process.stdout.readline() for _ in range(lines))
        finally:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        return normalise(out.decode(), server)

    def test_watch(self):
        out = self.same("put", "w0", "x", form="json")
        revision = str(json.loads(out)["header"]["revision"])
        actions = [lambda c: c.put(b"w1", b"a"), lambda c: c.put(b"w1", b"b"), lambda c: c.delete(b"w", b"x")]
        for arguments, lines, given in (
                (["watch", "w", "--prefix"], 12, None), (["watch", "w", "--prefix", "--prev-kv"], 15, None), (["watch", "w1"], 9, None),
                (["watch", "w", "--prefix", "-w", "json"], 3, None), (["watch", "w1", "-w", "fields"], 20, None),
                (["watch", "w", "--prefix", "--rev", revision], 15, None), (["watch", "w0", "w2"], 12, None),
                (["watch", "w1", "--", "sh", "-c", "echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE"], 12, None),
                (["watch", "-i"], 9, "watch w1\n"), (["watch", "-i"], 12, 'watch w1 -- sh -c "echo $ETCD_WATCH_KEY"\n')):
            with self.subTest(arguments=arguments):
                outs = self.both(lambda tool, server: self.lasting(tool, server, arguments, actions, lines, given))
                self.assertEqual(outs[1], outs[0])
                self.same("put", "w0", "x")

    def test_progress(self):
        outs = self.both(lambda tool, server: self.lasting(tool, server, ["watch", "-i"], [], 1, "watch pp\nprogress\n"))
        self.assertEqual(outs[1], outs[0])
        self.assertIn("progress notify: ", outs[0])

    def test_lock_and_elect(self):
        hexadecimal = re.compile(r"/[0-9a-f]{14,16}")
        outs = []
        for tool, server in self.sides():
            done = self.run_tool(tool, server, ["lock", "L", "--", "sh", "-c", "echo $ETCD_LOCK_KEY; exit 7"])
            errors = [line for line in done.stderr.decode().splitlines() if not line.startswith("{")]
            outs.append((done.returncode, hexadecimal.sub("/ID", done.stdout.decode()), errors))
        self.assertEqual(outs[1], outs[0])
        for arguments in (["lock", "M"], ["elect", "E", "me"]):
            outs = []
            for tool, server in self.sides():
                process = subprocess.Popen([tool, "--endpoints", server.address, *arguments], env=self.environment(tool),
                                           stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                lines = process.stdout.readline() + process.stdout.readline()
                process.send_signal(signal.SIGINT)
                code = process.wait(10)
                process.stdout.close()
                process.stderr.close()
                with Client(server.address) as client:
                    left = len(client.range(arguments[1].encode(), arguments[1].encode() + b"0").kvs)
                outs.append((code, hexadecimal.sub("/ID", lines.decode()), left))
            self.assertEqual(outs[1], outs[0], arguments)
            self.assertEqual(outs[1][2], 0)

    def test_the_two_exclude_each_other(self):
        """A lock that one tool holds is one to the other."""
        server = Server()
        server.start()
        self.addCleanup(server.close)
        for holder, waiter in ((self.reference, self.ours), (self.ours, self.reference)):
            first = subprocess.Popen([holder, "--endpoints", server.address, "lock", "X"], env=self.environment(holder), stdout=subprocess.PIPE)
            first.stdout.readline()
            second = subprocess.Popen([waiter, "--endpoints", server.address, "lock", "X", "echo", "mine"], env=self.environment(waiter),
                                      stdout=subprocess.PIPE)
            with self.assertRaises(subprocess.TimeoutExpired):
                second.wait(0.7)
            first.send_signal(signal.SIGINT)
            first.wait(10)
            first.stdout.close()
            self.assertEqual(second.communicate(timeout=10)[0], b"mine\n")

    def test_snapshot(self):
        for i in range(20):
            self.same("put", f"snap{i}", "x" * 100)
        outs = []
        for tool, server in self.sides():
            path = server.work / "snapshot.db"
            done = self.run_tool(tool, server, ["snapshot", "save", str(path)])
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
            self.assertFalse(path.with_name("snapshot.db.part").exists())
            outs.append(done.stdout.decode().splitlines()[0].replace(str(path), "PATH"))
            if peers.etcdutl():
                status = json.loads(run([peers.etcdutl(), "snapshot", "status", str(path), "-w", "json"], check=True).stdout)
                outs.append(status["revision"])
        self.assertEqual(outs[len(outs) // 2:], outs[:len(outs) // 2])

    def test_make_mirror(self):
        destinations = []
        with Server() as there:
            for (tool, server), prefix in zip(self.sides(), ("one/", "two/")):
                with Client(server.address) as client:
                    client.put(b"mm/a", b"1")
                    client.put(b"mm/b", b"2")
                process = subprocess.Popen(
                    [tool, "--endpoints", server.address, "make-mirror", "--prefix", "mm/", "--dest-prefix", prefix, there.address],
                    env=self.environment(tool), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    with Client(there.address) as target, Client(server.address) as client:
                        def copied():
                            return [(kv.key[len(prefix):], kv.value) for kv in target.range(prefix.encode(), prefix[:-1].encode() + b"0").kvs]
                        self.eventually(lambda: len(copied()) == 2)
                        client.put(b"mm/c", b"3")
                        client.delete(b"mm/a")
                        self.eventually(lambda: [key for key, _ in copied()] == [b"b", b"c"])
                        destinations.append(copied())
                finally:
                    process.kill()
                    process.wait()
        self.assertEqual(destinations[1], destinations[0])

    def eventually(self, condition, seconds=15):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "it does not come true")
            time.sleep(0.1)


class WithDebian12(Differential, Case):
    """What 3.4 has in common with 3.7: not `del --range`, where health is printed, --hex in JSON, and lock's status."""

    CTL = staticmethod(peers.debian_etcdctl)
    VERSION = 3, 4
    test_keys = test_watch = test_wrong_words = test_members_and_endpoints = test_lock_and_elect = test_snapshot = None
    test_make_mirror = test_the_two_exclude_each_other = None


class WithNewest(Differential, Case):
    CTL = staticmethod(peers.etcdctl)


class WithNewestCrossed(Differential, Case):
    CTL = staticmethod(peers.etcdctl)
    CROSSED = True
    test_keys = test_watch = test_wrong_words = test_unknown_words = test_users = test_the_two_exclude_each_other = None
    test_compaction = test_snapshot = None


class AgainstBoth(SideBySide, Case):
    """The suite of etcdctl with martletctl: the server under test and real etcd look the same through it."""

    CTL = staticmethod(peers.martletctl)
    API = 3, 7
    RANGE = ("--range",)
    test_watch = test_keys = test_compaction = None


class Alone(Case):
    """What only martletctl has, and how it bears trouble."""

    @classmethod
    def setUpClass(cls):
        cls.ours = peers.martletctl()
        if not cls.ours:
            raise unittest.SkipTest("no martletctl beside the server")
        cls.server = Server()
        cls.server.start()
        cls.addClassCleanup(cls.server.close)

    def ctl(self, *arguments, endpoints=None, env=None, timeout=30, input=None):
        env = {"PATH": os.environ["PATH"], "ETCDCTL_ENDPOINTS": endpoints or self.server.address, **(env or {})}
        return run([self.ours, *arguments], env=env, timeout=timeout, input=input)

    def test_variables(self):
        done = self.ctl("put", "v", "1", env={"ETCDCTL_WRITE_OUT": "json"})
        self.assertIn("header", json.loads(done.stdout))
        done = self.ctl("get", "v", "-w", "simple", env={"ETCDCTL_WRITE_OUT": "json"})
        self.assertEqual(done.returncode, 1)
        self.assertIn("is shadowed by corresponding command-line flag", done.stderr)
        done = self.ctl("get", "v", env={"ETCDCTL_API": "3"})
        self.assertEqual((done.returncode, done.stdout), (0, "v\n1\n"))
        self.assertIn("ETCDCTL_API=3", done.stderr)

    def test_tables(self):
        done = self.ctl("endpoint", "status", "-w", "table")
        lines = done.stdout.splitlines()
        self.assertEqual(len({len(line) for line in lines}), 1, done.stdout)
        self.assertTrue(lines[0].startswith("┌") and lines[-1].endswith("┘"))

    def test_failover(self):
        done = self.ctl("get", "x", endpoints=f"127.0.0.1:{free_port()},{self.server.address}")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_nobody_there(self):
        done = self.ctl("get", "x", "--command-timeout", "500ms", endpoints=f"127.0.0.1:{free_port()}")
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("connection refused", done.stderr)
        self.assertTrue(done.stderr.endswith("Error: context deadline exceeded\n"), done.stderr)

    def test_watch_over_a_restart(self):
        with Server() as server:
            env = {"PATH": os.environ["PATH"], "ETCDCTL_ENDPOINTS": server.address}
            self.assertEqual(run([self.ours, "put", "r", "0"], env=env).returncode, 0)
            process = subprocess.Popen([self.ours, "watch", "r", "--rev", "2"], env=env, stdout=subprocess.PIPE)
            try:
                self.assertEqual([process.stdout.readline() for _ in range(3)][2], b"0\n")
                for i in range(1, 4):
                    server.kill()
                    server.start()
                    with Client(server.address) as client:
                        client.put(b"r", str(i).encode())
                    self.assertEqual([process.stdout.readline() for _ in range(3)], [b"PUT\n", b"r\n", f"{i}\n".encode()])
            finally:
                process.kill()
                process.wait()
                process.stdout.close()

    def test_snapshot_of_a_dying_server(self):
        """No half file is left under the name that was asked for."""
        with Server() as server:
            with Client(server.address) as client:
                for i in range(40):
                    client.put(b"big%d" % i, os.urandom(1 << 20))
            path = server.work / "s.db"
            process = subprocess.Popen([self.ours, "--endpoints", server.address, "snapshot", "save", str(path)],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"]})
            part = path.with_name("s.db.part")
            while process.poll() is None and not (part.exists() and part.stat().st_size):
                time.sleep(0.001)
            server.kill()
            _, errors = process.communicate(timeout=20)
            if process.returncode == 0:
                self.skipTest("the snapshot was through before the kill")
            self.assertEqual(process.returncode, 5, errors)
            self.assertFalse(path.exists() or path.with_name("s.db.part").exists())

    def test_secure(self):
        done = self.ctl("get", "x", "--command-timeout", "500ms", "--cacert", "/nonexistent")
        self.assertEqual(done.returncode, 2)
        self.assertIn("/nonexistent", done.stderr)
        made = certificates()
        self.addCleanup(made.close)
        mine = ["--cert", made.path("good.crt"), "--key", made.path("good.key"), "--command-timeout", "2s"]
        with SecureServer(made) as server:
            for arguments, status, text in (
                    (["--cacert", made.path("ca1.crt")], 0, ""), (["--insecure-skip-tls-verify"], 0, ""),
                    ([], 1, "certificate")):
                done = self.ctl("put", "s", "1", *mine, *arguments, endpoints=server.url)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn(text, done.stderr)
            # Settings of TLS make endpoints without a scheme secure; without any, such an endpoint is plain.
            done = self.ctl("get", "s", *mine, "--cacert", made.path("ca1.crt"), endpoints=server.address)
            self.assertEqual((done.returncode, done.stdout), (0, "s\n1\n"), done.stderr)
            done = self.ctl("endpoint", "health", "--command-timeout", "1s", endpoints=server.address)
            self.assertEqual(done.returncode, 1)
            done = self.ctl("top", *mine, "--cacert", made.path("ca1.crt"), "--count", "1", "--interval", "100ms", endpoints=server.url)
            self.assertIn("yes", done.stdout, done.stderr)

    def test_tokens_that_a_restart_forgot(self):
        with Server() as server:
            root = ["--user", "root:secret"]
            def ctl(*arguments):
                done = self.ctl(*arguments, endpoints=server.address)
                self.assertEqual(done.returncode, 0, done.stderr)
                return done.stdout
            ctl("user", "add", "root:secret")
            ctl("auth", "enable")
            lease = ctl("lease", "grant", "60", *root).split()[1]
            ctl("put", "r", "0", *root)
            env = {"PATH": os.environ["PATH"], "ETCDCTL_ENDPOINTS": server.address, "ETCDCTL_USER": "root:secret"}
            watch = subprocess.Popen([self.ours, "watch", "r", "--rev", "2"], env=env, stdout=subprocess.PIPE)
            try:
                self.assertEqual([watch.stdout.readline() for _ in range(3)][2], b"0\n")
                server.kill()
                server.start()
                ctl("put", "r", "1", *root)
                self.assertEqual([watch.stdout.readline() for _ in range(3)][2], b"1\n")
            finally:
                watch.kill()
                watch.wait()
                watch.stdout.close()
            self.assertIn("keepalived", ctl("lease", "keep-alive", "--once", lease, *root))

    def test_completion(self):
        for shell in ("bash", "zsh", "fish", "powershell"):
            done = self.ctl("completion", shell)
            self.assertEqual(done.returncode, 0)
            self.assertIn("member", done.stdout)
        script = self.ctl("completion", "bash").stdout
        def complete(*words):
            body = script + f"\nCOMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; compopt() {{ :; }}; _martletctl; echo \"${{COMPREPLY[@]}}\""
            return run(["bash", "-c", body], check=True).stdout.split()
        self.assertEqual(complete("martletctl", "mem"), ["member"])
        self.assertEqual(complete("martletctl", "member", "pro"), ["promote"])
        self.assertIn("--keys-only", complete("martletctl", "get", "--keys"))
        self.assertEqual(complete("martletctl", "get", "-w", "js"), ["json"])

    def test_help_of_everything(self):
        def commands(*path):
            done = self.ctl(*path, "--help")
            self.assertEqual(done.returncode, 0, path)
            self.assertIn("Usage:", done.stdout)
            found = re.findall(r"^  ([a-z-]+) {2,}\S", done.stdout, re.MULTILINE)
            for name in found:
                if name not in path and name != "help":
                    commands(*path, name)
            return found
        self.assertGreater(len(commands()), 20)

    def test_top(self):
        done = self.ctl("top", "--count", "2", "--interval", "200ms")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout.count("ENDPOINT"), 2)
