"""Range, Put, DeleteRange, Compact: fields, answers, revisions, errors."""

import random
import time

import grpc

from harness import api, peers
from harness.case import Case, Code, SharedServer, since
from harness.client import Client, op_put, prefix_end
from harness.server import Server

EMPTY_KEY = "etcdserver: key is not provided"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"
FUTURE = "etcdserver: mvcc: required revision is a future revision"
NONE, ASCEND, DESCEND = 0, 1, 2
KEY, VERSION, CREATE, MOD, VALUE = 0, 1, 2, 3, 4


class FreshStore(Case):
    def test_revision_and_term_of_an_empty_store(self):
        with Server() as server, Client(server.address) as client:
            answer = client.range(b"\0", b"\0")
            self.assertEqual((answer.header.revision, answer.header.raft_term), (1, 2))
            self.assertEqual((list(answer.kvs), answer.more, answer.count), ([], False, 0))
            self.assertNotEqual(answer.header.cluster_id, 0)
            self.assertNotEqual(answer.header.member_id, 0)
            self.assertEqual(client.put(b"a").header.revision, 2)


class Headers(SharedServer):
    def test_header_is_the_same_everywhere(self):
        put = self.client.put(self.k()).header
        for answer in (self.client.range(self.k()), self.client.delete(self.k(b"none")), self.client.txn(),
                       self.client.status(), self.client.grant(60)):
            self.assertEqual(answer.header, put, type(answer).__name__)

    def test_cluster_answers_have_no_revision(self):
        header = self.client.call("Cluster.MemberList").header
        self.assertEqual(header.revision, 0)
        self.assertEqual(header.member_id, self.client.status().header.member_id)

    def test_range_header_is_current_even_for_an_old_revision(self):
        first = self.client.put(self.k(), b"1").header.revision
        last = self.client.put(self.k(), b"2").header.revision
        answer = self.client.range(self.k(), revision=first)
        self.assertEqual(answer.header.revision, last)
        self.assertEqual(answer.kvs[0].value, b"1")


