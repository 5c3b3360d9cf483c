"""The JSON gateway as a client sees it, and random requests for it: good ones, odd ones and broken ones."""

import base64
import http.client
import json
import random
import threading
import subprocess

from . import api

#: Paths by method name, the first of each.
ROUTES = {}
#: All paths, with the method behind each.
PATHS = {}


def _read_routes():
    for row in api._read("api-services.csv"):
        for path in (row["routes"] or "").split():
            ROUTES.setdefault(f'{row["service"]}.{row["method"]}', path)
            PATHS[path] = f'{row["service"]}.{row["method"]}'


_read_routes()


class Pairs(list):
    """An object's members in the order of the text."""


def parse(text):
    """JSON with objects as lists of pairs, so that order and repeated names show."""
    return json.loads(text, object_pairs_hook=Pairs)


def plain(value):
    """Pairs back to dictionaries."""
    if isinstance(value, Pairs):
        return {name: plain(member) for name, member in value}
    return [plain(element) for element in value] if isinstance(value, list) else value


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, {name.lower(): value for name, value in headers}, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:400]!r}"


class Gateway:
    """One connection, kept open."""

    def __init__(self, address):
        self.host, port = address.rsplit(":", 1)
        self.port = int(port)
        self.connection = None

    def request(self, path, body=b"", method="POST", headers=()):
        body = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        for attempt in (0, 1):
            if self.connection is None:
                self.connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
            try:
                self.connection.request(method, path, body, dict(headers))
                response = self.connection.getresponse()
                answer = Answer(response.status, response.getheaders(), response.read())
                if response.will_close:
                    self.close()
                return answer
            except (http.client.HTTPException, ConnectionError):
                # The server may have closed the connection behind its last answer.
                self.close()
                if attempt:
                    raise

    def post(self, path, message, **options):
        return self.request(path, json.dumps(message), **options)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def b64(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode()).decode()


