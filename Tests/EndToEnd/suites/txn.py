"""Txn: compares, branches, nesting, static checks, revisions, reads among writes."""

import time
from harness import api, peers
from harness.case import Case, Code, SharedServer, flag
from harness.client import Client, compare, op_delete, op_put, op_range, op_txn, prefix_end
from harness.server import Server

DUPLICATE = "etcdserver: duplicate key given in txn request"
TOO_MANY = "etcdserver: too many operations in txn request"
EMPTY_KEY = "etcdserver: key is not provided"
NOT_FOUND = "etcdserver: key not found"
FUTURE = "etcdserver: mvcc: required revision is a future revision"
COMPACTED = "etcdserver: mvcc: required revision has been compacted"


class Compares(SharedServer):
    def holds(self, *compares):
        return self.client.txn(compare=compares).succeeded

    def test_every_target_and_result(self):
        lease = self.client.grant(600).ID
        self.client.put(self.k(), b"a")
        self.client.put(self.k(), b"m", lease=lease)
        kv = self.client.get(self.k())
        for target in ("version", "create_revision", "mod_revision", "lease"):
            have = getattr(kv, target)
            for result, test in (("=", int.__eq__), (">", int.__gt__), ("<", int.__lt__), ("!=", int.__ne__)):
                for operand in (have - 1, have, have + 1, 0, -1):
                    with self.subTest(target=target, result=result, operand=operand - have):
                        self.assertEqual(self.holds(compare(self.k(), target, result, operand)), test(have, operand))
        for result, test in (("=", bytes.__eq__), (">", bytes.__gt__), ("<", bytes.__lt__), ("!=", bytes.__ne__)):
            for operand in (b"", b"l", b"m", b"m\0", b"n", b"\xff"):
                with self.subTest(target="value", result=result, operand=operand):
                    self.assertEqual(self.holds(compare(self.k(), "value", result, operand)), test(b"m", operand))

    def test_missing_key(self):
        for target in ("version", "create_revision", "mod_revision", "lease"):
            for result, operand, expected in (("=", 0, True), ("=", 1, False), ("<", 1, True), (">", -1, True), ("!=", 0, False)):
                with self.subTest(target=target, result=result, operand=operand):
                    self.assertEqual(self.holds(compare(self.k(), target, result, operand)), expected)
        for result in ("=", ">", "<", "!="):
            self.assertFalse(self.holds(compare(self.k(), "value", result, b"")), result)

    def test_operand_of_another_target_counts_as_zero(self):
        self.client.put(self.k(), b"v")
        self.assertFalse(self.holds(api.Compare(key=self.k(), target=0, result=0, mod_revision=1)))
        self.assertTrue(self.holds(api.Compare(key=self.k(), target=0, result=1, mod_revision=99)))
        self.assertTrue(self.holds(api.Compare(key=self.k(b"none"), target=2, result=0, version=5)))
        self.assertTrue(self.holds(api.Compare(key=self.k(), target=3, result=1, version=5)))

    def test_operand_unset(self):
        self.assertTrue(self.holds(api.Compare(key=self.k(b"none"), target=2)))
        self.client.put(self.k(), b"")
        self.assertTrue(self.holds(api.Compare(key=self.k(), target=3)))
        self.assertFalse(self.holds(api.Compare(key=self.k(), target=2)))

    def test_conjunction(self):
        self.client.put(self.k(), b"v")
        true, false = compare(self.k(), "version", "=", 1), compare(self.k(), "version", "=", 2)
        self.assertTrue(self.holds())
        self.assertTrue(self.holds(true, true))
        self.assertFalse(self.holds(true, false))
        self.assertFalse(self.holds(false, true))

    def test_range(self):
        for name in (b"a", b"b", b"c"):
            self.client.put(self.k(name), name)
        self.client.put(self.k(b"c"), b"c")
        end = prefix_end(self.k())
        self.assertTrue(self.holds(compare(self.k(), "version", ">", 0, end)))
        self.assertFalse(self.holds(compare(self.k(), "version", "=", 1, end)))
        self.assertTrue(self.holds(compare(self.k(b"a"), "version", "=", 1, self.k(b"c"))))
        self.assertTrue(self.holds(compare(self.k(), "value", ">", b"", end)))
        self.assertFalse(self.holds(compare(self.k(), "value", "!=", b"b", end)))
        # An empty range is like one missing key.
        self.assertTrue(self.holds(compare(self.k(b"x"), "version", "=", 0, end)))
        self.assertFalse(self.holds(compare(self.k(b"x"), "version", "=", 1, end)))
        self.assertFalse(self.holds(compare(self.k(b"x"), "value", "=", b"", end)))
        self.assertTrue(self.holds(compare(self.k(b"c"), "version", "=", 0, self.k(b"a"))))

    def test_unknown_numbers(self):
        self.client.put(self.k(), b"v")
        self.assertTrue(self.holds(api.Compare(key=self.k(), target=0, result=9, version=77)))
        self.assertTrue(self.holds(api.Compare(key=self.k(), target=9, result=0)))
        self.assertFalse(self.holds(api.Compare(key=self.k(), target=9, result=1)))


