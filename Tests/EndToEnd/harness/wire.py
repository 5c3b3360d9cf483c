"""A gRPC client on a bare socket: ten times cheaper a call than grpcio, and it sends whatever bytes it is told to.

One thread, no callbacks: `wait` reads what has come on the connection and files it under its calls. Header
compression is switched off (SETTINGS_HEADER_TABLE_SIZE 0), so that a block of response headers means the same each time
and is decoded once.
"""

import collections
import select
import socket
import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
LARGEST_WINDOW = 2**31 - 1
CANCEL = 8

_head = struct.Struct(">HBBBI")
_message_head = struct.Struct(">BI")
_blocks = {}


def frame(kind, flags, stream, payload=b""):
    size = len(payload)
    return _head.pack(size >> 8, size & 0xFF, kind, flags, stream) + payload


def _text(value):
    return value.encode() if isinstance(value, str) else value


def _literal(name, value):
    """A header that is not indexed and not compressed."""
    out = bytearray(b"\0")
    for part in (_text(name), _text(value)):
        if len(part) < 127:
            out.append(len(part))
        else:
            out.append(127)
            rest = len(part) - 127
            while rest >= 128:
                out.append(rest & 127 | 128)
                rest >>= 7
            out.append(rest)
        out += part
    return bytes(out)


def request_headers(path, authority, metadata=(), content_type="application/grpc"):
    fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", authority),
              ("content-type", content_type), ("te", "trailers"), *metadata]
    return b"".join(_literal(name, value) for name, value in fields)


def _decode(block):
    found = _blocks.get(block)
    if found is None:
        decoder = hpack.Decoder()  # A new one: nothing is kept between blocks.
        found = {name.decode() if isinstance(name, bytes) else name: value for name, value in decoder.decode(block, raw=True)}
        if len(_blocks) > 10_000:
            _blocks.clear()
        _blocks[block] = found
    return found


def _unescape(text):
    """What grpc-message means: percent-encoded UTF-8."""
    if b"%" not in text:
        return text.decode("utf-8", "replace")
    out, i = bytearray(), 0
    while i < len(text):
        if text[i] == 0x25 and i + 2 < len(text) + 0:
            try:
                out.append(int(text[i + 1:i + 3], 16))
                i += 3
                continue
            except ValueError:
                pass
        out.append(text[i])
        i += 1
    return out.decode("utf-8", "replace")


class Broken(Exception):
    """The connection ended."""


class Call:
    """A call in flight: the messages that came, and its status once it has ended."""

    __slots__ = ("id", "messages", "buffer", "headers", "code", "text", "ended", "window", "data", "reset")

    def __init__(self, id, window):
        self.id, self.window = id, window
        self.messages, self.buffer, self.headers = collections.deque(), b"", None
        self.code, self.text, self.ended, self.reset = None, "", False, None

    def _take(self, payload):
        data = self.buffer + payload if self.buffer else payload
        at, size = 0, len(data)
        while size - at >= 5:
            _, length = _message_head.unpack_from(data, at)
            if size - at - 5 < length:
                break
            self.messages.append(bytes(data[at + 5:at + 5 + length]))
            at += 5 + length
        self.buffer = data[at:] if at < size else b""

    def _fields(self, fields, end):
        if self.headers is None:
            self.headers = fields
        if end or "grpc-status" in fields:
            status = fields.get("grpc-status")
            if status is not None:
                self.code, self.text = int(status), _unescape(fields.get("grpc-message", b""))
            else:
                # Not gRPC: the HTTP status tells.
                self.code, self.text = -int(fields.get(":status", b"0")), fields.get("content-type", b"").decode()