class Conversation:
    """A request whose body goes on while answers come, by curl: HTTP/1.1 with chunks or HTTP/2."""

    def __init__(self, url, *flags):
        self.process = subprocess.Popen(
            ["curl", "-sS", "-N", "-X", "POST", "-H", "Expect:", "-T", ".", *flags, url],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines = []
        self.changed = threading.Condition()
        self.ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            with self.changed:
                self.lines.append(json.loads(line))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def send(self, message):
        self.process.stdin.write(json.dumps(message).encode())
        self.process.stdin.flush()

    def end_input(self):
        self.process.stdin.close()

    def next(self, timeout=20):
        """The next line; None at the end of the answer."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.lines or self.ended, timeout):
                raise AssertionError("no answer in time")
            return self.lines.pop(0) if self.lines else None

    def close(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            try:
                pipe.close()
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RandomJSON:
    """JSON texts for a message type. `oddness` is how often something is not as a careful client writes it."""

    KEYS = [b"a", b"b", b"c", b"d/1", b"d/2", b"\xff", b"key with spaces", "é".encode()]
    NUMBERS = [0, 1, 2, 3, 5, 100, -1, 2**31 - 1, 2**31, -2**31, 2**32, 2**53, 2**63 - 1, 2**63, -2**63, -2**63 - 1, 2**64 - 1, 2**64]
    NUMBER_TEXTS = ["1.0", "1e2", "10e-1", "1.5", "1e400", "-0", "0.0", "0e5", "1E+1", "123456789012345678901234567890", "0.1e1", "100e-2",
                    "1e-1", "9223372036854775807.0", "12e18"]
    STRING_NUMBERS = ['"1"', '"-1"', '" 1"', '"1 "', '""', '"1.0"', '"1e2"', '"0x1"', '"1 2"', '"1,"', '"1a"', '"+1"', '"01"', '"\\u0031"',
                      '"1_0"', '"null"', '"1\\n"', '"-"', '"1."', '"1.e1"', '"1e"']
    BASE64 = ['"YQ"', '"YQ=="', '"YQ="', '"Y"', '"_w"', '"_w=="', '"/w=="', '"-_-_"', '"+/+/"', '"-/-/"', '"YQ==YQ=="', '"YQ\\n=="',
              '"Y Q=="', '"YWI"', '"YWI="', '"YWI=="', '"YR=="', '"\\u0059Q=="', '"=="', '"===="', '"YWJj\\n"', '"\\r\\nYWJj"', '"é"', '"Zm9v\\/w=="', '"YWJjZ"']
    ODD_VALUES = ["null", "true", "false", "{}", "[]", "[null]", "{\"a\":1}", "[1,2]", '"x"', "5", "-5", "1.5", '"\\ud800"', '"\\ud83d\\ude00"',
                  '"\\udc00\\ud800"', '"\\ud800x"', '"\x7f"', '""', "[[]]", '["a"]']
    BROKEN = ["", "x", "{", "}", "[", "]", "nul", "tru", "falsy", '"', '"\\', '"\\x"', '"\\u12', '"\\u12g4"', "01", "-", "1.", "1e", "+1", "'a'",
              '{"key"', '{"key":', '{"key":}', '{"key" "a"}', '{key:1}', '{"key":1,}', '{,}', '{"key":1 "b":2}', "[1,]", "[1 2]", "{}}", '"\t"',
              '{"key":"\n"}', "nan", "Infinity", "\x00", "\ufeff{}", "/**/{}", '{"a":tru}', '{"a":nulll}', '{"a":-}', '{"a":-a}', '{"a":1.x}',
              '{"a":1ex}', '{"a":1e+x}', '{"a":.5}', "é", "{\"é\"", "true false", "1 2", '{"a":[1}', '{"a":{]}']

    def __init__(self, seed, oddness=0.15):
        self.random = random.Random(seed)
        self.oddness = oddness

    def odd(self, scale=1.0):
        return self.random.random() < self.oddness * scale

    def choice(self, values):
        return self.random.choice(values)

    def space(self):
        return self.choice(["", "", "", " ", "\n", "\t", "\r\n  "]) if self.odd(2) else ""

    def text(self, descriptor, fixed=None):
        """A text for the type. `fixed` may say what a field holds: a function of the descriptor and the field that answers JSON or None."""
        if self.odd(0.2):
            return self.broken(self.message(descriptor, fixed, 0))
        return self.space() + self.message(descriptor, fixed, 0) + self.space() + (self.choice(["", "x", "{}", "}"]) if self.odd(0.2) else "")

    def broken(self, text):
        kind = self.random.randrange(4)
        if kind == 0:
            return self.choice(self.BROKEN)
        if kind == 1:
            return text[:self.random.randrange(len(text) + 1)]
        at = self.random.randrange(len(text) + 1)
        if kind == 2:
            return text[:at] + self.choice(['"', "{", "}", "[", "]", ",", ":", "\\", "0", "-", "e", "t", "\x01", "é", " "]) + text[at:]
        return text[:at] + text[at + 1:]

    def message(self, descriptor, fixed, depth):
        members = []
        unions = set()
        for field in descriptor.fields:
            value = fixed(descriptor, field) if fixed else None
            if value is None and self.random.random() < 0.5:
                continue
            if field.containing_oneof is not None:
                if field.containing_oneof in unions and not self.odd(0.3):
                    continue
                unions.add(field.containing_oneof)
            members.append((field, value if value is not None and not self.odd(0.3) else self.field(field, fixed, depth)))
        if self.odd(0.3) and members:
            members.append(self.choice(members))
        texts = []
        for field, value in members:
            name = field.json_name if self.odd(2) else field.name
            texts.append(f'{self.space()}"{name}"{self.space()}:{self.space()}{value}{self.space()}')
        if self.odd(0.5):
            texts.insert(self.random.randrange(len(texts) + 1), f'"{self.choice(["bogus", "", "é", "[x.y]"])}":{self.choice(self.ODD_VALUES)}')
        if self.odd():
            self.random.shuffle(texts)
        return "{" + ",".join(texts) + "}"

    def field(self, field, fixed, depth):
        if self.odd(0.3):
            return self.choice(self.ODD_VALUES)
        if field.label == field.LABEL_REPEATED:
            return "[" + ",".join(self.value(field, fixed, depth) for _ in range(self.random.randrange(4))) + "]"
        return self.value(field, fixed, depth)

    def value(self, field, fixed, depth):
        if self.odd(0.15):
            return self.choice(self.ODD_VALUES)
        if field.type == field.TYPE_MESSAGE:
            return self.message(field.message_type, fixed, depth + 1) if depth < 4 else "{}"
        if field.type == field.TYPE_BYTES:
            if self.odd(0.5):
                return self.choice(self.BASE64)
            text = b64(self.choice(self.KEYS))
            return json.dumps(text.rstrip("=").replace("+", "-").replace("/", "_") if self.odd() else text)
        if field.type == field.TYPE_STRING:
            return json.dumps(self.choice(["", "a", "root", "user", "<a&b>", "\u2028", "é\"\\", "\x01\x08\x0c"]))
        if field.type == field.TYPE_BOOL:
            return self.choice(["true", "false"])
        if field.type == field.TYPE_ENUM:
            values = field.enum_type.values
            if self.odd(0.5):
                return self.choice(['"BOGUS"', '""', '"1"', "1.0", "-0", "1e0", "true"])
            value = self.choice(values)
            return json.dumps(value.name) if self.random.random() < 0.5 else str(value.number)
        if self.odd(0.5):
            return self.choice(self.NUMBER_TEXTS + self.STRING_NUMBERS)
        number = self.choice(self.NUMBERS) if self.odd() else self.random.randrange(6)
        return f'"{number}"' if self.random.random() < 0.5 else str(number)