class Put(SharedServer):
    def test_fields_of_the_stored_key(self):
        first = self.client.put(self.k(), b"one").header.revision
        kv = self.client.get(self.k())
        self.assertEqual((kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease),
                         (self.k(), b"one", first, first, 1, 0))
        second = self.client.put(self.k(), b"two").header.revision
        self.assertEqual(second, first + 1)
        kv = self.client.get(self.k())
        self.assertEqual((kv.value, kv.create_revision, kv.mod_revision, kv.version), (b"two", first, second, 2))

    def test_same_value_is_a_new_revision(self):
        first = self.client.put(self.k(), b"v").header.revision
        self.assertEqual(self.client.put(self.k(), b"v").header.revision, first + 1)

    def test_put_after_delete_starts_anew(self):
        self.client.put(self.k(), b"v")
        self.client.put(self.k(), b"v")
        self.client.delete(self.k())
        again = self.client.put(self.k(), b"v").header.revision
        kv = self.client.get(self.k())
        self.assertEqual((kv.create_revision, kv.mod_revision, kv.version), (again, again, 1))

    def test_prev_kv(self):
        self.assertFalse(self.client.put(self.k(), b"1", prev_kv=True).HasField("prev_kv"))
        before = self.client.get(self.k())
        self.assertEqual(self.client.put(self.k(), b"2", prev_kv=True).prev_kv, before)
        self.assertFalse(self.client.put(self.k(), b"3").HasField("prev_kv"))
        self.client.delete(self.k())
        self.assertFalse(self.client.put(self.k(), b"4", prev_kv=True).HasField("prev_kv"))

    def test_empty_value(self):
        self.client.put(self.k(), b"")
        self.assertEqual(self.client.get(self.k()).value, b"")

    def test_ignore_value(self):
        lease = self.client.grant(600).ID
        self.client.put(self.k(), b"keep")
        revision = self.client.put(self.k(), lease=lease, ignore_value=True).header.revision
        kv = self.client.get(self.k())
        self.assertEqual((kv.value, kv.lease, kv.mod_revision, kv.version), (b"keep", lease, revision, 2))

    def test_ignore_lease(self):
        lease = self.client.grant(600).ID
        self.client.put(self.k(), b"1", lease=lease)
        self.client.put(self.k(), b"2", ignore_lease=True)
        kv = self.client.get(self.k())
        self.assertEqual((kv.value, kv.lease), (b"2", lease))
        self.client.put(self.k(), b"3")
        self.assertEqual(self.client.get(self.k()).lease, 0)

    def test_both_ignored(self):
        lease = self.client.grant(600).ID
        self.client.put(self.k(), b"1", lease=lease)
        self.client.put(self.k(), ignore_lease=True, ignore_value=True)
        kv = self.client.get(self.k())
        self.assertEqual((kv.value, kv.lease, kv.version), (b"1", lease, 2))

    def test_errors(self):
        before = self.client.revision()
        lease = self.client.grant(600).ID
        for fields, code, text in (
            (dict(key=b""), Code.INVALID_ARGUMENT, EMPTY_KEY),
            (dict(key=b"", value=b"v", ignore_value=True), Code.INVALID_ARGUMENT, EMPTY_KEY),
            (dict(key=self.k(), value=b"v", ignore_value=True), Code.INVALID_ARGUMENT, "etcdserver: value is provided"),
            (dict(key=self.k(), value=b"v", ignore_value=True, lease=lease, ignore_lease=True),
             Code.INVALID_ARGUMENT, "etcdserver: value is provided"),
            (dict(key=self.k(), lease=lease, ignore_lease=True), Code.INVALID_ARGUMENT, "etcdserver: lease is provided"),
            (dict(key=self.k(), lease=4711), Code.NOT_FOUND, "etcdserver: requested lease not found"),
            (dict(key=self.k(), ignore_value=True), Code.INVALID_ARGUMENT, "etcdserver: key not found"),
            (dict(key=self.k(), value=b"v", ignore_lease=True), Code.INVALID_ARGUMENT, "etcdserver: key not found"),
            (dict(key=self.k(), ignore_value=True, lease=4711), Code.NOT_FOUND, "etcdserver: requested lease not found"),
        ):
            with self.subTest(**fields), self.fails(code, text):
                self.client.call("KV.Put", **fields)
        self.assertEqual(self.client.revision(), before)

    def test_any_bytes(self):
        for key in (b"\0", b"\xff", b"\xff\xff\0", bytes(range(256)), b"k" * 10000):
            key = self.k(key)
            self.client.put(key, key)
            kv = self.client.get(key)
            self.assertEqual((kv.key, kv.value), (key, key))

    def test_unknown_fields_are_ignored(self):
        body = api.PutRequest(key=self.k(), value=b"v").SerializeToString() + b"\xfa\x07\x03abc"
        self.client.raw("/etcdserverpb.KV/Put", body)
        self.assertEqual(self.client.get(self.k()).value, b"v")

    def test_fields_in_any_order_and_repeated(self):
        one = api.PutRequest(value=b"old").SerializeToString() + api.PutRequest(key=self.k()).SerializeToString()
        self.client.raw("/etcdserverpb.KV/Put", one + api.PutRequest(value=b"new").SerializeToString())
        self.assertEqual(self.client.get(self.k()).value, b"new")