class Branches(SharedServer):
    def test_chosen_branch_runs(self):
        self.client.put(self.k(), b"1")
        answer = self.client.txn([compare(self.k(), "version", "=", 1)], [op_put(self.k(), b"yes")], [op_put(self.k(), b"no")])
        self.assertTrue(answer.succeeded)
        self.assertEqual(self.client.get(self.k()).value, b"yes")
        answer = self.client.txn([compare(self.k(), "version", "=", 1)], [op_put(self.k(), b"yes")], [op_put(self.k(), b"no")])
        self.assertFalse(answer.succeeded)
        self.assertEqual(self.client.get(self.k()).value, b"no")

    def test_empty(self):
        before = self.client.revision()
        answer = self.client.txn()
        self.assertEqual((answer.succeeded, list(answer.responses), answer.header.revision), (True, [], before))
        answer = self.client.txn([compare(self.k(), "version", "=", 5)], [op_put(self.k())], [])
        self.assertEqual((answer.succeeded, list(answer.responses), answer.header.revision), (False, [], before))

    def test_one_revision_for_all_changes(self):
        self.client.put(self.k("d1")), self.client.put(self.k("d2"))
        before = self.client.revision()
        answer = self.client.txn(success=[op_put(self.k("a"), b"1"), op_delete(self.k("d"), prefix_end(self.k("d"))), op_put(self.k("b"), b"2")])
        self.assertEqual(answer.header.revision, before + 1)
        self.assertEqual([self.client.get(self.k(n)).mod_revision for n in "ab"], [before + 1] * 2)
        self.assertEqual(answer.responses[1].response_delete_range.deleted, 2)
        self.assertEqual(self.client.revision(), before + 1)

    def test_no_change_no_revision(self):
        self.client.put(self.k())
        before = self.client.revision()
        answer = self.client.txn(success=[op_range(self.k()), op_delete(self.k("none"))])
        self.assertEqual(answer.header.revision, before)
        self.assertEqual(self.client.revision(), before)

    def test_reads_see_the_writes_before_them(self):
        self.client.put(self.k(), b"old")
        answer = self.client.txn(success=[
            op_range(self.k()), op_put(self.k(), b"new", prev_kv=True), op_range(self.k()),
            op_delete(self.k("x")), op_range(self.k(), prefix_end(self.k()), count_only=True)])
        old, put, new, _, count = answer.responses
        self.assertEqual(old.response_range.kvs[0].value, b"old")
        self.assertEqual(put.response_put.prev_kv.value, b"old")
        self.assertEqual(new.response_range.kvs[0].value, b"new")
        self.assertEqual(new.response_range.kvs[0].mod_revision, answer.header.revision)
        self.assertEqual(count.response_range.count, 1)

    def test_delete_then_read(self):
        self.client.put(self.k("a")), self.client.put(self.k("b"))
        answer = self.client.txn(success=[op_delete(self.k("a"), prev_kv=True), op_range(self.k(), prefix_end(self.k()))])
        self.assertEqual([kv.key for kv in answer.responses[0].response_delete_range.prev_kvs], [self.k("a")])
        self.assertEqual([kv.key for kv in answer.responses[1].response_range.kvs], [self.k("b")])

    def test_overlapping_deletes(self):
        for n in "abc":
            self.client.put(self.k(n))
        answer = self.client.txn(success=[op_delete(self.k("a"), self.k("c")), op_delete(self.k("b"), self.k("z"))])
        self.assertEqual([r.response_delete_range.deleted for r in answer.responses], [2, 1])

    def test_headers_of_the_parts(self):
        self.client.put(self.k(), b"v")
        before = self.client.revision()
        answer = self.client.txn(success=[op_range(self.k()), op_put(self.k("p")), op_delete(self.k()),
                                          op_delete(self.k("none")), op_txn(success=[op_put(self.k("q"))])])
        self.assertTrue(answer.header.cluster_id and answer.header.member_id and answer.header.raft_term)
        read, put, delete, nothing, nested = answer.responses
        for part, revision in ((read.response_range, before), (put.response_put, before + 1),
                               (delete.response_delete_range, before + 1), (nothing.response_delete_range, before + 1)):
            self.assertEqual((part.header.revision, part.header.cluster_id, part.header.member_id, part.header.raft_term),
                             (revision, 0, 0, 0))
        self.assertTrue(nested.response_txn.HasField("header"))
        self.assertEqual(nested.response_txn.header, api.ResponseHeader())
        self.assertEqual(nested.response_txn.responses[0].response_put.header.revision, before + 1)

    def test_read_only(self):
        self.client.put(self.k("a"), b"1"), self.client.put(self.k("b"), b"2")
        before = self.client.revision()
        for serializable in (False, True):
            answer = self.client.txn(
                [compare(self.k("a"), "value", "=", b"1")],
                [op_range(self.k(), prefix_end(self.k()), limit=1, serializable=serializable),
                 op_range(self.k("b"), keys_only=True, serializable=serializable)], [op_range(self.k("none"))])
            first, second = (r.response_range for r in answer.responses)
            self.assertTrue(answer.succeeded)
            self.assertEqual((first.more, first.count, len(first.kvs)), (True, 2, 1))
            self.assertEqual((second.kvs[0].value, answer.header.revision), (b"", before))

    def test_ranges_with_all_fields(self):
        for i in range(5):
            self.client.put(self.k(i), b"%d" % (9 - i))
        first = self.client.get(self.k(0)).mod_revision
        answer = self.client.txn(success=[
            op_put(self.k("z"), b"0"),
            op_range(self.k(), prefix_end(self.k()), sort_target=4, sort_order=1, limit=2),
            op_range(self.k(), prefix_end(self.k()), min_mod_revision=first + 3),
            op_range(self.k(), prefix_end(self.k()), revision=first + 1, count_only=True)])
        _, by_value, filtered, old = (r.response_range for r in answer.responses)
        self.assertEqual([kv.value for kv in by_value.kvs], [b"0", b"5"])
        self.assertEqual([kv.key for kv in filtered.kvs], [self.k(3), self.k(4), self.k("z")])
        self.assertEqual(old.count, 2)

    def test_error_leaves_nothing_behind(self):
        self.client.put(self.k())
        before = self.client.revision()
        for op, code, text in (
            (op_put(self.k("x"), lease=4711), Code.NOT_FOUND, "etcdserver: requested lease not found"),
            (op_put(self.k("x"), ignore_value=True), Code.INVALID_ARGUMENT, NOT_FOUND),
            (op_put(self.k("x"), b"v", ignore_lease=True), Code.INVALID_ARGUMENT, NOT_FOUND),
            (op_range(self.k(), revision=before + 1), Code.OUT_OF_RANGE, FUTURE),
            (op_range(self.k(), revision=before + 1000), Code.OUT_OF_RANGE, FUTURE),
        ):
            with self.subTest(op=str(op)), self.fails(code, text):
                self.client.txn(success=[op_put(self.k("first"), b"v"), op])
        self.assertEqual(self.client.revision(), before)
        self.assertIsNone(self.client.get(self.k("first")))

    def test_which_error_comes_first(self):
        """All puts of the chosen path are looked at before its ranges, whatever their order."""
        old = self.client.put(self.k()).header.revision
        self.client.compact(self.client.put(self.k()).header.revision)
        past, missing, lease = op_range(self.k(), revision=old), op_put(self.k("none"), ignore_value=True), op_put(self.k("x"), lease=4711)
        for ops, code, text in (([past, missing], Code.INVALID_ARGUMENT, NOT_FOUND), ([missing, past], Code.INVALID_ARGUMENT, NOT_FOUND),
                                ([op_txn(success=[past]), lease], Code.NOT_FOUND, "etcdserver: requested lease not found")):
            with self.fails(code, text):
                self.client.txn(success=ops)

    def test_put_that_keeps_what_the_txn_deleted(self):
        """etcd dies of it; here the put finds nothing to keep, and the transaction stays whole."""
        if not peers.is_martlet(self.server.binary):
            self.skipTest("kills etcd")
        before = self.client.put(self.k(), b"v").header.revision
        # From-key deletes are not seen by the check for duplicates.
        self.client.txn(success=[op_put(self.k("other")), op_delete(self.k(), b"\0"), op_put(self.k(), ignore_value=True)])
        kept = self.client.get(self.k())
        self.assertEqual((kept.value, kept.version, kept.mod_revision, self.client.revision()), (b"", 1, before + 1, before + 1))
        # "other" lies behind the key, so the delete took it along.
        self.assertIsNone(self.client.get(self.k("other")))

    def test_deleted_and_put_again_at_the_compacted_revision(self):
        """etcd takes the key for deleted there, and dies when it is read."""
        if not peers.is_martlet(self.server.binary):
            self.skipTest("kills etcd")
        self.client.put(self.k(), b"1")
        revision = self.client.txn(success=[op_delete(self.k(), b"\0"), op_put(self.k(), b"2")]).header.revision
        self.client.put(self.k(), b"3")
        self.client.compact(revision, physical=True)
        self.assertEqual(self.client.get(self.k(), revision=revision).value, b"2")
        self.assertEqual(self.client.get(self.k()).value, b"3")

    def test_compacted_read_in_a_txn(self):
        old = self.client.put(self.k()).header.revision
        now = self.client.put(self.k()).header.revision
        self.client.compact(now)
        for ops in ([op_range(self.k(), revision=old)], [op_put(self.k("x")), op_range(self.k(), revision=old)]):
            with self.fails(Code.OUT_OF_RANGE, COMPACTED):
                self.client.txn(success=ops)
        self.assertEqual(self.client.revision(), now)

    def test_unused_branch_is_not_verified_against_the_store(self):
        answer = self.client.txn([compare(self.k(), "version", "=", 0)], [op_put(self.k(), b"v")],
                                 [op_put(self.k("y"), lease=4711), op_range(self.k(), revision=1 << 40)])
        self.assertTrue(answer.succeeded)


