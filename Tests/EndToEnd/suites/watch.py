"""Watch: creation, history, atomic revisions, filters, progress, fragments, cancellation, slow readers."""

import threading
import time

import grpc

from harness import api
from harness.case import Case, Code, SharedServer, flag, since
from harness.client import Client, op_delete, op_put, prefix_end
from harness.server import Server

PUT, DELETE = 0, 1


class Watching(SharedServer):
    def setUp(self):
        super().setUp()
        self.stream = self.client.watch()
        self.addCleanup(self.stream.cancel)

    def watch_all(self, **fields):
        return self.stream.create(self.k(), prefix_end(self.k()), **fields)


class Create(Watching):
    def test_answer(self):
        now = self.client.revision()
        answer = self.watch_all()
        self.assertTrue(answer.created)
        self.assertEqual((answer.watch_id, answer.canceled, list(answer.events), answer.compact_revision, answer.header.revision),
                         (0, False, [], 0, now))
        self.assertEqual(answer.header, self.client.status().header)

    def test_ids_are_counted_from_zero(self):
        self.assertEqual([self.watch_all().watch_id for _ in range(4)], [0, 1, 2, 3])

    def test_ids_chosen_by_the_client(self):
        self.assertEqual(self.watch_all(watch_id=7).watch_id, 7)
        self.assertEqual(self.watch_all().watch_id, 0)
        self.assertEqual(self.watch_all(watch_id=1).watch_id, 1)
        self.assertEqual([self.watch_all().watch_id for _ in range(6)], [2, 3, 4, 5, 6, 8])
        self.assertEqual(self.watch_all(watch_id=-9).watch_id, -9)

    def test_id_in_use(self):
        self.watch_all(watch_id=5)
        answer = self.watch_all(watch_id=5)
        self.assertEqual((answer.created, answer.canceled, answer.watch_id, answer.cancel_reason),
                         (True, True, -1, "mvcc: duplicate watch ID provided on the WatchStream"))
        self.client.put(self.k())
        self.assertEqual(self.stream.next().watch_id, 5)

    def test_id_free_again_only_when_asked_for(self):
        self.watch_all(), self.watch_all()
        self.stream.request_cancel(0)
        self.assertTrue(self.stream.next().canceled)
        self.assertEqual(self.watch_all().watch_id, 2)
        self.assertEqual(self.watch_all(watch_id=1).watch_id, -1)

    def test_empty_range(self):
        for key, end in ((b"b", b"a"), (b"b", b"b")):
            answer = self.stream.create(self.k(key), self.k(end))
            self.assertEqual((answer.created, answer.canceled, answer.watch_id, answer.cancel_reason),
                             (True, True, -1, "mvcc: watcher range is empty"))

    @since(3, 6)
    def test_negative_start(self):
        answer = self.watch_all(start_revision=-1)
        self.assertEqual((answer.created, answer.canceled, answer.watch_id, answer.cancel_reason),
                         (True, True, -1, "etcdserver: mvcc: required revision has been compacted"))

    def test_empty_key_means_the_lowest(self):
        self.stream.create(b"", b"\0")
        self.client.put(self.k())
        self.assertEqual(self.stream.events(1)[0].kv.key, self.k())

    def test_unknown_request_is_ignored(self):
        self.stream.send(api.WatchRequest())
        self.assertTrue(self.watch_all().created)

    def test_half_close_does_not_end_it(self):
        self.watch_all()
        self.stream.half_close()
        self.client.put(self.k())
        self.assertEqual(len(self.stream.events(1)), 1)


