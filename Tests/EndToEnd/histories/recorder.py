"""Clients and watchers on a server, in one thread, and all they asked and were told."""

import random
import select
import time

from harness import api, wire
from harness.client import compare, op_delete, op_put, op_range

from . import checker

PATHS = {name: api.METHODS[name].path for name in ("KV.Range", "KV.Put", "KV.DeleteRange", "KV.Txn", "KV.Compact", "Lease.LeaseGrant",
                                                   "Lease.LeaseRevoke", "Watch.Watch", "Maintenance.Status")}
KEYS = [b"k/%d" % i for i in range(8)]
LAST = b"~last"
CALL_SECONDS = 12
#: Codes after which nobody knows whether a write took place.
UNCERTAIN = {1, 2, 4, 13, 14, -1}


def kv_of(kv):
    return checker.KV(kv.key, kv.value, kv.create_revision, kv.mod_revision, kv.version, kv.lease)


class Workload:
    """Random operations; each value is written once in a run."""

    def __init__(self, seed, value_bytes=(8, 60), leases=True):
        self.rng, self.serial, self.value_bytes, self.with_leases = random.Random(seed), 0, value_bytes, leases
        self.known = {}     # The last mod revision that was seen of a key.
        self.leases = []
        self.next_lease = 1000
        self.revision = 1

    def value(self):
        self.serial += 1
        return b"%d." % self.serial + self.rng.randbytes(self.rng.randint(*self.value_bytes))

    def next(self):
        r = self.rng
        key, roll = r.choice(KEYS), r.random()
        if roll < 0.28:
            lease = r.choice(self.leases) if self.leases and r.random() < 0.15 else 0
            return ("put", key, self.value(), lease)
        if roll < 0.40:
            return ("get", key, b"", 0, r.random() < 0.3)
        if roll < 0.47:
            return ("get", b"k/", b"k0", 0, r.random() < 0.3)
        if roll < 0.50:
            return ("get", b"k/", b"k0", max(1, self.revision - r.randint(0, 50)), False)
        if roll < 0.70:
            # Compare and swap, with what was seen last of the key.
            return ("txn", ((key, self.known.get(key, 0)),), (("put", key, self.value(), 0),), (("get", key, b"", 0, False),))
        if roll < 0.80:
            one, two = r.sample(KEYS, 2)
            return ("txn", (), (("put", one, self.value(), 0), ("put", two, self.value(), 0), ("delete", LAST, b"")), ())
        if roll < 0.84:
            one, two = r.sample(KEYS, 2)
            return ("txn", ((one, self.known.get(one, 0)),), (("delete", one, b""), ("put", two, self.value(), 0)), (("delete", one, b""),))
        if roll < 0.92:
            return ("delete", key, b"")
        if roll < 0.94 or not self.with_leases:
            return ("delete", b"k/2", b"k/5")
        if roll < 0.97 or not self.leases:
            self.next_lease += 1
            return ("grant", self.next_lease, r.choice([2, 3, 1000, 1000]))
        return ("revoke", self.leases.pop(r.randrange(len(self.leases))))


def request_of(spec):
    """(method, message)"""
    kind = spec[0]
    if kind == "put":
        return "KV.Put", api.PutRequest(key=spec[1], value=spec[2], lease=spec[3], prev_kv=True)
    if kind == "delete":
        return "KV.DeleteRange", api.DeleteRangeRequest(key=spec[1], range_end=spec[2], prev_kv=True)
    if kind == "get":
        return "KV.Range", api.RangeRequest(key=spec[1], range_end=spec[2], revision=spec[3], serializable=spec[4])
    if kind == "grant":
        return "Lease.LeaseGrant", api.LeaseGrantRequest(ID=spec[1], TTL=spec[2])
    if kind == "revoke":
        return "Lease.LeaseRevoke", api.LeaseRevokeRequest(ID=spec[1])

    def op(inner):
        if inner[0] == "put":
            return op_put(inner[1], inner[2], lease=inner[3], prev_kv=True)
        if inner[0] == "delete":
            return op_delete(inner[1], inner[2], prev_kv=True)
        return op_range(inner[1], inner[2])
    return "KV.Txn", api.TxnRequest(compare=[compare(key, "mod_revision", "=", wanted) for key, wanted in spec[1]],
                                    success=[op(inner) for inner in spec[2]], failure=[op(inner) for inner in spec[3]])