class Nested(SharedServer):
    def test_compares_see_the_state_before_any_write(self):
        answer = self.client.txn(success=[
            op_put(self.k("a"), b"1"),
            op_txn([compare(self.k("a"), "version", "=", 0)], [op_put(self.k("b"), b"then")], [op_put(self.k("b"), b"else")]),
            op_range(self.k("b"))])
        self.assertTrue(answer.responses[1].response_txn.succeeded)
        self.assertEqual(answer.responses[2].response_range.kvs[0].value, b"then")

    def test_depth(self):
        inner = op_put(self.k("deep"), b"v")
        for _ in range(10):
            inner = op_txn(success=[inner])
        before = self.client.revision()
        answer = self.client.txn(success=[inner])
        self.assertEqual(answer.header.revision, before + 1)
        self.assertEqual(self.client.get(self.k("deep")).value, b"v")

    def test_only_reads_inside(self):
        self.client.put(self.k(), b"v")
        before = self.client.revision()
        answer = self.client.txn(success=[op_txn(success=[op_range(self.k())])])
        self.assertEqual(answer.responses[0].response_txn.responses[0].response_range.kvs[0].value, b"v")
        self.assertEqual((answer.header.revision, self.client.revision()), (before, before))

    def test_failing_inner_compare_is_not_an_error(self):
        answer = self.client.txn(success=[op_txn([compare(self.k(), "version", "=", 3)], [op_put(self.k())])])
        self.assertTrue(answer.succeeded)
        self.assertFalse(answer.responses[0].response_txn.succeeded)


