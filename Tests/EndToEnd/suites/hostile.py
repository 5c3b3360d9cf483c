"""Hostile and broken peers: bounded memory, the right error, no crash, and everybody else is served meanwhile.

Each test attacks over plain sockets while an honest client writes, reads and watches through a connection of its
own. What is asserted of it is progress, never time. The server's memory is sampled all along and must stay below
what it was plus a budget that the test names (docs/limits.md says where the budgets come from).
"""

import contextlib
import gzip
import os
import random
import re
import resource
import select
import socket
import struct
import threading
import time
import unittest
import urllib.request
import zlib

import grpc

from harness import api, raw
from harness.case import Case, Code, SharedServer
from harness.client import Client, op_put, op_range, op_txn, prefix_end
from harness.raw import Peer
from harness.server import Server

KV, WATCH, LEASE = "/etcdserverpb.KV/", "/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/"
MIB = 1 << 20
#: Metrics that tell what the transport holds; all of it must go with the peers that caused it.
LEVELS = ("martlet_calls_open", "martlet_output_queued_bytes", "martlet_input_partial_bytes")


class Honest(threading.Thread):
    """A well-behaved client: puts, reads back what it put, sees it on a watch, again and again."""

    def __init__(self, server, strict):
        super().__init__(daemon=True)
        self.strict = strict
        self.client = Client(server.address)
        self.rounds, self.error, self.stopping = 0, None, False

    def run(self):
        try:
            with self.client.watch() as watch:
                watch.create(b"honest")
                while not self.stopping:
                    value = b"%d" % self.rounds
                    self.client.put(b"honest", value, timeout=120)
                    found = self.client.get(b"honest", timeout=120)
                    if self.strict and found.value != value:
                        raise AssertionError("read something else than was written")
                    event = watch.events(1, timeout=120)[0]
                    if self.strict and event.kv.value != value:
                        raise AssertionError(f"watched {event.kv.value}, wrote {value}")
                    self.rounds += 1
                    time.sleep(0.005)
        except Exception as error:
            if not self.stopping:
                self.error = error

    def proceed(self, rounds=2, seconds=120):
        """Waits until it has done that many rounds more."""
        wanted, end = self.rounds + rounds, time.monotonic() + seconds
        while self.rounds < wanted:
            if self.error is not None:
                raise self.error
            if time.monotonic() > end:
                raise AssertionError(f"the honest client has made {self.rounds} of {wanted} rounds and no more")
            time.sleep(0.01)

    def stop(self):
        self.stopping = True
        self.join(130)
        self.client.close()


class Hostile(SharedServer):
    #: Whether nobody else may touch the honest client's key.
    STRICT = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.honest = Honest(cls.server, cls.STRICT)
        cls.honest.start()
        cls.addClassCleanup(cls.honest.stop)
        cls.honest.proceed(1)

    @contextlib.contextmanager
    def attack(self, budget_mib):
        """The block attacks. Memory stays within the budget, the honest client goes on during and after it."""
        before = self.server.rss_bytes()
        self.peak, done = before, threading.Event()

        def sample():
            while not done.wait(0.02):
                with contextlib.suppress(OSError, ValueError):
                    self.peak = max(self.peak, self.server.rss_bytes())

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        try:
            yield
            self.honest.proceed()
        finally:
            done.set()
            sampler.join()
        self.assertIsNone(self.server.process.poll(), "the server has ended:\n" + self.server.tail())
        grown = (self.peak - before) / MIB
        if os.environ.get("MARTLET_VERBOSE"):
            print(f"    {self.id().split('.', 1)[1]}: {before / MIB:.0f} MiB + {grown:.0f} (budget {budget_mib}), "
                  f"now {self.server.rss_bytes() / MIB:.0f}", flush=True)
        self.assertLess(grown, budget_mib, "MiB grown under attack")

    def metric(self, name):
        with urllib.request.urlopen(self.server.url + "/metrics", timeout=60) as answer:
            found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.M)
        return float(found.group(1))

    def settle(self, name, most, least=0, seconds=60):
        """Waits until a level is where it should be."""
        end = time.monotonic() + seconds
        while not least <= (level := self.metric(name)) <= most:
            if time.monotonic() > end:
                raise AssertionError(f"{name} stays at {level}, expected {least} to {most}")
            time.sleep(0.05)

    def peer(self, *arguments, **options):
        made = Peer(self.server, *arguments, **options)
        self.addCleanup(made.close)
        return made

    def assert_serves(self, peer, stream):
        """The connection still serves a call."""
        peer.send(raw.call(stream, KV + "Range", api.RangeRequest(key=b"honest")))
        fields, _ = peer.ended(stream)
        self.assertEqual(fields["grpc-status"], "0")