class Events(Watching):
    def test_put_update_delete(self):
        self.watch_all()
        created = self.client.put(self.k(), b"1").header.revision
        updated = self.client.put(self.k(), b"2").header.revision
        deleted = self.client.delete(self.k()).header.revision
        one, two, three = self.stream.events(3)
        self.assertEqual(one.kv, api.mvccpb.KeyValue(key=self.k(), value=b"1", create_revision=created, mod_revision=created, version=1))
        self.assertEqual(two.kv, api.mvccpb.KeyValue(key=self.k(), value=b"2", create_revision=created, mod_revision=updated, version=2))
        self.assertEqual((three.type, three.kv), (DELETE, api.mvccpb.KeyValue(key=self.k(), mod_revision=deleted)))
        self.assertTrue(all(not e.HasField("prev_kv") for e in (one, two, three)))

    def test_prev_kv(self):
        self.watch_all(prev_kv=True)
        self.client.put(self.k(), b"1"), self.client.put(self.k(), b"2"), self.client.delete(self.k()), self.client.put(self.k(), b"3")
        one, two, three, four = self.stream.events(4)
        self.assertFalse(one.HasField("prev_kv"))
        self.assertEqual(two.prev_kv, one.kv)
        self.assertEqual(three.prev_kv, two.kv)
        self.assertFalse(four.HasField("prev_kv"))

    def test_header_of_live_responses(self):
        self.watch_all()
        revisions = [self.client.put(self.k(i)).header.revision for i in range(5)]
        responses = []
        self.stream.events(5, responses=responses)
        self.assertEqual([r.header.revision for r in responses], revisions)
        self.assertEqual({len(r.events) for r in responses}, {1})

    def test_a_transaction_is_one_response(self):
        self.client.put(self.k("d"), b"old")
        self.watch_all(prev_kv=True)
        revision = self.client.txn(success=[op_put(self.k("c")), op_put(self.k("a")), op_delete(self.k("d")), op_put(self.k("b"))]).header.revision
        responses = []
        events = self.stream.events(4, responses=responses)
        self.assertEqual(len(responses), 1)
        self.assertEqual([e.kv.key[len(self.k()):] for e in events], [b"c", b"a", b"d", b"b"])
        self.assertEqual({e.kv.mod_revision for e in events}, {revision})
        self.assertEqual(events[2].prev_kv.value, b"old")

    def test_range_delete_is_one_response_in_key_order(self):
        for n in "cab":
            self.client.put(self.k(n))
        self.watch_all()
        self.client.delete(self.k(), prefix_end(self.k()))
        responses = []
        self.assertEqual([e.kv.key[-1:] for e in self.stream.events(3, responses=responses)], [b"a", b"b", b"c"])
        self.assertEqual(len(responses), 1)

    def test_only_what_was_asked_for(self):
        self.stream.create(self.k("b"))
        self.stream.create(self.k("b"), self.k("d"))
        self.stream.create(self.k("c"), b"\0")
        for n in "abcde":
            self.client.put(self.k(n))
        got = {0: b"", 1: b"", 2: b""}
        for _ in range(6):
            response = self.stream.next()
            got[response.watch_id] += b"".join(e.kv.key[-1:] for e in response.events)
        self.assertEqual(got, {0: b"b", 1: b"bc", 2: b"cde"})
        self.stream.nothing(0.2)

    def test_filters(self):
        self.watch_all(filters=[0])
        self.watch_all(filters=[1])
        self.watch_all(filters=[0, 1])
        self.watch_all(filters=[5])
        self.client.put(self.k()), self.client.delete(self.k())
        got = [(r.watch_id, r.events[0].type) for r in (self.stream.next() for _ in range(4))]
        self.assertEqual(sorted(got), [(0, DELETE), (1, PUT), (3, PUT), (3, DELETE)])
        self.stream.nothing(0.2)

    def test_lease_expiry_is_an_event_with_a_revision(self):
        lease = self.client.grant(2).ID
        self.client.put(self.k("a"), lease=lease), self.client.put(self.k("b"), lease=lease)
        before = self.client.revision()
        self.watch_all(prev_kv=True)
        responses = []
        events = self.stream.events(2, timeout=15, responses=responses)
        self.assertEqual(len(responses), 1)
        self.assertEqual([(e.type, e.kv.key, e.kv.mod_revision, e.prev_kv.lease) for e in events],
                         [(DELETE, self.k("a"), before + 1, lease), (DELETE, self.k("b"), before + 1, lease)])


