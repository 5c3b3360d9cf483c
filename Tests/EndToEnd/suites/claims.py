"""The Lock and Election services, and clients that build the same keys by themselves."""

import os
import threading
import time
import unittest
import urllib.request

from harness import api, peers
from harness.case import Case, Code, SharedServer, run
from harness.client import Client, prefix_end
from harness.server import Server


class Waiting:
    """A call that is under way."""

    def __init__(self, client, method, /, timeout=30, **fields):
        self.future = client.stub(method).future(api.METHODS[method].request(**fields), timeout=timeout)

    def result(self, timeout=20):
        return self.future.result(timeout)

    def cancel(self):
        self.future.cancel()


class Claims(SharedServer):
    def lease(self, ttl=100):
        return self.client.grant(ttl).ID

    def lock(self, name=None, lease=0, **options):
        return self.client.call("Lock.Lock", name=self.prefix if name is None else name, lease=lease, **options)

    def start(self, call, **fields):
        return Waiting(self.client, call, name=self.prefix, **fields)

    def unlock(self, key):
        return self.client.call("Lock.Unlock", key=key)

    def keys(self):
        """The keys under this test's name, oldest first."""
        kvs = self.client.range(self.prefix + b"/", prefix_end(self.prefix + b"/")).kvs
        return [kv.key for kv in sorted(kvs, key=lambda kv: kv.create_revision)]

    def wait_for_keys(self, count):
        deadline = time.monotonic() + 20
        while len(self.keys()) != count:
            self.assertLess(time.monotonic(), deadline, self.keys())
            time.sleep(0.01)

    def key(self, lease):
        return self.prefix + b"/" + (b"%x" % lease if lease >= 0 else b"-%x" % -lease)


