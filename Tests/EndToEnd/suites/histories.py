"""Clients and watchers at work while the server is killed, stopped and continued, and its disk slow, full or broken; what
they were told is judged for linearizability and for what a watch promises (histories/checker.py).

environment: MARTLET_SOAK   how many times longer (default 1: some seconds for each fault)
             MARTLET_SEED   the seed of the first history (default: from the clock; printed)
"""

import copy
import errno
import os
import random
import signal
import subprocess
import time
import unittest

import grpc

from harness import peers
from harness.case import Case
from harness.client import Client
from harness.server import Server, StartFailed
from histories import checker, recorder, wgl
from histories.faults import Faults

SOAK = float(os.environ.get("MARTLET_SOAK", 1))
SEED = int(os.environ.get("MARTLET_SEED", time.time_ns() // 1000 % 1_000_000_000))


class Recorded(Case):
    def judge(self, run):
        acknowledged = sum(op.acknowledged for op in run.operations)
        events = sum(len(piece[2]) for watcher in run.watchers for piece in watcher.seen.pieces if piece[0] == "events")
        print(f"{acknowledged} operations, {run.uncertain} of unknown outcome, {run.last} revisions, {events} events seen", flush=True)
        found = run.complaints()
        self.assertFalse(found, f"seed {self.seed}: {len(found)} complaints\n" + "\n".join(found[:12]) + "\n" + run.server.tail(8))
        self.assertGreater(acknowledged, run.least)

    def record(self, server, events=(), seconds=6, **options):
        self.seed = SEED + sum(self.id().encode())
        return recorder.Run(server, self.seed, seconds=seconds * SOAK, events=events, **options).run()

    def times(self, first, every, action):
        """What is done every so many seconds for as long as the run lasts."""
        count = max(1, int((6 * SOAK - first) / every))
        return [(first + i * every, action) for i in range(count)]


class Faultless(Recorded):
    def test_quiet(self):
        with Server() as server:
            self.judge(self.record(server, seconds=4))

    def test_compactions_and_slow_watchers(self):
        with Server() as server:
            self.judge(self.record(server, seconds=5, compacts=True, value_bytes=(500, 4000)))

    def test_by_search_without_revisions(self):
        """The same histories, judged key by key as registers by a search that knows no revisions."""
        with Server() as server:
            # Without leases, whose end deletes keys that no operation names.
            run = self.record(server, seconds=3, leases=False)
        self.judge(run)
        self.search(run)

    def search(self, run):
        values = {event.value for events in run.log.values() for event in events}
        for key in recorder.KEYS:
            steps = register_steps(run, key, values)
            self.assertGreater(len(steps), 20)
            verdict = wgl.is_linearizable(steps)
            self.assertIsNotNone(verdict, "the search was given up")
            self.assertTrue(verdict, f"seed {self.seed}: {key} is not linearizable")

    def test_checker_passes_real_etcd(self):
        """The checker is right: real etcd passes it, stopped and continued too. (Not killed: alone in its cluster etcd 3.5 then
        answers stale reads for a moment, and applies an entry twice now and then.)"""
        if not peers.etcd():
            self.skipTest("no real etcd in the cache")
        with Server(binary=peers.etcd()) as server:
            self.judge(self.record(server, [(1, lambda: server.process.send_signal(signal.SIGSTOP)),
                                            (1.7, lambda: server.process.send_signal(signal.SIGCONT))], seconds=4))


def register_steps(run, key, values):
    """All that operations tell of one key, as steps on a register of its value."""
    steps = []
    for op in run.operations:
        if op.refused is not None:
            continue
        spec = op.spec
        if spec[0] == "put" and spec[1] == key:
            if op.acknowledged or spec[2] in values:
                steps.append(wgl.Step("write", spec[2], None, op.invoked, op.returned))
        elif spec[0] == "get" and op.acknowledged and not spec[3] and not spec[4] and checker.within(key, spec[1], spec[2]):
            found = [kv.value for kv in op.answer[0] if kv.key == key]
            steps.append(wgl.Step("read", None, found[0] if found else None, op.invoked, op.returned))
        elif spec[0] == "delete" and checker.within(key, spec[1], spec[2]):
            steps.append(wgl.Step("write", None, None, op.invoked, op.returned))
        elif spec[0] == "txn" and op.acknowledged:
            for inner in spec[2] if op.answer[0] else spec[3]:
                if inner[0] == "put" and inner[1] == key:
                    steps.append(wgl.Step("write", inner[2], None, op.invoked, op.returned))
                elif inner[0] == "delete" and checker.within(key, inner[1], inner[2]):
                    steps.append(wgl.Step("write", None, None, op.invoked, op.returned))
        elif spec[0] == "txn":
            for inner in (*spec[2], *spec[3]):
                if inner[0] == "put" and inner[1] == key and inner[2] in values:
                    steps.append(wgl.Step("write", inner[2], None, op.invoked, None))
    return steps


class Killed(Recorded):
    def kill(self, server):
        server.kill()
        server.start()

    def test_killed(self):
        with Server() as server:
            self.judge(self.record(server, self.times(0.6, 0.9, lambda: self.kill(server))))

    def test_killed_with_compactions_and_defragmentation(self):
        with Server() as server:
            defragment = lambda: subprocess.Popen([peers.etcdctl(), "--endpoints", server.address, "defrag"], stdout=subprocess.DEVNULL,
                                                  stderr=subprocess.DEVNULL) if peers.etcdctl() else None
            snapshot = lambda: subprocess.Popen([peers.etcdctl(), "--endpoints", server.address, "snapshot", "save", f"{server.work}/s.db"],
                                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) if peers.etcdctl() else None
            events = self.times(0.6, 0.9, lambda: self.kill(server)) + self.times(0.4, 1.1, defragment) + self.times(0.5, 1.3, snapshot)
            self.judge(self.record(server, events, compacts=True, value_bytes=(200, 2000)))

    def test_stopped_and_continued(self):
        with Server() as server:
            events = self.times(0.8, 1.6, lambda: server.process.send_signal(signal.SIGSTOP)) + \
                self.times(1.5, 1.6, lambda: server.process.send_signal(signal.SIGCONT))
            # The last one must be a continuation.
            events.append((6 * SOAK, lambda: server.process.send_signal(signal.SIGCONT)))
            self.judge(self.record(server, events))

    def test_asked_to_stop(self):
        with Server() as server:
            self.judge(self.record(server, self.times(1, 1.7, lambda: server.restart())))


@unittest.skipUnless(peers.is_martlet(peers.server()), "a Go program does its system calls itself: no library comes between")
class Disk(Recorded):
    def revive(self, server, faults):
        """The disk is well again; the server is started if it has ended."""
        faults.heal()
        if server.process.poll() is not None:
            server.start()

    def with_faults(self, faults_at, injects=True, **options):
        with Faults() as faults, Server(env=faults.environment) as server:
            run = self.record(server, faults_at(server, faults), **options)
            self.judge(run)
            if injects:
                self.assertGreater(faults.get("failures"), 0, "no call to the disk failed")
            self.assertGreater(faults.get("syncs"), 10, "the library of faults is not in use")

    def test_slow(self):
        """Syncs that take 30 ms, and a second now and then."""
        def plan(server, faults):
            return [(0.5, lambda: faults.set(sync_delay_us=30_000)), (2.5, lambda: faults.set(sync_delay_us=1_000_000)),
                    (4, lambda: faults.set(sync_delay_us=0))]
        self.with_faults(plan, injects=False)

    def test_slow_and_killed(self):
        def plan(server, faults):
            return [(0.3, lambda: faults.set(sync_delay_us=20_000, short_writes=1)),
                    *self.times(0.8, 1.2, lambda: (server.kill(), server.start()))]
        self.with_faults(plan, injects=False)

    def full(self, number):
        def plan(server, faults):
            return [(1, lambda: faults.set(write_budget=40_000, write_errno=number)),
                    (3, lambda: self.revive(server, faults)),
                    (3.5, lambda: faults.set(write_budget=3_000, write_errno=number)),
                    (4.5, lambda: server.kill()),
                    (4.6, lambda: self.revive(server, faults))]
        self.with_faults(plan)

    def test_full(self):
        self.full(errno.ENOSPC)

    def test_writes_fail(self):
        self.full(errno.EIO)

    def test_syncs_fail(self):
        """Once a sync has failed nobody knows what the disk holds: the server must not go on acknowledging."""
        def plan(server, faults):
            return [(1, lambda: faults.set(sync_errno=errno.EIO)), (2.5, lambda: self.revive(server, faults)),
                    (4, lambda: faults.set(sync_errno=errno.EIO)), (5, lambda: self.revive(server, faults))]
        self.with_faults(plan)


@unittest.skipUnless(peers.is_martlet(peers.server()), "a Go program does its system calls itself: no library comes between")
class KilledAtEachStep(Case):
    """A short life with compactions, defragmentation (which is garbage collection and a checkpoint), a snapshot and a stop; the
    process is killed before its n-th change of the disk, for many n. What was acknowledged is there afterwards."""

    POINTS = int(25 * SOAK)

    def life(self, client, acknowledged):
        """All it does, in order; `acknowledged` is {key: value or None}, and the revision under b""."""
        def put(key, value):
            acknowledged[b""] = client.put(key, value).header.revision
            acknowledged[key] = value
        for round in range(3):
            for i in range(12):
                put(b"k%d" % (i % 5), b"%d.%d " % (round, i) + b"v" * 3000)
            acknowledged[b""] = client.delete(b"k4").header.revision
            acknowledged[b"k4"] = None
            client.compact(client.revision() - 3, physical=True)
            client.call("Maintenance.Defragment")
            put(b"after", b"%d" % round)
            for _ in client.call("Maintenance.Snapshot"):
                pass
        lease = client.grant(5000, 77).ID
        client.put(b"leased", b"x", lease=lease)
        acknowledged[b"leased"] = b"x"
        acknowledged.pop(b"")

    def attempt(self, kill_at):
        """Whether it was killed on the way; how many operations there were otherwise."""
        with Faults() as faults:
            faults.set(kill_at=kill_at)
            server = Server(env=faults.environment)
            try:
                acknowledged = {}
                try:
                    server.start()
                    with Client(server.address) as client:
                        self.life(client, acknowledged)
                    server.stop()
                except (grpc.RpcError, StartFailed):
                    self.assertTrue(kill_at, server.tail())
                operations = faults.get("operations")
                self.assertEqual(server.wait(20), 137 if kill_at and operations >= kill_at else 143, server.tail())
                faults.set(kill_at=0)
                server.start()
                with Client(server.address) as client:
                    client.call("Maintenance.Alarm", action=0)
                    self.check(client, acknowledged, kill_at)
                return operations
            finally:
                server.close()

    def check(self, client, acknowledged, kill_at):
        revision = acknowledged.pop(b"", 0)
        self.assertGreaterEqual(client.revision(), revision, f"killed before operation {kill_at}")
        if client.revision() == revision or not revision:
            for key, value in acknowledged.items():
                kv = client.get(key)
                self.assertEqual(kv and kv.value, value, f"{key}, killed before operation {kill_at}")
        # The history that is left is whole, and agrees with the hash.
        compacted = client.call("Maintenance.HashKV").compact_revision
        with client.watch() as stream:
            stream.create(b"\0", b"\0", start_revision=max(1, compacted))
            last = client.put(b"end").header.revision
            events = []
            while not events or events[-1].kv.mod_revision < last:
                events += stream.events(1)
        found = sorted({event.kv.mod_revision for event in events if event.kv.mod_revision > compacted})
        self.assertEqual(found, list(range(max(compacted, 1) + 1, last + 1)), f"killed before operation {kill_at}")

    def test_killed_at_each_step(self):
        total = self.attempt(0)
        self.assertGreater(total, 100)
        rng = random.Random(SEED)
        print(f"{total} operations on the disk, killed before {self.POINTS} of them, seed {SEED}", flush=True)
        for i in range(self.POINTS):
            self.attempt(1 + (i * total + rng.randrange(total)) // self.POINTS)


class CheckerItself(unittest.TestCase):
    """Histories with one thing wrong in them: each must be found."""

    @classmethod
    def setUpClass(cls):
        with Server() as server:
            cls.run_ = recorder.Run(server, 7, clients=4, seconds=1.5).run()
        assert not cls.run_.complaints(), cls.run_.complaints()[:5]

    def setUp(self):
        self.random = random.Random(5)
        self.operations, self.log = copy.deepcopy(self.run_.operations), copy.deepcopy(self.run_.log)

    def pick(self, accept):
        return self.random.choice([op for op in self.operations if op.acknowledged and accept(op)])

    def assertFound(self):
        self.assertTrue(checker.complaints(self.operations, self.log, ended=self.run_.ended))

    def test_lost_write(self):
        op = self.pick(lambda op: op.spec[0] == "put" and op.revision < self.run_.last)
        del self.log[op.revision]
        self.assertFound()

    def test_write_of_another_value(self):
        op = self.pick(lambda op: op.spec[0] == "put")
        self.log[op.revision] = [self.log[op.revision][0]._replace(value=b"another")]
        self.assertFound()

    def test_half_a_transaction(self):
        op = self.pick(lambda op: op.spec[0] == "txn" and op.answer[0] and len(self.log.get(op.revision, ())) == 2)
        self.log[op.revision].pop()
        self.assertFound()

    def test_stale_read(self):
        op = self.pick(lambda op: op.spec[0] == "get" and not op.spec[3] and not op.spec[4] and op.revision > 50)
        states = checker.States(self.log)
        op.revision -= 40
        kvs = states.range(op.spec[1], op.spec[2], op.revision)
        op.answer = kvs, len(kvs)
        self.assertFound()

    def test_read_of_what_never_was(self):
        op = self.pick(lambda op: op.spec[0] == "get" and op.answer[0])
        op.answer = [op.answer[0][0]._replace(value=b"never")] + op.answer[0][1:], op.answer[1]
        self.assertFound()

    def test_write_that_nobody_asked_for(self):
        op = self.pick(lambda op: op.spec[0] == "put")
        self.operations.remove(op)
        self.assertFound()

    def test_write_before_it_was_asked_for(self):
        writes = [op for op in self.operations if op.acknowledged and op.spec[0] == "put"]
        early, late = writes[5], writes[-5]
        # The two change places in the log; all else, versions included, is made to fit.
        early.revision, late.revision = late.revision, early.revision
        early.spec, late.spec = late.spec, early.spec
        early.answer, late.answer = late.answer, early.answer
        self.assertFound()

    def test_write_done_twice(self):
        op = self.pick(lambda op: op.spec[0] == "put")
        last = max(self.log)
        self.log[last + 1] = self.log[op.revision]
        self.assertFound()

    def test_refused_and_done(self):
        op = self.pick(lambda op: op.spec[0] == "put")
        op.revision, op.refused = None, "no"
        self.assertFound()

    def test_wrong_branch(self):
        op = self.pick(lambda op: op.spec[0] == "txn" and op.spec[1] and not op.answer[0] and op.spec[3][0][0] == "get")
        op.answer = True, [None]
        self.assertFound()

    def test_wrong_previous_value(self):
        op = self.pick(lambda op: op.spec[0] == "put" and op.answer is not None)
        op.answer = None
        self.assertFound()

    def test_lease_that_ends(self):
        """One of three seconds, granted at 10, with a key that its end removes at revision 3."""
        grant = checker.Operation(("grant", 7, 3), 1, 10.0, 2, 1, ())
        put = checker.Operation(("put", b"k", b"v", 7), 3, 10.1, 4, 2)
        late = checker.Operation(("get", b"k", b"", 0, False), 5, 13.5, 6, 3, ([], 0))
        log = {2: [checker.Event(b"k", b"v", 2, 1, 7)], 3: [checker.Event(b"k", None, 0, 0, 0)]}
        self.assertFalse(checker.complaints([grant, put, late], log, ended=14))
        # Nothing was asked any more when it ended; the log was read late enough, or not.
        self.assertFalse(checker.complaints([grant, put], log, ended=13.1))
        self.assertTrue(checker.complaints([grant, put], log, ended=12.9))
        # Many revisions later than when it could end.
        log = {2: log[2], **{r: [checker.Event(b"other", b"%d" % r, 4, r - 3, 0)] for r in range(4, 90)}, 3: log[3]}
        puts = [checker.Operation(("put", b"other", b"%d" % r, 0), 2 * r, 10.2, 2 * r + 1, r, checker.KV(b"other", b"%d" % (r - 1), 4, r - 1, r - 4, 0)
                                  if r > 4 else None) for r in range(4, 90)]
        late = checker.Operation(("get", b"k", b"", 0, False), 1000, 13.5, 1001, 89, ([], 0))
        self.assertTrue(checker.complaints([grant, put, *puts, late], log, ended=14))

    # Watchers.

    def watcher(self, accept=lambda watcher: True):
        return copy.deepcopy(next(w.seen for w in self.run_.watchers if accept(w.seen) and sum(p[0] == "events" for p in w.seen.pieces) > 20))

    def events_of(self, watcher):
        return [i for i, piece in enumerate(watcher.pieces) if piece[0] == "events"]

    def assertWatchFound(self, watcher):
        self.assertTrue(checker.watch_complaints(watcher, self.log))

    def test_watch_gap(self):
        watcher = self.watcher()
        del watcher.pieces[self.events_of(watcher)[10]]
        self.assertWatchFound(watcher)

    def test_watch_duplicate(self):
        watcher = self.watcher()
        at = self.events_of(watcher)[10]
        watcher.pieces.insert(at, watcher.pieces[at])
        self.assertWatchFound(watcher)

    def test_watch_out_of_order(self):
        watcher = self.watcher()
        one, two = self.events_of(watcher)[10:12]
        watcher.pieces[one], watcher.pieces[two] = watcher.pieces[two], watcher.pieces[one]
        self.assertWatchFound(watcher)

    def test_watch_revision_in_two(self):
        watcher = self.watcher(lambda seen: seen.end == b"\0")
        at, piece = next((i, p) for i, p in enumerate(watcher.pieces) if p[0] == "events" and len(p[2]) > 1 and p[2][-1].revision == p[2][-2].revision)
        watcher.pieces[at:at + 1] = [("events", piece[1], piece[2][:-1], False), ("events", piece[1], piece[2][-1:], False)]
        self.assertWatchFound(watcher)

    def test_watch_progress_ahead(self):
        watcher = self.watcher()
        at = self.events_of(watcher)[10]
        watcher.pieces.insert(at, ("progress", watcher.pieces[at][2][0].revision))
        self.assertWatchFound(watcher)

    def test_watch_wrong_previous_value(self):
        watcher = self.watcher(lambda seen: seen.prev_kv)
        at, piece = next((i, p) for i, p in enumerate(watcher.pieces) if p[0] == "events" and p[2][-1].prev is not None)
        piece[2][-1] = piece[2][-1]._replace(prev=None)
        self.assertWatchFound(watcher)

    def test_watch_that_stalls(self):
        watcher = self.watcher()
        del watcher.pieces[self.events_of(watcher)[-3]:]
        self.assertWatchFound(watcher)

    def test_watch_resumed_too_late(self):
        watcher = self.watcher()
        at = self.events_of(watcher)[10]
        revision = watcher.pieces[at][2][-1].revision
        watcher.pieces[at] = ("start", revision + 1)
        self.assertWatchFound(watcher)

    # The search.

    def test_search(self):
        step = wgl.Step
        write, read, other = step("write", b"a", None, 1, 2), step("read", None, b"a", 3, 4), step("write", b"b", None, 3, 6)
        self.assertTrue(wgl.is_linearizable([write, read, other]))
        self.assertTrue(wgl.is_linearizable([write, other, step("read", None, b"b", 4, 5), step("read", None, b"b", 7, 8)]))
        self.assertFalse(wgl.is_linearizable([write, other, step("read", None, b"a", 7, 8)]))
        self.assertFalse(wgl.is_linearizable([write, other, step("read", None, b"b", 4, 5), step("read", None, b"a", 7, 8)]))
        self.assertFalse(wgl.is_linearizable([write, step("read", None, None, 3, 4)]))
        # A write without an answer may take place late, or never.
        unknown = step("write", b"c", None, 3, None)
        self.assertTrue(wgl.is_linearizable([write, unknown, step("read", None, b"a", 5, 6), step("read", None, b"c", 7, 8)]))
        self.assertFalse(wgl.is_linearizable([write, unknown, step("read", None, b"c", 5, 6), step("read", None, b"a", 7, 8)]))
        self.assertFalse(wgl.is_linearizable([step("cas", (b"a", b"b"), True, 1, 2)]))
        self.assertTrue(wgl.is_linearizable([write, step("cas", (b"a", b"b"), True, 3, 4), step("read", None, b"b", 5, 6)]))

    def test_search_finds_a_stale_read(self):
        values = {event.value for events in self.log.values() for event in events}
        op = self.pick(lambda op: op.spec[0] == "get" and not op.spec[2] and not op.spec[3] and not op.spec[4] and op.answer[0])
        op.answer = [op.answer[0][0]._replace(value=b"0.")], 1
        self.run_.operations, kept = self.operations, self.run_.operations
        try:
            self.assertFalse(wgl.is_linearizable(register_steps(self.run_, op.spec[1], values)))
        finally:
            self.run_.operations = kept


if __name__ == "__main__":
    unittest.main()