class Ranges(SharedServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.keys = [b"r/" + name for name in (b"a", b"a\0", b"aa", b"b", b"b\xff", b"b\xff\xff", b"c", b"\xff")]
        for key in cls.keys:
            cls.client.put(key, b"v" + key)
        cls.client.put(b"s", b"outside")
        cls.client.put(b"q", b"outside")

    def listed(self, key, range_end=b"", **fields):
        answer = self.client.range(key, range_end, **fields)
        return [kv.key for kv in answer.kvs]

    def test_forms_of_the_interval(self):
        everything = sorted([*self.keys, b"q", b"s"])
        for key, end, expected in (
            (b"r/a", b"", [b"r/a"]),
            (b"r/zz", b"", []),
            (b"r/a", b"r/b", [b"r/a", b"r/a\0", b"r/aa"]),
            (b"r/a", b"r/a", []),
            (b"r/b", b"r/a", []),
            (b"r/a", b"r/a\0", [b"r/a"]),
            (b"r/b", b"\0", [key for key in everything if key >= b"r/b"]),
            (b"\0", b"\0", everything),
            (b"r/b", prefix_end(b"r/b"), [b"r/b", b"r/b\xff", b"r/b\xff\xff"]),
            (b"r/b\xff", prefix_end(b"r/b\xff"), [b"r/b\xff", b"r/b\xff\xff"]),
            (b"r/", b"r0", sorted(self.keys)),
            (b"r", b"\xff", [*sorted(self.keys), b"s"]),
            (b"\0", b"\0\0", []),
        ):
            with self.subTest(key=key, end=end):
                self.assertEqual(self.listed(key, end), expected)
                self.assertEqual(self.client.range(key, end, count_only=True).count, len(expected))

    def test_limit_more_count(self):
        total = len(self.keys)
        for limit in (-1, 0, 1, 3, total - 1, total, total + 1, 1 << 40):
            answer = self.client.range(b"r/", b"r0", limit=limit)
            taken = total if limit <= 0 else min(limit, total)
            self.assertEqual((len(answer.kvs), answer.more, answer.count), (taken, taken < total, total), limit)
        answer = self.client.range(b"r/a", limit=1)
        self.assertEqual((len(answer.kvs), answer.more, answer.count), (1, False, 1))

    def test_count_only(self):
        answer = self.client.range(b"r/", b"r0", count_only=True, limit=2)
        self.assertEqual((list(answer.kvs), answer.more, answer.count), ([], False, len(self.keys)))
        answer = self.client.range(b"r/", b"r0", count_only=True, keys_only=True)
        self.assertEqual((list(answer.kvs), answer.count), ([], len(self.keys)))

    def test_keys_only(self):
        answer = self.client.range(b"r/", b"r0", keys_only=True)
        self.assertEqual([(kv.key, kv.value) for kv in answer.kvs], [(key, b"") for key in sorted(self.keys)])
        for kv in answer.kvs:
            self.assertTrue(kv.create_revision and kv.mod_revision and kv.version)

    def test_empty_key(self):
        for fields in (dict(), dict(range_end=b"\0"), dict(count_only=True), dict(revision=1 << 40)):
            with self.subTest(**fields), self.fails(Code.INVALID_ARGUMENT, EMPTY_KEY):
                self.client.call("KV.Range", **fields)

    def test_serializable(self):
        self.assertEqual(self.listed(b"r/", b"r0", serializable=True), sorted(self.keys))

    def test_paging_at_a_revision(self):
        answer = self.client.range(b"r/", b"r0", limit=3)
        revision, seen = answer.header.revision, [kv.key for kv in answer.kvs]
        self.client.put(b"r/between", b"later")
        self.client.delete(b"r/between")
        while answer.more:
            answer = self.client.range(seen[-1] + b"\0", b"r0", limit=3, revision=revision)
            seen += [kv.key for kv in answer.kvs]
        self.assertEqual(seen, sorted(self.keys))

    def test_future_revision(self):
        now = self.client.revision()
        self.client.range(b"r/", b"r0", revision=now)
        for fields in (dict(), dict(range_end=b"r0"), dict(count_only=True), dict(serializable=True)):
            with self.subTest(**fields), self.fails(Code.OUT_OF_RANGE, FUTURE):
                self.client.call("KV.Range", key=b"r/", revision=now + 1, **fields)

    def test_negative_revision_is_the_latest(self):
        self.assertEqual(self.listed(b"r/a", revision=-5), [b"r/a"])


class Sorting(SharedServer):
    """Keys whose order differs for each target."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        put = cls.client.put
        # created: c, a, d, b     modified: a, d, c, b     versions: d 1, c 3, a 2, b 4     values: d, b, a, c
        put(b"s/c"), put(b"s/a"), put(b"s/d"), put(b"s/b"), put(b"s/b"), put(b"s/b"), put(b"s/c")
        put(b"s/a", b"3"), put(b"s/d", b"1"), put(b"s/c", b"4"), put(b"s/b", b"2")
        cls.orders = {KEY: b"abcd", VERSION: b"dacb", CREATE: b"cadb", MOD: b"adcb", VALUE: b"dbac"}
        # Versions: d is put twice, a twice; make d the lowest of all by a new start.
        cls.client.delete(b"s/d")
        put(b"s/d", b"1")
        cls.orders[CREATE] = b"cabd"
        cls.orders[MOD] = b"acbd"

    def listed(self, **fields):
        answer = self.client.range(b"s/", b"s0", **fields)
        return b"".join(kv.key[2:] for kv in answer.kvs), answer

    def test_targets_and_orders(self):
        for target, expected in self.orders.items():
            with self.subTest(target=target):
                self.assertEqual(self.listed(sort_target=target, sort_order=ASCEND)[0], expected)
                self.assertEqual(self.listed(sort_target=target, sort_order=DESCEND)[0], expected[::-1])
                self.assertEqual(self.listed(sort_target=target, sort_order=NONE)[0], expected)

    def test_limit_after_explicit_sorting(self):
        for target, expected in self.orders.items():
            for limit in (1, 2, 3, 4, 5):
                with self.subTest(target=target, limit=limit):
                    keys, answer = self.listed(sort_target=target, sort_order=ASCEND, limit=limit)
                    self.assertEqual((keys, answer.more, answer.count), (expected[:limit], limit < 4, 4))
                    keys, answer = self.listed(sort_target=target, sort_order=DESCEND, limit=limit)
                    self.assertEqual((keys, answer.more, answer.count), (expected[::-1][:limit], limit < 4, 4))

    def test_limit_before_implicit_sorting(self):
        """Without an order the first limit+1 keys are taken, then sorted: not the global minimum."""
        for target, expected in self.orders.items():
            if target == KEY:
                continue
            for limit in (1, 2, 3):
                taken = bytes(sorted(expected)[:limit + 1])
                wanted = bytes(sorted(taken, key=expected.index))[:limit]
                with self.subTest(target=target, limit=limit):
                    keys, answer = self.listed(sort_target=target, sort_order=NONE, limit=limit)
                    self.assertEqual((keys, answer.more), (wanted, True))

    def test_values_sorted_but_not_shown(self):
        keys, answer = self.listed(sort_target=VALUE, sort_order=ASCEND, keys_only=True)
        self.assertEqual(keys, self.orders[VALUE])
        self.assertEqual({kv.value for kv in answer.kvs}, {b""})

    @since(3, 6)  # Older ones take some of them and die of others.
    def test_unknown_options(self):
        for fields in (dict(sort_order=3), dict(sort_target=5), dict(sort_order=-1), dict(sort_target=100)):
            with self.subTest(**fields), self.fails(Code.INVALID_ARGUMENT, "etcdserver: invalid sort option"):
                self.client.range(b"s/", b"s0", **fields)


class Filters(SharedServer):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.base = cls.client.put(b"f/0").header.revision
        for i in range(1, 6):
            cls.client.put(b"f/%d" % i)
        cls.client.put(b"f/1")
        cls.client.put(b"f/0")

    def listed(self, **fields):
        answer = self.client.range(b"f/", b"f0", **fields)
        self.assertEqual(answer.count, 6, "the count ignores filters")
        return b"".join(kv.key[2:] for kv in answer.kvs), answer.more

    def test_each_bound(self):
        b = self.base
        for fields, expected in (
            (dict(min_mod_revision=b + 5), b"015"),
            (dict(max_mod_revision=b + 3), b"23"),
            (dict(min_mod_revision=b + 4, max_mod_revision=b + 6), b"145"),
            (dict(min_create_revision=b + 1, max_create_revision=b + 2), b"12"),
            (dict(min_create_revision=b + 5), b"5"),
            (dict(max_create_revision=b), b"0"),
            (dict(min_mod_revision=b + 7, max_create_revision=b), b"0"),
            (dict(min_mod_revision=b + 100), b""),
            (dict(max_mod_revision=1), b""),
        ):
            with self.subTest(**fields):
                self.assertEqual(self.listed(**fields), (expected, False))

    def test_with_limit(self):
        self.assertEqual(self.listed(min_mod_revision=self.base + 3, limit=2), (b"01", True))
        self.assertEqual(self.listed(max_mod_revision=self.base + 3, limit=2), (b"23", False))
        self.assertEqual(self.listed(max_mod_revision=self.base + 3, limit=1), (b"2", True))

    def test_with_order(self):
        self.assertEqual(self.listed(min_mod_revision=self.base + 3, sort_order=DESCEND, sort_target=MOD, limit=3)[0], b"015")


class KeysOnly37(SharedServer):
    @since(3, 7)
    def test_lease_is_left_out(self):
        lease = self.client.grant(600).ID
        self.client.put(self.k(), b"v", lease=lease)
        self.assertEqual(self.client.get(self.k()).lease, lease)
        self.assertEqual(self.client.get(self.k(), keys_only=True).lease, 0)
        self.assertEqual(self.client.get(self.k(), keys_only=True, sort_target=VALUE).lease, lease)


class Streamed(SharedServer):
    """RangeStream: the chunks together are the answer of Range."""

    @since(3, 7)
    def test_chunks_join_to_the_unary_answer(self):
        for i in range(300):
            self.client.put(self.k(b"%03d" % i), b"x" * 1000)
        for fields in (dict(), dict(limit=57), dict(limit=300), dict(count_only=True), dict(keys_only=True),
                       dict(sort_order=ASCEND)):
            with self.subTest(**fields):
                request = dict(key=self.k(), range_end=prefix_end(self.k()), **fields)
                chunks = [c.range_response for c in self.client.call("KV.RangeStream", **request)]
                unary = self.client.call("KV.Range", **request)
                self.assertEqual([kv for c in chunks for kv in c.kvs], list(unary.kvs))
                self.assertEqual((chunks[-1].header, chunks[-1].more, chunks[-1].count),
                                 (unary.header, unary.more, unary.count))
                self.assertTrue(all(not c.HasField("header") for c in chunks[:-1]))

    @since(3, 7)
    def test_refusals(self):
        for fields, code, text in (
            (dict(key=b"a", sort_order=DESCEND), Code.UNIMPLEMENTED, "RangeStream does not support custom sort orders"),
            (dict(key=b"a", sort_order=ASCEND, sort_target=MOD), Code.UNIMPLEMENTED, "RangeStream does not support custom sort orders"),
            (dict(key=b"a", min_mod_revision=1), Code.UNIMPLEMENTED, "RangeStream does not support revision filters"),
            (dict(key=b""), Code.INVALID_ARGUMENT, EMPTY_KEY),
            (dict(key=b"a", revision=1 << 40), Code.OUT_OF_RANGE, FUTURE),
        ):
            with self.subTest(**fields), self.fails(code, text):
                list(self.client.call("KV.RangeStream", **fields))

    @since(3, 7)
    def test_empty_range_is_one_message(self):
        chunks = list(self.client.call("KV.RangeStream", key=b"nothing/here"))
        self.assertEqual(len(chunks), 1)
        self.assertTrue(chunks[0].range_response.HasField("header"))


class Delete(SharedServer):
    def fill(self, *names):
        for name in names:
            self.client.put(self.k(name), b"v")

    def test_one_key(self):
        self.fill("a", "b")
        before = self.client.revision()
        answer = self.client.delete(self.k("a"))
        self.assertEqual((answer.deleted, answer.header.revision, list(answer.prev_kvs)), (1, before + 1, []))
        self.assertIsNone(self.client.get(self.k("a")))
        self.assertEqual(self.client.get(self.k("a"), revision=before).value, b"v")

    def test_nothing_to_delete_is_no_revision(self):
        before = self.client.revision()
        for answer in (self.client.delete(self.k("x")), self.client.delete(self.k("x"), self.k("y")),
                       self.client.delete(self.k("y"), self.k("x"))):
            self.assertEqual((answer.deleted, answer.header.revision), (0, before))

    def test_range_takes_one_revision(self):
        self.fill("a", "b", "c", "d")
        before = self.client.revision()
        kvs = list(self.client.range(self.k("a"), self.k("d")).kvs)
        answer = self.client.delete(self.k("a"), self.k("d"), prev_kv=True)
        self.assertEqual((answer.deleted, answer.header.revision, list(answer.prev_kvs)), (3, before + 1, kvs))

    def test_from_key_and_prefix(self):
        self.fill("a", "b", "c")
        self.assertEqual(self.client.delete(self.k(), prefix_end(self.k())).deleted, 3)

    def test_empty_key(self):
        for fields in (dict(), dict(range_end=b"\0"), dict(prev_kv=True)):
            with self.subTest(**fields), self.fails(Code.INVALID_ARGUMENT, EMPTY_KEY):
                self.client.call("KV.DeleteRange", **fields)

    def test_lease_lets_go(self):
        lease = self.client.grant(600).ID
        self.client.put(self.k(), lease=lease)
        self.client.delete(self.k())
        self.assertEqual(list(self.client.call("Lease.LeaseTimeToLive", ID=lease, keys=True).keys), [])

    def test_all(self):
        with Server() as server, Client(server.address) as client:
            for i in range(50):
                client.put(b"%d" % i)
            self.assertEqual(client.delete(b"\0", b"\0").deleted, 50)
            self.assertEqual(client.range(b"\0", b"\0").count, 0)


class Compact(SharedServer):
    def history(self, count=5):
        return [self.client.put(self.k(), b"%d" % i).header.revision for i in range(count)]

    def test_reads_below_fail_and_from_there_on_work(self):
        revisions = self.history()
        at = revisions[2]
        answer = self.client.compact(at)
        self.assertEqual(answer.header.revision, revisions[-1])
        for revision in revisions[:2]:
            with self.fails(Code.OUT_OF_RANGE, COMPACTED):
                self.client.range(self.k(), revision=revision)
        for i in (2, 3, 4):
            self.assertEqual(self.client.get(self.k(), revision=revisions[i]).value, b"%d" % i)
        with self.fails(Code.OUT_OF_RANGE, COMPACTED):
            self.client.range(self.k(), revision=1, count_only=True, serializable=True)

    def test_again_and_future(self):
        revisions = self.history()
        self.client.compact(revisions[2])
        for revision in (revisions[2], revisions[1], 0, -1):
            with self.subTest(revision=revision), self.fails(Code.OUT_OF_RANGE, COMPACTED):
                self.client.compact(revision)
        with self.fails(Code.OUT_OF_RANGE, FUTURE):
            self.client.compact(revisions[-1] + 1)
        with self.fails(Code.OUT_OF_RANGE, COMPACTED):
            self.client.compact(revisions[2], physical=True)
        self.client.compact(revisions[-1], physical=True)

    def test_deleted_keys_stay_deleted(self):
        self.history(3)
        gone = self.client.delete(self.k()).header.revision
        other = self.client.put(self.k(b"other"), b"o").header.revision
        self.client.compact(gone, physical=True)
        self.assertIsNone(self.client.get(self.k(), revision=gone))
        self.assertIsNone(self.client.get(self.k()))
        self.assertEqual(self.client.get(self.k(b"other"), revision=other).value, b"o")
        self.client.compact(other, physical=True)
        self.assertIsNone(self.client.get(self.k()))

    def test_latest_of_each_key_survives(self):
        for i in range(20):
            for j in range(5):
                self.client.put(self.k(i), b"%d" % j)
        now = self.client.revision()
        self.client.compact(now, physical=True)
        answer = self.client.range(self.k(), prefix_end(self.k()), revision=now)
        self.assertEqual(([kv.value for kv in answer.kvs], [kv.version for kv in answer.kvs]), ([b"4"] * 20, [5] * 20))

    def test_does_not_take_a_revision(self):
        now = self.history(2)[-1]
        self.client.compact(now)
        self.assertEqual(self.client.put(self.k()).header.revision, now + 1)

    def test_compact_zero_works_once(self):
        with Server() as server, Client(server.address) as client:
            client.put(b"a")
            self.assertEqual(client.compact(0).header.revision, 2)
            with self.fails(Code.OUT_OF_RANGE, COMPACTED):
                client.compact(0)
            with self.fails(Code.OUT_OF_RANGE, COMPACTED):
                client.compact(-1)


class Sizes(SharedServer):
    LIMIT = 1572864

    def test_big_values(self):
        for size in (100_000, 1_000_000, 1_500_000):
            value = random.Random(size).randbytes(size)
            self.client.put(self.k(), value)
            self.assertEqual(self.client.get(self.k()).value, value)

    def test_request_too_large(self):
        before = self.client.revision()
        with self.fails(Code.INVALID_ARGUMENT, "etcdserver: request is too large"):
            self.client.put(self.k(), b"x" * self.LIMIT)
        with self.fails(Code.INVALID_ARGUMENT, "etcdserver: request is too large"):
            self.client.txn(success=[op_put(self.k(i), b"x" * (self.LIMIT // 2)) for i in range(2)])
        self.assertEqual(self.client.revision(), before)

    def test_message_too_large(self):
        with self.fails(Code.RESOURCE_EXHAUSTED, contains="received message larger than max"):
            self.client.put(self.k(), b"x" * (self.LIMIT + 524288))
        self.assertEqual(self.client.range(self.k(), count_only=True).count, 0)

    def test_a_list_beyond_any_common_limit(self):
        """Some 40 MB in one answer."""
        value = b"x" * 1_000_000
        for i in range(40):
            self.client.put(self.k(i), value)
        answer = self.client.range(self.k(), prefix_end(self.k()), timeout=60)
        self.assertEqual((len(answer.kvs), answer.count), (40, 40))
        self.assertTrue(all(kv.value == value for kv in answer.kvs))


class LargeLists(Case):
    def test_memory_does_not_grow_with_the_answer(self):
        """100 MB asked for by four clients that read slowly: the server holds buffers, not lists."""
        with Server() as server, Client(server.address) as writer:
            for i in range(100):
                writer.put(b"k%03d" % i, b"x" * 1_000_000)
            base = server.rss_bytes()
            clients = [Client(server.address) for _ in range(4)]
            try:
                started = [c.stub("KV.Range").future(api.RangeRequest(key=b"k", range_end=b"l"), timeout=60) for c in clients]
                highest = base
                while not all(f.done() for f in started):
                    highest = max(highest, server.rss_bytes())
                    time.sleep(0.005)
                self.assertEqual([f.result().count for f in started], [100] * 4)
            finally:
                [c.close() for c in clients]
            if peers.is_martlet(server.binary):
                self.assertLess(highest - base, 64 << 20)


class AutomaticCompaction(Case):
    def test_periodic(self):
        with Server("--auto-compaction-mode=periodic", "--auto-compaction-retention=2s") as server, Client(server.address) as client:
            first = client.put(b"a").header.revision
            deadline = time.monotonic() + 30
            while True:
                client.put(b"a")
                try:
                    client.range(b"a", revision=first)
                except grpc.RpcError as error:
                    self.assertEqual(error.details(), COMPACTED)
                    break
                self.assertLess(time.monotonic(), deadline)
                time.sleep(0.1)


class SmallLimits(SharedServer):
    FLAGS = ("--max-request-bytes=1000", "--max-txn-ops=3")

    def test_request_bytes(self):
        self.client.put(self.k(), b"x" * 800)
        with self.fails(Code.INVALID_ARGUMENT, "etcdserver: request is too large"):
            self.client.put(self.k(), b"x" * 1000)

    def test_receive_limit_is_half_a_mebibyte_more(self):
        with self.fails(Code.INVALID_ARGUMENT, "etcdserver: request is too large"):
            self.client.put(self.k(), b"x" * 524000)
        with self.fails(Code.RESOURCE_EXHAUSTED, contains="received message larger than max"):
            self.client.put(self.k(), b"x" * 526000)

    def test_txn_ops(self):
        self.client.txn(success=[op_put(self.k(i)) for i in range(3)])
        with self.fails(Code.INVALID_ARGUMENT, "etcdserver: too many operations in txn request"):
            self.client.txn(success=[op_put(self.k(i)) for i in range(4)])


class Durability(Case):
    def test_restart_keeps_everything(self):
        with Server() as server:
            with Client(server.address) as client:
                for i in range(100):
                    client.put(b"k/%02d" % (i % 20), b"%d" % i)
                client.delete(b"k/05")
                client.compact(50)
                lease = client.grant(1000).ID
                client.put(b"leased", b"v", lease=lease)
                before = client.range(b"\0", b"\0")
                old = client.range(b"\0", b"\0", revision=60)
            self.assertEqual(server.stop(), 143)
            server.start()
            with Client(server.address) as client:
                after = client.range(b"\0", b"\0")
                self.assertEqual(list(after.kvs), list(before.kvs))
                self.assertEqual(after.header.revision, before.header.revision)
                self.assertEqual(after.header.member_id, before.header.member_id)
                self.assertEqual(after.header.cluster_id, before.header.cluster_id)
                self.assertGreater(after.header.raft_term, before.header.raft_term)
                self.assertEqual(list(client.range(b"\0", b"\0", revision=60).kvs), list(old.kvs))
                with self.fails(Code.OUT_OF_RANGE, COMPACTED):
                    client.range(b"\0", b"\0", revision=49)
                self.assertEqual(client.put(b"next").header.revision, before.header.revision + 1)