class Locks(Claims):
    def test_free_lock_without_a_lease(self):
        before = self.client.revision()
        answer = self.lock()
        kv = self.client.get(answer.key)
        self.assertEqual(answer.key, self.key(kv.lease))
        self.assertEqual((kv.value, kv.create_revision, answer.header.revision), (b"", before + 1, before + 1))
        self.assertNotIn(0, (answer.header.cluster_id, answer.header.member_id, answer.header.raft_term))
        lease = self.client.call("Lease.LeaseTimeToLive", ID=kv.lease, keys=True)
        self.assertEqual((lease.grantedTTL, list(lease.keys)), (60, [answer.key]))

    def test_free_lock_with_a_lease(self):
        lease = self.lease()
        answer = self.lock(lease=lease)
        self.assertEqual(answer.key, self.key(lease))
        # Again with the same lease: the same lock, held still, nothing written.
        self.client.put(self.prefix + b"elsewhere")
        again = self.lock(lease=lease)
        self.assertEqual((again.key, again.header.revision), (answer.key, answer.header.revision + 1))
        self.assertEqual(self.client.get(answer.key).version, 1)

    def test_odd_leases(self):
        with self.fails(Code.UNKNOWN, "etcdserver: requested lease not found"):
            self.lock(lease=987654321)
        self.client.grant(100, -255)
        self.assertEqual(self.lock(lease=-255).key, self.prefix + b"/-ff")

    def test_names(self):
        lease = self.lease()
        self.assertEqual(self.lock(name=b"", lease=lease).key, b"/%x" % lease)
        self.assertEqual(self.lock(name=self.prefix + b"\xff\x00/", lease=lease).key, self.prefix + b"\xff\x00//%x" % lease)
        # A name that begins with another one's is another lock.
        self.lock(name=self.prefix + b"a", lease=self.lease())
        self.lock(name=self.prefix + b"ab", lease=self.lease(), timeout=5)

    def test_unlock(self):
        answer = self.lock()
        done = self.unlock(answer.key)
        self.assertEqual(done.header.revision, answer.header.revision + 1)
        self.assertIsNone(self.client.get(answer.key))
        # Not held, not a lock at all: a plain delete.
        self.assertEqual(self.unlock(answer.key).header.revision, done.header.revision)
        self.client.put(self.k("plain"))
        self.unlock(self.k("plain"))
        self.assertIsNone(self.client.get(self.k("plain")))
        with self.fails(Code.UNKNOWN, "etcdserver: key is not provided"):
            self.unlock(b"")

    def test_waiters_get_it_in_order(self):
        held = self.lock()
        waiters = []
        for n in range(5):
            waiters.append((lease := self.lease(), self.start("Lock.Lock", lease=lease)))
            self.wait_for_keys(n + 2)
        key = held.key
        for lease, waiter in waiters:
            self.assertFalse(waiter.future.done())
            released = self.unlock(key).header.revision
            answer = waiter.result()
            key = answer.key
            self.assertEqual(key, self.key(lease))
            self.assertGreaterEqual(answer.header.revision, released)
        self.assertEqual(self.keys(), [key])

    def test_lease_of_the_holder_ends(self):
        holder, lease = self.lease(), self.lease()
        self.lock(lease=holder)
        waiter = self.start("Lock.Lock", lease=lease)
        self.wait_for_keys(2)
        self.client.call("Lease.LeaseRevoke", ID=holder)
        self.assertEqual(waiter.result().key, self.key(lease))
        short = self.client.grant(2).ID
        next_one = self.start("Lock.Lock", lease=short)
        self.wait_for_keys(2)
        self.unlock(self.key(lease))
        next_one.result()
        self.lock(timeout=20)  # As soon as the short lease has ended.

    def test_lease_of_a_waiter_ends(self):
        held, lease = self.lock(), self.lease()
        waiter = self.start("Lock.Lock", lease=lease)
        self.wait_for_keys(2)
        self.client.call("Lease.LeaseRevoke", ID=lease)
        self.unlock(held.key)
        with self.fails(Code.UNKNOWN, "mutex: session is expired"):
            waiter.result()
        self.assertEqual(self.keys(), [])

    def test_cancelled_waiter_leaves(self):
        held = self.lock()
        first = self.start("Lock.Lock", lease=self.lease())
        self.wait_for_keys(2)
        lease = self.lease()
        second = self.start("Lock.Lock", lease=lease)
        self.wait_for_keys(3)
        first.cancel()
        self.wait_for_keys(2)
        time.sleep(0.05)
        self.assertFalse(second.future.done())
        self.unlock(held.key)
        self.assertEqual(second.result().key, self.key(lease))

    def test_waiter_beyond_its_deadline_leaves(self):
        self.lock()
        with self.fails(Code.DEADLINE_EXCEEDED):
            self.lock(lease=self.lease(), timeout=0.5)
        self.wait_for_keys(1)

    def test_waiter_that_disconnects_leaves(self):
        self.lock()
        with Client(self.server.address) as other:
            waiter = Waiting(other, "Lock.Lock", name=self.prefix, lease=self.lease())
            self.wait_for_keys(2)
            self.assertFalse(waiter.future.done())
        self.wait_for_keys(1)

    @unittest.skipUnless(peers.is_martlet(peers.server()), "etcd ends the wait with an error, and later waits hang")
    def test_compaction_while_waiting(self):
        held, lease = self.lock(), self.lease()
        waiter = self.start("Lock.Lock", lease=lease)
        self.wait_for_keys(2)
        for _ in range(5):
            revision = self.client.put(self.prefix + b"elsewhere").header.revision
        self.client.compact(revision)
        self.unlock(held.key)
        self.assertEqual(waiter.result().key, self.key(lease))

    def test_many_waiters_in_one_queue(self):
        count = 300
        held = self.lock()
        waiters = {}
        for _ in range(count):
            lease = self.lease()
            waiters[self.key(lease)] = self.start("Lock.Lock", lease=lease, timeout=120)
        self.wait_for_keys(count + 1)
        order = self.keys()
        self.assertEqual(order[0], held.key)
        for at, key in enumerate(order):
            self.unlock(key)
            if at + 1 < len(order):
                self.assertEqual(waiters[order[at + 1]].result().key, order[at + 1])
        self.assertEqual(self.keys(), [])

    def test_many_locks_at_once(self):
        held = {n: self.lock(name=self.k(n)).key for n in range(200)}
        waiters = {n: Waiting(self.client, "Lock.Lock", name=self.k(n)) for n in held}
        for n, key in held.items():
            self.unlock(key)
        for n, waiter in waiters.items():
            self.assertTrue(waiter.result().key.startswith(self.k(n) + b"/"))


