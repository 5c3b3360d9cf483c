"""Two servers in step: the same calls to both, the answers compared field by field."""

import difflib
import re
import time
import typing

from google.protobuf.message import DecodeError

from harness import api, peers, wire
from harness.server import Server

from . import rules
from .watches import Streams

#: Both servers say that they are at these addresses, and so have the same member and cluster ids.
ADVERTISED = "http://127.0.0.1:12379", "http://127.0.0.1:12380"


class Difference(AssertionError):
    """An answer, event or state that is not the same on both sides."""


class Member(Server):
    """A server that listens on ports of its own and advertises those of all."""

    def own_flags(self):
        return ["--name", self.name, "--data-dir", str(self.data_dir), "--listen-client-urls", self.url,
                "--advertise-client-urls", ADVERTISED[0], "--listen-peer-urls", self.peer_url,
                "--initial-advertise-peer-urls", ADVERTISED[1], "--initial-cluster", f"{self.name}={ADVERTISED[1]}",
                "--unsafe-no-fsync", "--bcrypt-cost", "4"]


class Token(typing.NamedTuple):
    """Stands in metadata for the token that each side has given to a user."""
    user: str


class Side:
    """One of the two servers, and the connections to it."""

    def __init__(self, name, binary, flags, work):
        self.name = name
        self.server = Member(*flags, binary=binary, work=work)
        self.connections = []
        self.tokens = {}

    def start(self):
        self.server.start()
        self.connect()

    def connect(self):
        self.connections = [wire.Connection(self.server.client_port, authority="localhost:2379") for _ in range(2)]
        self.keep_alive = None

    def disconnect(self):
        for connection in self.connections:
            connection.close()

    def ask(self, path, body, seconds=30):
        """A call outside the comparison."""
        connection = self.connections[0]
        code, text, data = connection.wait(connection.start(path, body), seconds)
        if code != 0:
            raise Difference(f"{path} on {self.name}: {code} {text}")
        return data


class Settings(typing.NamedTuple):
    """How the servers of a pair are started."""
    tested: str
    reference: str
    request_limit: int | None = None
    progress_interval: str | None = None

    def flags(self, binary):
        # An alarm that a client raised would be taken back by itself.
        found = ["--quota-auto-disarm=false"] if peers.is_martlet(binary) else []
        if self.request_limit:
            found += ["--max-request-bytes", str(self.request_limit)]
        if self.progress_interval:
            prefix = "--" if peers.version(binary) >= (3, 6) else "--experimental-"
            found += [prefix + "watch-progress-notify-interval", self.progress_interval]
        return found


