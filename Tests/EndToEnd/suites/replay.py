"""Real etcd reads what the server under test wrote: its log alone, or its snapshot, gives the same store.

A log that was never purged begins at index 0, so real etcd can rebuild everything from it: it is started on
a copy of member/wal without any database."""

import os
import random
import shutil
import tempfile
import pathlib
import unittest

import grpc

from harness import peers
from harness.case import Case, Code, run
from harness.client import Client, compare, op_delete, op_put, op_range, op_txn, served
from harness.hashkv import hash_of, records
from harness.wal import lower_cluster_version
from harness.server import Server


#: The first seed of the random histories, and how long each is.
SEED, STEPS = int(os.environ.get("MARTLET_SEED", "1")), int(os.environ.get("MARTLET_STEPS", "700"))


def fill(client):
    """A history with a bit of everything."""
    lease = client.grant(5000, 77).ID
    for i in range(200):
        client.put(b"k%03d" % (i % 60), b"value %d" % i, lease=lease if i % 9 == 0 else 0)
    client.delete(b"k010", b"k020")
    client.put(b"k015", b"again")
    for i in range(50):
        client.txn([compare(b"counter", "version", "=", i)], [op_put(b"counter", b"%d" % i), op_put(b"t%d" % i, b"x")], [])
    client.txn(success=[op_txn(success=[op_put(b"nested", b"1"), op_delete(b"t1", b"t3")])])
    client.grant(5000, 78)
    client.call("Lease.LeaseRevoke", ID=78)
    client.put(b"big", b"x" * 1_000_000)
    client.put(b"\xff\xff", b"\0")


def random_history(seed, steps):
    """Writes, transactions, leases and alarms by chance; what is refused is part of it."""
    chance = random.Random(seed)

    def run(client):
        leases, alarm = set(), None

        def key():
            return b"r/%d" % chance.randrange(40)

        def value():
            return chance.choice([b"", b"x" * chance.randrange(300), chance.randbytes(20), b"y" * chance.randrange(20_000)])

        def lease():
            return chance.choice(sorted(leases)) if leases and chance.random() < 0.3 else 0

        def operation(depth=0):
            kind = chance.randrange(5 if depth < 2 else 4)
            if kind < 2:
                return op_put(b"t%d/%d" % (depth, chance.randrange(10 ** 9)), value(), lease=lease())
            if kind == 2:
                return op_range(key(), b"r0")
            if kind == 3:
                return op_delete(key())
            return op_txn(comparisons(), [operation(depth + 1) for _ in range(chance.randrange(3))],
                          [operation(depth + 1) for _ in range(chance.randrange(3))])

        def comparisons():
            return [compare(key(), chance.choice(["version", "mod_revision", "create_revision", "lease"]), chance.choice("=<>"), chance.randrange(60))
                    for _ in range(chance.randrange(3))]

        for _ in range(steps):
            kind = chance.randrange(100)
            try:
                if kind < 45:
                    client.put(key(), value(), lease=lease())
                elif kind < 55:
                    first, last = sorted([key(), key()])
                    client.delete(first, last if chance.random() < 0.4 else b"")
                elif kind < 75:
                    # While NOSPACE stands, 3.5 does what puts in nested transactions only; 3.7 refuses it.
                    depth = 2 if alarm and alarm[0] == 1 else 0
                    client.txn(comparisons(), *([operation(depth) for _ in range(chance.randrange(4))] for _ in range(2)))
                elif kind < 83:
                    number = chance.randrange(1, 12)
                    client.grant(chance.choice([5000, 10 ** 6]), number)
                    leases.add(number)
                elif kind < 87:
                    number = chance.randrange(1, 12)
                    client.call("Lease.LeaseRevoke", ID=number)
                    leases.discard(number)
                elif kind < 91 and alarm is None:
                    # One kind at a time: of two, 3.5 heeds the one that was raised last.
                    alarm = chance.choice([1, 2]), chance.randrange(3)
                    client.call("Maintenance.Alarm", action=1, memberID=alarm[1], alarm=alarm[0])
                elif kind < 98 and alarm is not None:
                    gone, alarm = alarm, None
                    client.call("Maintenance.Alarm", action=2, memberID=gone[1], alarm=gone[0])
                else:
                    client.put(key(), value(), ignore_lease=True)
            except grpc.RpcError as error:
                assert error.code() in (Code.RESOURCE_EXHAUSTED, Code.DATA_LOSS, Code.NOT_FOUND, Code.FAILED_PRECONDITION,
                                        Code.INVALID_ARGUMENT), error
        if alarm is not None and chance.random() < 0.5:
            client.call("Maintenance.Alarm", action=2, memberID=alarm[1], alarm=alarm[0])
    return run


def around(client):
    """What a member holds beside its keys."""
    leases = {lease.ID: client.call("Lease.LeaseTimeToLive", ID=lease.ID, keys=True) for lease in client.call("Lease.LeaseLeases").leases}
    return ({number: (lease.grantedTTL, sorted(lease.keys)) for number, lease in leases.items()},
            sorted((alarm.memberID, alarm.alarm) for alarm in client.call("Maintenance.Alarm").alarms))


