"""A peer that says exactly what a test wants: HTTP/2 frames and HTTP/1 bytes by hand, on plain sockets.

No library stands between the test and the wire, because a library refuses to say what hostile peers say.
"""

import collections
import select
import socket
import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 3, 7, 8, 11
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 1, 2, 3, 4, 5

Frame = collections.namedtuple("Frame", "kind flags stream payload")


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value, bits, first=0):
    """HPACK's integer with a prefix of so many bits."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out = bytearray([first | limit])
    value -= limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal(name, value, indexing=0x00):
    """A header field as a literal; 0x40 puts it into the dynamic table."""
    name, value = (x.encode() if isinstance(x, str) else x for x in (name, value))
    return bytes([indexing]) + integer(len(name), 7) + name + integer(len(value), 7) + value


def block(path, *extra, method="POST", content_type="application/grpc", scheme="http", authority="hostile"):
    fields = [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority)]
    if content_type is not None:
        fields.append(("content-type", content_type))
    return b"".join(literal(*field) for field in [*fields, ("te", "trailers"), *extra])


def headers(stream, header_block, end=False, size=16384):
    """HEADERS, and CONTINUATIONs if the block is long."""
    parts = [header_block[i:i + size] for i in range(0, len(header_block), size)] or [b""]
    out = []
    for i, part in enumerate(parts):
        flags = (END_HEADERS if i == len(parts) - 1 else 0) | (END_STREAM if end and i == 0 else 0)
        out.append(frame(HEADERS if i == 0 else CONTINUATION, flags, stream, part))
    return b"".join(out)


def data(stream, body, end=False):
    """DATA frames of a legal size."""
    parts = [body[i:i + 16384] for i in range(0, len(body), 16384)] or [b""]
    return b"".join(frame(DATA, END_STREAM if end and i == len(parts) - 1 else 0, stream, part) for i, part in enumerate(parts))


def message(request, flag=0, length=None):
    """A gRPC message, whose frame may lie about its length."""
    body = request if isinstance(request, bytes) else request.SerializeToString()
    return struct.pack(">BI", flag, len(body) if length is None else length) + body


def settings(*pairs):
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", key, value) for key, value in pairs))


def window(stream, increment):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def reset(stream, error=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", error))


def ping(number=0, flags=0):
    return frame(PING, flags, 0, struct.pack(">Q", number))


def call(stream, path, request, end=True, **options):
    return headers(stream, block(path, **options)) + data(stream, message(request), end)


class Peer:
    """One connection. What it receives is kept, and taken apart when asked for."""

    def __init__(self, server, first=PREFACE + settings(), receive_buffer=None, timeout=20):
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", server.client_port))
        self.received = bytearray()
        self.is_closed = False
        self._frames, self._position = [], 0
        self._windows, self._first_window, self._windows_seen = {}, 65_535, 0
        self._sorted, self._fields, self._bodies, self._ended, self._reset = 0, {}, {}, set(), set()
        self._decoder = hpack.Decoder()
        self._decoder.max_header_list_size = 1 << 20
        if first:
            self.send(first)

    def send(self, *parts):
        """False when the server has closed, or takes no more."""
        try:
            self.socket.sendall(b"".join(parts))
            return True
        except OSError:
            return False

    def push(self, payload, seconds=2.0):
        """Sends as much as the server takes, without ever waiting longer than so for it; returns how much."""
        sent = 0
        view = memoryview(payload)
        self.socket.setblocking(False)
        try:
            while sent < len(view):
                if not select.select([], [self.socket], [], seconds)[1]:
                    break
                try:
                    sent += self.socket.send(view[sent:sent + (1 << 18)])
                except BlockingIOError:
                    continue
                except OSError:
                    self.is_closed = True
                    break
        finally:
            self.socket.setblocking(True)
            self.socket.settimeout(20)
        return sent

    def window(self, stream):
        """Bytes that may be sent on a stream (0: the connection) by what has come so far."""
        frames = self.frames()
        for item in frames[self._windows_seen:]:
            if item.kind == WINDOW_UPDATE:
                self._windows[item.stream] = self._windows.get(item.stream, 0) + int.from_bytes(item.payload, "big")
            elif item.kind == SETTINGS and not item.flags & ACK:
                # Only an acknowledged setting counts.
                self.send(frame(SETTINGS, ACK))
                for key, value in struct.iter_unpack(">HI", item.payload):
                    if key == INITIAL_WINDOW:
                        self._first_window = value
        self._windows_seen = len(frames)
        return self._windows.get(stream, 0) + (self._first_window if stream else 65_535)

    def pour(self, stream, body, seconds=2.0):
        """DATA as the windows allow; gives up when none opens for so long. Returns how many bytes went."""
        sent, end = 0, time.monotonic() + seconds
        while sent < len(body) and not self.is_closed:
            room = min(self.window(0), self.window(stream), 1 << 18, len(body) - sent)
            if room <= 0:
                if not self.read(max(0, end - time.monotonic())) and (self.is_closed or time.monotonic() > end):
                    break
                continue
            frames = data(stream, body[sent:sent + room])
            if self.push(frames, seconds) < len(frames):
                break
            for which in (0, stream):
                self._windows[which] = self._windows.get(which, 0) - room
            sent += room
            end = time.monotonic() + seconds
        return sent

    def read(self, seconds=0.2):
        """Receives once; False when nothing came in time, or the server has closed."""
        if self.is_closed or not select.select([self.socket], [], [], seconds)[0]:
            return False
        try:
            some = self.socket.recv(1 << 20)
        except OSError:
            some = b""
        if not some:
            self.is_closed = True
            return False
        self.received += some
        return True

    def frames(self):
        """All frames that have come so far."""
        data = self.received
        while len(data) >= self._position + 9:
            size = int.from_bytes(data[self._position:self._position + 3], "big")
            if len(data) < self._position + 9 + size:
                break
            kind, flags, stream = struct.unpack(">BBI", data[self._position + 3:self._position + 9])
            self._frames.append(Frame(kind, flags, stream, bytes(data[self._position + 9:self._position + 9 + size])))
            self._position += 9 + size
        return self._frames

    def until(self, condition, seconds=30):
        """The first frame for which the condition holds; None when the server closes, or it does not come."""
        end, seen = time.monotonic() + seconds, 0
        while True:
            found = self.frames()
            for item in found[seen:]:
                seen += 1
                if condition(item):
                    return item
            if time.monotonic() > end or (not self.read(min(1, max(0, end - time.monotonic()))) and self.is_closed):
                return None

    def ended(self, stream, seconds=30):
        """Waits for the end of a stream; its fields (None if it was reset without any) and its body."""
        end = time.monotonic() + seconds
        while True:
            self._sort_frames()
            if stream in self._ended:
                fields = self._fields.get(stream)
                return (fields or {}) if stream not in self._reset or fields else None, bytes(self._bodies.get(stream, b""))
            if time.monotonic() > end or (not self.read(min(1, max(0, end - time.monotonic()))) and self.is_closed):
                raise AssertionError(f"stream {stream} did not end (closed: {self.is_closed}); last frames: {self.frames()[-4:]}")

    def _sort_frames(self):
        """Puts what has come to its streams. Header blocks go through the one decoder in order."""
        frames = self.frames()
        for item in frames[self._sorted:]:
            if item.kind == HEADERS:
                self._fields.setdefault(item.stream, {}).update(self._decoder.decode(item.payload))
            elif item.kind == DATA:
                self._bodies.setdefault(item.stream, bytearray()).extend(item.payload)
            elif item.kind == RST_STREAM:
                self._reset.add(item.stream)
            if item.kind == RST_STREAM or item.kind in (DATA, HEADERS) and item.flags & END_STREAM:
                self._ended.add(item.stream)
        self._sorted = len(frames)

    def error(self):
        """The error code of the last GOAWAY, or None."""
        for item in reversed(self.frames()):
            if item.kind == GOAWAY:
                return int.from_bytes(item.payload[4:8], "big")
        return None

    def wait_closed(self, seconds=30):
        """Whether the server closes the connection in time."""
        end = time.monotonic() + seconds
        while not self.is_closed and time.monotonic() < end:
            self.read(0.5)
        return self.is_closed

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