class Elections(Claims):
    def campaign(self, value=b"me", lease=0, **options):
        return self.client.call("Election.Campaign", name=self.prefix, lease=lease, value=value, **options)

    def proclaim(self, leader, value):
        return self.client.call("Election.Proclaim", leader=leader, value=value)

    def leader(self):
        return self.client.call("Election.Leader", name=self.prefix)

    def resign(self, leader):
        return self.client.call("Election.Resign", leader=leader)

    def observe(self, timeout=60):
        call = self.client.stub("Election.Observe")(api.v3electionpb.LeaderRequest(name=self.prefix), timeout=timeout)
        self.addCleanup(call.cancel)
        return call

    def test_campaign(self):
        before, lease = self.client.revision(), self.lease()
        answer = self.campaign(lease=lease)
        self.assertEqual(answer.header.revision, before + 1)
        self.assertEqual((answer.leader.name, answer.leader.key, answer.leader.rev, answer.leader.lease),
                         (self.prefix, self.key(lease), before + 1, lease))
        found = self.leader()
        self.assertEqual((found.kv.key, found.kv.value, found.kv.lease, found.kv.create_revision, found.header.revision),
                         (answer.leader.key, b"me", lease, before + 1, before + 1))
        self.assertNotIn(0, (found.header.cluster_id, found.header.member_id, found.header.raft_term))

    def test_campaign_without_a_lease(self):
        answer = self.campaign()
        self.assertEqual(self.client.call("Lease.LeaseTimeToLive", ID=answer.leader.lease).grantedTTL, 60)
        with self.fails(Code.UNKNOWN, "etcdserver: requested lease not found"):
            self.campaign(lease=123456)

    def test_campaign_again(self):
        lease = self.lease()
        first = self.campaign(lease=lease)
        same = self.campaign(lease=lease)
        self.assertEqual((same.leader, same.header.revision), (first.leader, first.header.revision))
        other = self.campaign(b"other", lease=lease)
        # Answered with the header of the transaction that found the key, before the new value was written.
        self.assertEqual((other.leader, other.header.revision), (first.leader, first.header.revision))
        self.assertEqual(self.leader().kv.value, b"other")
        self.assertEqual(self.client.revision(), first.header.revision + 1)

    def test_nobody_leads(self):
        with self.fails(Code.UNKNOWN, "election: no leader"):
            self.leader()

    def test_proclaim(self):
        leader = self.campaign(lease=self.lease()).leader
        answer = self.proclaim(leader, b"news")
        kv = self.client.get(leader.key)
        self.assertEqual((kv.value, kv.version, kv.lease, kv.mod_revision), (b"news", 2, leader.lease, answer.header.revision))
        stale = api.v3electionpb.LeaderKey(name=leader.name, key=leader.key, rev=leader.rev + 1, lease=leader.lease)
        with self.fails(Code.UNKNOWN, "election: not leader"):
            self.proclaim(stale, b"x")
        self.resign(leader)
        with self.fails(Code.UNKNOWN, "election: not leader"):
            self.proclaim(leader, b"x")

    def test_proclaim_without_a_lease(self):
        leader = self.campaign(lease=self.lease()).leader
        self.proclaim(api.v3electionpb.LeaderKey(name=leader.name, key=leader.key, rev=leader.rev), b"moved")
        kv = self.client.get(leader.key)
        self.assertNotIn(kv.lease, (0, leader.lease))
        self.assertEqual(self.client.call("Lease.LeaseTimeToLive", ID=kv.lease).grantedTTL, 60)

    def test_missing_leader(self):
        for name in ("Election.Proclaim", "Election.Resign"):
            with self.fails(Code.UNKNOWN, '"leader" field must be provided'):
                self.client.call(name)

    def test_resign(self):
        leader = self.campaign(lease=self.lease()).leader
        answer = self.resign(leader)
        self.assertEqual(answer.header.revision, leader.rev + 1)
        self.assertIsNone(self.client.get(leader.key))
        self.assertEqual(self.resign(leader).header.revision, leader.rev + 1)

    def test_resign_without_a_lease(self):
        """As every call of an election it begins with a session: without a lease one is granted."""
        leader = self.campaign(lease=self.lease()).leader
        before = {lease.ID for lease in self.client.call("Lease.LeaseLeases").leases}
        answer = self.resign(api.v3electionpb.LeaderKey(name=leader.name, key=leader.key, rev=leader.rev))
        self.assertEqual(answer.header.revision, leader.rev + 1)
        self.assertIsNone(self.client.get(leader.key))
        granted = {lease.ID for lease in self.client.call("Lease.LeaseLeases").leases} - before
        self.assertEqual([self.client.call("Lease.LeaseTimeToLive", ID=lease).grantedTTL for lease in granted], [60])

    def test_resign_of_what_is_not_there(self):
        before = self.client.revision()
        for key, revision, lease in ((b"nobody/1", 0, 77), (b"nobody/1", 5, 77), (self.key(5), -1, -1)):
            answer = self.resign(api.v3electionpb.LeaderKey(name=b"nobody", key=key, rev=revision, lease=lease))
            self.assertEqual(answer.header.revision, before)
        with self.fails(Code.UNKNOWN, "etcdserver: key is not provided"):
            self.resign(api.v3electionpb.LeaderKey(name=b"nobody", lease=77))

    def test_next_in_line(self):
        first = self.campaign(b"1", lease=self.lease()).leader
        lease = self.lease()
        second = self.start("Election.Campaign", lease=lease, value=b"2")
        self.wait_for_keys(2)
        third = self.start("Election.Campaign", lease=self.lease(), value=b"3")
        self.wait_for_keys(3)
        self.assertEqual(self.leader().kv.value, b"1")
        self.resign(first)
        won = second.result()
        self.assertEqual((won.leader.key, won.leader.rev), (self.key(lease), first.rev + 1))
        # The header is of its entry, not of its victory.
        self.assertEqual(won.header.revision, first.rev + 1)
        self.assertFalse(third.future.done())
        third.cancel()
        self.wait_for_keys(1)

    def test_observe(self):
        stream = self.observe()
        first = self.campaign(b"1", lease=self.lease())
        seen = next(stream)
        self.assertEqual((seen.kv.value, seen.kv.mod_revision, seen.header.revision), (b"1", first.leader.rev, first.leader.rev))
        lease = self.lease()
        waiter = self.start("Election.Campaign", lease=lease, value=b"2")
        self.wait_for_keys(2)
        for n in range(20):
            answer = self.proclaim(first.leader, b"p%d" % n)
            seen = next(stream)
            self.assertEqual((seen.kv.value, seen.kv.version, seen.header.revision), (b"p%d" % n, n + 2, answer.header.revision))
        late = self.observe()
        self.assertEqual(next(late).kv.value, b"p19")
        self.resign(first.leader)
        second = waiter.result()
        for observer in (stream, late):
            seen = next(observer)
            self.assertEqual((seen.kv.key, seen.kv.value), (second.leader.key, b"2"))
            self.assertGreaterEqual(seen.header.revision, seen.kv.mod_revision)
        self.resign(second.leader)
        third = self.campaign(b"3", lease=self.lease())
        for observer in (stream, late):
            self.assertEqual(next(observer).kv.key, third.leader.key)

    def test_observer_that_does_not_read(self):
        """What it has missed comes in order when it reads."""
        leader = self.campaign(b"-", lease=self.lease()).leader
        with Client(self.server.address) as slow:
            stream = slow.stub("Election.Observe")(api.v3electionpb.LeaderRequest(name=self.prefix), timeout=60)
            self.assertEqual(next(stream).kv.value, b"-")
            values = [b"%d" % n + b"x" * 100_000 for n in range(60)]
            for value in values:
                self.proclaim(leader, value)
            self.assertEqual([next(stream).kv.value for _ in values], values)
            stream.cancel()