class StaticChecks(SharedServer):
    def refused(self, text, compares=(), success=(), failure=()):
        before = self.client.revision()
        with self.fails(Code.INVALID_ARGUMENT, text):
            self.client.txn(compares, success, failure)
        self.assertEqual(self.client.revision(), before)

    def accepted(self, success=(), failure=()):
        self.assertTrue(self.client.txn(success=success, failure=failure).succeeded)

    def test_duplicate_keys(self):
        a, end = self.k("a"), prefix_end(self.k())
        for ops in ([op_put(a), op_put(a)], [op_put(a), op_delete(a)], [op_delete(a), op_put(a)],
                    [op_put(a), op_delete(self.k(), end)], [op_delete(self.k(), end), op_put(a)],
                    [op_put(a), op_txn(success=[op_put(a)])], [op_txn(failure=[op_put(a)]), op_put(a)],
                    [op_txn(success=[op_put(a)]), op_txn(success=[op_put(a)])],
                    [op_txn(success=[op_delete(a)]), op_put(a)],
                    [op_txn(success=[op_delete(a)]), op_txn(success=[op_put(a)])],
                    [op_txn(success=[op_txn(success=[op_put(a)])]), op_put(a)]):
            with self.subTest(ops=str(ops)):
                self.refused(DUPLICATE, success=ops)
                self.refused(DUPLICATE, failure=ops)

    def test_not_duplicates(self):
        a, b = self.k("a"), self.k("b")
        for ops in ([op_put(a), op_put(b)], [op_put(a), op_range(a)], [op_delete(a), op_delete(a)],
                    [op_put(a), op_delete(b)], [op_put(b), op_delete(a, b)],
                    [op_txn(success=[op_put(a)], failure=[op_put(a)])],
                    [op_txn(success=[op_put(a)]), op_txn(success=[op_delete(a)])],
                    [op_put(a), op_delete(b, a)]):
            with self.subTest(ops=str(ops)):
                self.accepted(success=ops)
        self.accepted(success=[op_put(a)], failure=[op_put(a)])

    def test_delete_from_key_is_not_seen(self):
        a = self.k("\x7f-last")
        self.accepted(success=[op_put(a, b"1"), op_delete(a, b"\0")])
        self.assertIsNone(self.client.get(a))

    def test_op_budget(self):
        puts = [op_put(self.k(i)) for i in range(129)]
        self.accepted(success=puts[:128])
        self.refused(TOO_MANY, success=puts)
        self.refused(TOO_MANY, failure=puts)
        self.refused(TOO_MANY, compares=[compare(self.k(), "version", "=", 0)] * 129)
        self.accepted(success=[op_range(self.k())] * 128)
        # A level's largest list counts, and siblings do not share.
        self.accepted(success=[op_txn(success=puts[:126]), op_txn(failure=puts[:1])][:1])
        self.accepted(success=[op_txn(success=[op_range(self.k())] * 126), op_txn(success=[op_range(self.k())] * 126)])
        self.refused(TOO_MANY, success=[op_txn(success=[op_range(self.k())] * 127), op_range(self.k())])

    def test_field_checks_in_both_branches(self):
        for op, text in ((op_put(b""), EMPTY_KEY), (op_range(b""), EMPTY_KEY), (op_delete(b""), EMPTY_KEY),
                         (op_put(self.k(), b"v", ignore_value=True), "etcdserver: value is provided"),
                         (op_put(self.k(), lease=1, ignore_lease=True), "etcdserver: lease is provided"),
                         (op_txn(success=[op_put(b"")]), EMPTY_KEY), (api.RequestOp(), NOT_FOUND)):
            with self.subTest(op=str(op)):
                self.refused(text, success=[op])
                self.refused(text, failure=[op])
        self.refused(EMPTY_KEY, compares=[compare(b"", "version", "=", 0)])

    def test_check_order(self):
        """The number of operations is looked at before the fields, the fields before overlaps."""
        self.refused(TOO_MANY, success=[op_put(b"")] * 129)
        self.refused(EMPTY_KEY, success=[op_put(self.k()), op_put(self.k()), op_put(b"")])


