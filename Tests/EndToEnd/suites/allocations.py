"""What the server asks of the allocator per request, and what it holds in memory: exact counts of a release build, so
that a closure or a copy that slips into the path of a request fails here and not in production.

Most of what is left is libnghttp2's own: seven calls for each HTTP/2 stream.
"""

import subprocess
import time
import unittest

from bench.measure import forget_peak, memory
from harness import peers
from harness.allocations import CountedServer
from harness.case import Case
from harness.client import Client
from harness.server import Server

#: Allocations per operation. Lower a number when the code gets better than it.
LIMITS = {
    "range": 7.2,
    "keepalive": 0.2,
    "page of 100": 24,
    "put alone": 20,
    "put among others": 9.5,
    "txn alone": 20,
    "txn among others": 9.5,
    "watch event": 0.2,
}
#: Megabytes that a list of any size may add while it is sent, and that an idle server may have.
LIST_ADDS_MAX = 16
IDLE_MAX = 30


def counts_are_of_a_release_build(test):
    server = peers.server()
    is_release = peers.is_martlet(server) and "/debug/" not in server
    return unittest.skipUnless(is_release, "the counts are those of a release build of martlet")(test)


@counts_are_of_a_release_build
class Allocations(Case):
    @classmethod
    def setUpClass(cls):
        try:
            cls.counted = cls.enterClassContext(CountedServer())
        except subprocess.CalledProcessError as error:
            raise unittest.SkipTest(f"no C compiler, or no libnghttp2-dev: {error}")

    def check(self, name, *arguments, **options):
        calls, size = self.counted.per(*arguments, **options)
        self.assertLessEqual(calls, LIMITS[name], f"{name}: {calls:.2f} allocations ({size:.0f} bytes) per operation")

    def test_range(self):
        self.counted.run("put", requests=100, keys=100)
        self.check("range", "range", 2000, keys=100)
        self.check("range", "range", 8000, keys=100, connections=4, streams=10)
        self.check("range", "range", 2000, keys=100, serializable=1)

    def test_put(self):
        self.check("put alone", "put", 500, keys=100)
        self.check("put among others", "put", 8000, keys=100, connections=4, streams=100)

    def test_txn(self):
        # The calls of each run have keys of their own, which exist from the first run on: those fail and read.
        self.check("txn alone", "txn", 500)
        self.check("txn among others", "txn", 8000, connections=4, streams=100)

    def test_keepalive(self):
        self.counted.run("grant", requests=50, ttl=3600)
        self.check("keepalive", "keepalive", 8000, connections=4, streams=10, leases=50)

    def test_page(self):
        self.counted.run("put", requests=1000, keys=1000, value=2048)
        self.check("page of 100", "page", 300, keys=800, limit=100)

    def test_watch(self):
        """What a hundred watchers add to a put, divided by their number."""
        alone, _ = self.counted.per("put", 300, keys=100)
        watchers = subprocess.Popen(
            self.counted.command("watch", connections=5, streams=4, watchers=5, events=10**9), stdout=subprocess.PIPE, text=True)
        try:
            self.assertEqual(watchers.stdout.readline(), "ready\n")
            watched, _ = self.counted.per("put", 300, keys=100)
        finally:
            watchers.kill()
            watchers.communicate()
        each = (watched - alone) / 100
        self.assertLessEqual(each, LIMITS["watch event"], f"{watched:.1f} allocations per watched put, {alone:.1f} without")


@counts_are_of_a_release_build
class Memory(Case):
    def test_idle(self):
        with Server() as server, Client(server.address) as client:
            client.put(b"k", b"v")
            self.assertLessEqual(memory(server.pid)[0], IDLE_MAX)

    def test_a_large_list_costs_a_buffer(self):
        with Server() as server, Client(server.address) as client:
            value = bytes(range(256)) * 2048
            for number in range(300):
                client.put(b"/large/%d" % number, value)
            # The log in memory is cut soon after.
            time.sleep(1.5)
            client.put(b"/last", b"")
            forget_peak(server.pid)
            before, _ = memory(server.pid)
            answer = client.range(b"/large/", b"/large0")
            self.assertEqual(len(answer.kvs), 300)
            added = memory(server.pid)[1] - before
            self.assertLessEqual(added, LIST_ADDS_MAX, f"a list of {300 * len(value) / 1e6:.0f} MB added {added:.1f} MB")
