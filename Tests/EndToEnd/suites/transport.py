"""gRPC over HTTP/2: metadata, deadlines, framing, flow control, resets, pings, shutdown, many connections."""

import socket
import struct
import threading
import time

import grpc
import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from harness import api
from harness.case import Case, Code, SharedServer, since
from harness.client import Client, prefix_end
from harness.server import Server


def message(request):
    body = request if isinstance(request, bytes) else request.SerializeToString()
    return struct.pack(">BI", 0, len(body)) + body


class Http2:
    """A connection on which a test decides about each frame."""

    def __init__(self, server, window=None):
        self.socket = socket.create_connection(("127.0.0.1", server.client_port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        if window is not None:
            self.connection.local_settings = h2.settings.Settings(
                client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.connection.initiate_connection()
        self.authority = f"127.0.0.1:{server.client_port}"
        self.events = []
        self.raw = b""
        self.closed = False
        self.acknowledge = True
        self.flush()

    def flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def headers(self, path, **extra):
        stream = self.connection.get_next_available_stream_id()
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", self.authority),
                  ("content-type", "application/grpc"), ("te", "trailers")]
        fields += [(name.replace("_", "-"), value) for name, value in extra.items()]
        self.connection.send_headers(stream, fields)
        self.flush()
        return stream

    def data(self, stream, body, end=False):
        self.connection.send_data(stream, body, end_stream=end)
        self.flush()

    def call(self, path, request, **extra):
        stream = self.headers(path, **extra)
        self.data(stream, message(request), end=True)
        return stream

    def read(self, timeout=10):
        """Reads once; False when nothing came or the connection is closed."""
        self.socket.settimeout(timeout)
        try:
            data = self.socket.recv(1 << 20)
        except (TimeoutError, socket.timeout):
            return False
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return False
        self.raw += data
        try:
            events = self.connection.receive_data(data)
        except h2.exceptions.ProtocolError:
            # The library takes a connection for closed after GOAWAY; what the server still sends is then an error.
            self.closed = True
            return False
        for event in events:
            if isinstance(event, h2.events.DataReceived) and self.acknowledge:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            self.events.append(event)
        try:
            self.flush()
        except OSError:
            pass
        return True

    def until(self, kind, stream=None, timeout=10):
        """Reads until there is such an event (of the stream); returns it."""
        deadline = time.monotonic() + timeout
        while True:
            for event in self.events:
                if isinstance(event, kind) and (stream is None or getattr(event, "stream_id", None) == stream):
                    return event
            left = deadline - time.monotonic()
            if left <= 0 or not self.read(left) and (self.closed or left < 0.01):
                raise AssertionError(f"no {kind.__name__} (closed: {self.closed}) among {self.events[-5:]}")

    def body(self, stream):
        return b"".join(e.data for e in self.events if isinstance(e, h2.events.DataReceived) and e.stream_id == stream)

    def answer(self, stream):
        """The one message of a finished call, with the trailers."""
        self.until(h2.events.StreamEnded, stream)
        trailers = {}
        for event in self.events:
            if isinstance(event, (h2.events.TrailersReceived, h2.events.ResponseReceived)) and event.stream_id == stream:
                trailers.update(dict(event.headers))
        return self.body(stream), trailers

    def goaways(self):
        """(error code, debug data) of each GOAWAY frame that came."""
        found, position = [], 0
        while position + 9 <= len(self.raw):
            size, kind = int.from_bytes(self.raw[position:position + 3], "big"), self.raw[position + 3]
            payload = self.raw[position + 9:position + 9 + size]
            if kind == 7:
                found.append((int.from_bytes(payload[4:8], "big"), payload[8:]))
            position += 9 + size
        return found

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Metadata(SharedServer):
    def test_has_leader(self):
        self.client.call("KV.Range", key=b"a", metadata=(("hasleader", "true"),))
        self.client.call("KV.Range", key=b"a", metadata=(("hasleader", "nonsense"),))
        with self.client.watch(metadata=(("hasleader", "true"),)) as stream:
            self.assertTrue(stream.create(b"a").created)

    def test_client_api_version(self):
        for value in ("3.6", "anything", "x" * 1000):
            self.client.call("KV.Range", key=b"a", metadata=(("client-api-version", value),))

    @since(3, 6)
    def test_client_api_version_that_is_no_text(self):
        with Http2(self.server) as connection:
            stream = connection.call("/etcdserverpb.KV/Range", api.RangeRequest(key=b"a"), client_api_version=b"\xff\xfe")
            _, trailers = connection.answer(stream)
            self.assertEqual((trailers["grpc-status"], trailers["grpc-message"]), ("3", "etcdserver: invalid client api version"))

    def test_any_other(self):
        self.client.call("KV.Range", key=b"a", metadata=(("traceparent", "00-" + "1" * 32 + "-" + "2" * 16 + "-01"),
                                                         ("x-bin-bin", b"\0\1\2"), ("source", "cache")))

    def test_much_of_it(self):
        self.client.call("KV.Range", key=b"a", metadata=tuple((f"x-header-{i}", "v" * 50) for i in range(50)))


class Deadlines(SharedServer):
    def test_expired(self):
        # On the wire: a client rounds a timeout of nothing up to a millisecond, in which a write can be done.
        with Http2(self.server) as connection:
            stream = connection.call("/etcdserverpb.KV/Put", api.PutRequest(key=self.k()), grpc_timeout="1n")
            deadline = time.monotonic() + 5
            ended = []
            while not ended and time.monotonic() < deadline:
                connection.read(0.5)
                # Go's server may reset the stream instead of ending it with a status.
                ended = [e for e in connection.events if isinstance(e, (h2.events.TrailersReceived, h2.events.ResponseReceived, h2.events.StreamReset))
                         and (isinstance(e, h2.events.StreamReset) or b"grpc-status" in dict((k if isinstance(k, bytes) else k.encode(), v) for k, v in e.headers))]
            self.assertTrue(ended)
            for event in ended:
                if not isinstance(event, h2.events.StreamReset):
                    fields = {str(k, "ascii") if isinstance(k, bytes) else k: str(v, "ascii") if isinstance(v, bytes) else v for k, v in event.headers}
                    self.assertEqual(fields["grpc-status"], "4")
            self.assertEqual(ended[0].stream_id, stream)

    def test_all_units(self):
        for value in ("10H", "100M", "20S", "20000m", "20000000u", "99999999n"):
            with Http2(self.server) as connection:
                stream = connection.call("/etcdserverpb.KV/Range", api.RangeRequest(key=b"a"), grpc_timeout=value)
                _, trailers = connection.answer(stream)
                self.assertEqual(trailers["grpc-status"], "0", value)

    def test_of_a_stream(self):
        with Http2(self.server) as connection:
            stream = connection.headers("/etcdserverpb.Watch/Watch", grpc_timeout="300m")
            connection.data(stream, message(api.WatchRequest(create_request=api.WatchCreateRequest(key=b"a"))))
            started = time.monotonic()
            # Go's server resets the stream or ends it with a status; both end the call.
            deadline = time.monotonic() + 5
            ended = False
            while not ended and time.monotonic() < deadline:
                connection.read(0.5)
                ended = any(isinstance(e, (h2.events.StreamEnded, h2.events.StreamReset)) for e in connection.events)
            self.assertTrue(ended)
            self.assertGreater(time.monotonic() - started, 0.2)


class Framing(SharedServer):
    def test_headers_and_trailers(self):
        with Http2(self.server) as connection:
            stream = connection.call("/etcdserverpb.KV/Range", api.RangeRequest(key=b"a"))
            body, _ = connection.answer(stream)
            head = dict(next(e for e in connection.events if isinstance(e, h2.events.ResponseReceived)).headers)
            tail = dict(next(e for e in connection.events if isinstance(e, h2.events.TrailersReceived)).headers)
            self.assertEqual((head[":status"], head["content-type"]), ("200", "application/grpc"))
            self.assertEqual(tail["grpc-status"], "0")
            self.assertEqual(body[:1], b"\0")
            self.assertEqual(struct.unpack(">I", body[1:5])[0], len(body) - 5)

    def test_error_status_is_percent_encoded_text(self):
        with Http2(self.server) as connection:
            stream = connection.call("/etcdserverpb.KV/Range", api.RangeRequest())
            _, trailers = connection.answer(stream)
            self.assertEqual((trailers["grpc-status"], trailers["grpc-message"]), ("3", "etcdserver: key is not provided"))

    def test_message_in_many_frames(self):
        with Http2(self.server) as connection:
            body = message(api.PutRequest(key=self.k(), value=b"byte by byte"))
            stream = connection.headers("/etcdserverpb.KV/Put")
            for i in range(len(body)):
                connection.data(stream, body[i:i + 1], end=i == len(body) - 1)
            self.assertEqual(connection.answer(stream)[1]["grpc-status"], "0")
        self.assertEqual(self.client.get(self.k()).value, b"byte by byte")

    def test_end_of_stream_in_a_frame_of_its_own(self):
        with Http2(self.server) as connection:
            stream = connection.headers("/etcdserverpb.KV/Put")
            connection.data(stream, message(api.PutRequest(key=self.k())))
            connection.data(stream, b"", end=True)
            self.assertEqual(connection.answer(stream)[1]["grpc-status"], "0")

    def test_many_messages_in_a_frame(self):
        with Http2(self.server) as connection:
            stream = connection.headers("/etcdserverpb.Watch/Watch")
            create = lambda i: message(api.WatchRequest(create_request=api.WatchCreateRequest(key=self.k(i))))
            connection.data(stream, b"".join(create(i) for i in range(50)))
            deadline = time.monotonic() + 10
            got = []
            while len(got) < 50 and time.monotonic() < deadline:
                connection.read(1)
                got, rest = [], connection.body(stream)
                while len(rest) >= 5 and len(rest) >= 5 + struct.unpack(">I", rest[1:5])[0]:
                    size = struct.unpack(">I", rest[1:5])[0]
                    got.append(api.WatchResponse.FromString(rest[5:5 + size]))
                    rest = rest[5 + size:]
            self.assertEqual([r.watch_id for r in got], list(range(50)))

    def test_padded_frames(self):
        with Http2(self.server) as connection:
            stream = connection.headers("/etcdserverpb.KV/Put")
            connection.connection.send_data(stream, message(api.PutRequest(key=self.k())), end_stream=True, pad_length=200)
            connection.flush()
            self.assertEqual(connection.answer(stream)[1]["grpc-status"], "0")

    def test_many_calls_at_once_on_a_connection(self):
        with Http2(self.server) as connection:
            streams = [connection.call("/etcdserverpb.KV/Put", api.PutRequest(key=self.k(i), value=b"%d" % i)) for i in range(100)]
            for stream in streams:
                self.assertEqual(connection.answer(stream)[1]["grpc-status"], "0")
        self.assertEqual(self.client.range(self.k(), prefix_end(self.k())).count, 100)

    def test_garbage_message(self):
        with self.fails(Code.INTERNAL):
            self.client.raw("/etcdserverpb.KV/Range", b"\xff\xff\xff\xff")
        with self.fails(Code.INTERNAL):
            self.client.raw("/etcdserverpb.KV/Put", api.PutRequest(key=b"abc").SerializeToString()[:-1])
        self.client.range(b"a")

    def test_no_message(self):
        with Http2(self.server) as connection:
            stream = connection.headers("/etcdserverpb.KV/Range")
            connection.data(stream, b"", end=True)
            _, trailers = connection.answer(stream)
            self.assertNotEqual(trailers.get("grpc-status"), "0")

    def test_wrong_content_type(self):
        with Http2(self.server) as connection:
            stream = connection.connection.get_next_available_stream_id()
            connection.connection.send_headers(stream, [
                (":method", "POST"), (":scheme", "http"), (":path", "/etcdserverpb.KV/Range"), (":authority", "x"),
                ("content-type", "application/json")], end_stream=True)
            connection.flush()
            connection.until(h2.events.StreamEnded, stream)
            head = dict(next(e for e in connection.events if isinstance(e, h2.events.ResponseReceived)).headers)
            self.assertIn(head[":status"], ("404", "415"))

    def test_compressed_request(self):
        with Client(self.server.address, options=[("grpc.default_compression_algorithm", 2)]) as client:
            client.put(self.k(), b"abc" * 10_000)
        self.assertEqual(self.client.get(self.k()).value, b"abc" * 10_000)

    def test_declared_length_over_the_limit(self):
        with Http2(self.server) as connection:
            stream = connection.headers("/etcdserverpb.KV/Put")
            connection.data(stream, struct.pack(">BI", 0, 1 << 30) + b"x" * 1000)
            deadline = time.monotonic() + 10
            fields = {}
            while "grpc-status" not in fields and time.monotonic() < deadline:
                connection.read(1)
                for event in connection.events:
                    if isinstance(event, (h2.events.TrailersReceived, h2.events.ResponseReceived)):
                        fields.update(dict(event.headers))
            self.assertEqual(fields.get("grpc-status"), "8")


class HttpBesideGrpc(SharedServer):
    @since(3, 7)
    def test_one_connection_for_both(self):
        with Http2(self.server) as connection:
            for _ in range(20):
                stream = connection.connection.get_next_available_stream_id()
                connection.connection.send_headers(stream, [
                    (":method", "GET"), (":scheme", "http"), (":path", "/health"), (":authority", connection.authority)], end_stream=True)
                connection.flush()
                self.assertEqual(connection.answer(stream)[0], b'{"health":"true","reason":""}')
                stream = connection.call("/etcdserverpb.KV/Range", api.RangeRequest(key=b"a"))
                self.assertEqual(connection.answer(stream)[1]["grpc-status"], "0")


class FlowControl(SharedServer):
    def test_answer_waits_for_the_window(self):
        for i in range(20):
            self.client.put(self.k(i), b"x" * 100_000)
        with Http2(self.server) as connection:
            connection.acknowledge = False
            stream = connection.call("/etcdserverpb.KV/Range", api.RangeRequest(key=self.k(), range_end=prefix_end(self.k())))
            while connection.read(0.5):
                pass
            self.assertLessEqual(len(connection.body(stream)), 65535)
            # Others on other connections are served meanwhile, and so are pings here.
            self.client.put(self.k(0))
            connection.connection.ping(b"12345678")
            connection.flush()
            connection.until(h2.events.PingAckReceived)
            connection.acknowledge = True
            received = len(connection.body(stream))
            connection.connection.increment_flow_control_window(1 << 24)
            connection.connection.increment_flow_control_window(1 << 24, stream)
            connection.flush()
            body, trailers = connection.answer(stream)
            self.assertGreater(len(body), received)
            self.assertEqual((trailers["grpc-status"], len(api.RangeResponse.FromString(body[5:]).kvs)), ("0", 20))

    def test_tiny_windows(self):
        self.client.put(self.k(), b"x" * 20_000)
        with Http2(self.server, window=100) as connection:
            stream = connection.call("/etcdserverpb.KV/Range", api.RangeRequest(key=self.k()))
            body, trailers = connection.answer(stream)
            self.assertEqual((trailers["grpc-status"], len(api.RangeResponse.FromString(body[5:]).kvs[0].value)), ("0", 20_000))


class Resets(SharedServer):
    def test_cancelled_watch(self):
        with Http2(self.server) as connection:
            for _ in range(20):
                stream = connection.headers("/etcdserverpb.Watch/Watch")
                connection.data(stream, message(api.WatchRequest(create_request=api.WatchCreateRequest(key=self.k()))))
                connection.until(h2.events.DataReceived, stream)
                connection.connection.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
                connection.flush()
            self.client.put(self.k())
            stream = connection.call("/etcdserverpb.KV/Range", api.RangeRequest(key=self.k()))
            self.assertEqual(connection.answer(stream)[1]["grpc-status"], "0")

    def test_thousands_of_cancelled_calls(self):
        """Normal for an API server whose clients go away; not an attack to close the connection for."""
        with Http2(self.server) as connection:
            for i in range(2000):
                stream = connection.connection.get_next_available_stream_id()
                connection.connection.send_headers(stream, [
                    (":method", "POST"), (":scheme", "http"), (":path", "/etcdserverpb.Watch/Watch"),
                    (":authority", connection.authority), ("content-type", "application/grpc"), ("te", "trailers")])
                connection.connection.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
                if i % 20 == 19:
                    connection.flush()
                    time.sleep(0.01)
            stream = connection.call("/etcdserverpb.KV/Range", api.RangeRequest(key=self.k()))
            self.assertEqual(connection.answer(stream)[1]["grpc-status"], "0")

    def test_connections_that_say_nothing_or_vanish(self):
        for _ in range(50):
            socket.create_connection(("127.0.0.1", self.server.client_port)).close()
        for _ in range(10):
            connection = Http2(self.server)
            connection.headers("/etcdserverpb.Watch/Watch")
            connection.close()
        with socket.create_connection(("127.0.0.1", self.server.client_port)) as plain:
            plain.sendall(b"\x16\x03\x01 this is no protocol that is spoken here\r\n\r\n")
            plain.settimeout(5)
            try:
                plain.recv(1000)
            except OSError:
                pass
        self.client.put(self.k())

    def test_client_goes_away_in_the_middle(self):
        for i in range(20):
            self.client.put(self.k(i), b"x" * 100_000)
        for _ in range(20):
            connection = Http2(self.server)
            connection.call("/etcdserverpb.KV/Range", api.RangeRequest(key=self.k(), range_end=prefix_end(self.k())))
            connection.read(1)
            connection.close()
        self.client.put(self.k())


class Pings(SharedServer):
    def test_answered_at_once_under_load(self):
        """grpc-go's clients ping with each burst of data; those with a stream open may ping as they like."""
        with Http2(self.server) as connection:
            stream = connection.headers("/etcdserverpb.Watch/Watch")
            connection.data(stream, message(api.WatchRequest(create_request=api.WatchCreateRequest(key=b"zzz"))))
            connection.until(h2.events.DataReceived, stream)
            slowest = 0
            for i in range(2):
                connection.events.clear()
                started = time.monotonic()
                connection.connection.ping(struct.pack(">Q", i))
                connection.flush()
                connection.until(h2.events.PingAckReceived)
                slowest = max(slowest, time.monotonic() - started)
            self.assertLess(slowest, 1)

    def test_pings_among_data_are_no_flood(self):
        with Http2(self.server) as connection:
            for i in range(300):
                stream = connection.call("/etcdserverpb.KV/Range", api.RangeRequest(key=b"a"))
                connection.connection.ping(bytes.fromhex("02041010090e0707"))
                connection.flush()
                self.assertEqual(connection.answer(stream)[1]["grpc-status"], "0")

    def test_too_many_without_data(self):
        """Pings closer than --grpc-keepalive-min-time on a connection without a stream end it with GOAWAY."""
        with Http2(self.server) as connection:
            deadline = time.monotonic() + 20
            try:
                while time.monotonic() < deadline and not connection.closed:
                    if connection.goaways():
                        break
                    connection.connection.ping(b"\0" * 8)
                    connection.flush()
                    connection.read(0.05)
                    time.sleep(0.02)
            except (OSError, h2.exceptions.ProtocolError):
                pass
            self.assertEqual(connection.goaways(), [(h2.errors.ErrorCodes.ENHANCE_YOUR_CALM, b"too_many_pings")])


class Shutdown(Case):
    def test_goaway_and_no_half_answers(self):
        with Server() as server:
            with Http2(server) as connection:
                stream = connection.call("/etcdserverpb.KV/Put", api.PutRequest(key=b"a"))
                self.assertEqual(connection.answer(stream)[1]["grpc-status"], "0")
                stopper = threading.Thread(target=server.stop)
                stopper.start()
                deadline = time.monotonic() + 20
                while not connection.goaways() and not connection.closed and time.monotonic() < deadline:
                    connection.read(1)
                connection.close()
                stopper.join()
                self.assertEqual([code for code, _ in connection.goaways()][:1], [h2.errors.ErrorCodes.NO_ERROR])

    def test_acknowledged_means_written(self):
        """Writers run into the shutdown; what was answered OK is there afterwards."""
        with Server() as server:
            acked, threads = [set() for _ in range(8)], []

            def write(n):
                with Client(server.address) as client:
                    for i in range(100_000):
                        try:
                            client.put(b"%d/%d" % (n, i), timeout=5)
                        except grpc.RpcError:
                            return
                        acked[n].add(i)

            for n in range(8):
                threads.append(threading.Thread(target=write, args=(n,)))
                threads[-1].start()
            time.sleep(1)
            self.assertEqual(server.stop(), 143)
            [t.join() for t in threads]
            server.start()
            with Client(server.address) as client:
                for n in range(8):
                    kept = {int(kv.key.split(b"/")[1]) for kv in client.range(b"%d/" % n, b"%d0" % n, keys_only=True).kvs}
                    self.assertLessEqual(acked[n], kept)
                    self.assertLessEqual(len(kept - acked[n]), 1)


class Keepalive(SharedServer):
    def test_clients_that_ping_every_ten_seconds(self):
        """grpc's own keepalive with a time-out of 100 ms, as some launchers set it."""
        options = [("grpc.keepalive_time_ms", 10_000), ("grpc.keepalive_timeout_ms", 100), ("grpc.keepalive_permit_without_calls", 0)]
        with Client(self.server.address, options) as client, client.watch() as stream:
            stream.create(self.k())
            time.sleep(11)
            client.put(self.k())
            self.assertEqual(len(stream.events(1)), 1)


class Connections(SharedServer):
    def test_two_hundred(self):
        clients = [Client(self.server.address) for _ in range(200)]
        try:
            futures = [c.stub("KV.Put").future(api.PutRequest(key=self.k(i)), timeout=30) for i, c in enumerate(clients)]
            revisions = {f.result().header.revision for f in futures}
            self.assertEqual(len(revisions), 200)
        finally:
            [c.close() for c in clients]