class AsKubernetesDoes(SharedServer):
    """The six shapes of transaction that an API server sends."""

    def guarded(self, key, revision, success, failure=True):
        return self.client.txn([compare(key, "mod_revision", "=", revision)], [success], [op_range(key)] if failure else [])

    def test_create(self):
        created = self.guarded(self.k(), 0, op_put(self.k(), b"1"), failure=False)
        self.assertTrue(created.succeeded)
        again = self.guarded(self.k(), 0, op_put(self.k(), b"1"), failure=False)
        self.assertEqual((again.succeeded, list(again.responses), again.header.revision), (False, [], created.header.revision))

    def test_update_and_delete(self):
        first = self.client.put(self.k(), b"1").header.revision
        second = self.guarded(self.k(), first, op_put(self.k(), b"2"))
        self.assertTrue(second.succeeded)
        lost = self.guarded(self.k(), first, op_put(self.k(), b"3"))
        self.assertFalse(lost.succeeded)
        self.assertEqual(lost.responses[0].response_range.kvs[0].value, b"2")
        lost = self.guarded(self.k(), first, op_delete(self.k()))
        self.assertEqual(lost.responses[0].response_range.kvs[0].mod_revision, second.header.revision)
        done = self.guarded(self.k(), second.header.revision, op_delete(self.k()))
        self.assertEqual((done.succeeded, done.responses[0].response_delete_range.deleted), (True, 1))
        gone = self.guarded(self.k(), second.header.revision, op_put(self.k(), b"4"))
        self.assertEqual((gone.succeeded, len(gone.responses), list(gone.responses[0].response_range.kvs)), (False, 1, []))

    def test_compaction_claim(self):
        key = self.k("compact_rev_key")
        for version in (0, 1, 2):
            answer = self.client.txn([compare(key, "version", "=", version)], [op_put(key, b"%d" % version)], [op_range(key)])
            self.assertTrue(answer.succeeded)
        answer = self.client.txn([compare(key, "version", "=", 0)], [op_put(key, b"x")], [op_range(key)])
        self.assertEqual((answer.succeeded, answer.responses[0].response_range.kvs[0].version), (False, 3))


