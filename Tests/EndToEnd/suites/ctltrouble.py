"""martletctl and servers that never answer, fall silent or die in the middle, beside etcdctl. Part of the suite `ctl`."""

import concurrent.futures
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from harness import peers
from harness.case import Case
from harness.client import Client, op_put
from harness.proxy import Proxy
from harness.server import Server

MEGABYTE = 1 << 20


class Silent:
    """Accepts connections and says nothing."""

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._taken = []
        threading.Thread(target=self._accept, daemon=True).start()
        return "127.0.0.1:%d" % self._listener.getsockname()[1]

    def _accept(self):
        while True:
            try:
                self._taken.append(self._listener.accept()[0])
            except OSError:
                return

    def __exit__(self, *_):
        self._listener.close()
        for sock in self._taken:
            sock.close()


class Running:
    """A command that goes on, with what it has printed."""

    def __init__(self, tool, endpoint, *arguments):
        self.process = subprocess.Popen([tool, "--endpoints", endpoint, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env={"PATH": os.environ["PATH"]}, text=True)
        self.lines, self.errors = [], []
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True)
                         for pair in ((self.process.stdout, self.lines), (self.process.stderr, self.errors))]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(pipe, lines):
        with pipe:
            for line in pipe:
                lines.append(line.rstrip("\n"))

    def wait_for(self, count, seconds=30):
        """Until so many lines are there."""
        end = time.monotonic() + seconds
        while len(self.lines) < count:
            if time.monotonic() > end or (self.process.poll() is not None and not any(reader.is_alive() for reader in self._readers)):
                raise AssertionError(f"{self.process.args}: {self.lines} {self.errors}")
            time.sleep(0.02)
        return self.lines

    def end(self, seconds=60):
        """Its status and the error it ends with."""
        self.process.wait(seconds)
        for reader in self._readers:
            reader.join(10)
        plain = [line for line in self.errors if line and not line.startswith("{")]
        # `defrag` says since 3.6 how long it took.
        return self.process.returncode, re.sub(r"(?<=\])\. took \S+\.", "", plain[-1]) if plain else ""

    def is_running(self):
        return self.process.poll() is None

    def close(self):
        if self.is_running():
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(10)