def answer_of(spec, data):
    """(header revision, what a checker wants to know)"""
    kind = spec[0]
    if kind == "put":
        response = api.PutResponse.FromString(data)
        return response.header.revision, kv_of(response.prev_kv) if response.HasField("prev_kv") else None
    if kind == "delete":
        response = api.DeleteRangeResponse.FromString(data)
        return response.header.revision, [kv_of(kv) for kv in response.prev_kvs]
    if kind == "get":
        response = api.RangeResponse.FromString(data)
        return response.header.revision, ([kv_of(kv) for kv in response.kvs], response.count)
    if kind == "txn":
        response, told = api.TxnResponse.FromString(data), []
        for inner, part in zip(spec[2] if response.succeeded else spec[3], response.responses):
            if inner[0] == "put":
                told.append(kv_of(part.response_put.prev_kv) if part.response_put.HasField("prev_kv") else None)
            elif inner[0] == "delete":
                told.append([kv_of(kv) for kv in part.response_delete_range.prev_kvs])
            else:
                told.append(([kv_of(kv) for kv in part.response_range.kvs], part.response_range.count))
        return response.header.revision, (response.succeeded, told)
    kind = api.LeaseGrantResponse if kind == "grant" else api.LeaseRevokeResponse
    return kind.FromString(data).header.revision, ()


class Peer:
    """A connection that is made again after it broke."""

    def __init__(self, run):
        self.run, self.connection, self.retry_at = run, None, 0.0

    def connect(self):
        now = time.monotonic()
        if self.connection is not None or now < self.retry_at:
            return self.connection is not None
        try:
            self.connection = wire.Connection(self.run.server.client_port, timeout=2)
        except OSError:
            self.retry_at = now + 0.05
            return False
        self.run.poll.register(self.connection.fileno(), select.POLLIN)
        self.run.by_descriptor[self.connection.fileno()] = self
        return True

    def disconnect(self):
        if self.connection is None:
            return
        for descriptor, peer in list(self.run.by_descriptor.items()):
            if peer is self:
                del self.run.by_descriptor[descriptor]
                try:
                    self.run.poll.unregister(descriptor)
                except KeyError:
                    pass
        self.connection.close()
        self.connection, self.retry_at = None, time.monotonic() + 0.02

    def read(self):
        try:
            self.connection._read_available()
            if self.connection.broken:
                raise self.connection.broken
        except wire.Broken:
            self.broke()


class Client(Peer):
    """One operation after the other."""

    def __init__(self, run, number):
        super().__init__(run)
        self.number, self.operation, self.call = number, None, None
        self.pause_until = 0.0

    def step(self):
        now = time.monotonic()
        if self.operation is None:
            if self.run.stopping or now < self.pause_until or not self.connect():
                return
            spec = self.run.workload.next()
            name, message = request_of(spec)
            self.operation = checker.Operation(spec, self.run.tick(), now, client=self.number)
            self.run.operations.append(self.operation)
            try:
                self.call = self.connection.start(PATHS[name], message.SerializeToString())
            except wire.Broken:
                self.broke()
        elif self.call.ended:
            self.finish()
        elif now - self.operation.time > CALL_SECONDS:
            # Nobody will ever know.
            self.broke()

    def finish(self):
        op, call, workload = self.operation, self.call, self.run.workload
        self.operation = self.call = None
        op.returned = self.run.tick()
        if call.code == 0:
            op.revision, op.answer = answer_of(op.spec, call.messages[0])
            workload.revision = max(workload.revision, op.revision)
            self.learn(op.spec, op.answer, op.revision)
            if op.spec[0] == "grant":
                workload.leases.append(op.spec[1])
        elif call.code in UNCERTAIN:
            op.returned = None
            self.run.uncertain += 1
            self.pause_until = time.monotonic() + 0.02
        else:
            op.refused = call.text
            self.run.refused[call.text] = self.run.refused.get(call.text, 0) + 1
            if call.text == "etcdserver: requested lease not found" and op.spec[0] == "put" and op.spec[3] in workload.leases:
                workload.leases.remove(op.spec[3])

    def learn(self, spec, answer, revision):
        known = self.run.workload.known
        if spec[0] == "put":
            known[spec[1]] = revision
        elif spec[0] == "delete" and not spec[2]:
            known[spec[1]] = 0
        elif spec[0] == "get" and not spec[3]:
            for kv in answer[0]:
                known[kv.key] = kv.mod
            if not spec[2] and not answer[0]:
                known[spec[1]] = 0
        elif spec[0] == "txn":
            for inner, told in zip(spec[2] if answer[0] else spec[3], answer[1]):
                self.learn(inner, told, revision)

    def broke(self):
        self.disconnect()
        if self.operation is not None:
            self.run.uncertain += 1
            self.operation = self.call = None