class LargeReads(Case):
    """A transaction that reads much, and the lines about slow reads."""

    def test_whole_ranges(self):
        flags = [f"{flag('warning-apply-duration')}=1ns"]
        if peers.version(peers.server()) >= (3, 6):
            flags.append("--warning-unary-request-duration=1ns")
        with Server(*flags) as server, Client(server.address) as client:
            for n in range(300):
                client.put(b"r%03d" % n, b"%d" % n * 10_000)
            revision = client.revision()
            # Of many equal lines in a second only some are written.
            time.sleep(1.1)
            at = len(server.lines)
            answer = client.txn(
                compare=[compare(b"r000", "version", "=", 1)],
                success=[op_range(b"r", b"s"), op_range(b"r000"), op_range(b"r", b"s", count_only=True),
                         op_range(b"r", b"s", sort_order=2, sort_target=1, limit=3)])
            ranges = [r.response_range for r in answer.responses]
            self.assertEqual((answer.succeeded, answer.header.revision), (True, revision))
            self.assertEqual([r.header.revision for r in ranges], [revision] * 4)
            self.assertEqual(list(ranges[0].kvs), list(client.range(b"r", b"s").kvs))
            self.assertEqual([len(r.kvs) for r in ranges], [300, 1, 0, 3])
            self.assertEqual([(r.count, r.more) for r in ranges], [(300, False), (1, False), (300, False), (300, True)])
            self.assertEqual(len(client.range(b"r", b"s", sort_order=2, sort_target=4).kvs), 300)
            server.wait_for_line("read-only txn ", after=at)
            slow = [e for e in server.entries() if e["msg"] == "apply request took too long" and e["prefix"] == "read-only txn "][-1]
            self.assertIn("request_range:<key:\"r\" range_end:\"s\" >", slow["request"])
            self.assertRegex(slow["response"], r"^responses:<range_response_count:300 range_response_count:1 .*> size:\d+$")
            if len(flags) == 1:
                return
            stats = [e for e in server.entries() if e["msg"] == "request stats" and e["response type"] == "/etcdserverpb.KV/Txn"][-1]
            self.assertEqual((stats["request count"], stats["response count"]), (4, 0))
            self.assertGreater(stats["response size"], 5_000_000)