class Pair:
    def __init__(self, settings):
        self.sides = [Side(name, binary, settings.flags(binary), None)
                      for name, binary in (("under test", settings.tested), ("real etcd", settings.reference))]
        self.versions = tuple(side.server.version for side in self.sides)
        self.mixed = min(self.versions) < (3, 7) <= max(self.versions)
        # Before, a progress answer could overtake events, or tell of a watcher that lagged behind.
        self.progress_is_sound = min(self.versions) >= (3, 5, 13)
        self.hashes_equal = min(self.versions) >= rules.HASH_REMEMBERED
        self.calls = 0
        self.index_offset = 0   # How many more entries the log of the reference has.
        self.index_unsure = 0   # Calls since that was known that take an entry on one side, or on none.

    def __enter__(self):
        try:
            for side in self.sides:
                side.server.spawn()
            for side in self.sides:
                side.server.wait_for_line("ready to serve client requests", 60)
                side.connect()
        except BaseException:
            self.close()
            raise
        self.streams = Streams(self)
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for side in self.sides:
            side.disconnect()
            side.server.close()

    # Calls.

    def both(self, path, bodies, metadata=(), which=0, flag=0):
        """The same unary call on both sides: [(code, text, message bytes)] in the order of the sides."""
        self.calls += 1
        calls = []
        for side, body in zip(self.sides, bodies):
            connection = side.connections[which]
            if metadata and isinstance(metadata[0][1], Token):
                metadata_here = (("token", side.tokens.get(metadata[0][1].user, "none.1")),)
            else:
                metadata_here = metadata
            calls.append((side, connection, connection.start(path, body, metadata_here, flag)))
        answers = []
        for side, connection, call in calls:
            try:
                answers.append(connection.wait(call))
            except wire.Broken as error:
                raise Difference(f"the connection of {side.name} broke ({error}):\n{side.server.tail(12)}") from None
            except AssertionError as error:
                raise Difference(f"{side.name}: {error}:\n{side.server.tail(12)}") from None
        return answers

    def call(self, name, request, bodies=None, metadata=(), which=0):
        """A unary call whose answers must be the same; the reference's, or None when it was an error."""
        method = api.METHODS[name]
        body = request.SerializeToString()
        one, two = self.both(method.path, bodies or (body, body), metadata, which)
        if one[0] != two[0] or one[1] != two[1]:
            if not rules.equal_errors(one[:2], two[:2]):
                self.differ(name, request, one, two, method.response, metadata)
            return None
        if one[0] != 0:
            return None
        answer = method.response.FromString(two[2])
        if one[2] != two[2] or name == "Maintenance.Status":
            mine, theirs = method.response.FromString(one[2]), method.response.FromString(two[2])
            try:
                if name == "Maintenance.Status":
                    self.learn_index_offset(mine.raftIndex, theirs.raftIndex)
                equal = self.normal(request, mine, 0) == self.normal(request, theirs, 1)
            except AssertionError as error:
                raise Difference(f"{name} {{\n{request}}}\n{error}") from None
            if not equal:
                self.differ(name, request, (*one[:2], mine), (*two[:2], theirs), None, metadata)
        return answer

    def normal(self, request, answer, side):
        if isinstance(answer, api.HashKVResponse):
            answer.hash_revision = 0  # Since 3.6.
            if not self.hashes_equal:
                answer.hash = answer.compact_revision = 0
        elif isinstance(answer, api.LeaseTimeToLiveResponse):
            keys = sorted(answer.keys)
            del answer.keys[:]
            answer.keys.extend(keys)
            if answer.TTL > 0:
                # Counted down since the grant or the last renewal, at the same time to within some seconds.
                if not answer.grantedTTL - 900 <= answer.TTL <= answer.grantedTTL:
                    raise AssertionError(f"TTL {answer.TTL} of {answer.grantedTTL}")
                answer.TTL = 1
        elif isinstance(answer, api.StatusResponse):
            rules.status_is_sound(answer, self.versions[side])
            if side == 0:
                answer.raftIndex += self.index_offset
        elif isinstance(answer, api.AlarmResponse):
            alarms = sorted(answer.alarms, key=lambda alarm: (alarm.memberID, alarm.alarm))  # Of a map in etcd.
            del answer.alarms[:]
            answer.alarms.extend(alarms)
        elif isinstance(answer, api.AuthenticateResponse):
            if not re.fullmatch(r"[a-zA-Z]{16}\.\d+", answer.token):
                raise AssertionError(f"not a token: {answer}")
            self.sides[side].new_token = answer.token
            answer.token = ""
        elif isinstance(answer, api.HashResponse):
            answer.hash = 0  # Of the whole file of the database, which only copies have in common.
        rules.settle_ties(request, answer)
        if self.mixed and rules.asks_keys_only(request):
            rules.clear_lease(answer)
        return answer

    def differ(self, name, request, one, two, kind, metadata=()):
        def text(answer):
            code, words, message = answer
            if code:
                return f"error {code}: {words}"
            return f"ok\n{kind.FromString(message) if kind and message is not None else message}"
        lines = difflib.unified_diff(text(two).splitlines(), text(one).splitlines(), "real etcd", "under test", lineterm="", n=30)
        raise Difference(f"{name} {dict(metadata) or ''}{{\n{request}}}\n" + "\n".join(lines))

    def learn_index_offset(self, mine, theirs):
        if not self.index_unsure:
            return
        # A call of Lock or Election is several requests.
        if not -self.index_unsure <= theirs - mine - self.index_offset <= 2 * self.index_unsure:
            raise AssertionError(f"Raft index {theirs} of real etcd, {mine} under test, {self.index_offset} apart {self.index_unsure} calls ago")
        self.index_offset, self.index_unsure = theirs - mine, 0

    def raw(self, name, bodies, metadata=(), which=0, flag=0):
        return self.both(api.METHODS[name].path, bodies, metadata, which, flag)

    def stream(self, side, name):
        connection = side.connections[1]
        return connection, connection.open(api.METHODS[name].path)

    def restart(self, kill):
        """The server under test is killed or stopped, the reference stopped: killed, etcd now and then applies an entry
        twice at the next start."""
        for side in self.sides:
            side.disconnect()
        if kill:
            self.sides[0].server.kill()
        else:
            self.sides[0].server.stop()
        self.sides[1].server.stop()
        for side in self.sides:
            side.server.spawn()
        for side in self.sides:
            side.server.wait_for_line("ready to serve client requests", 60)
            side.connect()
            # A linearizable read does not do as a sign that the log is applied: etcd 3.5, alone in its cluster, answers
            # one before the entries of the former term are known to be committed.
            deadline = time.monotonic() + 20
            while True:
                connection = side.connections[0]
                code, text, _ = connection.wait(connection.start(api.METHODS["Maintenance.Alarm"].path, b""))
                if code == 0:
                    break
                if time.monotonic() > deadline:
                    raise Difference(f"{side.name} does not come back: {code} {text}")
        self.streams = Streams(self)


def parses(kind, data):
    """The message that bytes are by the rules of the standard runtime, or None."""
    try:
        return kind.FromString(data)
    except DecodeError:
        return None