class Watching(Peer):
    """A watcher that goes on where it was when its connection breaks."""

    def __init__(self, run, key, end, start=0, filters=(), prev_kv=False, fragment=False, lazy=0.0, fickle=False, progress=True):
        super().__init__(run)
        self.seen = checker.Watcher(key, end, tuple(filters), prev_kv)
        self.start, self.fragment, self.lazy, self.fickle, self.progress = start, fragment, lazy, fickle, progress
        self.next, self.call, self.created = start, None, False
        self.asked_at = self.read_at = 0.0
        self.reached = 0

    def step(self):
        now = time.monotonic()
        if self.connection is None:
            if not self.connect():
                return
            if self.lazy:
                self.run.poll.unregister(self.connection.fileno())
            self.created = False
            try:
                self.call = self.connection.open(PATHS["Watch.Watch"])
                self.send(create_request=api.WatchCreateRequest(key=self.seen.key, range_end=self.seen.end, start_revision=self.next,
                                                                filters=self.seen.filters, prev_kv=self.seen.prev_kv, fragment=self.fragment))
            except wire.Broken:
                return self.broke()
        if self.lazy and now >= self.read_at:
            self.read_at = now + (self.lazy if not self.run.stopping else 0)
            if select.select([self.connection.fileno()], [], [], 0)[0]:
                self.read()
        if self.connection is None:
            return
        while self.call.messages:
            if not self.take(api.WatchResponse.FromString(self.call.messages.popleft())):
                return
        if self.call.ended:
            return self.broke()
        if self.progress and self.created and now >= self.asked_at + 0.15:
            self.asked_at = now
            try:
                self.send(progress_request=api.WatchProgressRequest())
            except wire.Broken:
                return self.broke()
        if self.fickle and self.created and not self.run.stopping and self.run.rng.random() < 0.001:
            self.broke()

    def send(self, **union):
        self.connection.send(self.call, api.WatchRequest(**union).SerializeToString())

    def take(self, response):
        pieces, header = self.seen.pieces, response.header.revision
        if response.canceled:
            if not response.compact_revision:
                raise AssertionError(f"a watcher was cancelled: {response}")
            self.next = response.compact_revision
            pieces.append(("compacted", self.next))
            self.broke()
            return False
        if response.created:
            self.created = True
            # From now on: what comes after the revision of this answer, or, when it is told of, of some before.
            if not self.next:
                self.next = header + 1
            pieces.append(("start", self.next))
        elif response.events:
            events = [checker.Seen(e.kv.mod_revision, e.kv.key, None if e.type == 1 else e.kv.value, e.kv.create_revision, e.kv.version, e.kv.lease,
                                   kv_of(e.prev_kv) if e.HasField("prev_kv") else None) for e in response.events]
            pieces.append(("events", header, events, response.fragment))
            self.reached = events[-1].revision
            # Within a revision there is no going on.
            self.next = self.reached + (0 if response.fragment else 1)
        else:
            pieces.append(("progress", header))
            self.reached = max(self.reached, header)
            self.next = max(self.next, header + 1)
        return True

    def broke(self):
        if self.created:
            # What was told of a revision in fragments is told again.
            pieces = self.seen.pieces
            while pieces and pieces[-1][0] == "events" and pieces[-1][3]:
                first = pieces.pop()[2][0].revision
                self.next = min(self.next, first)
            pieces.append(("broken",))
        self.disconnect()


