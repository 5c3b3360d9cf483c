"""Snapshots both ways: ours through the tools of etcd into real etcd, etcd's database and data directories into the server."""

import hashlib
import json
import os
import pathlib
import random
import shutil
import tempfile
import threading
import time
import unittest
import urllib.request

import grpc

from harness import api, bolt, peers
from harness.case import Case, Code, run
from harness.client import Client, compare, op_delete, op_put, op_txn
from harness.hashkv import records
from harness.server import Server, StartFailed
from harness.wal import lower_cluster_version


def history(client, rng, steps=250, compactions=True):
    """A random history: overwrites, deletions, transactions, leases, compactions, values of all sizes."""
    leases = []
    for number in range(steps):
        key = b"k/%02d" % rng.randrange(40)
        roll = rng.random()
        if roll < 0.5:
            size = rng.choice([0, 1, 30, 300, 3000, 5000])
            client.put(key, rng.randbytes(size), lease=rng.choice(leases) if leases and rng.random() < 0.3 else 0)
        elif roll < 0.62:
            client.delete(key, rng.choice([b"", b"k/%02d" % rng.randrange(40)]))
        elif roll < 0.75:
            keys = rng.sample(range(40), 3)
            client.txn(success=[op_put(b"k/%02d" % keys[0], b"t"), op_delete(b"k/%02d" % keys[1]), op_put(b"k/%02d" % keys[2], b"u%d" % number)])
        elif roll < 0.83:
            leases.append(client.grant(3000 + number, 1000 + number).ID)
        elif roll < 0.87 and leases:
            client.call("Lease.LeaseRevoke", ID=leases.pop(rng.randrange(len(leases))))
        elif roll < 0.93 and compactions and number > 20:
            now = client.revision()
            try:
                client.compact(now - rng.randrange(12), physical=rng.random() < 0.5)
            except grpc.RpcError:
                pass  # below the last one
        else:
            client.txn([compare(key, "version", ">", 0)], [op_txn(success=[op_delete(key)])], [op_put(key, b"new")])
    client.put(b"big", rng.randbytes(1_000_000))
    client.put(b"\xff\xff", b"\0")


def state(client):
    """Everything that a client can see: keys, history's hash, leases with their keys, alarms."""
    client.call("Maintenance.Alarm", action=0)
    leases = {}
    for lease in client.call("Lease.LeaseLeases").leases:
        answer = client.call("Lease.LeaseTimeToLive", ID=lease.ID, keys=True)
        leases[lease.ID] = (answer.grantedTTL, sorted(answer.keys))
    hashed = client.call("Maintenance.HashKV")
    return {
        "revision": client.revision(), "keys": list(client.range(b"\0", b"\0").kvs), "leases": leases,
        "hash": (hashed.hash, hashed.compact_revision),
        "alarms": list(client.call("Maintenance.Alarm", action=0).alarms),
    }


def save(client):
    """(bytes of the database, the messages)."""
    messages = list(client.call("Maintenance.Snapshot", timeout=60))
    data = b"".join(message.blob for message in messages[:-1])
    assert messages[-1].blob == hashlib.sha256(data).digest()
    return data, messages