class History(Watching):
    def fill(self, count):
        return [self.client.put(self.k(i % 7), b"%d" % i).header.revision for i in range(count)]

    def test_from_the_past_then_live(self):
        revisions = self.fill(50)
        self.watch_all(start_revision=revisions[10])
        revisions += self.fill(5)
        events = self.stream.events(45)
        self.assertEqual([e.kv.mod_revision for e in events], revisions[10:])

    def test_prev_kv_of_history(self):
        revisions = self.fill(21)
        self.watch_all(start_revision=revisions[7], prev_kv=True)
        for e in self.stream.events(14):
            self.assertEqual(e.prev_kv, self.client.get(e.kv.key, revision=e.kv.mod_revision - 1))

    def test_long_history_in_order_and_whole_revisions(self):
        first = self.client.revision() + 1
        for i in range(1300):
            self.client.txn(success=[op_put(self.k("a")), op_put(self.k("b"))])
        self.watch_all(start_revision=first)
        responses = []
        events = self.stream.events(2600, responses=responses)
        self.assertEqual([e.kv.mod_revision for e in events], [first + i // 2 for i in range(2600)])
        for r in responses:
            self.assertEqual(len(r.events) % 2, 0, "a revision is never split")
            self.assertGreaterEqual(r.header.revision, r.events[-1].kv.mod_revision)

    def test_start_in_the_future(self):
        now = self.client.revision()
        answer = self.watch_all(start_revision=now + 3)
        self.assertEqual((answer.created, answer.header.revision), (True, now))
        self.client.put(self.k("1")), self.client.put(self.k("2")), self.client.put(self.k("3"))
        events = self.stream.events(1)
        self.assertEqual((events[0].kv.mod_revision, events[0].kv.key), (now + 3, self.k("3")))

    def test_compacted_start(self):
        revisions = self.fill(10)
        self.client.compact(revisions[5])
        answer = self.watch_all(start_revision=revisions[2])
        self.assertTrue(answer.created and not answer.canceled)
        answer = self.stream.next()
        self.assertEqual((answer.created, answer.canceled, answer.watch_id, answer.compact_revision, answer.cancel_reason,
                          answer.header.revision, list(answer.events)), (False, True, 0, revisions[5], "", 0, []))
        self.watch_all(start_revision=revisions[5])
        self.assertEqual([e.kv.mod_revision for e in self.stream.events(5)], revisions[5:])

    def test_prev_kv_lost_to_compaction(self):
        revisions = self.fill(14)
        self.client.compact(revisions[9])
        self.watch_all(start_revision=revisions[9], prev_kv=True)
        events = self.stream.events(5)
        self.assertFalse(events[0].HasField("prev_kv"))
        self.assertTrue(events[1].HasField("prev_kv"))


class Cancel(Watching):
    def test_answer_and_silence(self):
        self.watch_all(), self.watch_all()
        self.stream.request_cancel(0)
        answer = self.stream.next()
        self.assertEqual((answer.canceled, answer.created, answer.watch_id, answer.cancel_reason, answer.compact_revision),
                         (True, False, 0, "", 0))
        self.client.put(self.k())
        self.assertEqual(self.stream.next().watch_id, 1)
        self.stream.nothing(0.2)

    def test_unknown_id_gets_no_answer(self):
        self.stream.request_cancel(42)
        self.stream.nothing(0.2)
        self.assertTrue(self.watch_all().created)
        self.stream.request_cancel(0)
        self.assertTrue(self.stream.next().canceled)
        self.stream.request_cancel(0)
        self.stream.nothing(0.2)

    def test_ending_the_call_leaves_the_server_well(self):
        for _ in range(200):
            stream = self.client.watch()
            stream.create(self.k(), prefix_end(self.k()))
            stream.cancel()
        self.watch_all()
        self.client.put(self.k())
        self.stream.events(1)


class Progress(Watching):
    def test_asked_for(self):
        self.watch_all()
        revision = self.client.put(self.k()).header.revision
        self.stream.events(1)
        self.stream.request_progress()
        answer = self.stream.next()
        self.assertEqual((answer.watch_id, answer.created, answer.canceled, list(answer.events), answer.header.revision),
                         (-1, False, False, [], revision))

    def test_counts_what_the_watch_does_not_see(self):
        self.stream.create(self.k("mine"))
        revision = self.client.put(self.k("other")).header.revision
        self.stream.request_progress()
        self.assertEqual(self.stream.next().header.revision, revision)

    def test_nothing_without_a_watch_or_with_one_in_the_future(self):
        self.stream.request_progress()
        self.stream.nothing(0.3)

    @since(3, 6)
    def test_nothing_with_a_watch_in_the_future(self):
        self.watch_all(start_revision=self.client.revision() + 100)
        self.stream.request_progress()
        self.stream.nothing(0.3)

    def test_never_ahead_of_events(self):
        """While writers run, a progress answer covers all events that come after it on the stream."""
        self.watch_all()
        stop, errors = threading.Event(), []

        def write():
            with Client(self.server.address) as client:
                while not stop.is_set():
                    client.put(self.k(), b"x" * 100)

        def ask():
            while not stop.is_set():
                self.stream.request_progress()
                time.sleep(0.002)

        threads = [threading.Thread(target=write), threading.Thread(target=write), threading.Thread(target=ask)]
        [t.start() for t in threads]
        covered, seen, answers, last = 0, 0, 0, None
        try:
            deadline = time.monotonic() + 60
            while answers < 200 and time.monotonic() < deadline:
                response = self.stream.next()
                if response.watch_id == -1:
                    answers += 1
                    covered = response.header.revision
                for event in response.events:
                    seen += 1
                    if event.kv.mod_revision <= covered:
                        errors.append((event.kv.mod_revision, covered))
                    if last is not None and event.kv.mod_revision != last + 1:
                        errors.append(("gap", last, event.kv.mod_revision))
                    last = event.kv.mod_revision
        finally:
            stop.set()
            [t.join() for t in threads]
        self.assertEqual(errors, [])
        self.assertGreater(answers, 10)
        self.assertGreater(seen, 100)


class ProgressNotify(SharedServer):
    FLAGS = (flag("watch-progress-notify-interval") + "=200ms",)

    def test_idle_watch_is_told(self):
        with self.client.watch() as stream:
            stream.create(self.k(), progress_notify=True, watch_id=3)
            stream.create(self.k("quiet"), watch_id=4)
            revision = self.client.put(self.k("other")).header.revision
            for _ in range(20):
                answer = stream.next()
                self.assertEqual((answer.watch_id, list(answer.events), answer.created, answer.canceled), (3, [], False, False))
                if answer.header.revision == revision:
                    return
            self.fail("no notice of the last revision")


class Fragments(SharedServer):
    """Responses beyond --max-request-bytes + 512 KiB."""

    FLAGS = ("--max-request-bytes=200000",)

    def write(self):
        return [self.client.put(self.k(i), b"x" * 150_000).header.revision for i in range(20)]

    def test_split(self):
        revisions = self.write()
        with self.client.watch() as stream:
            stream.create(self.k(), prefix_end(self.k()), start_revision=revisions[0], fragment=True)
            responses, events = [], []
            while len(events) < 20:
                responses.append(stream.next())
                events += responses[-1].events
            self.assertEqual([e.kv.mod_revision for e in events], revisions)
            self.assertFalse(responses[-1].fragment)
            self.assertTrue(any(r.fragment for r in responses))
            self.assertTrue(all(r.ByteSize() < 200_000 + 524_288 for r in responses))
            # The parts of one response have one header; how much history goes into a response is the server's choice.
            for part, following in zip(responses, responses[1:]):
                if part.fragment:
                    self.assertEqual((part.header.revision, part.watch_id), (following.header.revision, following.watch_id))

    def test_whole(self):
        revisions = self.write()
        with self.client.watch() as stream:
            stream.create(self.k(), prefix_end(self.k()), start_revision=revisions[0])
            responses = []
            stream.events(20, responses=responses)
            self.assertEqual({r.fragment for r in responses}, {False})


class Many(SharedServer):
    def test_many_watchers_on_a_stream(self):
        with self.client.watch() as stream:
            for i in range(500):
                stream.request_create(self.k("%03d" % i))
            for i in range(500):
                self.assertEqual(stream.next().watch_id, i)
            self.client.put(self.k("321"))
            self.assertEqual(stream.next().watch_id, 321)
            self.client.txn(success=[op_put(self.k("%03d" % i)) for i in range(100)])
            self.assertEqual(sorted(stream.next().watch_id for _ in range(100)), list(range(100)))

    def test_one_event_for_many_watchers(self):
        with self.client.watch() as stream:
            for i in range(300):
                stream.request_create(self.k(), prefix_end(self.k()), prev_kv=bool(i % 2))
            for i in range(300):
                self.assertTrue(stream.next().created)
            revisions = [self.client.put(self.k()).header.revision for _ in range(3)]
            got = {i: [] for i in range(300)}
            # A watcher that fell behind may be given several revisions at once.
            while sum(map(len, got.values())) < 900:
                response = stream.next()
                got[response.watch_id] += [e.kv.mod_revision for e in response.events]
            self.assertEqual(set(map(tuple, got.values())), {tuple(revisions)})

    def test_a_watch_on_each_of_many_connections(self):
        """As an API server has them: more than a hundred connections, a stream and a watch each."""
        clients = [Client(self.server.address) for _ in range(120)]
        streams = []
        try:
            for i, client in enumerate(clients):
                streams.append(client.watch(metadata=(("hasleader", "true"),)))
                streams[-1].request_create(self.k(), prefix_end(self.k()), prev_kv=True, progress_notify=True)
            for stream in streams:
                self.assertTrue(stream.next().created)
            revisions = [self.client.put(self.k(), b"x" * 500).header.revision for _ in range(20)]
            for stream in streams:
                self.assertEqual([e.kv.mod_revision for e in stream.events(20)], revisions)
            for stream in streams:
                stream.request_progress()
            for stream in streams:
                self.assertEqual(stream.next().header.revision, revisions[-1])
        finally:
            for stream in streams:
                stream.cancel()
            for client in clients:
                client.close()


class SlowReaders(Case):
    def test_a_reader_that_stops_does_not_stop_the_writer(self):
        """100 MB of events for a stream that nobody reads: writes go on, the server's memory stays bounded,
        and the reader finds every event when it comes back."""
        with Server() as server, Client(server.address) as writer, Client(server.address) as reader:
            call = reader.stub("Watch.Watch")(iter([api.WatchRequest(
                create_request=api.WatchCreateRequest(key=b"k", range_end=b"l"))]))
            self.assertTrue(next(call).created)
            writer.put(b"warm")
            base = server.rss_bytes()
            value, started = b"x" * 100_000, time.monotonic()
            revisions = [writer.put(b"k%d" % (i % 10), value).header.revision for i in range(1000)]
            self.assertLess(time.monotonic() - started, 60)
            # Not a promise of etcd's: its 128 buffered responses and the page cache it maps count here.
            limit = 1 << 30 if server.version < (3, 7) else 300 << 20
            self.assertLess(server.rss_bytes() - base, limit)
            got = []
            while len(got) < len(revisions):
                got += [e.kv.mod_revision for e in next(call).events]
            self.assertEqual(got, revisions)
            call.cancel()

    def test_a_reader_overtaken_by_compaction_is_told(self):
        with Server() as server, Client(server.address) as writer, Client(server.address) as reader:
            call = reader.stub("Watch.Watch")(iter([api.WatchRequest(
                create_request=api.WatchCreateRequest(key=b"k", range_end=b"l"))]))
            self.assertTrue(next(call).created)
            for i in range(600):
                revision = writer.put(b"k", b"x" * 100_000).header.revision
            writer.compact(revision, physical=True)
            got, canceled = [], None
            while canceled is None and (not got or got[-1] < revision):
                response = next(call)
                got += [e.kv.mod_revision for e in response.events]
                if response.canceled:
                    canceled = response.compact_revision
            self.assertEqual(got, list(range(got[0], got[0] + len(got))) if got else [])
            if got and got[-1] < revision:
                self.assertEqual(canceled, revision)
            call.cancel()


class EndOfStream(Case):
    def test_shutdown_ends_watches(self):
        with Server() as server, Client(server.address) as client:
            stream = client.watch()
            stream.create(b"a")
            self.assertEqual(server.stop(), 143)
            error = stream.wait_end()
            self.assertIsInstance(error, grpc.RpcError)
            self.assertIn(error.code(), (Code.UNAVAILABLE, Code.CANCELLED))

    def test_deadline(self):
        with Server() as server, Client(server.address) as client:
            call = client.stub("Watch.Watch")(iter([api.WatchRequest(create_request=api.WatchCreateRequest(key=b"a"))]), timeout=0.5)
            self.assertTrue(next(call).created)
            with self.fails(Code.DEADLINE_EXCEEDED):
                next(call)