class Libraries(Claims):
    """Clients that make locks of plain KV requests meet the service under the same keys."""

    def setUp(self):
        super().setUp()
        self.ctl_path = peers.etcdctl()
        if not self.ctl_path:
            raise unittest.SkipTest("no etcdctl in the cache")

    def ctl(self, *arguments):
        return [self.ctl_path, "--endpoints", self.server.address, *arguments]

    def test_etcdctl_lock(self):
        held = self.lock()
        outcome = {}
        thread = threading.Thread(target=lambda: outcome.update(
            done=run(self.ctl("lock", "--ttl=30", self.prefix.decode(), "--", "sh", "-c", "echo $ETCD_LOCK_KEY"))))
        thread.start()
        self.wait_for_keys(2)
        self.unlock(held.key)
        thread.join(30)
        self.assertEqual(outcome["done"].returncode, 0, outcome["done"].stderr)
        self.assertTrue(outcome["done"].stdout.startswith(self.prefix.decode() + "/"))
        self.wait_for_keys(0)

    def test_lock_waits_for_etcdctl(self):
        outcome = {}
        thread = threading.Thread(target=lambda: outcome.update(
            done=run(self.ctl("lock", self.prefix.decode(), "--", "sleep", "1"))))
        thread.start()
        self.wait_for_keys(1)
        answer = self.lock()
        thread.join(30)
        self.assertEqual((outcome["done"].returncode, self.keys()), (0, [answer.key]))

    def test_etcdctl_elect(self):
        leader = self.client.call("Election.Campaign", name=self.prefix, value=b"first", lease=self.lease()).leader
        listen = run(["timeout", "1.5", *self.ctl("elect", "-l", self.prefix.decode())])
        self.assertIn("first", listen.stdout)
        outcome = {}
        thread = threading.Thread(target=lambda: outcome.update(
            done=run(["timeout", "-s", "INT", "3", *self.ctl("elect", self.prefix.decode(), "second")])))
        thread.start()
        self.wait_for_keys(2)
        self.client.call("Election.Resign", leader=leader)
        thread.join(30)
        self.assertIn("second", outcome["done"].stdout)