def state(client):
    return list(client.range(b"\0", b"\0").kvs)


class Log(Case):
    """Forwards: the server's log in real etcd. Backwards: etcd's log in the server."""

    def hash(self, client, binary, compacted):
        if served("Maintenance.HashKV") or not peers.is_martlet(binary):
            return client.call("Maintenance.HashKV").hash
        return None if compacted else hash_of(records(client, client.revision()), 1 << 62)

    def transplant(self, source_binary, target_binary, compact=False, fill=fill):
        if not target_binary or not source_binary:
            raise unittest.SkipTest("no real etcd in the cache")
        with tempfile.TemporaryDirectory() as directory:
            with Server(binary=source_binary) as source:
                with Client(source.address) as client:
                    fill(client)
                    if compact:
                        client.compact(client.revision() - 20, physical=True)
                        client.put(b"after", b"compaction")
                    kvs, revision = state(client), client.revision()
                    others = around(client)
                    hash_before = self.hash(client, source_binary, compact)
                    header = client.status().header
                    ports = source.client_port, source.peer_port
                source.stop()
                target_dir = pathlib.Path(directory) / "data"
                (target_dir / "member/snap").mkdir(parents=True, mode=0o700)
                for path in (target_dir, target_dir / "member", target_dir / "member/snap"):
                    path.chmod(0o700)
                shutil.copytree(source.data_dir / "member/wal", target_dir / "member/wal")
            low, high = peers.version(target_binary)[:2], peers.version(source_binary)[:2]
            if low < high:
                lower_cluster_version(target_dir / "member/wal", "%d.%d.0" % low)
            target = Server(binary=target_binary, data_dir=target_dir)
            target.client_port, target.peer_port = ports
            with target, Client(target.address) as client:
                client.call("Maintenance.Alarm", action=0)
                self.assertEqual(client.revision(), revision)
                self.assertEqual(state(client), kvs)
                hash_after = self.hash(client, target_binary, compact)
                if hash_before is not None and hash_after is not None:
                    self.assertEqual(hash_after, hash_before)
                now = client.status().header
                self.assertEqual((now.member_id, now.cluster_id), (header.member_id, header.cluster_id))
                self.assertEqual(around(client), others)
                members = client.call("Cluster.MemberList").members
                self.assertEqual(len(members), 1)
                for alarm in client.call("Maintenance.Alarm").alarms:
                    client.call("Maintenance.Alarm", action=2, memberID=alarm.memberID, alarm=alarm.alarm)
                client.put(b"goes", b"on")

    def test_real_etcd_reads_the_log(self):
        self.transplant(peers.server(), peers.etcd())

    def test_real_etcd_reads_the_log_with_a_compaction(self):
        self.transplant(peers.server(), peers.etcd(), compact=True)

    def test_the_etcd_of_pypi_reads_the_log(self):
        self.transplant(peers.server(), peers.old_etcd())

    def test_the_log_of_real_etcd_is_read(self):
        self.transplant(peers.etcd(), peers.server())

    def test_random_histories(self):
        for number in range(2):
            seed = SEED + number
            with self.subTest(seed=seed):
                self.transplant(peers.server(), peers.etcd(), compact=seed % 2 == 0, fill=random_history(seed, STEPS))
                self.transplant(peers.etcd(), peers.server(), fill=random_history(seed + 100, STEPS))


class SnapshotFile(Case):
    def test_restored_by_etcdutl_and_served_by_real_etcd(self):
        if not served("Maintenance.Snapshot"):
            self.skipTest("martlet does not serve Maintenance.Snapshot yet")
        if not peers.etcdutl() or not peers.etcdctl() or not peers.etcd():
            self.skipTest("no real etcd tools in the cache")
        with Server() as source:
            with Client(source.address) as client:
                fill(client)
                kvs, revision = state(client), client.revision()
                hash_before = client.call("Maintenance.HashKV").hash
            path = source.work / "snapshot.db"
            run([peers.etcdctl(), "--endpoints", source.address, "snapshot", "save", str(path)], check=True)
            run([peers.etcdutl(), "snapshot", "status", str(path)], check=True)
            run([peers.etcdutl(), "snapshot", "restore", str(path), "--data-dir", str(source.work / "restored"), "--name", "default",
                 "--initial-cluster", f"default={source.peer_url}", "--initial-advertise-peer-urls", source.peer_url], check=True)
            source.stop()
            target = Server(binary=peers.etcd(), data_dir=source.work / "restored")
            target.client_port, target.peer_port = source.client_port, source.peer_port
            with target, Client(target.address) as client:
                self.assertEqual((client.revision(), state(client)), (revision, kvs))
                self.assertEqual(client.call("Maintenance.HashKV").hash, hash_before)
