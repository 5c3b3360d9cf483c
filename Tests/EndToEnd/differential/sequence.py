"""A sequence of random steps on a pair of servers, and the smallest part of it that still fails."""

import collections
import random
import re

from harness import api, wire
from harness.client import served

from . import rules
from .pair import Difference, Pair, Token, parses
from .requests import LEASES, ORDER, Generator, State

#: The alarm under which nothing is compacted.
CORRUPT = 2

KEEP_ALIVE = api.METHODS["Lease.LeaseKeepAlive"].path

#: A sequence is known by its seed; its steps each by a seed of their own. `steps` are those that are left.
Sequence = collections.namedtuple("Sequence", "seed profile steps reset")
#: Between sequences: both servers are started again.
Restart = collections.namedtuple("Restart", "kill")


def sequence(seed, length, profile=None):
    rng = random.Random(seed)
    return Sequence(seed, profile or rng.choice(ORDER), [rng.getrandbits(48) for _ in range(rng.randint(length // 2, length + length // 2))],
                    rng.getrandbits(48))


class Runner:
    """Runs steps on a pair that stays up from sequence to sequence."""

    def __init__(self, pair, request_limit=None, trace=None):
        self.pair, self.trace = pair, trace
        self.state = State()
        self.state.revision = pair.streams.base
        if request_limit:
            self.state.request_limit = request_limit
        self.steps = 0
        self.counts = collections.Counter()

    def note(self, text):
        if self.trace is not None:
            self.trace.append(text)

    def run(self, item):
        if isinstance(item, Restart):
            return self.restart(item.kill)
        self.reset(item)
        for seed in item.steps:
            self.step(Generator(seed, item.profile, self.state, self.pair.versions))
        self.finish()

    # The frame of a sequence.

    def reset(self, item):
        """An empty store: of the former sequences only the revision is left, and sometimes their history."""
        rng = random.Random(item.reset)
        self.note(f"-- sequence {item.seed} ({item.profile})")
        self.token = None
        if self.state.alarms:
            for member, alarm in sorted(self.state.alarms):
                self.call("Maintenance.Alarm", api.AlarmRequest(action=2, memberID=member, alarm=alarm))
        for id in sorted(self.state.leases):
            self.call("Lease.LeaseRevoke", api.LeaseRevokeRequest(ID=id))
        self.call("KV.DeleteRange", api.DeleteRangeRequest(key=b"\0", range_end=b"\0"))
        self.pair.streams.close_all(self.state)
        if rng.random() < 0.4:
            self.call("KV.Compact", api.CompactionRequest(revision=self.state.revision, physical=True))

    def finish(self):
        """At the end the stores are equal: all keys, all leases, all of the history that is left, and its hash."""
        self.note("-- end")
        if self.state.auth or self.state.passwords:
            self.open_up()
        self.pair.streams.close_all(self.state)
        self.call("KV.Range", api.RangeRequest(key=b"\0", range_end=b"\0"))
        self.call("Lease.LeaseLeases", api.LeaseLeasesRequest())
        self.call("Maintenance.HashKV", api.HashKVRequest())

    def open_up(self):
        """Authentication is switched off, and users and roles are gone."""
        if self.state.auth:
            self.login("root")
            self.call("Auth.AuthDisable", api.AuthDisableRequest())
            if self.state.auth:
                raise Difference("root cannot disable authentication")
        for user in self.call("Auth.UserList", api.AuthUserListRequest()).users:
            self.call("Auth.UserDelete", api.AuthUserDeleteRequest(name=user))
        for role in self.call("Auth.RoleList", api.AuthRoleListRequest()).roles:
            self.call("Auth.RoleDelete", api.AuthRoleDeleteRequest(role=role))
        self.state.passwords.clear()

    def login(self, user):
        self.call("Auth.Authenticate", api.AuthenticateRequest(name=user, password=self.state.passwords.get(user, "")))

    def restart(self, kill):
        self.note(f"-- both are started again; the server under test was {'killed' if kill else 'stopped'}")
        self.pair.streams.close_all(self.state)
        if min(self.pair.versions) < rules.HASH_REMEMBERED:
            # Old ones do not find leases with negative ids again.
            for id in sorted(id for id in self.state.leases if id < 0):
                self.call("Lease.LeaseRevoke", api.LeaseRevokeRequest(ID=id))
        self.pair.restart(kill)
        status = self.call("Maintenance.Status", api.StatusRequest())
        if status.header.revision != self.state.revision:
            raise Difference(f"revision {status.header.revision} after a restart, not {self.state.revision}")
        # What was remembered of compactions is forgotten.
        self.state.racy_hashes.clear()
        self.finish()

    # Steps.

    def call(self, name, request, **options):
        if self.state.auth and "metadata" not in options:
            options["metadata"] = (("token", Token("root")),)
        if name in ("Maintenance.HashKV", "KV.Compact"):
            self.await_compaction()
        return self.exchange(name, request, options)

    def exchange(self, name, request, options):
        self.note((name, request, options.get("metadata"), options.get("bodies")))
        answer = self.pair.call(name, request, **options)
        self.learn(name, request, answer)
        if name in rules.PROPOSED_OR_NOT:
            self.pair.index_unsure += 1
        return answer

    def await_compaction(self):
        """Whether etcd remembers the hash of a compaction depends on whether the former one has come to its end in the
        background. A refused physical compaction waits for that too."""
        if self.state.racy_hashes and not any(alarm == CORRUPT for _, alarm in self.state.alarms):
            self.exchange("KV.Compact", api.CompactionRequest(revision=self.state.compacted, physical=True),
                          {"metadata": (("token", Token("root")),)} if self.state.auth else {})
            self.state.racy_hashes.clear()

    def learn(self, name, request, answer):
        state = self.state
        self.counts[name, answer is not None] += 1
        if answer is None:
            return
        try:
            state.revision = max(state.revision, answer.header.revision)
        except AttributeError:
            return
        if name == "KV.Compact":
            state.compacted = request.revision
            if request.physical:
                state.racy_hashes.clear()
            else:
                state.racy_hashes.add(request.revision)
        elif name == "Auth.AuthEnable":
            state.auth = True
        elif name == "Auth.AuthDisable":
            state.auth = False
        elif name == "Auth.UserAdd":
            state.passwords[request.name] = None if request.options.no_password else request.password
        elif name == "Auth.UserChangePassword":
            if state.passwords.get(request.name) is not None:
                state.passwords[request.name] = request.password
        elif name == "Auth.UserDelete":
            state.passwords.pop(request.name, None)
        elif name == "Auth.Authenticate":
            for side in self.pair.sides:
                side.tokens[request.name] = side.new_token
        elif name in ("Lock.Lock", "Election.Campaign"):
            state.claims[request.lease] = answer.header.revision
            if len(state.claims) > 8:
                del state.claims[next(iter(state.claims))]
        elif name == "Lease.LeaseGrant":
            state.leases.add(answer.ID)
        elif name == "Lease.LeaseRevoke":
            state.leases.discard(request.ID)
        elif name == "Maintenance.Alarm" and request.action:
            for alarm in answer.alarms:
                (state.alarms.add if request.action == 1 else state.alarms.discard)((alarm.memberID, alarm.alarm))

    def step(self, generator):
        self.steps += 1
        kind, streams = generator.step(), self.pair.streams
        if kind == "watch":
            self.note(("watch create", generator.rng.getstate()[1][:2], None, None))
            self.counts["Watch.create", True] += 1
            stream = streams.create(generator, self.state)
            if self.trace is not None and stream.watchers:
                self.note("   watchers: " + "; ".join(str(w.request).replace("\n", " ") for w in stream.watchers.values()))
        elif kind == "cancel":
            self.note("watch cancel")
            streams.cancel(generator, self.state)
        elif kind == "progress":
            self.note("watch progress")
            if streams.open:
                stream = generator.rng.choice(streams.open)
                streams.settle_stream(stream, self.state)
                streams.progress(stream, self.state)
        elif kind == "settle":
            self.note("watch settle")
            streams.settle(self.state)
        elif kind == "close":
            self.note("watch stream closed")
            streams.close_one(generator, self.state)
        elif kind == "metadata":
            self.metadata(generator)
        elif kind == "encoding":
            self.encoding(generator)
        elif kind == "malformed":
            self.malformed(generator)
        else:
            self.request(generator, kind)

    def acceptable(self, generator, request):
        if isinstance(request, api.AuthRoleGetRequest):
            return request.role != "root" or generator.oldest >= (3, 6)  # Has its permission since.
        if isinstance(request, api.TxnRequest):
            if generator.oldest < (3, 6) and self.state.alarms and rules.cost(request, True) != rules.cost(request, False):
                return False
            return not rules.deadly(request) and not (generator.oldest < (3, 7) and rules.deletes_before_puts(request))
        return True

    def request(self, generator, kind):
        if kind == "auth" and generator.oldest < rules.HASH_REMEMBERED:
            return  # Its checks came in another order.
        name, request = generator.request(kind)
        if not self.acceptable(generator, request):
            return
        if request is None:
            request = api.METHODS[name].request(ID=generator.rng.choice([0, 7, 2**64 - 1]))
        if not served(name):
            return
        if name == "Auth.AuthEnable" and self.state.passwords.get("root", None) is None:
            return  # With a root that has no password there is no way back.
        if self.state.auth:
            r = generator.rng
            if name in ("Maintenance.HashKV", "KV.Compact", "Lease.LeaseKeepAlive") or isinstance(request, api.TxnRequest) and generator.oldest < (3, 7) and \
                    any(op.request_put.lease for op in rules.operations(request)):
                return
            who = Token(r.choice(["root", "root", "u1", "u1", "u2", "nobody"]))
            if who.user not in self.state.passwords and r.random() < 0.8:
                who = Token("root")
            if who.user in self.state.passwords and r.random() < 0.3:
                self.login(who.user)
            metadata = (("token", who),) if r.random() < 0.95 else ()
            return self.call(name, request, metadata=metadata)
        if name == "KV.Compact":
            # Watchers that lag behind would lose what it takes.
            self.pair.streams.settle(self.state)
        if name == "Lease.LeaseKeepAlive":
            return self.keep_alive(request)
        if name == "Lease.LeaseGrant" and generator.rng.random() < 0.05:
            return self.grant_any(request)
        if name == "KV.Range" and generator.rng.random() < 0.05:
            self.range_stream(request)
        self.call(name, request, which=generator.rng.randrange(2))

    def keep_alive(self, request):
        """A renewal on the stream that each side keeps open for them."""
        self.note(("Lease.LeaseKeepAlive", request, None, None))
        answers = []
        for side in self.pair.sides:
            connection = side.connections[1]
            if side.keep_alive is None or side.keep_alive.ended:
                side.keep_alive = connection.open(KEEP_ALIVE)
            connection.send(side.keep_alive, request.SerializeToString())
        for side in self.pair.sides:
            message = side.connections[1].next(side.keep_alive)
            if message is None:
                raise Difference(f"{side.name} ended the stream of keep-alives: {side.keep_alive.code} {side.keep_alive.text}")
            answers.append(api.LeaseKeepAliveResponse.FromString(message))
        if answers[0] != answers[1]:
            raise Difference(f"keep alive {{\n{request}}}\nreal etcd: {answers[1]}\nunder test: {answers[0]}")
        self.counts["Lease.LeaseKeepAlive", answers[1].TTL > 0] += 1

    def grant_any(self, request):
        """A lease whose id the server chooses; it is gone again before it could be told from others."""
        request.ID = 0
        self.note(("Lease.LeaseGrant", request, None, None))
        method, body = api.METHODS["Lease.LeaseGrant"], request.SerializeToString()
        one, two = self.pair.both(method.path, (body, body))
        if one[:2] != two[:2]:
            raise Difference(f"LeaseGrant {{\n{request}}}\nreal etcd: {two}\nunder test: {one}")
        if one[0]:
            return
        grants = [method.response.FromString(answer[2]) for answer in (one, two)]
        for grant in grants:
            if grant.ID <= 0:
                raise Difference(f"a chosen lease id is not positive: {grant}")
        bodies = [api.LeaseRevokeRequest(ID=grant.ID).SerializeToString() for grant in grants]
        for grant in grants:
            grant.ID = 0
        if grants[0] != grants[1]:
            raise Difference(f"LeaseGrant {{\n{request}}}\nreal etcd: {grants[1]}\nunder test: {grants[0]}")
        self.call("Lease.LeaseRevoke", api.LeaseRevokeRequest(), bodies=bodies)

    def range_stream(self, request):
        """RangeStream of 3.7 has no counterpart in 3.5: its chunks together are the answer of Range."""
        side = self.pair.sides[0]
        if self.pair.versions[0] < (3, 7) or request.sort_order == 2 or request.sort_order == 1 and request.sort_target or \
                request.sort_order not in (0, 1) or request.sort_target not in range(5) or \
                any(getattr(request, name) for name in ("min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision")):
            return
        if request.sort_target and not request.sort_order:
            return  # Range sorts such a list after it was cut; the stream does not sort.
        self.note(("KV.RangeStream", request, None, None))
        body, connection = request.SerializeToString(), side.connections[0]
        code, text, data = connection.wait(connection.start(api.METHODS["KV.Range"].path, body))
        stream = connection.start(api.METHODS["KV.RangeStream"].path, body)
        connection.wait(stream)
        if (code, text) != (stream.code, stream.text):
            raise Difference(f"RangeStream {{\n{request}}}\n{stream.code} {stream.text}; Range: {code} {text}")
        if code:
            return
        whole, merged = api.RangeResponse.FromString(data), api.RangeResponse()
        for message in stream.messages:
            part = api.RangeStreamResponse.FromString(message).range_response
            if merged.HasField("header"):
                raise Difference(f"RangeStream {{\n{request}}}\na chunk after the last one")
            merged.MergeFrom(part)
        if merged != whole:
            raise Difference(f"RangeStream {{\n{request}}}\n{merged}\nRange:\n{whole}")
        self.counts["KV.RangeStream", True] += 1

    # What is unusual on the wire.

    def metadata(self, generator):
        kind = generator.rng.choice(["range", "range", "put", "lease", "odd"])
        name, request = generator.request(kind)
        if request is None or not served(name) or api.METHODS[name].kind != "unary":
            return
        self.call(name, request, metadata=generator.metadata())

    def encoding(self, generator):
        """The same message in unusual bytes to the server under test, in plain ones to the other."""
        kind = generator.rng.choice(["range", "put", "delete", "txn", "txn", "compact", "lease", "hash", "odd"])
        name, request = generator.request(kind)
        if request is None or not served(name) or api.METHODS[name].kind != "unary" or not self.acceptable(generator, request):
            return
        body = generator.reencoded(request)
        meant = api.METHODS[name].request.FromString(body)
        meant.DiscardUnknownFields()
        if meant != request:
            raise AssertionError(f"the re-encoding of {request} means {meant}")
        if name == "KV.Compact":
            self.pair.streams.settle(self.state)
        self.call(name, request, bodies=(body, request.SerializeToString()))

    def malformed(self, generator):
        """Bytes with something wrong in them. What the standard runtime takes for a message must be one here."""
        kind = generator.rng.choice(["range", "put", "delete", "txn", "lease", "hash", "odd"])
        name, request = generator.request(kind)
        if request is None or not served(name) or api.METHODS[name].kind != "unary":
            return
        method = api.METHODS[name]
        body = generator.damaged(request.SerializeToString())
        meant = parses(method.request, body)
        if re.search(rb"[\x80-\xff]{9}[\x02-\x7f]", body):
            return  # A number beyond 64 bits: the parser here drops the bits, that of Go refuses it.
        foreign = rules.foreign_types(method.request.DESCRIPTOR, body)
        if foreign and name == "Auth.Authenticate":
            return  # Not read beyond whether it is a message.
        if meant is not None and not foreign:
            if name == "Lease.LeaseGrant" and (meant.ID not in LEASES or meant.TTL != LEASES[meant.ID]) or \
                    name in ("Cluster.MemberAdd", "Cluster.MemberUpdate", "Cluster.MemberRemove", "Maintenance.MoveLeader", "Maintenance.Alarm") or \
                    not self.portable(generator, meant):
                return
            if name == "KV.Compact":
                self.pair.streams.settle(self.state)
            self.call(name, meant, bodies=(body, canonical(meant)))
            return
        self.note((name, body, None, None))
        one, two = self.pair.raw(name, (body, body))
        self.counts["malformed", False] += 1
        if one[0] != 13 or not one[1].startswith(rules.UNPARSABLE) or foreign and not rules.equal_errors(one[:2], two[:2]):
            raise Difference(f"{name} {body!r}, which is no message\nunder test: {one}\nreal etcd: {two}")

    def portable(self, generator, message):
        """Whether a damaged message is one that both versions may be asked."""
        if isinstance(message, api.TxnRequest):
            known = self.state.leases
            return self.acceptable(generator, message) and all(
                not op.HasField("request_put") or not op.request_put.lease or op.request_put.lease in known for op in rules.operations(message)) and \
                all(not op.HasField("request_range") or self.portable(generator, op.request_range) for op in rules.operations(message))
        if isinstance(message, api.RangeRequest) and generator.oldest < (3, 6):
            return message.sort_order in range(3) and message.sort_target in range(5)
        return True


def canonical(message):
    """Plain bytes without what nobody knows."""
    copy = type(message).FromString(message.SerializeToString())
    copy.DiscardUnknownFields()
    return copy.SerializeToString()


# Making a failure small.

def attempt(items, settings, trace=None):
    """Runs sequences on a fresh pair; the difference they show, or None."""
    with Pair(settings) as pair:
        runner = Runner(pair, settings.request_limit, trace)
        try:
            for item in items:
                runner.run(item)
        except (Difference, wire.Broken) as error:
            return str(error)
    return None


def shrink(items, settings, budget=80):
    """The fewest sequences and steps found that still fail; (items, difference) or None when it does not fail again."""
    found = attempt(items[-1:], settings)
    left = budget - 1
    if found:
        items = items[-1:]
    else:
        found = attempt(items, settings)
        if not found:
            return None

        # Whole sequences first.
        def without(low, high):
            return items[:low] + items[high:]
        size = max(1, (len(items) - 1) // 2)
        while left > 0:
            at, dropped = 0, False
            while at < len(items) - 1 and left > 0:
                left -= 1
                candidate = without(at, min(at + size, len(items) - 1))
                difference = attempt(candidate, settings)
                if difference:
                    items, found, dropped = candidate, difference, True
                else:
                    at += size
            if size == 1 and not dropped:
                break
            size = max(1, size // 2)
    for index in reversed(range(len(items))):
        item = items[index]
        if isinstance(item, Restart):
            continue
        steps, size = item.steps, max(1, len(item.steps) // 2)
        while steps and left > 0:
            at = 0
            while at < len(steps) and left > 0:
                left -= 1
                shorter = steps[:at] + steps[at + size:]
                candidate = items[:index] + [item._replace(steps=shorter)] + items[index + 1:]
                difference = attempt(candidate, settings)
                if difference:
                    steps, items, found = shorter, candidate, difference
                else:
                    at += size
            if size == 1:
                break
            size = max(1, size // 2)
    return items, found


def describe(items, settings):
    """The requests of a (shrunk) failure, as they went out."""
    trace = []
    difference = attempt(items, settings, trace)
    lines = []
    for entry in trace:
        if isinstance(entry, str):
            lines.append(entry)
            continue
        name, request, metadata, bodies = entry
        text = repr(request) if isinstance(request, bytes) else " ".join(str(request).split("\n"))
        lines.append(f"{name} {{ {text[:1500]}}}" + (f" metadata {metadata}" if metadata else "") +
                     (f" bytes {bodies[0]!r}"[:1500] if bodies else ""))
    return "\n".join(lines), difference
