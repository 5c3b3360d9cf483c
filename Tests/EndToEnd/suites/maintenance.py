"""Status, MemberList, alarms and quota, hashes, snapshot, health service, what one member refuses."""

import hashlib
import json
import time
import unittest
import urllib.request

from harness import api, peers
from harness.case import Case, Code, SharedServer, run, since
from harness.client import Client, op_put, op_range, op_txn, served
from harness.hashkv import crc32c, hash_of, records
from harness.server import Server


class Status(SharedServer):
    def test_fields(self):
        self.client.put(self.k())
        status = self.client.status()
        self.assertEqual(status.version, ".".join(map(str, self.server.version)))
        self.assertEqual(status.leader, status.header.member_id)
        self.assertEqual((status.raftTerm, status.header.raft_term), (2, 2))
        self.assertGreater(status.dbSize, 0)
        self.assertGreater(status.dbSizeInUse, 0)
        self.assertLessEqual(status.dbSizeInUse, status.dbSize)
        self.assertEqual(status.raftAppliedIndex, status.raftIndex)
        self.assertEqual((list(status.errors), status.isLearner), ([], False))

    def test_index_grows_by_entries(self):
        before = self.client.status().raftAppliedIndex
        for _ in range(5):
            self.client.put(self.k())
        self.client.range(self.k())
        # The cluster's version may be set meanwhile.
        self.assertIn(self.client.status().raftAppliedIndex, (before + 5, before + 6))

    @since(3, 7)
    def test_fields_of_37(self):
        deadline = time.monotonic() + 10
        while (status := self.client.status()).storageVersion != "3.7.0" and time.monotonic() < deadline:
            time.sleep(0.1)
        self.assertEqual((status.storageVersion, status.dbSizeQuota), ("3.7.0", 2147483648))
        self.assertTrue(status.HasField("downgradeInfo"))
        self.assertFalse(status.downgradeInfo.enabled)


class Health(SharedServer):
    """grpc.health.v1, written by hand: HealthCheckRequest{1 service}, HealthCheckResponse{1 status}."""

    def check(self, service=b""):
        body = b"\x0a" + bytes([len(service)]) + service if service else b""
        return self.client.raw("/grpc.health.v1.Health/Check", body)

    def test_serving(self):
        self.assertEqual(self.check(), b"\x08\x01")

    def test_named_services(self):
        with self.fails(Code.NOT_FOUND):
            self.check(b"etcdserverpb.KV")

    def test_watch(self):
        call = self.client.channel.unary_stream("/grpc.health.v1.Health/Watch")(b"", timeout=10)
        self.assertEqual(next(call), b"\x08\x01")
        call.cancel()


IS_MARTLET = peers.is_martlet(peers.server())


