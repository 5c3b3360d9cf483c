"""Real etcd reads what the server under test wrote: its log alone, or its snapshot, gives the same store.

A log that was never purged begins at index 0, so real etcd can rebuild everything from it: it is started on
a copy of member/wal without any database."""

import shutil
import tempfile
import pathlib
import unittest

from harness import peers
from harness.case import Case, run
from harness.client import Client, compare, op_delete, op_put, op_txn, served
from harness.hashkv import hash_of, records
from harness.wal import lower_cluster_version
from harness.server import Server


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


def state(client):
    return list(client.range(b"\0", b"\0").kvs)


class Log(Case):
    """Forwards: the server's log in real etcd. Backwards: etcd's log in the server."""

    def hash(self, client, binary, compacted):
        if served("Maintenance.HashKV") or not peers.is_martlet(binary):
            return client.call("Maintenance.HashKV").hash
        return None if compacted else hash_of(records(client, client.revision()), 1 << 62)

    def transplant(self, source_binary, target_binary, compact=False):
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
                self.assertEqual({s.ID for s in client.call("Lease.LeaseLeases").leases}, {77})
                members = client.call("Cluster.MemberList").members
                self.assertEqual(len(members), 1)
                client.put(b"goes", b"on")

    def test_real_etcd_reads_the_log(self):
        self.transplant(peers.server(), peers.etcd())

    def test_real_etcd_reads_the_log_with_a_compaction(self):
        self.transplant(peers.server(), peers.etcd(), compact=True)

    def test_the_etcd_of_pypi_reads_the_log(self):
        self.transplant(peers.server(), peers.old_etcd())

    def test_the_log_of_real_etcd_is_read(self):
        self.transplant(peers.etcd(), peers.server())


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