class Run:
    """A server under load for some seconds, with what is done to it meanwhile: `events` are (second, function)."""

    def __init__(self, server, seed, clients=8, seconds=8.0, events=(), watchers=None, compacts=False, value_bytes=(8, 60), leases=True, least=200):
        self.least = least
        self.server, self.rng = server, random.Random(f"run {seed}")
        self.poll, self.by_descriptor = select.poll(), {}
        self.workload = Workload(seed, value_bytes, leases)
        self.operations, self.uncertain, self.refused = [], 0, {}
        self.stopping, self._ticks = False, 0
        self.clients = [Client(self, i) for i in range(clients)]
        #: Sees all from the first revision on: the log, where there are compactions.
        self.audit = Watching(self, b"\0", b"\0", start=1, progress=False)
        self.watchers = [self.audit, *(watchers or default_watchers)(self)]
        self.seconds, self.events, self.compacts = seconds, sorted(events, key=lambda event: event[0]), compacts
        self.compacted = 0

    def tick(self):
        self._ticks += 1
        return self._ticks

    def turn(self):
        for descriptor, _ in self.poll.poll(5):
            peer = self.by_descriptor.get(descriptor)
            if peer is not None and peer.connection is not None:
                peer.read()
        for peer in (*self.clients, *self.watchers):
            peer.step()

    def run(self):
        began = time.monotonic()
        events, compact_at = list(self.events), 0.5
        # On a slow machine longer, until enough has happened.
        while (now := time.monotonic() - began) < self.seconds or events or now < 10 * self.seconds and not self.is_enough():
            if events and now >= events[0][0]:
                events.pop(0)[1]()
            if self.compacts and now >= compact_at:
                compact_at = now + 0.3
                self.compact()
            self.turn()
        self.stopping = True
        deadline = time.monotonic() + CALL_SECONDS + 5
        while any(client.operation for client in self.clients) and time.monotonic() < deadline:
            self.turn()
        self.last = self.finish()
        deadline = time.monotonic() + 30
        while self.lagging() and time.monotonic() < deadline:
            self.turn()
        self.missing = [f"a watcher of {w.seen.key}..{w.seen.end} is at {w.reached} of {self.last}" for w in self.lagging()]
        self.log = self.read_log()
        self.ended = time.monotonic()
        for peer in (*self.clients, *self.watchers):
            peer.disconnect()
        return self

    def is_enough(self):
        return len(self.operations) > self.least and sum(op.acknowledged for op in self.operations) > self.least

    def lagging(self):
        return [w for w in self.watchers if w.reached < self.last and (w.progress or w is self.audit)]

    def compact(self):
        """Up to where the audit has come, so that it loses nothing."""
        target = self.audit.reached - 20
        if target <= self.compacted:
            return
        try:
            connection = wire.Connection(self.server.client_port, timeout=2)
            connection.start(PATHS["KV.Compact"], api.CompactionRequest(revision=target, physical=self.rng.random() < 0.5).SerializeToString())
            self.compacted = target
        except (OSError, wire.Broken):
            return
        self.compactions = [*getattr(self, "compactions", [])[-20:], connection]

    def finish(self):
        """The revision of a last write, once the server serves again."""
        deadline = time.monotonic() + 60
        while True:
            try:
                connection = wire.Connection(self.server.client_port, timeout=2)
                operation = checker.Operation(("put", LAST, b"last", 0), self.tick(), time.monotonic())
                code, text, data = connection.wait(connection.start(PATHS["KV.Put"], request_of(operation.spec)[1].SerializeToString()), 10)
                connection.close()
                if code == 0:
                    operation.returned = self.tick()
                    operation.revision, operation.answer = answer_of(operation.spec, data)
                    self.operations.append(operation)
                    return operation.revision
            except (OSError, wire.Broken, AssertionError) as error:
                text = error
            if time.monotonic() > deadline:
                raise AssertionError(f"the server does not come back: {text}\n{self.server.tail()}")
            time.sleep(0.1)

    def read_log(self):
        """{revision: events}, all of it; where there were compactions as the audit has it, what is left being the same."""
        connection = wire.Connection(self.server.client_port)
        call = connection.open(PATHS["Watch.Watch"])
        first = max(1, self.compacted)
        connection.send(call, api.WatchRequest(create_request=api.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=first)).SerializeToString())
        log = {}
        while max(log, default=0) < self.last:
            message = connection.next(call, 30)
            if message is None:
                raise AssertionError(f"the stream of the log ended: {call.code} {call.text}")
            response = api.WatchResponse.FromString(message)
            if response.canceled:
                raise AssertionError(f"the log is not all there: {response}")
            for e in response.events:
                log.setdefault(e.kv.mod_revision, []).append(
                    checker.Event(e.kv.key, None if e.type == 1 else e.kv.value, e.kv.create_revision, e.kv.version, e.kv.lease))
        connection.close()
        self.contradictions = []
        if self.compacted:
            audited = {}
            for piece in self.audit.seen.pieces:
                if piece[0] == "events":
                    for e in piece[2]:
                        audited.setdefault(e.revision, []).append(checker.Event(*e[1:6]))
            for revision in log:
                if log[revision] != audited.get(revision):
                    self.contradictions.append(f"revision {revision}: {log[revision]}, it was {audited.get(revision)} before")
            log = audited
        return log

    def complaints(self):
        found = self.missing + self.contradictions + checker.complaints(self.operations, self.log, ended=self.ended)
        for watcher in self.watchers:
            found += [f"watcher of {watcher.seen.key}..{watcher.seen.end}: {text}" for text in checker.watch_complaints(
                watcher.seen, self.log, whole=not self.compacted or watcher is self.audit, first=self.first_for_watchers())]
        return found

    def first_for_watchers(self):
        # What was before an event may be compacted by the time it is told.
        return self.last + 2 if self.compacted else 2


def default_watchers(run):
    return [
        Watching(run, b"\0", b"\0", prev_kv=True),
        Watching(run, b"k/", b"k0", start=1, fickle=True, prev_kv=True),
        Watching(run, KEYS[0], b"", start=5, fickle=True),
        Watching(run, KEYS[1], KEYS[5], filters=(0,), prev_kv=True),
        Watching(run, b"k/", b"\0", filters=(1,), start=40),
        Watching(run, b"\0", b"\0", start=1, lazy=0.7, fragment=True, prev_kv=True),
        Watching(run, KEYS[3], b"", lazy=1.5),
    ]