class Quota(Case):
    FULL = "etcdserver: mvcc: database space exceeded"
    BY_HAND = ("--quota-auto-disarm=false",) if IS_MARTLET else ()

    def test_no_space_alarm(self):
        with Server("--quota-backend-bytes=1000000", *self.BY_HAND) as server, Client(server.address) as client:
            client.put(b"small", b"x" * 64)
            with self.fails(Code.RESOURCE_EXHAUSTED, self.FULL):
                for i in range(10_000):
                    client.put(b"k%d" % i, b"x" * 10_000)
            # Whoever was refused finds the alarm.
            member = client.status().header.member_id
            server.wait_for_line("alarm raised")
            alarms = client.call("Maintenance.Alarm", action=0, alarm=0).alarms
            self.assertEqual([(a.memberID, a.alarm) for a in alarms], [(member, 1)])
            self.assertTrue(any("NOSPACE" in e for e in client.status().errors))
            for call in (lambda: client.put(b"a"), lambda: client.grant(10), lambda: client.txn(success=[op_put(b"a")])):
                with self.fails(Code.RESOURCE_EXHAUSTED, self.FULL):
                    call()
            # What frees space, and reads, go on.
            client.txn(success=[op_range(b"a")])
            client.get(b"small")
            client.delete(b"k", b"l")
            client.compact(client.revision(), physical=True)
            if served("Maintenance.Defragment"):
                client.call("Maintenance.Defragment", timeout=60)
            # The alarm stays until it is disarmed, over restarts too.
            with self.fails(Code.RESOURCE_EXHAUSTED, self.FULL):
                client.put(b"a")
            server.restart()
            with Client(server.address) as again:
                with self.fails(Code.RESOURCE_EXHAUSTED, self.FULL):
                    again.put(b"a")
                done = again.call("Maintenance.Alarm", action=2, memberID=member, alarm=1).alarms
                self.assertEqual([(a.memberID, a.alarm) for a in done], [(member, 1)])
                self.assertEqual(list(again.call("Maintenance.Alarm", action=2, memberID=member, alarm=1).alarms), [])
                again.put(b"a", b"x" * 64)
                self.assertEqual(list(again.status().errors), [])

    def test_quota_comes_before_the_rules(self):
        with Server("--quota-backend-bytes=1000000", *self.BY_HAND) as server, Client(server.address) as client:
            with self.fails(Code.RESOURCE_EXHAUSTED, self.FULL):
                for i in range(10_000):
                    client.put(b"k%d" % i, b"x" * 10_000)
            large = b"x" * 10_000
            twice = [op_put(b"a", large)] * 2
            calls = [lambda: client.put(b"", large), lambda: client.put(b"a", large, ignore_value=True),
                     lambda: client.txn(success=[op_put(b"", large)]), lambda: client.txn(success=twice),
                     lambda: client.txn(failure=[op_put(b"a", large)] * 200)]
            if server.version >= (3, 6):
                calls.append(lambda: client.txn(failure=[op_txn(success=twice)]))
            for call in calls:
                with self.fails(Code.RESOURCE_EXHAUSTED, self.FULL):
                    call()
            # What weighs nothing is judged by the rules.
            with self.fails(Code.INVALID_ARGUMENT, "etcdserver: key not found"):
                client.txn(success=[api.RequestOp()])
            with self.fails(Code.INVALID_ARGUMENT, "etcdserver: key is not provided"):
                client.txn(success=[op_range(b"")])

    @unittest.skipUnless(IS_MARTLET, "etcd weighs a burst only when it is committed to disk")
    def test_refused_together(self):
        """Many refused at once raise one alarm."""
        with Server("--quota-backend-bytes=1000000", *self.BY_HAND) as server, Client(server.address) as client:
            calls = [client.stub("KV.Put").future(api.PutRequest(key=b"k%d" % i, value=b"x" * 20_000), timeout=20)
                     for i in range(400)]
            codes = [call.code() for call in calls]
            self.assertEqual(set(codes), {Code.OK, Code.RESOURCE_EXHAUSTED})
            self.assertEqual(len(client.call("Maintenance.Alarm").alarms), 1)
            raised = [e for e in server.entries() if e["msg"] == "alarm raised"]
            self.assertEqual([e["alarm"] for e in raised], ["NOSPACE"])

    @unittest.skipUnless(IS_MARTLET, "etcd waits for an operator")
    def test_space_that_comes_back_ends_the_alarm(self):
        with Server("--quota-backend-bytes=1000000") as server, Client(server.address) as client:
            for round_ in range(2):
                with self.fails(Code.RESOURCE_EXHAUSTED, self.FULL):
                    for i in range(10_000):
                        client.put(b"k%d" % i, b"x" * 10_000)
                self.assertTrue(client.status().errors)
                client.delete(b"k", b"l")
                # Deleted, not yet compacted: the history still takes the space.
                time.sleep(1.2)
                self.assertTrue(client.status().errors)
                at = len(server.lines)
                client.compact(client.revision())
                server.wait_for_line("space has come back; disarmed the NOSPACE alarm", 40, after=at)
                self.assertEqual(list(client.status().errors), [])
                client.put(b"k", b"x" * 10_000)
                self.assertTrue(b"martlet_quota_disarms_total 1\n" in urllib.request.urlopen(server.url + "/metrics").read())
                if round_ == 0:
                    # What stands at a start is taken back too.
                    server.restart()
                    client.close()
                    client = Client(server.address)
            client.close()

    @unittest.skipUnless(IS_MARTLET, "etcd waits for an operator")
    def test_an_alarm_of_somebody_else_stays(self):
        with Server("--quota-backend-bytes=1000000") as server, Client(server.address) as client:
            member = client.status().header.member_id
            client.call("Maintenance.Alarm", action=1, memberID=member, alarm=1)
            time.sleep(2.5)
            self.assertEqual(len(client.call("Maintenance.Alarm").alarms), 1)

    @unittest.skipUnless(peers.etcdctl(), "no etcdctl in the cache")
    def test_operators_flow(self):
        """Compact, defragment, disarm: what etcd's documentation tells to do."""
        with Server("--quota-backend-bytes=4000000", *self.BY_HAND) as server, Client(server.address) as client:
            def ctl(*arguments):
                return run([peers.etcdctl(), "--endpoints", server.address, *arguments], check=True).stdout
            with self.fails(Code.RESOURCE_EXHAUSTED, self.FULL):
                for _ in range(10_000):
                    client.put(b"key", b"x" * 20_000)
            self.assertIn("alarm:NOSPACE", ctl("alarm", "list"))
            full = client.status().dbSize
            ctl("compact", str(client.revision()))
            ctl("defrag")
            self.assertLess(client.status().dbSize, full / 2)
            self.assertIn("alarm:NOSPACE", ctl("alarm", "disarm"))
            self.assertEqual(ctl("alarm", "list"), "")
            self.assertEqual(ctl("put", "key", "v").strip(), "OK")

    def test_tiny_quota(self):
        """53,248 bytes take a small put on an empty store and refuse big ones after a few."""
        with Server("--quota-backend-bytes=53248") as server, Client(server.address) as client:
            client.put(b"small", b"x" * 64)
            taken = 0
            with self.fails(Code.RESOURCE_EXHAUSTED, self.FULL):
                # Sizes are those of the last commit to disk, so a burst may go further than the quota.
                while taken < 5000:
                    client.put(b"key", b"x" * 4096)
                    taken += 1
            client.compact(client.revision(), physical=True)
            if served("Maintenance.Defragment"):
                client.call("Maintenance.Defragment", timeout=60)
            client.call("Maintenance.Alarm", action=2, memberID=client.status().header.member_id, alarm=1)
            client.put(b"small", b"x" * 64)

    def test_alarm_by_hand(self):
        with Server() as server, Client(server.address) as client:
            self.assertEqual(list(client.call("Maintenance.Alarm", action=1, memberID=5, alarm=0).alarms), [])
            self.assertEqual([(a.memberID, a.alarm) for a in client.call("Maintenance.Alarm", action=1, memberID=5, alarm=1).alarms], [(5, 1)])
            with self.fails(Code.RESOURCE_EXHAUSTED, self.FULL):
                client.put(b"a")
            self.assertEqual(list(client.call("Maintenance.Alarm", action=2, memberID=6, alarm=1).alarms), [])
            self.assertEqual([(a.memberID, a.alarm) for a in client.call("Maintenance.Alarm", action=2, memberID=5, alarm=1).alarms], [(5, 1)])
            client.put(b"a")
            client.call("Maintenance.Alarm", action=1, memberID=0, alarm=2)
            with self.fails(Code.DATA_LOSS, "etcdserver: corrupt cluster"):
                client.put(b"a")
            client.get(b"a")
            client.call("Maintenance.Alarm", action=2, memberID=0, alarm=2)
            client.put(b"a")

    @unittest.skipUnless(IS_MARTLET, "etcd compares with its peers")
    def test_the_initial_check_refuses_damage(self):
        server = Server("--feature-gates=InitialCorruptCheck=true")
        self.addCleanup(server.close)
        server.start()
        with Client(server.address) as client:
            for number in range(50):
                client.put(b"k%d" % number, b"marked value %d" % number)
        server.stop()
        server.start()
        self.assertIn("initial corruption checking passed; no corruption", [entry["msg"] for entry in server.entries()])
        server.stop()
        damaged = 0
        for file in (server.data_dir / "member/store").iterdir():
            content = file.read_bytes()
            at = content.find(b"marked value 25")
            if file.suffix == ".seg" and at >= 0:
                file.write_bytes(content[:at] + b"M" + content[at + 1:])
                damaged += 1
        self.assertEqual(damaged, 1)
        server.spawn()
        self.assertEqual(server.process.wait(20), 1)
        server._reader.join(5)
        self.assertIn("found damage at the initial corruption check", server.entries()[-1]["error"])

    def test_alarms_without_a_name(self):
        with Server() as server, Client(server.address) as client:
            for number in (3, 77, -1, 2 ** 31 - 1):
                for action in (0, 2):
                    self.assertEqual(list(client.call("Maintenance.Alarm", action=action, memberID=5, alarm=number).alarms), [])
            if not IS_MARTLET and peers.version(peers.server()) < (3, 6):
                return  # Raising one ends that server.
            for number in (3, 77, -1):
                raised = client.call("Maintenance.Alarm", action=1, memberID=5, alarm=number).alarms
                self.assertEqual([(a.memberID, a.alarm) for a in raised], [(5, number)])
            # They are listed, and forbid nothing.
            self.assertEqual(sorted(a.alarm for a in client.call("Maintenance.Alarm").alarms), [-1, 3, 77])
            self.assertEqual([a.alarm for a in client.call("Maintenance.Alarm", alarm=77).alarms], [77])
            client.put(b"a")
            self.assertIn("memberID:5 alarm:77", client.status().errors)
            server.restart()
            with Client(server.address) as again:
                self.assertEqual(sorted(a.alarm for a in again.call("Maintenance.Alarm").alarms), [-1, 3, 77])
                for number in (3, 77, -1):
                    again.call("Maintenance.Alarm", action=2, memberID=5, alarm=number)
                self.assertEqual(list(again.call("Maintenance.Alarm").alarms), [])
                self.assertEqual(list(again.status().errors), [])