class Rights(Case):
    """With authentication on, the service has the rights of who calls."""

    def test_rights(self):
        with Server() as server, Client(server.address) as client:
            call = client.call
            for user in ("root", "u"):
                call("Auth.UserAdd", name=user, password=user)
            call("Auth.RoleAdd", name="mine")
            call("Auth.RoleGrantPermission", name="mine",
                 perm=api.authpb.Permission(permType=2, key=b"mine", range_end=b"minf"))
            call("Auth.UserGrantRole", user="u", role="mine")
            call("Auth.UserGrantRole", user="root", role="root")
            call("Auth.AuthEnable")
            token = [("token", call("Auth.Authenticate", name="u", password="u").token)]
            held = call("Lock.Lock", name=b"mine", metadata=token)
            with self.fails(Code.UNKNOWN, "etcdserver: permission denied"):
                call("Lock.Lock", name=b"theirs", metadata=token)
            with self.fails(Code.UNKNOWN, "etcdserver: permission denied"):
                call("Election.Leader", name=b"theirs", metadata=token)
            with self.fails(Code.UNKNOWN, "etcdserver: user name is empty"):
                call("Lock.Lock", name=b"mine")
            with self.fails(Code.UNKNOWN, "etcdserver: user name is empty"):
                call("Lock.Unlock", key=held.key)
            with self.fails(Code.UNKNOWN, "etcdserver: invalid auth token"):
                call("Lock.Unlock", key=held.key, metadata=[("token", "none.1")])
            waiter = client.stub("Lock.Lock").future(
                api.v3lockpb.LockRequest(name=b"mine"), timeout=20, metadata=token)
            while call("KV.Range", key=b"mine/", range_end=b"mine0", count_only=True, metadata=token).count != 2:
                time.sleep(0.01)
            call("Lock.Unlock", key=held.key, metadata=token)
            leader = call("Election.Campaign", name=b"mine-election", value=b"v", metadata=token).leader
            self.assertEqual(call("Election.Leader", name=b"mine-election", metadata=token).kv.value, b"v")
            self.assertTrue(waiter.result(20).key.startswith(b"mine/"))
            call("Election.Resign", leader=leader, metadata=token)


