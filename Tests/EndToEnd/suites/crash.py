"""Kill -9 with writers at work, a process that is stopped and continued, a large history at start."""

import os
import random
import signal
import threading
import time

import grpc

from harness import api
from harness.case import Case
from harness.client import Client, op_put, served
from harness.server import Server


class Writer(threading.Thread):
    """Writes numbers to keys of its own and remembers which were acknowledged, at which revision."""

    def __init__(self, address, number, stop):
        super().__init__(daemon=True)
        self.address, self.number, self.stop_event = address, number, stop
        self.acked, self.asked = [], 0

    def run(self):
        rng = random.Random(self.number)
        client = Client(self.address, options=[("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 200)])
        try:
            while not self.stop_event.is_set():
                self.asked += 1
                i = self.asked
                key, value = b"w%d/%d" % (self.number, i % 50), b"%d" % i
                try:
                    if rng.random() < 0.3:
                        # Two keys and a log of its own in one revision.
                        answer = client.txn(success=[op_put(key, value), op_put(b"log%d/%08d" % (self.number, i), value)], timeout=5)
                    else:
                        answer = client.put(key, value, timeout=5)
                    self.acked.append((i, key, value, answer.header.revision))
                except grpc.RpcError:
                    time.sleep(0.02)
        finally:
            client.close()


class KillLoop(Case):
    ROUNDS = int(os.environ.get("MARTLET_KILLS", 8))

    def history(self, client, start, last):
        """Every (revision, key, value) from a revision on, as a watch replays it."""
        events = []
        with client.watch() as stream:
            self.assertTrue(stream.create(b"\0", b"\0", start_revision=start).created)
            while not events or events[-1].kv.mod_revision < last:
                events += stream.events(1)
        return events

    def test_nothing_acknowledged_is_lost(self):
        with Server() as server:
            stop = threading.Event()
            writers = [Writer(server.address, n, stop) for n in range(6)]
            for writer in writers:
                writer.start()
            rng = random.Random()
            try:
                for _ in range(self.ROUNDS):
                    time.sleep(rng.uniform(0.3, 1.2))
                    server.kill()
                    server.start()
            finally:
                stop.set()
                for writer in writers:
                    writer.join(30)
            with Client(server.address) as client:
                self.check(client, writers)
                before = [(e.type, e.kv) for e in self.history(client, 2, client.put(b"end").header.revision)]
            server.kill()
            server.start()
            with Client(server.address) as client:
                after = [(e.type, e.kv) for e in self.history(client, 2, client.status().header.revision)]
                self.assertEqual(after, before)

    def check(self, client, writers):
        last = client.put(b"end").header.revision
        events = self.history(client, 2, last)
        revisions = [e.kv.mod_revision for e in events]
        self.assertEqual(sorted(set(revisions)), list(range(2, last + 1)), "every revision, once, in order")
        self.assertEqual(revisions, sorted(revisions))
        by_revision = {}
        for event in events:
            by_revision.setdefault(event.kv.mod_revision, {})[event.kv.key] = event.kv.value
        total = 0
        for writer in writers:
            total += len(writer.acked)
            for i, key, value, revision in writer.acked:
                self.assertEqual(by_revision.get(revision, {}).get(key), value, f"acknowledged at {revision}: {key}")
            acked = [revision for *_, revision in writer.acked]
            self.assertEqual(acked, sorted(acked))
        self.assertGreater(total, 100)
        # What a range shows is what the history ends in.
        state = {}
        for event in events:
            state[event.kv.key] = event.kv.value
        self.assertEqual({kv.key: kv.value for kv in client.range(b"\0", b"\0").kvs}, state)
        return total

    def test_kill_while_it_starts(self):
        with Server() as server:
            with Client(server.address) as client:
                for i in range(500):
                    client.put(b"k%d" % (i % 50), b"%d" % i)
                revision = client.revision()
            rng = random.Random()
            server.kill()
            for _ in range(10):
                server.spawn()
                time.sleep(rng.uniform(0, 0.3))
                server.kill()
            server.start()
            with Client(server.address) as client:
                client.call("Maintenance.Alarm", action=0)
                self.assertEqual(client.revision(), revision)
                self.assertEqual(client.range(b"k", b"l").count, 50)

    def test_compaction_and_kill(self):
        """Killed during compactions: what is above the compacted revision is whole, what is below stays gone."""
        with Server() as server:
            state, revision, compacted = {}, 1, 0
            for round_number in range(5):
                with Client(server.address) as client:
                    for i in range(300):
                        key = b"k%d" % random.randrange(40)
                        revision = client.put(key, b"%d/%d" % (round_number, i)).header.revision
                        state[key] = (b"%d/%d" % (round_number, i), revision)
                    compacted = revision - random.randrange(1, 100)
                    client.compact(compacted, physical=random.random() < 0.5)
                server.kill()
                server.start()
                with Client(server.address) as client:
                    client.call("Maintenance.Alarm", action=0)
                    found = {kv.key: (kv.value, kv.mod_revision) for kv in client.range(b"k", b"l").kvs}
                    self.assertEqual(found, state)
                    with self.assertRaises(grpc.RpcError) as caught:
                        client.range(b"k", b"l", revision=compacted - 1)
                    self.assertEqual(caught.exception.details(), "etcdserver: mvcc: required revision has been compacted")
                    self.assertEqual(client.range(b"k", b"l", revision=compacted).header.revision, revision)
                    events = self.history(client, compacted + 1, revision)
                    self.assertEqual([e.kv.mod_revision for e in events], list(range(compacted + 1, revision + 1)))


class Stopped(Case):
    def test_clients_wait_for_a_process_that_stands_still(self):
        with Server() as server, Client(server.address) as client:
            lease = client.grant(3).ID
            client.put(b"a", b"1", lease=lease)
            os.kill(server.pid, signal.SIGSTOP)
            future = client.stub("KV.Put").future(api.PutRequest(key=b"b", value=b"2"), timeout=20)
            time.sleep(2)
            self.assertFalse(future.done())
            os.kill(server.pid, signal.SIGCONT)
            self.assertGreater(future.result().header.revision, 2)
            self.assertEqual(client.get(b"b").value, b"2")


class LargeHistory(Case):
    def summary(self, client):
        """What tells one store from another."""
        if served("Maintenance.HashKV"):
            answer = client.call("Maintenance.HashKV", timeout=60)
            return answer.hash, answer.header.revision
        answer = client.range(b"\0", b"\0", timeout=60)
        return hash(answer.SerializeToString()[answer.header.ByteSize() + 2:]), answer.header.revision

    def test_start_with_many_revisions(self):
        count = int(os.environ.get("MARTLET_HISTORY", 60_000))
        with Server("--unsafe-no-fsync") as server:
            with Client(server.address) as client:
                txn, window = client.stub("KV.Txn"), []
                for i in range(0, count, 100):
                    window.append(txn.future(api.TxnRequest(success=[
                        op_put(b"h/%06d" % ((i + j) % 20_000), b"x" * 200) for j in range(100)]), timeout=60))
                    if len(window) == 50:
                        [f.result() for f in window]
                        window.clear()
                [f.result() for f in window]
                before = self.summary(client)
            for end in (server.stop, server.kill):
                end()
                started = time.monotonic()
                server.start()
                took = time.monotonic() - started
                self.assertLess(took, 30)
                with Client(server.address) as client:
                    client.call("Maintenance.Alarm", action=0)
                    self.assertEqual(self.summary(client), before)
                    self.assertEqual(client.range(b"h/", b"h0", count_only=True).count, min(count, 20_000))


class TornTail(Case):
    def test_log_cut_in_the_middle_of_a_record(self):
        """The last record of the log is damaged as a power failure does it: what was complete is there."""
        with Server() as server:
            with Client(server.address) as client:
                for i in range(50):
                    client.put(b"k%02d" % i, b"x" * 2000)
            server.kill()
            wal = sorted((server.data_dir / "member/wal").glob("*.wal"))[-1]
            data = bytearray(wal.read_bytes())
            end = len(data)
            while end and data[end - 1] == 0:
                end -= 1
            # The last record's second half never reached the disk.
            data[end - 700:end] = bytes(700)
            wal.write_bytes(data)
            server.start()
            with Client(server.address) as client:
                client.call("Maintenance.Alarm", action=0)
                count = client.range(b"k", b"l", count_only=True).count
                self.assertGreaterEqual(count, 48)
                client.put(b"next")

    def test_damage_elsewhere_is_refused(self):
        with Server() as server:
            with Client(server.address) as client:
                for i in range(50):
                    client.put(b"k%02d" % i, bytes(range(1, 251)) * 8)
            server.kill()
            wal = sorted((server.data_dir / "member/wal").glob("*.wal"))[-1]
            data = bytearray(wal.read_bytes())
            at = data.index(bytes(range(1, 251)) * 8)
            data[at + 100] ^= 0x10
            wal.write_bytes(data)
            server.spawn()
            status = server.wait(30)
            self.assertNotEqual(status, 0)
            self.assertTrue(any("crc" in line.lower() for line in server.lines), server.tail())