class Downgrade(Case):
    def ask(self, action, version=""):
        return self.client.call("Maintenance.Downgrade", action=action, version=version)

    def setUp(self):
        self.server = Server().start()
        self.addCleanup(self.server.close)
        self.client = Client(self.server.address)
        self.addCleanup(self.client.close)
        minor = self.server.version[1]
        self.current, self.below = f"3.{minor}", f"3.{minor - 1}"

    def cluster_version(self):
        return json.loads(urllib.request.urlopen(self.server.url + "/version", timeout=10).read())["etcdcluster"]

    def wait_for(self, what, value):
        deadline = time.monotonic() + 20
        while what() != value:
            self.assertLess(time.monotonic(), deadline, (what(), value))
            time.sleep(0.1)

    def test_validate(self):
        for version in (self.below, self.below + ".0", self.below + ".77", self.below + ".1-rc.2+x"):
            answer = self.ask(0, version)
            # Older versions answered with the whole version.
            self.assertEqual((answer.version.removesuffix(".0"), answer.header.revision), (self.current, 1))
        for version in ("", "3", "v" + self.below, self.below + ".", "3.x", self.below + ".0.0", "3.-1"):
            for action in (0, 1):
                with self.fails(Code.INVALID_ARGUMENT, "etcdserver: wrong downgrade target version format"):
                    self.ask(action, version)
        for version in (self.current, "3.0", "3.9", "2.6", "4.6"):
            for action in (0, 1):
                with self.fails(Code.INVALID_ARGUMENT, "etcdserver: invalid downgrade target version"):
                    self.ask(action, version)
        with self.fails(Code.UNKNOWN, "etcdserver: unknown method"):
            self.ask(3, self.below)

    @since(3, 6)
    def test_there_and_back(self):
        self.assertEqual(self.ask(2).version, self.current)
        self.assertEqual(self.ask(1, self.below).version, self.current)
        info = self.client.status().downgradeInfo
        self.assertEqual((info.enabled, info.targetVersion), (True, self.below + ".0"))
        for action in (0, 1):
            with self.fails(Code.FAILED_PRECONDITION, "etcdserver: cluster has a downgrade job in progress"):
                self.ask(action, self.below if self.cluster_version() != self.below + ".0" else "3.%d" % (self.server.version[1] - 2))
        self.wait_for(self.cluster_version, self.below + ".0")
        self.wait_for(lambda: self.client.status().storageVersion, self.below + ".0")
        self.client.put(b"k", b"v")
        # It lasts over a restart; the server is still the newer one.
        self.server.restart()
        self.client.close()
        self.client = Client(self.server.address)
        self.addCleanup(self.client.close)
        self.assertEqual((self.cluster_version(), self.client.get(b"k").value), (self.below + ".0", b"v"))
        self.assertTrue(self.client.status().downgradeInfo.enabled)
        self.assertEqual(self.ask(2).version, self.below)
        self.assertFalse(self.client.status().downgradeInfo.enabled)
        self.wait_for(self.cluster_version, self.current + ".0")
        self.wait_for(lambda: self.client.status().storageVersion, self.current + ".0")