class Many(Case):
    WAITERS = int(os.environ.get("MARTLET_WAITERS", "5000"))

    def test_a_release_wakes_one(self):
        """What a release costs does not grow with the queue: one waiter looks once, thousands sleep on."""
        with Server() as server:
            clients = [Client(server.address) for _ in range(5)]
            self.addCleanup(lambda: [client.close() for client in clients])
            first = clients[0]
            first.grant(1000, 1)
            held = first.call("Lock.Lock", name=b"n", lease=1)
            method = api.METHODS["Lock.Lock"]
            # The keys of one lease would be one claim: each waiter has its own, granted by the server.
            waiters = [clients[n % 5].stub("Lock.Lock").future(method.request(name=b"n"), timeout=120) for n in range(self.WAITERS)]

            def count():
                return first.call("KV.Range", key=b"n/", range_end=b"n0", count_only=True).count
            deadline = time.monotonic() + 90
            while count() != self.WAITERS + 1:
                self.assertLess(time.monotonic(), deadline, count())
                time.sleep(0.1)
            for _ in range(5):
                keys = [kv.key for kv in first.call(
                    "KV.Range", key=b"n/", range_end=b"n0", sort_order=1, sort_target=2, limit=2, keys_only=True).kvs]
                before = self.reads(server)
                first.call("Lock.Unlock", key=held.key)
                deadline = time.monotonic() + 60
                while not (done := [waiter for waiter in waiters if waiter.done()]):
                    self.assertLess(time.monotonic(), deadline)
                    time.sleep(0.01)
                self.assertEqual(len(done), 1)
                held = done[0].result()
                self.assertEqual(held.key, keys[1])
                waiters.remove(done[0])
                self.assertLessEqual(self.reads(server) - before, 5)
            # All others leave at once; nothing of them stays.
            for waiter in waiters:
                waiter.cancel()
            deadline = time.monotonic() + 90
            while count() != 1:
                self.assertLess(time.monotonic(), deadline, count())
                time.sleep(0.1)

    @staticmethod
    def reads(server):
        with urllib.request.urlopen(server.url + "/metrics", timeout=20) as answer:
            for line in answer:
                if line.startswith(b"etcd_mvcc_range_total "):
                    return float(line.split()[1])
        raise AssertionError("no etcd_mvcc_range_total")


class Restart(Case):
    def test_waiters_come_back_to_their_keys(self):
        with Server() as server:
            with Client(server.address) as client:
                held = client.call("Lock.Lock", name=b"n", lease=client.grant(100).ID)
                lease = client.grant(100).ID
                waiter = Waiting(client, "Lock.Lock", name=b"n", lease=lease)
                while client.range(b"n/", b"n0").count != 2:
                    time.sleep(0.01)
            server.kill()
            server.start()
            with Client(server.address) as client:
                waiter = Waiting(client, "Lock.Lock", name=b"n", lease=lease)
                time.sleep(0.2)
                self.assertFalse(waiter.future.done())
                client.call("Lock.Unlock", key=held.key)
                self.assertEqual(waiter.result().key, b"n/%x" % lease)