class Connection:
    def __init__(self, port, host="127.0.0.1", authority=None, timeout=30):
        self.authority = authority or f"{host}:{port}"
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLIN)
        self.calls, self._next, self._input = {}, 1, b""
        self._window, self._initial, self._largest_frame, self._received = 65535, 65535, 16384, 0
        self._headers, self._goaway, self._out = {}, None, b""
        self.broken = None
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, LARGEST_WINDOW)
        self._write(PREFACE + frame(SETTINGS, 0, 0, settings) +
                    frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW - 65535)))

    def fileno(self):
        return self.socket.fileno()

    def close(self):
        self._fail(Broken("closed"))

    def _fail(self, error):
        if self.broken is None:
            self.broken = error
            self.socket.close()

    def _write(self, data):
        if self.broken:
            raise self.broken
        view = memoryview(data)
        while view:
            try:
                view = view[self.socket.send(view):]
            except BlockingIOError:
                # What has come is taken in meanwhile: the other side may be waiting for the same.
                select.select([self.socket], [self.socket], [], 5)
                self._read_available()
            except OSError as error:
                self._fail(Broken(str(error)))
                raise self.broken from None

    def _block(self, path, metadata):
        key = (path, metadata)
        found = self._headers.get(key)
        if found is None:
            if len(self._headers) > 1000:
                self._headers.clear()
            found = self._headers[key] = request_headers(path, self.authority, metadata)
        return found

    def open(self, path, metadata=(), block=None):
        """Begins a call that stays open for sending."""
        call = Call(self._next, self._initial)
        self._next += 2
        self.calls[call.id] = call
        self._write(frame(HEADERS, 4, call.id, block if block is not None else self._block(path, tuple(metadata))))
        return call

    def start(self, path, body, metadata=(), flag=0, block=None):
        """Sends a unary call."""
        size = len(body) + 5
        if size > self._window or size > self._initial or size > self._largest_frame:
            call = self.open(path, metadata, block)
            self.send(call, body, end=True, flag=flag)
            return call
        call = Call(self._next, self._initial - size)
        self._next += 2
        self._window -= size
        self.calls[call.id] = call
        self._write(frame(HEADERS, 4, call.id, block if block is not None else self._block(path, tuple(metadata))) +
                    frame(DATA, 1, call.id, _message_head.pack(flag, len(body)) + body))
        return call

    def send(self, call, body, end=False, flag=0):
        """Sends a message on an open call, in as many pieces as the other side lets through."""
        data, at = _message_head.pack(flag, len(body)) + body, 0
        deadline = time.monotonic() + 30
        while at < len(data):
            if call.ended:
                return  # Refused before it was sent whole.
            size = min(len(data) - at, self._largest_frame, self._window, call.window)
            if size <= 0:
                if not self._read(deadline - time.monotonic()):
                    raise AssertionError("the server opens no window")
                continue
            last = end and at + size == len(data)
            self._window -= size
            call.window -= size
            self._write(frame(DATA, 1 if last else 0, call.id, data[at:at + size]))
            at += size

    def half_close(self, call):
        self._write(frame(DATA, 1, call.id))

    def cancel(self, call):
        if call.id in self.calls and not self.broken:
            self._write(frame(RST_STREAM, 0, call.id, struct.pack(">I", CANCEL)))
        call.ended, call.code, call.text = True, 1, "cancelled here"
        self.calls.pop(call.id, None)

    def wait(self, call, seconds=30):
        """Until the call has ended: (code, text, message or None)."""
        deadline = None
        while not call.ended:
            if deadline is None:
                deadline = time.monotonic() + seconds
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"no answer in {seconds} s")
        return call.code, call.text, call.messages[0] if call.messages else None

    def next(self, call, seconds=30):
        """The next message of a call; None when it has ended."""
        deadline = time.monotonic() + seconds
        while not call.messages:
            if call.ended:
                return None
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"no message in {seconds} s")
        return call.messages.popleft()

    def poll(self):
        """Takes in what has come."""
        self._read(0)

    def _read(self, seconds):
        """Waits for bytes and files them; False when none came."""
        if self.broken:
            raise self.broken
        if not self._poll.poll(max(0, seconds * 1000)):
            return False
        self._read_available()
        if self.broken:
            raise self.broken
        return True

    def _read_available(self):
        try:
            data = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(Broken(str(error)))
            return
        if not data:
            self._fail(Broken(f"the server closed the connection ({self._goaway})"))
            return
        self._input = self._input + data if self._input else data
        data, at, size, answer = self._input, 0, len(self._input), b""
        while size - at >= 9:
            high, low, kind, flags, stream = _head.unpack_from(data, at)
            length = high << 8 | low
            if size - at - 9 < length:
                break
            payload = data[at + 9:at + 9 + length]
            at += 9 + length
            if kind == DATA:
                self._received += length
                call = self.calls.get(stream)
                if call is not None:
                    if length:
                        call._take(payload)
                    if flags & 1:
                        call.ended = True
                        del self.calls[stream]
            elif kind == HEADERS:
                call = self.calls.get(stream)
                if call is not None:
                    call._fields(_decode(payload), flags & 1)
                    if flags & 1:
                        call.ended = True
                        del self.calls[stream]
            elif kind == SETTINGS:
                if not flags & 1:
                    for i in range(0, length, 6):
                        name, value = struct.unpack_from(">HI", payload, i)
                        if name == 4:
                            for call in self.calls.values():
                                call.window += value - self._initial
                            self._initial = value
                        elif name == 5:
                            self._largest_frame = min(value, 1 << 20)
                    answer += frame(SETTINGS, 1, 0)
            elif kind == PING:
                if not flags & 1:
                    answer += frame(PING, 1, 0, payload)
            elif kind == WINDOW_UPDATE:
                more = struct.unpack(">I", payload)[0]
                if stream == 0:
                    self._window += more
                elif stream in self.calls:
                    self.calls[stream].window += more
            elif kind == RST_STREAM:
                call = self.calls.pop(stream, None)
                if call is not None:
                    call.reset = struct.unpack(">I", payload)[0]
                    if call.code is None:
                        call.code, call.text = -1, f"RST_STREAM {call.reset}"
                    call.ended = True
            elif kind == GOAWAY:
                self._goaway = payload[4:].hex() + " " + payload[8:].decode("utf-8", "replace")
            elif kind == CONTINUATION:
                raise AssertionError("a header block in several frames")
        self._input = data[at:] if at else data
        if self._received > 1 << 28:
            answer += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", self._received))
            self._received = 0
        if answer:
            self._write(answer)