class Floods(Hostile):
    """Frames that cost their sender next to nothing, by peers that read nothing."""

    FLOODS = {
        "SETTINGS": raw.settings(),
        "SETTINGS with a window": raw.settings((raw.INITIAL_WINDOW, 70_000)) + raw.settings((raw.INITIAL_WINDOW, 60_000)),
        "SETTINGS with a table": raw.settings((raw.HEADER_TABLE_SIZE, 0)) + raw.settings((raw.HEADER_TABLE_SIZE, 1 << 30)),
        "SETTINGS unknown": raw.settings(*[(0x4000 + i, i) for i in range(20)]),
        "SETTINGS ACK": raw.frame(raw.SETTINGS, raw.ACK),
        "PING": raw.ping(7),
        "PING ACK": raw.ping(7, raw.ACK),
        "WINDOW_UPDATE": raw.window(1, 1),
        "WINDOW_UPDATE of the connection": raw.window(0, 1),
        "PRIORITY": raw.frame(raw.PRIORITY, 0, 3, struct.pack(">IB", 1, 200)) + raw.frame(raw.PRIORITY, 0, 99_999, struct.pack(">IB", 3, 1)),
        "empty DATA": raw.frame(raw.DATA, 0, 1),
        "padding only": raw.frame(raw.DATA, raw.PADDED, 1, b"\x40" + bytes(64)),
        "unknown frames": raw.frame(0x77, 0xff, 1, b"x" * 30),
        "RST_STREAM of what is gone": raw.headers(3, raw.block(KV + "Range")) + raw.reset(3) * 20,
    }

    def test_frames(self):
        with self.attack(64):
            for name, frames in self.FLOODS.items():
                with self.subTest(flood=name):
                    peer = self.peer()
                    peer.send(raw.headers(1, raw.block(WATCH)))
                    burst = frames * ((1 << 20) // len(frames))
                    for _ in range(4):
                        if peer.push(burst, 0.3) < len(burst):
                            break
                    self.honest.proceed(1)
                    peer.close()

    def test_settings_that_touch_every_stream(self):
        """Each change of the initial window is work for every stream that is open."""
        with self.attack(160):
            peer = self.peer()
            head = raw.block(WATCH)
            for start in range(1, 40_000, 2000):
                peer.send(b"".join(raw.headers(stream, head) for stream in range(start, start + 2000, 2)))
            burst = (raw.settings((raw.INITIAL_WINDOW, 70_000)) + raw.settings((raw.INITIAL_WINDOW, 60_000))) * 20_000
            peer.push(burst, 5)
            self.honest.proceed(1)
            self.assertTrue(peer.wait_closed())
            self.assertIn(peer.error(), (raw.ENHANCE_YOUR_CALM, None))

    def test_a_busy_client_is_no_attacker(self):
        """Go's clients measure bandwidth with a ping and a new window after each burst of data, on a hundred connections."""
        peers = [self.peer() for _ in range(100)]
        for number in range(30):
            stream = 2 * number + 1
            for peer in peers:
                peer.send(raw.call(stream, KV + "Range", api.RangeRequest(key=b"honest")), raw.ping(number),
                          *(raw.settings((raw.INITIAL_WINDOW, 65_535 + size)) for size in range(10)))
            for peer in peers:
                self.assertEqual(peer.ended(stream)[0]["grpc-status"], "0")
        # Pings without data are counted, by the rule that those clients know.
        self.assertEqual([peer.error() for peer in peers], [None] * 100)
        # Thousands of streams and the changes of a window that grows.
        peer = self.peer()
        peer.send(b"".join(raw.headers(stream, raw.block(WATCH)) for stream in range(1, 10_001, 2)))
        for shift in range(16, 31):
            peer.send(raw.settings((raw.INITIAL_WINDOW, 1 << shift)))
        self.assert_serves(peer, 10_003)

    def test_empty_headers_and_continuations(self):
        with self.attack(32):
            peer = self.peer()
            head = raw.block(KV + "Range")
            peer.send(raw.frame(raw.HEADERS, 0, 1, head))
            # Never END_HEADERS.
            peer.push(raw.frame(raw.CONTINUATION, 0, 1) * 200_000)
            self.assertTrue(peer.wait_closed())
            # The same with something in them.
            peer = self.peer()
            peer.send(raw.frame(raw.HEADERS, 0, 1, head))
            peer.push(raw.frame(raw.CONTINUATION, 0, 1, raw.literal("x-filler", "y" * 4000)) * 20_000)
            self.assertTrue(peer.wait_closed())
            # HEADERS as trailers without an end, many times on one stream.
            peer = self.peer()
            peer.send(raw.headers(1, raw.block(WATCH)))
            peer.push(raw.headers(1, b"") * 200_000)
            self.honest.proceed(1)

    def test_rapid_reset(self):
        """CVE-2023-44487: requests that are taken back as soon as they are made."""
        with self.attack(64):
            calls = 0
            for number in range(3):
                peer = self.peer()
                request = api.RangeRequest(key=b"honest", range_end=b"i").SerializeToString()
                stream = 1
                while stream < 2 * 70_000:
                    burst = bytearray()
                    for _ in range(2000):
                        burst += raw.call(stream, KV + "Range", request, end=True) + raw.reset(stream)
                        stream += 2
                    if peer.push(bytes(burst)) < len(burst):
                        break
                calls += stream // 2
                if number == 0:
                    self.honest.proceed(1)
                peer.close()
            self.settle("martlet_calls_open", 5)

    def test_resets_of_half_made_writes(self):
        with self.attack(64):
            peer = self.peer()
            stream = 1
            for _ in range(20):
                burst = bytearray()
                for _ in range(200):
                    burst += raw.headers(stream, raw.block(KV + "Put")) + raw.data(stream, raw.message(b"x" * 1000, length=5000))
                    burst += raw.reset(stream)
                    stream += 2
                peer.send(burst)
            self.assert_serves(peer, stream)
            self.settle("martlet_input_partial_bytes", 0)


class Heads(Hostile):
    """Header lists: too long, too many, too clever, or wrong."""

    def test_long_header(self):
        with self.attack(32):
            peer = self.peer()
            peer.send(raw.headers(1, raw.block(KV + "Range", ("token", "t" * 60_000)) ) + raw.data(1, raw.message(api.RangeRequest(key=b"a")), True))
            self.assertEqual(peer.ended(1)[0]["grpc-status"], "0")
            # Beyond the limit of a list only its stream ends.
            peer.send(raw.headers(3, raw.block(KV + "Range", *[(f"x-{i}", "v" * 30_000) for i in range(4)])))
            # A block of more than eight CONTINUATIONs is not read at all.
            peer.send(raw.headers(5, raw.block(KV + "Range", *[(f"x-{i}", "v" * 30_000) for i in range(40)])))
            self.assertTrue(peer.wait_closed())

    def test_hpack_bomb(self):
        """A long value in the dynamic table, named again and again by one byte each."""
        with self.attack(32):
            peer = self.peer()
            bomb = raw.block(KV + "Range", ) + raw.literal("x-bomb", "b" * 3900, 0x40) + bytes([0x80 | 62]) * 16_000
            for stream in range(1, 401, 2):
                if not peer.send(raw.headers(stream, bomb)):
                    break
            refused = peer.until(lambda f: f.kind in (raw.RST_STREAM, raw.GOAWAY))
            self.assertIsNotNone(refused)

    def test_wrong_hpack(self):
        blocks = {
            "index 0": b"\x80", "index beyond the table": b"\xff\xff\xff\x7f", "integer without end": b"\xff" * 100,
            "string longer than the block": b"\x00\x7f\xff\xff\xff\x07abc", "table size beyond the limit": b"\x3f\xff\xff\xff\x7f",
            "bad Huffman": b"\x00\x84\xff\xff\xff\xff\x00",
        }
        with self.attack(16):
            for name, wrong in blocks.items():
                with self.subTest(block=name):
                    peer = self.peer()
                    peer.send(raw.headers(1, wrong))
                    self.assertTrue(peer.wait_closed())
                    self.assertIn(peer.error(), (9, 1, 11, None))

    def test_malformed_requests(self):
        """RFC 9113, section 8: each of these is a stream error, and the connection serves on."""
        good = [(":method", "POST"), (":scheme", "http"), (":path", KV + "Range"), (":authority", "a"),
                ("content-type", "application/grpc"), ("te", "trailers")]
        lists = {
            "nothing": [], "no path": good[:2] + good[3:], "no method": good[1:], "no scheme": good[:1] + good[2:],
            "path twice": good[:3] + good[2:], "unknown pseudo header": [(":proto", "x")] + good, "response field": [(":status", "200")] + good,
            "pseudo header behind others": good[4:] + good[:4], "upper case": good + [("X-Upper", "1")], "empty path": [good[0], good[1], (":path", "")] + good[3:],
            "path without slash": [good[0], good[1], (":path", "etcdserverpb.KV/Range")] + good[3:],
            "line feed in a value": good + [("x-a", "b\r\nc: d")], "zero in a value": good + [("x-a", "b\0c")], "no name": good + [("", "x")],
            "connection": good + [("connection", "close")], "space in a name": good + [("x y", "1")],
        }
        with self.attack(16):
            peer, stream = self.peer(), 1
            for name, fields in lists.items():
                with self.subTest(fields=name):
                    peer.send(raw.headers(stream, b"".join(raw.literal(*field) for field in fields), end=True))
                    ended = peer.ended(stream)[0]
                    self.assertTrue(ended is None or ended.get("grpc-status") != "0", ended)
                    stream += 2
            self.assert_serves(peer, stream)

    def test_wrong_frames(self):
        """Connection errors: GOAWAY, and the connection is closed."""
        head = raw.block(KV + "Range")
        frames = {
            "DATA on stream 0": raw.frame(raw.DATA, 0, 0, b"x"), "HEADERS on stream 0": raw.frame(raw.HEADERS, 4, 0, head),
            "even stream": raw.headers(2, head),
            "CONTINUATION alone": raw.frame(raw.CONTINUATION, 4, 1, head), "SETTINGS of 5 bytes": raw.frame(raw.SETTINGS, 0, 0, b"12345"),
            "SETTINGS ACK with a payload": raw.frame(raw.SETTINGS, 1, 0, bytes(6)), "SETTINGS on a stream": raw.frame(raw.SETTINGS, 0, 1, bytes(6)),
            "window of 2^31": raw.settings((raw.INITIAL_WINDOW, 1 << 31)), "frame size of 1": raw.settings((raw.MAX_FRAME, 1)),
            "PING of 7 bytes": raw.frame(raw.PING, 0, 0, bytes(7)), "PING on a stream": raw.frame(raw.PING, 0, 1, bytes(8)),
            "WINDOW_UPDATE of 0 for the connection": raw.window(0, 0), "window beyond 2^31": raw.window(0, 0x7fffffff) * 2,
            "PUSH_PROMISE": raw.frame(raw.PUSH_PROMISE, 4, 1, struct.pack(">I", 2) + head), "frame too long": raw.frame(raw.DATA, 0, 1, bytes(20_000)),
            "another frame within a header block": raw.frame(raw.HEADERS, 0, 1, head) + raw.ping(), "padding longer than the frame": raw.headers(1, head) + raw.frame(raw.DATA, raw.PADDED, 1, b"\xff123"),
            "DATA on a stream that was never opened": raw.frame(raw.DATA, 0, 77, b"x"), "RST_STREAM of one never opened": raw.reset(99),
            "RST_STREAM of 3 bytes": raw.headers(1, head) + raw.frame(raw.RST_STREAM, 0, 1, b"abc"),
            "longest length": b"\xff\xff\xff\0\0\0\0\0\1",
        }
        with self.attack(16):
            for name, wrong in frames.items():
                with self.subTest(frames=name):
                    peer = self.peer()
                    peer.send(wrong)
                    self.assertTrue(peer.wait_closed(), peer.frames()[-3:])
                    self.assertNotEqual(peer.error(), 0)


class Streams(Hostile):
    def test_more_than_there_may_be(self):
        """Streams that are opened and then nothing: a bounded number, each small; more are refused."""
        with self.attack(256):
            peer = self.peer()
            head = raw.block(KV + "Put")
            stream = 1
            while stream < 2 * 110_000:
                burst = b"".join(raw.headers(s, head) for s in range(stream, stream + 4000, 2))
                if peer.push(burst, 10) < len(burst):
                    break
                stream += 4000
                peer.read(0)
            refused = peer.until(lambda f: f.kind == raw.RST_STREAM)
            self.assertEqual(refused.payload, struct.pack(">I", raw.REFUSED_STREAM))
            self.honest.proceed()
            peer.close()
            self.settle("martlet_calls_open", 5)

    def test_requests_that_never_end(self):
        """Half a message on every stream, as far as the windows reach, on several connections."""
        with self.attack(320):
            part = raw.message(bytes(900_000), length=1_400_000)
            peers = [self.peer() for _ in range(3)]
            held = 0
            for peer in peers:
                for stream in range(1, 201, 2):
                    peer.push(raw.headers(stream, raw.block(KV + "Put")))
                    if peer.pour(stream, part, 10) < len(part):
                        break
                # So much is taken, and no more: what comes on top is refused.
                self.assertTrue(peer.until(lambda f: f.kind in (raw.HEADERS, raw.RST_STREAM)))
                held = max(held, self.metric("martlet_input_partial_bytes"))
            self.assertGreater(held, 150 * MIB)
            self.honest.proceed()
            for peer in peers:
                peer.close()
            self.settle("martlet_input_partial_bytes", 0)

    def test_half_closed_sockets(self):
        with self.attack(32):
            peers = []
            for number in range(100):
                peer = self.peer()
                if number % 2:
                    peer.send(raw.headers(1, raw.block(WATCH)) + raw.data(1, raw.message(api.WatchRequest(create_request=api.WatchCreateRequest(key=b"honest")))))
                peer.socket.shutdown(socket.SHUT_WR)
                peers.append(peer)
            self.honest.proceed()
            for peer in peers:
                peer.wait_closed(5)


class SlowReaders(Hostile):
    """Peers that ask for much and take nothing."""

    VALUES, SIZE = 3000, 10_000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for start in range(0, cls.VALUES, 100):
            cls.client.txn(success=[op_put(b"large/%05d" % i, os.urandom(cls.SIZE)) for i in range(start, start + 100)])

    def test_lists(self):
        """30 MB each, a thousand times: a list that nobody takes costs a cursor, not its bytes."""
        with self.attack(96):
            request = api.RangeRequest(key=b"large/", range_end=b"large0", serializable=True)
            for method in ("Range", "RangeStream"):
                peer = self.peer(receive_buffer=4096)
                peer.send(b"".join(raw.call(stream, KV + method, request) for stream in range(1, 501, 2)))
                self.honest.proceed()
                # Windows as wide as they can be: now only the socket stands in the way.
                peer.send(raw.settings((raw.INITIAL_WINDOW, 0x7fffffff)) + raw.window(0, 0x7fff0000))
                self.honest.proceed()
                peer.close()

    def test_small_answers(self):
        """Answers below the size from which on they stream, more of them than fit."""
        with self.attack(400):
            request = api.RangeRequest(key=b"large/00000", range_end=b"large/00006", serializable=True)
            body = raw.message(request)
            peer = self.peer(raw.PREFACE + raw.settings((raw.INITIAL_WINDOW, 0)), receive_buffer=4096)
            # The head is in the dynamic table after the first request: a request is some forty bytes from then on.
            fields = [(":method", "POST"), (":scheme", "http"), (":path", KV + "Range"), (":authority", "h"), ("content-type", "application/grpc")]
            peer.send(raw.headers(1, b"".join(raw.literal(*f, indexing=0x40) for f in fields)) + raw.data(1, body, True))
            head = bytes(0x80 | (62 + len(fields) - 1 - i) for i in range(len(fields)))
            for start in range(3, 40_000, 2000):
                if peer.push(b"".join(raw.headers(s, head) + raw.data(s, body, True) for s in range(start, start + 2000, 2)), 2) == 0:
                    break
            self.honest.proceed()
            peer.close()
            self.settle("martlet_output_queued_bytes", MIB)

    def test_watch_streams(self):
        """Events for streams whose windows stay shut: catch-up from the log, not memory."""
        with self.attack(160):
            create = raw.message(api.WatchRequest(create_request=api.WatchCreateRequest(key=b"large/", range_end=b"large0", start_revision=1)))
            peers = [self.peer(raw.PREFACE + raw.settings((raw.INITIAL_WINDOW, 0)), receive_buffer=4096) for _ in range(10)]
            for peer in peers:
                peer.send(b"".join(raw.headers(s, raw.block(WATCH)) + raw.data(s, create) for s in range(1, 21, 2)))
            self.honest.proceed()
            for i in range(200):
                self.client.put(b"large/w", os.urandom(100_000))
            self.honest.proceed()

    def test_one_byte_at_a_time(self):
        """Windows of one byte, opened again and again."""
        with self.attack(64):
            request = api.RangeRequest(key=b"large/", range_end=b"large0", serializable=True)
            peer = self.peer(raw.PREFACE + raw.settings((raw.INITIAL_WINDOW, 1)))
            streams = range(1, 201, 2)
            peer.send(b"".join(raw.call(s, KV + "Range", request) for s in streams))
            for _ in range(200):
                self.assertGreater(peer.push(b"".join(raw.window(s, 1) for s in streams), 10), 0)
                peer.read(0)
            self.honest.proceed()
            enough = lambda _: sum(len(f.payload) for f in peer.frames() if f.kind == raw.DATA) > 10_000
            self.assertIsNotNone(peer.until(enough), peer.frames()[-3:])

    def test_answers_of_many_watches(self):
        """Creations are answered; a stream that does not read its answers is not read from."""
        with self.attack(160):
            create = raw.message(api.WatchRequest(create_request=api.WatchCreateRequest(key=b"k" * 100)))
            peer = self.peer(raw.PREFACE + raw.settings((raw.INITIAL_WINDOW, 0)))
            peer.push(b"".join(raw.headers(s, raw.block(WATCH)) for s in range(1, 101, 2)), 5)
            poured = [peer.pour(s, create * 80_000, 0.3) for s in range(1, 11, 2)]
            self.honest.proceed()
            # Each has sent as much as the windows of a stream that is not read from take.
            self.assertLess(max(poured), len(create) * 80_000)


class Watches(Hostile):
    def test_hundred_thousand_on_a_stream(self):
        with self.attack(160):
            peer = self.peer()
            peer.send(raw.window(0, 0x7fff0000) + raw.settings((raw.INITIAL_WINDOW, 0x7fffffff)) + raw.headers(1, raw.block(WATCH)))
            create = raw.message(api.WatchRequest(create_request=api.WatchCreateRequest(key=b"flood/")))
            self.assertEqual(peer.pour(1, create * 100_000, 60), len(create) * 100_000)
            self.honest.proceed()
            self.settle("etcd_debugging_mvcc_watcher_total", 100_001, least=100_001)
            # A write that all of them want.
            self.client.put(b"flood/", b"x")
            self.honest.proceed()
            # All of them at once.
            cancels = b"".join(raw.message(api.WatchRequest(cancel_request=api.WatchCancelRequest(watch_id=i))) for i in range(100_000))
            peer.pour(1, cancels, 60)
            self.honest.proceed()
            self.settle("etcd_debugging_mvcc_watcher_total", 2)
            peer.close()
            self.settle("etcd_debugging_mvcc_watcher_total", 2)

    def test_storm_of_streams(self):
        with self.attack(160):
            for _ in range(5):
                peer = self.peer()
                create = raw.message(api.WatchRequest(create_request=api.WatchCreateRequest(key=b"honest", start_revision=1)))
                peer.push(b"".join(raw.headers(s, raw.block(WATCH)) + raw.data(s, create) for s in range(1, 4001, 2)), 10)
                self.honest.proceed(1)
                peer.push(b"".join(raw.reset(s) for s in range(1, 4001, 2)), 10)
                peer.close()
            self.settle("etcd_debugging_mvcc_watcher_total", 2)


class Leases(Hostile):
    def test_flood(self):
        """Twenty thousand leases, listed, renewed and left to a connection that breaks."""
        with self.attack(96):
            peer = self.peer()
            peer.send(raw.window(0, 0x7fff0000))
            grant = api.LeaseGrantRequest(TTL=3600)
            for start in range(1, 20_000, 1000):
                peer.push(b"".join(raw.call(s, LEASE + "LeaseGrant", grant) for s in range(start, start + 1000, 2)), 30)
                peer.ended(start + 998, 120)
            self.honest.proceed()
            self.assertGreaterEqual(len(self.client.call("Lease.LeaseLeases").leases), 9_000)
            renew = self.peer()
            renew.send(raw.headers(1, raw.block(LEASE + "LeaseKeepAlive")))
            renew.pour(1, raw.message(api.LeaseKeepAliveRequest(ID=12345)) * 100_000)
            self.honest.proceed()


class Connections(Hostile):
    def test_idle_flood(self):
        """Connections that say nothing, or say that they speak HTTP/2 and then nothing."""
        with self.attack(64):
            peers = []
            for number in range(600):
                peers.append(self.peer(b"" if number % 2 else raw.PREFACE + raw.settings()))
            self.honest.proceed()
            for peer in peers:
                peer.close()
            self.settle("martlet_connections_open", 10)

    def test_garbage(self):
        dice = random.Random(20230)
        firsts = [b"\x16\x03\x01\x02\0\1\0\1\xfc\x03\x03" + bytes(300), b"\0" * 5000, b"SSH-2.0-x\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
                  b"PRI * HTTP/1.1\r\n\r\n", raw.PREFACE[:10], raw.PREFACE + b"GET / HTTP/1.1\r\n\r\n", b"\r\n" * 10_000, b"GET " + b"/a" * 100_000,
                  b"\xff" * 100_000, raw.PREFACE * 3] + [dice.randbytes(dice.randrange(1, 4000)) for _ in range(100)]
        with self.attack(32):
            for first in firsts:
                with socket.create_connection(("127.0.0.1", self.server.client_port), timeout=5) as plain:
                    with contextlib.suppress(OSError):
                        plain.sendall(first)
            self.settle("martlet_connections_open", 10)

    def test_preface_byte_by_byte(self):
        with self.attack(16):
            peer = self.peer(b"")
            for byte in raw.PREFACE + raw.settings():
                self.assertTrue(peer.send(bytes([byte])))
            self.assert_serves(peer, 1)


class Descriptors(Case):
    """More connections than there are file descriptors."""

    def test_connections_beyond_the_limit(self):
        with Server(wrapper=["prlimit", "--nofile=400:400", "--"]) as server, Client(server.address) as client:
            client.put(b"before", b"1")
            peers = []
            for port in (server.client_port, server.peer_port):
                for _ in range(450):
                    plain = socket.socket()
                    plain.setblocking(False)
                    plain.connect_ex(("127.0.0.1", port))
                    peers.append(plain)
            # Accepted connections go on, and so does the store, which opens files for its logs.
            for i in range(50):
                client.put(b"during/%d" % i, os.urandom(1_000_000), timeout=60)
            self.assertIsNone(server.process.poll(), server.tail())
            for plain in peers:
                plain.close()
            with Client(server.address) as other:
                end = time.monotonic() + 60
                while True:
                    try:
                        other.put(b"after", b"1", timeout=5)
                        break
                    except grpc.RpcError:
                        self.assertLess(time.monotonic(), end)
            self.assertEqual(server.stop(), 143)


class Messages(Hostile):
    """What a call may bring: gRPC frames that lie, messages that are none, heads that are wrong."""

    PUT = KV + "Put"
    #: A damaged deletion may delete anything.
    STRICT = False

    def outcome(self, peer, stream, body, end=True, path=PUT, **head):
        """Status and text of a call with this body."""
        peer.send(raw.headers(stream, raw.block(path, *head.pop("extra", ()), **head)))
        peer.pour(stream, body, 5)
        if end:
            peer.send(raw.data(stream, b"", True))
        fields, _ = peer.ended(stream)
        return fields and (fields.get("grpc-status"), fields.get("grpc-message"))

    def test_frames_of_messages(self):
        put = api.PutRequest(key=b"messages", value=b"v")
        text = put.SerializeToString()
        limit = 1572864 + 524288
        packed = lambda body: raw.message(gzip.compress(body), 1)
        cases = {
            "good": (raw.message(put), {}, "0", ""),
            "longer than it says": (raw.message(text + b"rest", length=len(text)), {}, "13", None),
            "shorter than it says": (raw.message(put, length=len(text) + 1), {}, "13", "unexpected EOF"),
            "half a frame head": (b"\0\0\0", {}, "13", "unexpected EOF"),
            "no message": (b"", {}, "13", None),
            "two messages": (raw.message(put) * 2, {}, "13", None),
            "twenty messages": (raw.message(put) * 20, {}, "13", None),
            "unknown format": (raw.message(put, 2), {}, "13", "grpc: received unexpected payload format 2"),
            "format 255": (raw.message(put, 255), {}, "13", "grpc: received unexpected payload format 255"),
            "compressed, no encoding": (raw.message(put, 1), {}, "13", "grpc: compressed flag set with identity or empty encoding"),
            "compressed, identity": (raw.message(put, 1), {"extra": [("grpc-encoding", "identity")]}, "13", "grpc: compressed flag set with identity or empty encoding"),
            "unknown encoding": (raw.message(put, 1), {"extra": [("grpc-encoding", "br")]}, "12", 'grpc: Decompressor is not installed for grpc-encoding "br"'),
            "gzip": (packed(text), {"extra": [("grpc-encoding", "gzip")]}, "0", ""),
            "gzip announced, not used": (raw.message(put), {"extra": [("grpc-encoding", "gzip")]}, "0", ""),
            "gzip of nothing": (packed(b""), {"extra": [("grpc-encoding", "gzip")]}, "3", "etcdserver: key is not provided"),
            "not gzip": (raw.message(put, 1), {"extra": [("grpc-encoding", "gzip")]}, "13", None),
            "gzip cut off": (raw.message(gzip.compress(text)[:-9], 1), {"extra": [("grpc-encoding", "gzip")]}, "13", None),
            "gzip with a wrong checksum": (raw.message(gzip.compress(text)[:-8] + bytes(8), 1), {"extra": [("grpc-encoding", "gzip")]}, "13", None),
            "gzip bomb": (packed(bytes(100 * MIB)), {"extra": [("grpc-encoding", "gzip")]}, "8", f"grpc: received message after decompression larger than max {limit}"),
            "at the limit": (raw.message(bytes(limit)), {}, None, None),
            "over the limit": (raw.message(bytes(limit + 1)), {}, "8", f"grpc: received message larger than max ({limit + 1} vs. {limit})"),
            "announced 4 GiB": (raw.message(b"x", length=0xffffffff), {}, "8", f"grpc: received message larger than max (4294967295 vs. {limit})"),
            "empty message": (raw.message(b""), {}, "3", "etcdserver: key is not provided"),
        }
        with self.attack(48):
            peer, stream = self.peer(), 1
            for name, (body, head, status, text) in cases.items():
                with self.subTest(message=name):
                    got = self.outcome(peer, stream, body, **head)
                    if status is not None:
                        self.assertIsNotNone(got)
                        self.assertEqual((got[0], got[1] if text is not None else None), (status, text), got)
                    stream += 2
            # Refused before the stream's end has come, and without it.
            for body in (raw.message(b"x", length=limit + 1), raw.message(put, 7), raw.message(put) * 2):
                self.assertNotEqual(self.outcome(peer, stream, body, end=False)[0], "0")
                stream += 2
            self.assert_serves(peer, stream)

    def test_many_bombs(self):
        """Fifty times a hundred MiB out of a hundred KiB."""
        with self.attack(48):
            bomb = raw.message(gzip.compress(bytes(100 * MIB)), 1)
            peer = self.peer()
            for stream in range(1, 101, 2):
                self.assertEqual(self.outcome(peer, stream, bomb, extra=[("grpc-encoding", "gzip")])[0], "8")

    def test_heads(self):
        body = raw.message(api.RangeRequest(key=b"honest"))
        cases = {
            "path of no service": ({"path": "/no.Service/Method"}, ("12", "unknown service no.Service")),
            "path of no method": ({"path": KV + "Nothing"}, ("12", "unknown method Nothing for service etcdserverpb.KV")),
            "path without method": ({"path": "/x"}, ("12", None)),
            "path with escapes": ({"path": "/etcdserverpb.KV%2fRange"}, ("12", None)),
            "long path": ({"path": "/" + "a" * 8000 + "/b"}, ("12", None)),
            "path that is no text": ({"path": b"/\xff\xfe/\xff"}, ("12", None)),
            "text in percent signs": ({"path": "/100%/\u00e9"}, ("12", "unknown service 100%25")),
            "subtype": ({"content_type": "application/grpc+proto"}, ("0", "")),
            "parameters": ({"content_type": "application/grpc;charset=utf-8"}, ("0", "")),
            "timeout without unit": ({"extra": [("grpc-timeout", "10")]}, ("13", None)),
            "timeout of nothing": ({"extra": [("grpc-timeout", "")]}, ("13", None)),
            "negative timeout": ({"extra": [("grpc-timeout", "-1S")]}, ("13", None)),
            "long timeout": ({"extra": [("grpc-timeout", "999999999S")]}, ("13", None)),
            "longest timeout": ({"extra": [("grpc-timeout", "99999999H")]}, ("0", "")),
            "timeout twice": ({"extra": [("grpc-timeout", "10S"), ("grpc-timeout", "x")]}, ("13", None)),
        }
        with self.attack(16):
            peer, stream = self.peer(), 1
            for name, (head, (status, text)) in cases.items():
                with self.subTest(head=name):
                    head = dict(head)
                    got = self.outcome(peer, stream, body, path=head.pop("path", KV + "Range"), **head)
                    self.assertIsNotNone(got)
                    self.assertEqual((got[0], got[1] if text is not None else None), (status, text), got)
                    stream += 2
            self.assert_serves(peer, stream)

    #: Requests with every part that there is, so that damage meets every decoder at every depth.
    def requests(self):
        put = api.PutRequest(key=b"damaged", value=b"value", lease=0, prev_kv=True)
        read = api.RangeRequest(key=b"damaged", range_end=b"damagee", limit=3, revision=0, sort_order=1, sort_target=2, serializable=True,
                                keys_only=True, min_mod_revision=1, max_create_revision=1 << 40)
        inner = api.TxnRequest(compare=[api.Compare(key=b"damaged", target=3, result=3, value=b"x")], success=[op_put(b"damaged/2", b"2")], failure=[op_range(b"damaged")])
        txn = api.TxnRequest(
            compare=[api.Compare(key=b"damaged", range_end=b"damagee", target=1, result=1, create_revision=5)],
            success=[op_put(b"damaged/1", b"1"), api.RequestOp(request_txn=inner), api.RequestOp(request_delete_range=api.DeleteRangeRequest(key=b"damaged/3", prev_kv=True))],
            failure=[op_range(b"damaged", b"damagee", limit=1), api.RequestOp(request_txn=api.TxnRequest(success=[api.RequestOp(request_txn=inner)]))])
        create = api.WatchCreateRequest(key=b"damaged", range_end=b"damagee", start_revision=1, progress_notify=True, filters=[0, 1], prev_kv=True, watch_id=7, fragment=True)
        return [
            ("KV/Range", read), ("KV/RangeStream", read), ("KV/Put", put), ("KV/DeleteRange", api.DeleteRangeRequest(key=b"damaged/4", range_end=b"damaged/5", prev_kv=True)),
            ("KV/Txn", txn), ("KV/Compact", api.CompactionRequest(revision=1 << 40, physical=True)),
            ("Watch/Watch", api.WatchRequest(create_request=create)), ("Watch/Watch", api.WatchRequest(cancel_request=api.WatchCancelRequest(watch_id=300))),
            ("Watch/Watch", api.WatchRequest(progress_request=api.WatchProgressRequest())),
            ("Lease/LeaseGrant", api.LeaseGrantRequest(TTL=60, ID=0)), ("Lease/LeaseRevoke", api.LeaseRevokeRequest(ID=1 << 50)),
            ("Lease/LeaseKeepAlive", api.LeaseKeepAliveRequest(ID=1 << 50)), ("Lease/LeaseTimeToLive", api.LeaseTimeToLiveRequest(ID=1 << 50, keys=True)),
            ("Lease/LeaseLeases", api.LeaseLeasesRequest()), ("Cluster/MemberList", api.MemberListRequest(linearizable=True)),
            ("Cluster/MemberRemove", api.MemberRemoveRequest(ID=1 << 60)), ("Cluster/MemberPromote", api.MemberPromoteRequest(ID=1 << 60)),
            ("Cluster/MemberUpdate", api.MemberUpdateRequest(ID=1 << 60, peerURLs=["http://127.0.0.1:1"])),
            ("Maintenance/Status", api.StatusRequest()), ("Maintenance/HashKV", api.HashKVRequest(revision=1)),
            ("Maintenance/MoveLeader", api.MoveLeaderRequest(targetID=1 << 60)), ("Auth/AuthStatus", api.AuthStatusRequest()),
            ("Auth/Authenticate", api.AuthenticateRequest(name="user", password="secret")), ("Auth/UserGet", api.AuthUserGetRequest(name="user")),
            ("Auth/RoleGet", api.AuthRoleGetRequest(role="role")),
        ]

    def test_damaged_messages(self):
        """Every request cut at every byte, and with every byte changed: a status each, Internal for what cannot be decoded."""
        seed = int(os.environ.get("MARTLET_SEED") or 4711)
        dice = random.Random(seed)
        rounds = int(os.environ.get("MARTLET_SOAK") or 1)
        with self.attack(48):
            for method, request in self.requests():
                with self.subTest(method=method, seed=seed):
                    good = request.SerializeToString()
                    damaged = [good[:n] for n in range(len(good))]
                    for n in range(len(good)):
                        for value in {0, 0x7f, 0x80, 0xff, good[n] ^ 1, good[n] ^ 1 << dice.randrange(8), dice.randrange(256)}:
                            damaged.append(good[:n] + bytes([value]) + good[n + 1:])
                        damaged.append(good[:n] + dice.randbytes(dice.randrange(1, 9)) + good[n + dice.randrange(0, 9):])
                    for _ in range(50 * rounds):
                        damaged.append(dice.randbytes(dice.randrange(0, 60)))
                    self.send_damaged("/etcdserverpb." + method, damaged, type(request))

    def send_damaged(self, path, bodies, kind):
        peer = self.peer()
        peer.send(raw.window(0, 0x7fff0000))
        streams = range(1, 2 * len(bodies), 2)
        # A watch goes on when its client has ended its side.
        patience = "500m" if path.endswith("Watch") else "20S"
        for start in range(0, len(bodies), 1000):
            part = list(zip(streams, bodies))[start:start + 1000]
            self.assertTrue(peer.send(b"".join(raw.headers(s, raw.block(path, ("grpc-timeout", patience))) + raw.data(s, raw.message(body), True) for s, body in part)))
            for stream, body in part:
                fields, _ = peer.ended(stream, 60)
                status = None if fields is None else fields.get("grpc-status")
                self.assertNotIn(status, (None, "2") if fields is not None and "unexpected" in fields.get("grpc-message", "") else (None,), body)
                try:
                    kind.FromString(body)
                except Exception:
                    # Only what nobody can decode; the empty messages of some methods are not even looked at.
                    if kind.DESCRIPTOR.fields and path.rsplit("/")[-1] not in ("Status",):
                        self.assertIn(status, ("13", "3", "12"), (body, fields))
        peer.close()

    def test_deep_transactions(self):
        """A transaction in a transaction, as deep as a request can be; and as wide."""
        with self.attack(64):
            for depth in (10, 127, 129, 1000, 10_000, 100_000):
                body = b""
                for _ in range(depth):
                    # TxnRequest.success = RequestOp.request_txn = what there is so far.
                    operation = b"\x22" + raw_varint(len(body)) + body
                    body = b"\x12" + raw_varint(len(operation)) + operation
                    if len(body) > 1_500_000:
                        break
                peer = self.peer()
                status, _ = self.outcome(peer, 1, raw.message(body), path=KV + "Txn")
                self.assertEqual(status, "0" if depth <= 127 else "3", depth)
                peer.close()
            # Groups, which nobody uses, nested likewise.
            peer = self.peer()
            self.assertEqual(self.outcome(peer, 1, raw.message(b"\x9b\x06" * 500_000), path=KV + "Txn")[0], "13")
            wide = b"\x12\x00" * 700_000
            self.assertEqual(self.outcome(peer, 3, raw.message(wide), path=KV + "Txn")[0], "3")


def raw_varint(value):
    out = bytearray()
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


class Amplification(Hostile):
    """Small requests with huge answers."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for start in range(0, 2000, 100):
            cls.client.txn(success=[op_put(b"big/%05d" % i, os.urandom(10_000)) for i in range(start, start + 100)])

    def test_transactions_of_many_lists(self):
        """A hundred times the same 20 MB in one answer; a transaction that also writes is done, but too long to be told of."""
        with self.attack(480):
            lists = [op_range(b"big/", b"big0") for _ in range(100)]
            for number, extra in enumerate(([], [op_put(b"txn", b"")])):
                peer = self.peer(raw.PREFACE + raw.settings((raw.INITIAL_WINDOW, 0)))
                for stream in range(1, 7, 2):
                    peer.send(raw.call(stream, KV + "Txn", api.TxnRequest(success=lists + extra)))
                self.honest.proceed()
                if extra:
                    fields, _ = peer.ended(5)
                    self.assertEqual(fields["grpc-status"], "8")
                    self.assertRegex(fields["grpc-message"], r"^trying to send message larger than max \(\d+ vs. 67108864\)$")
                    self.assertEqual(self.client.get(b"txn").version, 3)
                else:
                    # As much of it as is asked for.
                    peer.send(raw.window(0, 0x7fff0000), raw.window(5, 50 * MIB))
                    enough = lambda _: sum(len(f.payload) for f in peer.frames() if f.kind == raw.DATA) >= 50 * MIB
                    self.assertIsNotNone(peer.until(enough, 60))
                peer.close()

    def test_streams_of_large_values(self):
        with self.attack(200):
            for i in range(40):
                self.client.put(b"huge/%d" % i, os.urandom(1_400_000))
            request = api.RangeRequest(key=b"huge/", range_end=b"huge0", serializable=True)
            peer = self.peer(raw.PREFACE + raw.settings((raw.INITIAL_WINDOW, 0)))
            peer.send(b"".join(raw.call(s, KV + "RangeStream", request) for s in range(1, 201, 2)))
            self.honest.proceed()

    def test_sorted_lists(self):
        with self.attack(96):
            for i in range(0, 20_000, 100):
                self.client.txn(success=[op_put(b"sort/%06d" % j, b"%d" % (j * 7919 % 1000)) for j in range(i, i + 100)])
            peer = self.peer(raw.PREFACE + raw.settings((raw.INITIAL_WINDOW, 0)))
            peer.send(b"".join(raw.call(s, KV + "Range", api.RangeRequest(key=b"sort/", range_end=b"sort0", sort_target=4, sort_order=2, serializable=True)) for s in range(1, 61, 2)))
            self.honest.proceed()