def tree(directory):
    """What is in a directory, for comparison."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(pathlib.Path(directory).rglob("*")) if path.is_file()
    }


def restore(tool, path, server, target, *flags):
    run([tool, "snapshot", "restore", str(path), "--data-dir", str(target), "--name", "default",
         "--initial-cluster", f"default={server.peer_url}", "--initial-advertise-peer-urls", server.peer_url, *flags],
        env={**os.environ, "ETCDCTL_API": "3"}, check=True)


def metric(server, name):
    text = urllib.request.urlopen(server.url + "/metrics", timeout=10).read().decode()
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.split(" ")[0].split("{")[0] == name)


class Stream(Case):
    def wait_for(self, condition, what):
        deadline = time.monotonic() + 20
        while not condition():
            self.assertLess(time.monotonic(), deadline, what)
            time.sleep(0.05)

    def test_content(self):
        with Server() as server, Client(server.address) as client:
            rng = random.Random(7)
            history(client, rng, compactions=False)
            client.call("Maintenance.Alarm", action=1, memberID=77, alarm=1)
            revision = client.revision()
            expected = records(client, revision)
            # The version of the storage is set some seconds after the start.
            self.wait_for(lambda: client.status().storageVersion, "the storage version")
            data, messages = save(client)
            total = len(data)
            self.assertEqual(total % 4096, 0)
            left = total
            for message in messages[:-1]:
                left -= len(message.blob)
                self.assertLessEqual(len(message.blob), 32768)
                self.assertEqual((message.remaining_bytes, message.HasField("header")), (left, False))
            self.assertEqual({len(m.blob) for m in messages[:-2]}, {32768})
            self.assertEqual((left, messages[-1].remaining_bytes), (0, 0))
            version = client.status().storageVersion
            self.assertEqual({m.version for m in messages}, {version})

            file = bolt.File(data)
            buckets = file.buckets()
            self.assertEqual(file.high * 4096, total)
            self.assertEqual(file.free, set())
            self.assertEqual(sorted(buckets), [
                "alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta"])
            self.assertEqual(buckets["key"], [(key, value) for _, key, value in expected])
            meta = dict(buckets["meta"])
            member = client.status().header.member_id
            self.assertEqual(json.loads(meta[b"confState"]), {"voters": [member], "auto_leave": False})
            self.assertEqual(meta[b"storageVersion"].decode(), version)
            self.assertLessEqual(int.from_bytes(meta[b"consistent_index"], "big"), client.status().raftAppliedIndex)
            self.assertGreater(int.from_bytes(meta[b"consistent_index"], "big"), 100)
            self.assertEqual(int.from_bytes(meta[b"term"], "big"), 2)
            self.assertNotIn(b"finishedCompactRev", meta)
            self.assertEqual([json.loads(v)["id"] for _, v in buckets["members"]], [member])
            self.assertEqual(buckets["members"][0][0], b"%x" % member)
            self.assertEqual(dict(buckets["cluster"])[b"clusterVersion"].decode(), version)
            granted = {int.from_bytes(k, "big"): v for k, v in buckets["lease"]}
            self.assertEqual(set(granted), {lease.ID for lease in client.call("Lease.LeaseLeases").leases})
            self.assertEqual([api.etcdserverpb.AlarmMember.FromString(k).memberID for k, _ in buckets["alarm"]], [77])
            self.assertEqual(client.call("Maintenance.Hash").hash, bolt.hash_of(buckets, bolt.HASH_IGNORES))

    def test_compacted_history(self):
        with Server() as server, Client(server.address) as client:
            for i in range(30):
                client.put(b"a%d" % (i % 3), b"%d" % i)
            client.delete(b"a1")
            client.put(b"b", b"1")
            client.compact(client.revision() - 1, physical=True)
            client.put(b"a0", b"last")
            buckets = bolt.File(save(client)[0]).buckets()
            meta = dict(buckets["meta"])
            self.assertEqual(meta[b"finishedCompactRev"], (32).to_bytes(8, "big") + b"_" + bytes(8))
            self.assertEqual(meta[b"scheduledCompactRev"], meta[b"finishedCompactRev"])
            # One version of each live key, the tombstone at the compaction itself, and what came after.
            self.assertEqual([bolt.revision(k) for k, _ in buckets["key"]], [
                (29, 0, False), (31, 0, False), (32, 0, True), (33, 0, False), (34, 0, False)])

    def test_one_revision_under_writes(self):
        with Server() as server, Client(server.address) as client:
            for i in range(2000):
                if i % 100 == 0:
                    client.txn(success=[op_put(b"fill%04d" % (i + j), b"x" * 1500) for j in range(100)])
            stop = threading.Event()
            failures = []

            def write(number):
                try:
                    with Client(server.address) as own:
                        count = 0
                        while not stop.is_set():
                            count += 1
                            own.txn(success=[op_put(b"left%d" % number, b"%d" % count), op_put(b"right%d" % number, b"%d" % count)])
                            if count % 50 == 0 and number == 0:
                                own.compact(own.revision() - 5)
                except BaseException as error:  # told by the test itself
                    failures.append(error)

            threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
            for thread in threads:
                thread.start()
            try:
                for _ in range(4):
                    before = client.revision()
                    buckets = bolt.File(save(client)[0]).buckets()
                    after = client.revision()
                    mains = [bolt.revision(k)[0] for k, _ in buckets["key"]]
                    present = set(mains)
                    self.assertTrue(before <= mains[-1] <= after, (before, mains[-1], after))
                    newest = {}
                    for _, value in buckets["key"]:
                        kv = api.mvccpb.KeyValue.FromString(value)
                        newest[kv.key] = kv
                    self.assertEqual(sum(1 for key in newest if key.startswith(b"fill")), 2000)
                    for number in range(3):
                        left, right = newest.get(b"left%d" % number), newest.get(b"right%d" % number)
                        self.assertEqual(left and (left.value, left.mod_revision), right and (right.value, right.mod_revision))
                    compacted = int.from_bytes(dict(buckets["meta"]).get(b"finishedCompactRev", bytes(8))[:8], "big")
                    self.assertEqual([m for m in range(max(compacted, 1) + 1, mains[-1] + 1) if m not in present], [])
            finally:
                stop.set()
                for thread in threads:
                    thread.join()
            self.assertEqual(failures, [])

    def test_abandoned_and_slow_clients(self):
        with Server() as server, Client(server.address) as client:
            for i in range(20):
                client.txn(success=[op_put(b"fill%04d" % (i * 100 + j), b"x" * 10_000) for j in range(100)])
            rss = server.rss_bytes()
            # One that reads a message and then nothing, one that goes away.
            slow = client.call("Maintenance.Snapshot", timeout=60)
            first = next(slow)
            self.assertEqual(len(first.blob), 32768)
            leaver = Client(server.address)
            left = leaver.call("Maintenance.Snapshot", timeout=60)
            next(left)
            revision = client.put(b"while", b"it waits").header.revision
            client.compact(revision)
            self.assertEqual(metric(server, "martlet_snapshots_in_flight"), 2)
            leaver.close()
            with Client(server.address) as other:
                begun = other.call("Maintenance.Snapshot", timeout=60)
                next(begun)
            self.wait_for(lambda: metric(server, "martlet_snapshots_in_flight") == 1, "the client that went away")
            self.assertEqual(client.get(b"while").value, b"it waits")
            # Made ahead of them: a megabyte and a half each, not twenty.
            self.assertLess(server.rss_bytes() - rss, 16 << 20)
            data = first.blob + b"".join(message.blob for message in slow)
            self.assertEqual(data[-32:], hashlib.sha256(data[:-32]).digest())
            bolt.File(data[:-32]).buckets()
            self.wait_for(lambda: metric(server, "martlet_snapshots_in_flight") == 0, "the slow client")
            self.assertEqual(metric(server, "etcd_disk_backend_snapshot_duration_seconds_count"), 3)
            lines = [json.loads(line) for line in server.lines]
            sent = [line for line in lines if line["msg"] == "successfully sent database snapshot to client"]
            self.assertEqual([line["total-bytes"] for line in sent], [len(data) - 32])
            begun = [line for line in lines if line["msg"] == "sending database snapshot to client"]
            self.assertEqual({line["size"] for line in begun}, {sent[0]["size"]})


class Tools(Case):
    def check(self, ctl, restorer, target_binary, seed):
        if not all((ctl, restorer, target_binary)):
            raise unittest.SkipTest("no real etcd tools in the cache")
        env = {**os.environ, "ETCDCTL_API": "3"}
        with Server() as source:
            with Client(source.address) as client:
                history(client, random.Random(seed))
                expected = state(client)
                path = source.work / "saved.db"
                run([ctl, "--endpoints", source.address, "snapshot", "save", str(path)], env=env, check=True)
            status = json.loads(run([restorer, "snapshot", "status", str(path), "-w", "json"], env=env, check=True).stdout)
            buckets = bolt.File(path.read_bytes()[:-32]).buckets()
            self.assertEqual(status["hash"], bolt.hash_of(buckets))
            self.assertEqual(status["totalSize"], path.stat().st_size - 32)
            self.assertEqual(status["revision"], expected["revision"])
            restore(restorer, path, source, source.work / "restored")
            source.stop()
            target = Server(binary=target_binary, data_dir=source.work / "restored")
            target.client_port, target.peer_port = source.client_port, source.peer_port
            with target, Client(target.address) as client:
                actual = state(client)
                if peers.version(target_binary) < (3, 5, 6):
                    # Compactions of the snapshot's past are hashed in another way there.
                    actual["hash"] = expected["hash"]
                self.assertEqual(actual, expected)
                client.put(b"goes", b"on")

    def test_newest_tools_and_etcd(self):
        self.check(peers.etcdctl(), peers.etcdutl(), peers.etcd(), 1)

    def test_pypi_tools_and_etcd(self):
        self.check(peers.old_etcdctl(), peers.old_etcdctl(), peers.old_etcd(), 2)

    def test_debian_12_tools(self):
        self.check(peers.debian_etcdctl(), peers.debian_etcdctl(), peers.etcd(), 3)

    def test_restored_by_etcdutl_and_served_by_the_server(self):
        self.check(peers.etcdctl(), peers.etcdutl(), peers.server(), 4)

    def test_revisions_skipped_by_the_restore(self):
        """--bump-revision --mark-compacted: watchers and caches from before must see that they missed something."""
        if not peers.etcdutl() or "--bump-revision" not in run([peers.etcdutl(), "snapshot", "restore", "--help"]).stdout:
            raise unittest.SkipTest("no etcdutl that skips revisions in the cache")
        with Server() as source, Client(source.address) as client:
            for i in range(20):
                client.put(b"a%d" % (i % 3), b"%d" % i)
            path = source.work / "saved.db"
            path.write_bytes(b"".join(message.blob for message in client.call("Maintenance.Snapshot")))
            target = Server()
            restore(peers.etcdutl(), path, target, target.data_dir, "--bump-revision", "1000", "--mark-compacted")
            with target, Client(target.address) as restored:
                self.assertEqual(restored.revision(), client.revision() + 1000)
                self.assertEqual([(kv.key, kv.value) for kv in restored.range(b"\0", b"\0").kvs],
                                 [(kv.key, kv.value) for kv in client.range(b"\0", b"\0").kvs])
                with self.fails(Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"):
                    restored.range(b"a1", revision=20)
                put = restored.put(b"next", b"1")
                self.assertEqual(put.header.revision, client.revision() + 1001)


class Import(Case):
    """Data directories of etcd."""

    def move(self, source_binary, seed, *flags, kill=False, prepare=None, writes=True, then=lambda client: None):
        if not source_binary:
            raise unittest.SkipTest("no real etcd in the cache")
        with Server(*flags, binary=source_binary) as source:
            with Client(source.address) as client:
                history(client, random.Random(seed))
                if prepare:
                    prepare(client)
                expected = state(client)
                header = client.status().header
                members = client.call("Cluster.MemberList").members
            source.kill() if kill else source.stop()
            database = source.data_dir / "member/snap/db"
            before = hashlib.sha256(database.read_bytes()).hexdigest()
            target = Server(data_dir=source.data_dir)
            target.client_port, target.peer_port = source.client_port, source.peer_port
            with target:
                self.assertTrue(any("imported the database of etcd" in line for line in target.lines))
                for _ in range(2):
                    with Client(target.address) as client:
                        actual = state(client)
                        if peers.version(source_binary) < (3, 5, 6):
                            actual["hash"] = expected["hash"]
                        self.assertEqual(actual, expected)
                        now = client.status().header
                        self.assertEqual((now.member_id, now.cluster_id), (header.member_id, header.cluster_id))
                        self.assertEqual(list(client.call("Cluster.MemberList").members), list(members))
                        then(client)
                        if writes:
                            client.put(b"more", b"1")
                        bolt.File(save(client)[0]).buckets()
                        expected = state(client)
                    target.restart()
                    self.assertFalse(any("importing the database" in line for line in target.lines))
            self.assertEqual(hashlib.sha256(database.read_bytes()).hexdigest(), before)

    def test_stopped_etcd(self):
        self.move(peers.etcd(), 11)

    def test_killed_etcd(self):
        self.move(peers.etcd(), 12, kill=True)

    def test_etcd_with_snap_files(self):
        self.move(peers.etcd(), 13, "--snapshot-count=40")

    def test_killed_etcd_with_snap_files(self):
        self.move(peers.etcd(), 14, "--snapshot-count=40", kill=True)

    def test_auth_and_alarms(self):
        def prepare(client):
            client.call("Maintenance.Alarm", action=1, memberID=5, alarm=1)
            client.call("Auth.RoleAdd", name="reader")
            client.call("Auth.RoleGrantPermission", name="reader", perm=api.authpb.Permission(permType=0, key=b"k/", range_end=b"k0"))
            client.call("Auth.UserAdd", name="alice", password="secret")
            client.call("Auth.UserGrantRole", user="alice", role="reader")

        self.move(peers.etcd(), 15, prepare=prepare, writes=False, then=lambda client: (
            self.assertEqual(list(client.call("Auth.UserGet", name="alice").roles), ["reader"]),
            self.assertEqual([(p.permType, p.key, p.range_end) for p in client.call("Auth.RoleGet", role="reader").perm],
                             [(0, b"k/", b"k0")])))

    def test_etcd_of_pypi(self):
        self.move(peers.old_etcd(), 16)

    def test_etcd_of_pypi_with_snap_files(self):
        self.move(peers.old_etcd(), 17, "--snapshot-count=40", kill=True)

    def test_restored_by_etcdctl_of_debian_12(self):
        """Its directories name their members in the `.snap` file alone."""
        tool = peers.debian_etcdctl()
        if not tool or not peers.etcd():
            raise unittest.SkipTest("no etcdctl 3.4 in the cache")
        with Server(binary=peers.etcd()) as source:
            with Client(source.address) as client:
                history(client, random.Random(18))
                expected = state(client)
            path = source.work / "saved.db"
            run([tool, "--endpoints", source.address, "snapshot", "save", str(path)],
                env={**os.environ, "ETCDCTL_API": "3"}, check=True)
            source.stop()
            target = Server()
            restore(tool, path, target, target.data_dir)
            with target, Client(target.address) as client:
                self.assertEqual(state(client), expected)
                members = client.call("Cluster.MemberList").members
                self.assertEqual([list(m.peerURLs) for m in members], [[target.peer_url]])

    def test_a_database_that_is_damaged(self):
        if not peers.etcd():
            raise unittest.SkipTest("no real etcd in the cache")
        with Server(binary=peers.etcd()) as source:
            with Client(source.address) as client:
                history(client, random.Random(19))
            source.stop()
            database = source.data_dir / "member/snap/db"
            whole = database.read_bytes()
            file = bolt.File(whole)
            file.buckets()
            page = file.root
            for damage, text in (
                    (lambda data: data[:100_000], "truncated"),
                    (lambda data: bytes(4096 * 2) + data[8192:], "no valid meta page"),
                    (lambda data: data[:page * 4096] + b"\xa5" * 4096 + data[page * 4096 + 4096:], f"page {page}, offset {page * 4096}")):
                database.write_bytes(damage(whole))
                before = tree(source.data_dir)
                target = Server(data_dir=source.data_dir)
                with self.assertRaises(StartFailed) as failed:
                    target.start()
                self.assertIn(text, str(failed.exception))
                self.assertIn("member/snap/db", str(failed.exception))
                self.assertEqual(tree(source.data_dir), before)
                shutil.rmtree(target.work, ignore_errors=True)
            database.write_bytes(whole)
            with Server(data_dir=source.data_dir) as target, Client(target.address) as client:
                self.assertEqual(client.get(b"\xff\xff").value, b"\0")

    def test_etcd_still_runs(self):
        if not peers.etcd():
            raise unittest.SkipTest("no real etcd in the cache")
        with Server(binary=peers.etcd()) as source, Client(source.address) as client:
            client.put(b"a", b"1")
            before = {name for name in tree(source.data_dir)}
            target = Server(data_dir=source.data_dir)
            with self.assertRaises(StartFailed) as failed:
                target.start()
            self.assertIn("etcd runs on this data directory", str(failed.exception))
            self.assertEqual({name for name in tree(source.data_dir)}, before)
            self.assertEqual(client.get(b"a").value, b"1")

    def test_killed_while_importing(self):
        """Whenever the import ends, etcd's directory is as it was, and the next start imports."""
        if not peers.etcd():
            raise unittest.SkipTest("no real etcd in the cache")
        rng = random.Random(20)
        with Server(binary=peers.etcd()) as source:
            with Client(source.address) as client:
                for i in range(150):
                    client.txn(success=[op_put(b"k%05d" % (i * 100 + j), rng.randbytes(700)) for j in range(100)])
                expected = state(client)
            source.stop()
            before = tree(source.data_dir)
            target = Server(data_dir=source.data_dir)
            target.client_port, target.peer_port = source.client_port, source.peer_port
            for _ in range(6):
                target.spawn()
                target.wait_for_line("importing the database of etcd", 30)
                time.sleep(rng.random() * 0.4)
                target.kill()
                if (source.data_dir / "member/store").exists():
                    break
                after = {name: value for name, value in tree(source.data_dir).items() if not name.startswith("member/store.import/")}
                self.assertEqual(after, before)
            with target, Client(target.address) as client:
                self.assertEqual(state(client), expected)
            self.assertFalse((source.data_dir / "member/store.import").exists())

    def test_back_to_etcd(self):
        """The database stays: with the log that goes on, etcd can take the directory back."""
        if not peers.etcd():
            raise unittest.SkipTest("no real etcd in the cache")
        with Server(binary=peers.etcd()) as source:
            with Client(source.address) as client:
                history(client, random.Random(21))
            source.stop()
            with tempfile.TemporaryDirectory() as work:
                copy = pathlib.Path(work) / "data"
                shutil.copytree(source.data_dir, copy)
                ours = Server(data_dir=copy)
                ours.client_port, ours.peer_port = source.client_port, source.peer_port
                with ours:
                    with Client(ours.address) as client:
                        client.put(b"from", b"us")
                        client.grant(1000, 4711)
                        expected = state(client)
                    ours.stop()
                    lower_cluster_version(copy / "member/wal", "%d.%d.0" % peers.version(peers.etcd())[:2])
                    theirs = Server(binary=peers.etcd(), data_dir=copy)
                    theirs.client_port, theirs.peer_port = source.client_port, source.peer_port
                    with theirs, Client(theirs.address) as client:
                        self.assertEqual(state(client), expected)