class Hashes(Case):
    def test_hash_kv_of_an_empty_store(self):
        with Server() as server, Client(server.address) as client:
            answer = client.call("Maintenance.HashKV")
            self.assertEqual((answer.hash, answer.compact_revision), (1084519789, -1))
            self.assertEqual(answer.hash, crc32c(b"key"))

    def test_a_refused_physical_compaction_waits_for_the_one_before(self):
        """So a member remembers the hash of the next compaction, which it does only when the one before it has come to its end."""
        with Server() as server, Client(server.address) as client:
            for _ in range(400):
                client.txn(success=[op_put(b"%03d" % i, b"v") for i in range(100)])
            for _ in range(3):
                first = client.revision() - 1
                client.compact(first)
                with self.fails(Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"):
                    client.compact(first, physical=True)
                last = client.put(b"x").header.revision
                client.compact(last, physical=True)
                self.assertEqual(client.call("Maintenance.HashKV", revision=last).compact_revision, first)
                for _ in range(50):
                    client.txn(success=[op_put(b"%03d" % i, b"v") for i in range(100)])

    def test_hash_kv_is_what_its_definition_says(self):
        """Computed here from the history that a watch gives."""
        with Server() as server, Client(server.address) as client:
            lease = client.grant(1000).ID
            for i in range(40):
                client.put(b"k%d" % (i % 9), b"v%d" % i, lease=lease if i % 3 == 0 else 0)
                if i % 11 == 10:
                    client.txn(success=[op_put(b"t1", b"%d" % i), op_put(b"t2")])
                    client.delete(b"k2", b"k5")
            now = client.revision()
            history = records(client, now)
            for revision in (2, 5, 20, now):
                answer = client.call("Maintenance.HashKV", revision=revision)
                self.assertEqual((answer.hash, answer.header.revision), (hash_of(history, revision), now), revision)
            crc = hash_of(history, now)
            self.assertEqual(client.call("Maintenance.HashKV").hash, crc)
            server.kill()
            server.start()
            with Client(server.address) as again:
                self.assertEqual(again.call("Maintenance.HashKV").hash, crc)

    def test_errors(self):
        with Server() as server, Client(server.address) as client:
            for _ in range(5):
                client.put(b"a")
            client.compact(4, physical=True)
            with self.fails(Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision has been compacted"):
                client.call("Maintenance.HashKV", revision=3)
            with self.fails(Code.OUT_OF_RANGE, "etcdserver: mvcc: required revision is a future revision"):
                client.call("Maintenance.HashKV", revision=7)
            self.assertEqual(client.call("Maintenance.HashKV").compact_revision, 4)


class Snapshot(Case):
    def test_stream(self):
        with Server() as server, Client(server.address) as client:
            for i in range(100):
                client.put(b"k%d" % i, b"x" * 1000)
            blobs, remaining = [], []
            for message in client.call("Maintenance.Snapshot", timeout=60):
                self.assertLessEqual(len(message.blob), 32768)
                self.assertFalse(message.HasField("header"))
                blobs.append(message.blob)
                remaining.append(message.remaining_bytes)
            data = b"".join(blobs[:-1])
            self.assertEqual(blobs[-1], hashlib.sha256(data).digest())
            self.assertEqual((remaining[-1], remaining[-2], len(data) % 512), (0, 0, 0))
            self.assertEqual(remaining, sorted(remaining, reverse=True))
            self.assertEqual(data[16:20], bytes.fromhex("edda0ced"))


class Refusals(SharedServer):
    def test_unknown_methods(self):
        for path in ("/etcdserverpb.KV/Nope", "/no.such.Service/Method"):
            with self.fails(Code.UNIMPLEMENTED):
                self.client.raw(path, b"")
        with self.fails(Code.UNIMPLEMENTED, "unknown method Nope for service etcdserverpb.KV"):
            self.client.raw("/etcdserverpb.KV/Nope", b"")
        with self.fails(Code.UNIMPLEMENTED, "unknown service no.such.Service"):
            self.client.raw("/no.such.Service/Method", b"")

    def test_move_leader(self):
        with self.fails(Code.FAILED_PRECONDITION, "etcdserver: bad leader transferee"):
            self.client.call("Maintenance.MoveLeader", targetID=4711)

    def test_member_errors(self):
        with self.fails(Code.NOT_FOUND, "etcdserver: member not found"):
            self.client.call("Cluster.MemberRemove", ID=4711)
        with self.fails(Code.INVALID_ARGUMENT, "etcdserver: given member URLs are invalid"):
            self.client.call("Cluster.MemberAdd", peerURLs=["nonsense"])
        with self.fails(Code.NOT_FOUND, "etcdserver: member not found"):
            self.client.call("Cluster.MemberPromote", ID=4711)

    def test_auth_is_off(self):
        answer = self.client.call("Auth.AuthStatus")
        self.assertEqual((answer.enabled, answer.authRevision), (False, 1))
        with self.fails(Code.FAILED_PRECONDITION, "etcdserver: authentication is not enabled"):
            self.client.call("Auth.Authenticate", api.AuthenticateRequest(name="a", password="b"))
        # A token is ignored then.
        self.client.call("KV.Put", key=self.k(), metadata=(("token", "nonsense"),))


class Defragment(SharedServer):
    def test_answers_without_a_header(self):
        self.client.put(self.k(), b"v")
        answer = self.client.call("Maintenance.Defragment", timeout=60)
        self.assertFalse(answer.HasField("header"))
        self.assertEqual(self.client.get(self.k()).value, b"v")
