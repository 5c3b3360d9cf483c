"""What martletctl has beyond etcdctl, and name service discovery. Part of the suite `ctl`."""

import base64
import json
import os
import subprocess
import threading
import time
import unittest

from harness import peers
from harness.case import Case, run
from harness.client import Client, op_put
from harness.names import NameServer
from harness.server import Server, free_port

SAMPLES = peers.REPOSITORY / "Tests/DecoderTests/Samples"


class Beyond(Case):
    @classmethod
    def setUpClass(cls):
        cls.ours = peers.martletctl()
        if not cls.ours:
            raise unittest.SkipTest("no martletctl beside the server")
        cls.server = Server()
        cls.server.start()
        cls.addClassCleanup(cls.server.close)
        cls.client = Client(cls.server.address)
        cls.addClassCleanup(cls.client.close)

    def ctl(self, *arguments, status=0, endpoints=None):
        env = {"PATH": os.environ["PATH"], "ETCDCTL_ENDPOINTS": endpoints or self.server.address}
        done = run([self.ours, *arguments], env=env)
        self.assertEqual(done.returncode, status, (arguments, done.stdout[-1000:], done.stderr))
        return done

    # get -o k8s

    def test_stored_objects(self):
        samples = sorted(path.with_suffix("") for path in SAMPLES.glob("*.bin"))
        self.assertGreater(len(samples), 20)
        for path in samples:
            self.client.put(f"/registry/{path.name}".encode(), path.with_suffix(path.suffix + ".bin").read_bytes())
        documents = self.ctl("get", "/registry/", "--prefix", "-o", "k8s").stdout.split("---\n# ")
        self.assertEqual(len(documents), len(samples))
        for path, document in zip(samples, documents):
            key, _, text = document.removeprefix("# ").partition("\n")
            self.assertEqual(key, f"/registry/{path.name}")
            self.assertEqual(text, path.with_suffix(path.suffix + ".yaml").read_text())
        answer = json.loads(self.ctl("get", "/registry/", "--prefix", "-o", "k8s", "-w", "json").stdout)
        plain = json.loads(self.ctl("get", "/registry/", "--prefix", "-w", "json").stdout)
        self.assertEqual(answer["count"], len(samples))
        for path, kv, bare in zip(samples, answer["kvs"], plain["kvs"]):
            self.assertEqual(kv.pop("object"), json.loads(path.with_suffix(path.suffix + ".json").read_text()))
            del bare["value"]
            self.assertEqual(kv, bare)
        # Another tool with the same decoder.
        one = self.ctl("get", f"/registry/{samples[0].name}", "-o", "k8s", "--print-value-only").stdout
        self.assertEqual(one, samples[0].with_suffix(samples[0].suffix + ".yaml").read_text())

    def test_other_values(self):
        self.client.put(b"o/1", b"plain \xff text")
        self.client.put(b"o/2", b"k8s:enc:secretbox:v1:blue:\x00\x01\x02")
        self.client.put(b"o/3", (SAMPLES / "apps_v1.Deployment.1.bin").read_bytes()[:-40])
        done = run([self.ours, "--endpoints", self.server.address, "get", "o/1", "-o", "k8s", "-w", "json"])
        self.assertEqual(base64.b64decode(json.loads(done.stdout)["kvs"][0]["value"]), b"plain \xff text")
        self.assertIn("# encrypted by secretbox v1 with the key blue", self.ctl("get", "o/2", "-o", "k8s").stdout)
        self.assertEqual(json.loads(self.ctl("get", "o/2", "-o", "k8s", "-w", "json").stdout)["kvs"][0]["encrypted"],
                         {"provider": "secretbox", "version": "v1", "key": "blue"})
        # What can be read is shown, and it is told.
        done = self.ctl("get", "o/3", "-o", "k8s", status=1)
        self.assertRegex(done.stdout, r"(?s)# o/3\n# damaged, shown as far as it can be read: .*\napiVersion: apps/v1\n")
        self.assertIn("Error: damaged: o/3", done.stderr)
        self.assertEqual(self.ctl("get", "nothing", "-o", "k8s").stdout, "")

    # top

    def busy(self, client, stopped):
        """Writes, reads and lists until it is told to stop."""
        i = 0
        while not stopped.is_set():
            client.put(b"/registry/pods/default/p%d" % (i % 7), b"x" * 1000)
            client.range(b"/registry/pods/default/p0")
            client.range(b"/registry/leases/", b"/registry/leases0")
            i += 1

    def top(self, *arguments, server=None):
        server = server or self.server
        stopped = threading.Event()
        with Client(server.address) as client:
            client.put(b"/registry/leases/a", b"1")
            client.put(b"/registry/pods/default/p0", b"1")
            for i in range(1, 7):
                client.put(b"/registry/pods/default/p%d" % i, b"1")
            worker = threading.Thread(target=self.busy, args=(client, stopped))
            worker.start()
            try:
                return self.ctl("top", "--interval", "500ms", *arguments, endpoints=server.address).stdout
            finally:
                stopped.set()
                worker.join()

    def test_top(self):
        with Server() as server:
            text = self.top(server=server)
            parts = text.split("\n\n")
            self.assertEqual([part.split()[0] for part in parts], ["ENDPOINT", "Resources:", "Clients:"], text)
            rows = [line.split() for line in parts[1].splitlines()[2:]]
            self.assertEqual([row[:2] for row in rows], [["pods", "7"], ["leases", "1"]], text)
            agents = parts[2].splitlines()
            self.assertIn("grpc-python", parts[2])
            self.assertRegex(agents[1], "USER AGENT +ADDRESS +REQUESTS/S")
            # Sorted by another column, cut, only what was asked for.
            only = self.top("--show", "resources", "--sort", "lists", "--limit", "1", server=server).splitlines()
            self.assertEqual(only[0], "Resources, 1 of 2:")
            self.assertEqual(len(only), 3, only)
            self.assertEqual(only[2].split()[0], "leases")
            self.assertRegex(self.top("--show", "calls", server=server), r"(?s)^Calls of .*, per second:\n.*  Put\n")

    def test_top_of_etcd(self):
        if not peers.etcd():
            self.skipTest("no real etcd in the cache")
        with Server(binary=peers.etcd()) as server:
            text = self.top(server=server)
            self.assertIn(f"{server.address}: no figures by resource or client, which only martlet servers have.", text)
            self.assertRegex(text, r"Calls of .*, per second:\n(.*\n)* +[\d.]+  Put\n")
            self.assertRegex(text, r"(?m)^127\.0\.0\.1:\d+ +yes +\d+")

    def test_top_of_nobody(self):
        done = self.ctl("top", "--interval", "20ms", endpoints=f"127.0.0.1:{free_port()}", status=1)
        self.assertIn("unreachable", done.stdout)
        self.assertIn("Error: no endpoint answers", done.stderr)

    # make-mirror

    def test_mirror_beside_a_writer(self):
        """Keys that change while they are copied arrive as they were left; several pages."""
        with Server() as source, Server() as there, Client(source.address) as client, Client(there.address) as target:
            for start in range(0, 2200, 100):
                client.txn(success=[op_put(b"mm/%05d" % i, b"0") for i in range(start, start + 100)])
            stopped = threading.Event()
            def write():
                i = 0
                with Client(source.address) as other:
                    while not stopped.is_set():
                        other.put(b"mm/%05d" % (i * 37 % 2200), b"%d" % i)
                        i += 1
            worker = threading.Thread(target=write)
            worker.start()
            process = self.process("make-mirror", "--prefix", "mm/", there.address, endpoints=source.address)
            try:
                self.eventually(lambda: target.range(b"mm/", b"mm0", count_only=True).count == 2200)
            finally:
                stopped.set()
                worker.join()
            try:
                def contents(side):
                    return [(kv.key, kv.value) for kv in side.range(b"mm/", b"mm0").kvs]
                wanted = contents(client)
                self.eventually(lambda: contents(target) == wanted)
            finally:
                process.kill()
                process.wait()

    def process(self, *arguments, endpoints):
        return subprocess.Popen([self.ours, *arguments], env={"PATH": os.environ["PATH"], "ETCDCTL_ENDPOINTS": endpoints},
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def eventually(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "it does not come true")
            time.sleep(0.1)


class Discovery(Case):
    """--discovery-srv, beside etcdctl's with the same name server."""

    @classmethod
    def setUpClass(cls):
        cls.ours, cls.reference = peers.martletctl(), peers.etcdctl()
        if not cls.ours or not cls.reference:
            raise unittest.SkipTest("no martletctl, or no etcdctl beside it")
        if not NameServer.works():
            raise unittest.SkipTest("this process may not run a name server")

    def test_records(self):
        with Server() as server:
            good = (0, 0, server.client_port, "localhost")
            records = {
                "_etcd-client._tcp.plain.test": [good],
                "_etcd-client-ssl._tcp.secure.test": [(0, 0, free_port(), "localhost")],
                "_etcd-client-blue._tcp.named.test": [good],
                # The first in order is down: the other one serves.
                "_etcd-client._tcp.two.test": [(1, 0, free_port(), "localhost"), (2, 5, server.client_port, "localhost")],
                "_etcd-client._tcp.mixed.test": [good],
                "_etcd-client-ssl._tcp.mixed.test": [(0, 0, free_port(), "localhost")],
            }
            with NameServer(records) as names, Client(server.address) as client:
                client.put(b"found", b"it")
                def both(*arguments):
                    answers = []
                    for tool in (self.reference, self.ours):
                        done = run(names.command([tool, "--command-timeout", "3s", *arguments]), env={"PATH": os.environ["PATH"]})
                        lines = [line for line in done.stderr.splitlines() if line and not line.startswith("{")]
                        answers.append((done.returncode, done.stdout, lines))
                    return answers
                for arguments, wanted in (
                        (["-d", "plain.test", "get", "found"], "found\nit\n"),
                        (["--discovery-srv", "named.test", "--discovery-srv-name", "blue", "get", "found"], "found\nit\n"),
                        (["-d", "two.test", "get", "found"], "found\nit\n")):
                    with self.subTest(arguments=arguments):
                        reference, ours = both(*arguments)
                        self.assertEqual(ours, reference)
                        self.assertEqual(ours[:2], (0, wanted))
                with self.subTest("secure and plain"):
                    # etcd's clients speak TLS to all endpoints if they do to the first; ours to those that say so.
                    self.assertEqual(both("-d", "mixed.test", "get", "found")[1][:2], (0, "found\nit\n"))
                with self.subTest("a plain endpoint that is not wanted"):
                    reference, ours = both("-d", "plain.test", "--insecure-discovery=false", "get", "found")
                    self.assertEqual(ours[2][0], reference[2][0])
                    self.assertEqual(ours[2][0], f'ignoring discovered insecure endpoint "http://localhost.:{server.client_port}"')
                    self.assertNotEqual(ours[0], 0)
                with self.subTest("no records"):
                    reference, ours = both("-d", "none.test", "get", "found")
                    self.assertEqual(ours[0], reference[0])
                    pattern = r"Error: dns lookup errors: lookup _etcd-client-ssl\._tcp\.none\.test.*: no such host and lookup _etcd-client\._tcp\.none\.test.*: no such host"
                    self.assertRegex(reference[2][-1], pattern)
                    self.assertRegex(ours[2][-1], pattern)
                # Both services were asked for, in this order, by both tools.
                blue = [name for name in names.asked if name.endswith("named.test")]
                self.assertEqual(blue, ["_etcd-client-ssl-blue._tcp.named.test", "_etcd-client-blue._tcp.named.test"] * 2)

