"""Lease: grant, revoke, keep-alive, time to live, expiry, attachment, restart."""

import time

from harness import api
from harness.case import Case, Code, SharedServer
from harness.client import Client, KeepAlive, op_put, prefix_end
from harness.server import Server

NOT_FOUND = "etcdserver: requested lease not found"


class Leases(SharedServer):
    def ttl(self, lease, keys=False):
        return self.client.call("Lease.LeaseTimeToLive", ID=lease, keys=keys)

    def test_grant(self):
        before = self.client.revision()
        answer = self.client.grant(100)
        self.assertEqual((answer.TTL, answer.error, answer.header.revision), (100, "", before))
        self.assertGreater(answer.ID, 0)
        self.assertNotEqual(self.client.grant(100).ID, answer.ID)

    def test_chosen_id(self):
        self.assertEqual(self.client.grant(100, 77777).ID, 77777)
        with self.fails(Code.FAILED_PRECONDITION, "etcdserver: lease already exists"):
            self.client.grant(100, 77777)
        self.client.call("Lease.LeaseRevoke", ID=77777)
        self.assertEqual(self.client.grant(50, 77777).TTL, 50)

    def test_time_limits(self):
        for asked, given in ((-5, 2), (0, 2), (1, 2), (2, 2), (3, 3), (9_000_000_000, 9_000_000_000)):
            self.assertEqual(self.client.grant(asked).TTL, given, asked)
        with self.fails(Code.OUT_OF_RANGE, "etcdserver: too large lease TTL"):
            self.client.grant(9_000_000_001)

    def test_time_to_live(self):
        lease = self.client.grant(100).ID
        self.client.put(self.k("b"), lease=lease), self.client.put(self.k("a"), lease=lease)
        answer = self.ttl(lease)
        self.assertEqual((answer.ID, answer.grantedTTL, list(answer.keys)), (lease, 100, []))
        self.assertIn(answer.TTL, range(95, 101))
        self.assertEqual(sorted(self.ttl(lease, keys=True).keys), [self.k("a"), self.k("b")])
        answer = self.ttl(4711, keys=True)
        self.assertEqual((answer.ID, answer.TTL, answer.grantedTTL, list(answer.keys)), (4711, -1, 0, []))

    def test_revoke(self):
        lease = self.client.grant(100).ID
        for n in "cab":
            self.client.put(self.k(n), lease=lease)
        before = self.client.revision()
        with self.client.watch() as stream:
            stream.create(self.k(), prefix_end(self.k()))
            answer = self.client.call("Lease.LeaseRevoke", ID=lease)
            self.assertEqual(answer.header.revision, before + 1)
            events = stream.events(3)
            self.assertEqual([(e.type, e.kv.key, e.kv.mod_revision) for e in events],
                             [(1, self.k(n), before + 1) for n in "abc"])
        self.assertEqual(self.client.range(self.k(), prefix_end(self.k())).count, 0)
        with self.fails(Code.NOT_FOUND, NOT_FOUND):
            self.client.call("Lease.LeaseRevoke", ID=lease)
        with self.fails(Code.NOT_FOUND, NOT_FOUND):
            self.client.put(self.k(), lease=lease)
        self.assertEqual(self.ttl(lease).TTL, -1)

    def test_revoke_without_keys_takes_no_revision(self):
        lease = self.client.grant(100).ID
        before = self.client.revision()
        self.assertEqual(self.client.call("Lease.LeaseRevoke", ID=lease).header.revision, before)

    def test_list(self):
        leases = {self.client.grant(1000).ID for _ in range(5)}
        self.assertLessEqual(leases, {s.ID for s in self.client.call("Lease.LeaseLeases").leases})

    def test_attach_and_detach(self):
        one, two = self.client.grant(100).ID, self.client.grant(100).ID
        keys = lambda lease: list(self.ttl(lease, keys=True).keys)
        self.client.put(self.k(), lease=one)
        self.client.put(self.k(), lease=two)
        self.assertEqual((keys(one), keys(two)), ([], [self.k()]))
        self.client.put(self.k(), lease=two)
        self.assertEqual(keys(two), [self.k()])
        self.client.put(self.k())
        self.assertEqual(keys(two), [])
        self.client.call("Lease.LeaseRevoke", ID=two)
        self.assertIsNotNone(self.client.get(self.k()))

    def test_attached_in_a_transaction(self):
        lease = self.client.grant(100).ID
        self.client.txn(success=[op_put(self.k(n), lease=lease) for n in "ab"])
        self.assertEqual(sorted(self.ttl(lease, keys=True).keys), [self.k("a"), self.k("b")])

    def test_keep_alive(self):
        lease = self.client.grant(5).ID
        with KeepAlive(self.client) as stream:
            for _ in range(3):
                answer = stream.renew(lease)
                self.assertEqual((answer.ID, answer.TTL), (lease, 5))
                self.assertEqual(answer.header.revision, self.client.revision())
            self.assertEqual((stream.renew(4711).ID, stream.renew(4711).TTL), (4711, 0))
            self.client.call("Lease.LeaseRevoke", ID=lease)
            self.assertEqual(stream.renew(lease).TTL, 0)
            stream.half_close()
            self.assertIsNone(stream.wait_end(), "half-close ends the stream with OK")

    def test_keep_alive_answers_in_order(self):
        leases = [self.client.grant(100 + i).ID for i in range(50)]
        with KeepAlive(self.client) as stream:
            for lease in leases:
                stream.send(api.LeaseKeepAliveRequest(ID=lease))
            self.assertEqual([stream.next().ID for _ in leases], leases)

    def test_expiry(self):
        started = time.monotonic()
        lease = self.client.grant(2).ID
        self.client.put(self.k(), b"v", lease=lease)
        before = self.client.revision()
        while self.client.get(self.k()) is not None:
            self.assertLess(time.monotonic() - started, 30)
            time.sleep(0.05)
        self.assertGreaterEqual(time.monotonic() - started, 1.9, "never early")
        self.assertEqual(self.client.revision(), before + 1)
        self.assertEqual(self.ttl(lease).TTL, -1)
        self.assertNotIn(lease, {s.ID for s in self.client.call("Lease.LeaseLeases").leases})

    def test_renewed_leases_live(self):
        kept, dropped = self.client.grant(2).ID, self.client.grant(2).ID
        self.client.put(self.k("kept"), lease=kept), self.client.put(self.k("dropped"), lease=dropped)
        with KeepAlive(self.client) as stream:
            deadline = time.monotonic() + 4.5
            while time.monotonic() < deadline:
                self.assertEqual(stream.renew(kept).TTL, 2)
                time.sleep(0.3)
        self.assertIsNotNone(self.client.get(self.k("kept")))
        self.assertIsNone(self.client.get(self.k("dropped")))

    def test_granted_and_left_alone_as_an_api_server_does(self):
        """Many short leases, one put each: all keys go, each by an event of its own."""
        with self.client.watch() as stream:
            stream.create(self.k(), prefix_end(self.k()), filters=[0])
            for i in range(100):
                self.client.put(self.k("%02d" % i), lease=self.client.grant(2).ID)
            events = stream.events(100, timeout=30)
            self.assertEqual({e.kv.key for e in events}, {self.k("%02d" % i) for i in range(100)})
            revisions = [e.kv.mod_revision for e in events]
            self.assertEqual(revisions, sorted(set(revisions)))