class Trouble(Case):
    @classmethod
    def setUpClass(cls):
        cls.ours, cls.reference = peers.martletctl(), peers.etcdctl()
        if not cls.ours or not cls.reference:
            raise unittest.SkipTest("no martletctl, or no etcdctl beside it")
        # Nearly all of it is waiting: it goes on beside the other tests.
        apart = cls("freeze_both")
        cls.addClassCleanup(apart.doCleanups)
        pool = cls.enterClassContext(concurrent.futures.ThreadPoolExecutor(1))
        cls.frozen_ends = pool.submit(apart.freeze_both)

    def start(self, tool, endpoint, *arguments):
        running = Running(tool, endpoint, *arguments)
        self.addCleanup(running.close)
        return running

    def tools(self):
        return self.reference, self.ours

    def enter(self, manager):
        return self.enterContext(manager)

    def folder(self):
        return pathlib.Path(self.enter(tempfile.TemporaryDirectory(prefix="martlet-trouble-")))

    def large(self, server):
        """So much that a snapshot does not fit into what connections hold."""
        with Client(server.address) as client:
            for i in range(24):
                client.put(b"big/%d" % i, os.urandom(MEGABYTE))

    # Endpoints that accept and never answer

    #: And the status that both tools end with; None: they wait.
    SILENT = (
        (["get", "x"], 1), (["put", "a", "b"], 1), (["member", "list"], 1), (["lease", "grant", "5"], 1), (["alarm", "list"], 1), (["defrag"], 1),
        (["lease", "keep-alive", "1234"], 0), (["endpoint", "health"], 1), (["endpoint", "status"], 1), (["--user", "a:b", "get", "x"], 2),
        (["--command-timeout", "1s", "snapshot", "save", "FILE"], 5), (["snapshot", "save", "FILE"], None), (["watch", "a"], None),
        (["lock", "l"], None), (["elect", "e", "v"], None), (["elect", "-l", "e"], None), (["lease", "keep-alive", "--once", "1234"], None),
    )

    def test_silence(self):
        folder = self.folder()
        with Silent() as endpoint:
            started = []
            for arguments, status in self.SILENT:
                pair = []
                for tool in self.tools():
                    path = str(folder / f"{len(started)}-{len(pair)}")
                    options = [] if "--command-timeout" in arguments else ["--command-timeout", "2s"] if status is not None else []
                    pair.append(self.start(tool, endpoint, "--dial-timeout", "1s", *options, *[path if word == "FILE" else word for word in arguments]))
                started.append((arguments, status, pair))
            for arguments, status, pair in started:
                if status is not None:
                    with self.subTest(arguments=arguments):
                        ends = [running.end() for running in pair]
                        self.assertEqual(ends[1], ends[0])
                        self.assertEqual(ends[1][0], status)
                        self.assertEqual(pair[1].lines, pair[0].lines)
            for arguments, status, pair in started:
                if status is None:
                    self.assertEqual([running.is_running() for running in pair], [True, True], arguments)
            # Only those that still wait have a file, and no longer than they wait.
            for _, _, pair in started:
                for running in pair:
                    running.process.send_signal(signal.SIGTERM)
                    running.process.wait(20)
            mine = [path.name for path in folder.iterdir() if path.name.split("-")[1].startswith("1")]
            self.assertEqual(mine, [])

    # Servers that fall silent in the middle

    def test_silence_in_the_middle(self):
        """Ten seconds of silence, then a ping, two seconds later the end: both tools."""
        reference, ours = self.frozen_ends.result()
        self.assertEqual(ours, reference)
        self.assertEqual({what: ours[what][0] for what in ("lease", "lock", "snapshot", "mirror")}, {"lease": 0, "lock": 1, "snapshot": 5, "mirror": 1})

    def freeze_both(self):
        with Server() as server, Server() as there:
            self.large(server)
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                return list(pool.map(lambda tool: self.frozen(tool, server, there), self.tools()))

    def frozen(self, tool, server, there):
        name = "ours" if tool == self.ours else "theirs"
        patience = ["--keepalive-timeout", "2s"]
        folder = self.folder()
        proxies = {what: self.enter(Proxy((there if what == "mirror" else server).address)) for what in ("snapshot", "watch", "lease", "lock", "mirror")}
        proxies["snapshot"].limit(8 * MEGABYTE, proxies["snapshot"].freeze)
        with Client(server.address) as client:
            lease = client.grant(3)
            revision = client.put(f"{name}/0".encode(), b"v").header.revision
            running = {
                "watch": self.start(tool, proxies["watch"].address, *patience, "watch", f"{name}/", "--prefix", "--rev", str(revision)),
                "lease": self.start(tool, proxies["lease"].address, *patience, "lease", "keep-alive", "%x" % lease.ID),
                "lock": self.start(tool, proxies["lock"].address, *patience, "lock", "--ttl", "3", f"lock-{name}"),
                "mirror": self.start(tool, server.address, *patience, "make-mirror", "--prefix", f"{name}/", proxies["mirror"].address),
                "snapshot": self.start(tool, proxies["snapshot"].address, *patience, "snapshot", "save", str(folder / "s.db")),
            }
            running["watch"].wait_for(3)
            running["lease"].wait_for(1)
            running["lock"].wait_for(2)
            with Client(there.address) as target:
                end = time.monotonic() + 30
                while not target.range(f"{name}/0".encode()).kvs:
                    self.assertLess(time.monotonic(), end)
                    time.sleep(0.05)
            self.assertTrue(proxies["snapshot"].stopped.wait(30))
            for what in ("watch", "lease", "lock", "mirror"):
                proxies[what].freeze()
            # The mirror writes to a server that does not answer; the watch misses this for a while.
            client.put(f"{name}/1".encode(), b"w")
            ends = {what: running[what].end() for what in ("lease", "lock", "snapshot", "mirror")}
            # Silent as long as the others: it has given up its connection, and waits.
            self.assertTrue(running["watch"].is_running())
            proxies["watch"].thaw()
            running["watch"].wait_for(6)
            client.put(f"{name}/2".encode(), b"x")
            ends["watch"] = [line.replace(name, "") for line in running["watch"].wait_for(9)]
            ends["lease lines"] = running["lease"].lines[-1].replace("%016x" % lease.ID, "ID")
        if tool == self.ours:
            self.assertEqual(list(folder.iterdir()), [])
        return ends

    # Servers that die in the middle

    def test_cut(self):
        with Server() as server, Server() as there:
            self.large(server)
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                ends = list(pool.map(lambda tool: self.cut_off(tool, server, there), self.tools()))
        self.assertEqual(ends[1], ends[0])

    def cut_off(self, tool, server, there):
        """What fails says so at once; what can go on goes on when the server is back."""
        name = "ours" if tool == self.ours else "theirs"
        folder = self.folder()
        proxies = {what: self.enter(Proxy(server.address))
                   for what in ("snapshot", "watch", "lease", "lock", "leader", "mirror")}
        with Client(server.address) as client, Client(there.address) as target:
            lease = client.grant(60)
            client.put(f"{name}/0".encode(), b"v")
            running = {
                "watch": self.start(tool, proxies["watch"].address, "watch", f"{name}/", "--prefix", "--rev", "1"),
                "lease": self.start(tool, proxies["lease"].address, "lease", "keep-alive", "%x" % lease.ID),
                "lock": self.start(tool, proxies["lock"].address, "lock", "--ttl", "60", f"lock-{name}"),
                "leader": self.start(tool, server.address, "elect", f"leader-{name}", "first"),
                "mirror": self.start(tool, proxies["mirror"].address, "make-mirror", "--prefix", f"{name}/", "--dest-prefix", f"{name}1/", there.address),
            }
            running["leader"].wait_for(2)
            running["observer"] = self.start(tool, proxies["leader"].address, "elect", "-l", f"leader-{name}")
            running["observer"].wait_for(2)
            running["watch"].wait_for(3)
            running["lease"].wait_for(1)
            running["lock"].wait_for(2)
            def arrives(key, value):
                end = time.monotonic() + 30
                while [kv.value for kv in target.range(key.encode()).kvs] != [value]:
                    self.assertLess(time.monotonic(), end, key)
                    time.sleep(0.05)
            arrives(f"{name}1/0", b"v")
            proxies["snapshot"].limit(8 * MEGABYTE, proxies["snapshot"].cut)
            running["snapshot"] = self.start(tool, proxies["snapshot"].address, "snapshot", "save", str(folder / "s.db"))
            for what in ("watch", "lease", "lock", "leader", "mirror"):
                proxies[what].cut()
            client.txn(success=[op_put(f"{name}/1".encode(), b"w"), op_put(f"{name}/2".encode(), b"w")])
            status, error = running["snapshot"].end()
            # What a connection that is gone is called is up to the client, and to chance.
            ends = {"snapshot": (status, error.partition(" desc = ")[0])}
            for what in ("watch", "lease", "lock", "leader", "mirror"):
                proxies[what].restore()
            ends["watch"] = [line.replace(name, "") for line in running["watch"].wait_for(9)]
            arrives(f"{name}1/2", b"w")
            running["leader"].process.send_signal(signal.SIGINT)
            ends["leader"] = running["leader"].end()
            self.start(tool, server.address, "elect", f"leader-{name}", "second").wait_for(2)
            ends["observer"] = [line for line in running["observer"].wait_for(4) if "/" not in line]
            running["lock"].process.send_signal(signal.SIGINT)
            ends["lock"] = running["lock"].end()
            ends["left"] = len(client.range(f"lock-{name}".encode(), f"lock-{name}0".encode()).kvs)
            self.assertTrue(running["lease"].is_running())
        if tool == self.ours:
            self.assertEqual(list(folder.iterdir()), [])
        return ends

    def test_interrupted_snapshot(self):
        """Ctrl-C leaves no half file either."""
        with Server() as server, Proxy(server.address) as proxy:
            self.large(server)
            folder = self.folder()
            proxy.limit(8 * MEGABYTE, proxy.freeze)
            for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
                save = self.start(self.ours, proxy.address, "snapshot", "save", str(folder / "s.db"))
                self.assertTrue(proxy.stopped.wait(30))
                save.process.send_signal(number)
                self.assertEqual(save.end(), (status, "Error: interrupted, nothing was saved"))
                self.assertEqual(list(folder.iterdir()), [])
                proxy.stopped.clear()
                proxy.limit(8 * MEGABYTE, proxy.freeze)
                proxy.thaw()

    def test_what_is_held_by_a_frozen_server(self):
        """Ctrl-C ends `lock` although nobody answers, and says what that means."""
        with Server() as server, Proxy(server.address) as proxy:
            lock = self.start(self.ours, proxy.address, "--command-timeout", "500ms", "lock", "--ttl", "30", "L")
            lock.wait_for(2)
            proxy.freeze()
            lock.process.send_signal(signal.SIGINT)
            self.assertEqual(lock.end(), (1, "Error: context deadline exceeded; the server gives it back when the lease ends, after 30s at most"))