class Restart(Case):
    def test_leases_survive(self):
        with Server() as server:
            with Client(server.address) as client:
                long, short = client.grant(1000).ID, client.grant(3).ID
                client.put(b"long", lease=long), client.put(b"short", lease=short)
                revoked = client.grant(1000).ID
                client.call("Lease.LeaseRevoke", ID=revoked)
            for end in (server.stop, server.kill):
                end()
                server.start()
                with Client(server.address) as client:
                    answer = client.call("Lease.LeaseTimeToLive", ID=long, keys=True)
                    self.assertEqual((answer.grantedTTL, list(answer.keys)), (1000, [b"long"]))
                    self.assertGreater(answer.TTL, 900)
                    self.assertEqual(client.call("Lease.LeaseTimeToLive", ID=revoked).TTL, -1)
            with Client(server.address) as client:
                deadline = time.monotonic() + 30
                while client.get(b"short") is not None:
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.1)
                self.assertIsNotNone(client.get(b"long"))


class Crowd(Case):
    def test_tens_of_thousands(self):
        """Granted over one connection, listed, renewed, then the server is restarted."""
        count = 20_000
        with Server("--unsafe-no-fsync") as server:
            with Client(server.address) as client:
                grant = client.stub("Lease.LeaseGrant")
                window = []
                for i in range(1, count + 1):
                    window.append(grant.future(api.LeaseGrantRequest(TTL=3600, ID=i), timeout=60))
                    if len(window) == 200:
                        [f.result() for f in window]
                        window.clear()
                [f.result() for f in window]
                self.assertEqual(len(client.call("Lease.LeaseLeases").leases), count)
                client.put(b"k", lease=count)
            server.restart()
            with Client(server.address) as client:
                self.assertEqual({s.ID for s in client.call("Lease.LeaseLeases").leases}, set(range(1, count + 1)))
                client.call("Lease.LeaseRevoke", ID=count)
                self.assertIsNone(client.get(b"k"))
