"""Judges a recorded history of clients and watchers against the log of what really happened.

Every write has a revision of its own, and the log (a watch of everything from the first revision, read at the end) says
what each revision did. So linearizability needs no search: the revisions are the order, and it remains to check that

- each revision is the whole effect of exactly one operation, evaluated on the state just before it, and each acknowledged
  write is there (an operation whose answer was lost may be there or not);
- each read shows the state of the revision in its header;
- the order agrees with real time: an operation begun after another one had ended has a higher revision (a read: no lower one).

The functions give lists of complaints: empty ones for a good history. histories/wgl.py judges without revisions.
"""

import bisect
import collections
import dataclasses
from typing import Any

PUT, DELETE = 0, 1

#: As a watch shows it. `value` of a deletion is None.
Event = collections.namedtuple("Event", "key value create version lease")
#: What a read shows.
KV = collections.namedtuple("KV", "key value create mod version lease")


@dataclasses.dataclass
class Operation:
    """`spec` is one of
    ("put", key, value, lease), ("delete", key, end), ("get", key, end, revision, serializable),
    ("txn", ((key, mod_revision), ...), (spec, ...), (spec, ...)), ("grant", id, ttl), ("revoke", id).
    `invoked` and `returned` are points in one order of all such points; `returned` is None when no answer came.
    `answer` is None unless the operation was acknowledged: then the header's revision and what the operation told:
    put: the previous KV or None; delete: the list of removed KVs; get: (list of KVs, count); txn: (succeeded, answers)."""
    spec: tuple
    invoked: int
    time: float = 0.0
    returned: int | None = None
    revision: int | None = None
    answer: Any = None
    refused: str | None = None   # A definite error: it had no effect.
    client: int = 0

    @property
    def acknowledged(self):
        return self.revision is not None


def is_write(spec):
    if spec[0] == "txn":
        return any(is_write(inner) for inner in (*spec[2], *spec[3]))
    return spec[0] in ("put", "delete", "revoke")


def within(key, start, end):
    return key == start if not end else start <= key and (end == b"\0" or key < end)


class States:
    """The state at each revision, from a log {revision: [Event]}."""

    def __init__(self, log):
        self.log, self.versions = log, {}
        self.last = max(log, default=1)
        for revision in sorted(log):
            for event in log[revision]:
                kv = None if event.value is None else KV(event.key, event.value, event.create, revision, event.version, event.lease)
                self.versions.setdefault(event.key, []).append((revision, kv))
        self.keys = sorted(self.versions)

    def get(self, key, revision):
        found = self.versions.get(key)
        if not found:
            return None
        at = bisect.bisect_right(found, revision, key=lambda version: version[0])
        return found[at - 1][1] if at else None

    def range(self, start, end, revision):
        if not end:
            kv = self.get(start, revision)
            return [kv] if kv else []
        return [kv for key in self.keys if within(key, start, end) and (kv := self.get(key, revision))]

    def attached(self, lease, revision):
        return [kv for key in self.keys if (kv := self.get(key, revision)) and kv.lease == lease]

    def branch(self, txn, revision):
        """Whether a transaction takes its first branch in the state of a revision."""
        return all((kv.mod if (kv := self.get(key, revision)) else 0) == wanted for key, wanted in txn[1])

    def effect(self, spec, before):
        """The events that an operation leads to in the state of the revision `before`; of each (key, value or None, lease)."""
        kind = spec[0]
        if kind == "put":
            return [(spec[1], spec[2], spec[3])]
        if kind == "delete":
            return [(kv.key, None, 0) for kv in self.range(spec[1], spec[2], before)]
        if kind == "revoke":
            return [(kv.key, None, 0) for kv in self.attached(spec[1], before)]
        if kind == "txn":
            return [event for inner in (spec[2] if self.branch(spec, before) else spec[3]) for event in self.effect(inner, before)]
        return []


def log_complaints(log, first=2):
    """Whether the log itself is whole: each revision once, versions and creations as they follow from each other."""
    found, live, expected = [], {}, first
    for revision in sorted(log):
        if revision != expected:
            found.append(f"revisions {expected} to {revision - 1} are missing in the log")
        expected = revision + 1
        for event in log[revision]:
            if event.value is None:
                if event.key not in live and first == 2:
                    found.append(f"revision {revision} deletes {event.key}, which was not there")
                live.pop(event.key, None)
                continue
            create, version = live.get(event.key, (revision, 0))
            if first == 2 and (event.create, event.version) != (create, version + 1):
                found.append(f"revision {revision}: {event}, expected creation {create} and version {version + 1}")
            live[event.key] = event.create, event.version
    return found


def shape(events):
    return [(event.key, event.value, 0 if event.value is None else event.lease) for event in events]


def floors(operations, moments=()):
    """For each operation the highest revision that was acknowledged before it began; and before each of `moments`."""
    points = sorted([(op.invoked, 1, i) for i, op in enumerate(operations)] +
                    [(op.returned, 0, i) for i, op in enumerate(operations) if op.acknowledged] +
                    [(moment, 2, i) for i, moment in enumerate(moments)])
    floor, low, of_moments = 1, [1] * len(operations), [1] * len(moments)
    for _, kind, index in points:
        if kind == 0:
            floor = max(floor, operations[index].revision)
        elif kind == 1:
            low[index] = floor
        else:
            of_moments[index] = floor
    return low, of_moments


def complaints(operations, log, first=2, ended=0.0):
    """All that is wrong with a history whose log begins at revision `first` and was read at the time `ended`."""
    states, found, claimed = States(log), log_complaints(log, first), {}
    low, _ = floors(operations)

    def claim(revision, index):
        if revision in claimed:
            found.append(f"revision {revision} is both {operations[claimed[revision]]} and {operations[index]}")
        claimed[revision] = index

    # The answer to a revocation does not tell whether it removed keys: last come those, for what the others leave.
    for index, op in sorted(enumerate(operations), key=lambda pair: pair[1].spec[0] == "revoke"):
        if not op.acknowledged:
            continue
        spec, revision = op.spec, op.revision
        if revision > states.last:
            found.append(f"{op} was acknowledged, the log ends at {states.last}")
            continue
        wrote = has_written(op.spec, op.answer)
        if spec[0] == "revoke":
            wrote = revision not in claimed and bool(states.attached(spec[1], revision - 1))
        if wrote:
            claim(revision, index)
            effect = states.effect(spec, revision - 1)
            if shape(log.get(revision, ())) != effect:
                found.append(f"{op} was acknowledged, expected is {effect}; its revision is {log.get(revision)}")
                continue
        if revision < low[index] or wrote and revision == low[index]:
            found.append(f"{op} began when revision {low[index]} was known")
        found += answer_complaints(states, op, revision - 1 if wrote else revision)

    # Operations whose outcome nobody knows, for the revisions that nobody has claimed.
    unclaimed = [revision for revision in sorted(log) if revision not in claimed]
    unknown = [i for i, op in enumerate(operations) if not op.acknowledged and op.refused is None and is_write(op.spec)]
    by_value = {}
    for i in unknown:
        for value in values(operations[i].spec):
            by_value[value] = i
    taken = set()
    others = [i for i in unknown if any(kind in ("delete", "revoke") for kind in kinds(operations[i].spec))]
    expiries = []
    for revision in unclaimed:
        events = shape(log[revision])
        candidates = {by_value[value] for _, value, _ in events if value in by_value} or \
            [i for i in others if i not in taken]
        for i in candidates:
            if low[i] < revision and states.effect(operations[i].spec, revision - 1) == events and i not in taken:
                claimed[revision] = i
                taken.add(i)
                break
        else:
            expiries.append(revision)
    found += expiry_complaints(operations, states, expiries, ended)
    for op in operations:
        if op.refused is not None and any(event.value in values(op.spec) for events in log.values() for event in events if event.value):
            found.append(f"{op} was refused, and has happened")
    return found


def has_written(spec, answer):
    """Whether an acknowledged operation has changed anything, by its own answer."""
    if spec[0] == "put":
        return True
    if spec[0] == "delete":
        return bool(answer)
    if spec[0] == "txn":
        return any(has_written(inner, told) for inner, told in zip(spec[2] if answer[0] else spec[3], answer[1]))
    return False


def values(spec):
    if spec[0] == "put":
        return [spec[2]]
    if spec[0] == "txn":
        return [value for inner in (*spec[2], *spec[3]) for value in values(inner)]
    return []


def kinds(spec):
    return [inner[0] for inner in (*spec[2], *spec[3])] if spec[0] == "txn" else [spec[0]]


def expiry_complaints(operations, states, revisions, ended):
    """Revisions that nobody asked for must each be the expiry of one lease, and not before its time."""
    found, grants = [], {op.spec[1]: op for op in operations if op.spec[0] == "grant" and op.refused is None}
    order = sorted((op.time, op.invoked) for op in operations)
    moments, checks = [], []
    for revision in revisions:
        events = states.log[revision]
        leases = {kv.lease for event in events if (kv := states.get(event.key, revision - 1))}
        lease = next(iter(leases)) if len(leases) == 1 else 0
        if lease not in grants or shape(events) != [(kv.key, None, 0) for kv in states.attached(lease, revision - 1)]:
            found.append(f"nobody asked for revision {revision}: {events}")
            continue
        grant = grants[lease]
        could_end = grant.time + grant.spec[2]
        if could_end > ended:
            found.append(f"lease {lease} ended before its time, at revision {revision}")
            continue
        # The first operation that began after the lease could have ended.
        at = bisect.bisect_left(order, (could_end, 0))
        if at == len(order):
            continue  # None did: it ended when all was done, before the log was read.
        moments.append(order[at][1])
        checks.append((revision, lease))
    _, lows = floors(operations, moments)
    for (revision, lease), low in zip(checks, lows):
        if revision <= low - EXPIRY_SLACK:
            found.append(f"lease {lease} ended at revision {revision}, and revision {low} was known before its time")
    return found


#: The moment at which a lease may end is known to within the operations that were in flight then.
EXPIRY_SLACK = 64


def answer_complaints(states, op, before):
    """What an operation was told, against the state of a revision."""
    return [f"{op} was told {told}, which is not {meant}" for told, meant in answers(states, op.spec, op.answer, before) if told != meant]


def answers(states, spec, answer, before):
    """Pairs of what was told and what had to be."""
    kind = spec[0]
    if kind == "put":
        yield answer, states.get(spec[1], before)
    elif kind == "delete":
        yield answer, states.range(spec[1], spec[2], before)
    elif kind == "get":
        kvs = states.range(spec[1], spec[2], spec[3] or before)
        yield answer, (kvs, len(kvs))
    elif kind == "txn":
        succeeded = states.branch(spec, before)
        yield answer[0], succeeded
        if answer[0] == succeeded:
            for inner, told in zip(spec[2] if succeeded else spec[3], answer[1]):
                yield from answers(states, inner, told, before)


@dataclasses.dataclass
class Watcher:
    """What a client was told that watched, over all its connections. `pieces` are in order:
    ("start", revision): a create request from there on (never 0); ("events", header, [Event with mod], fragment);
    ("progress", header); ("compacted", revision): cancelled, and begun again from there; ("broken",)."""
    key: bytes
    end: bytes
    filters: tuple = ()
    prev_kv: bool = False
    pieces: list = dataclasses.field(default_factory=list)


#: An event of a watcher: with its revision and what it says was there before.
Seen = collections.namedtuple("Seen", "revision key value create version lease prev")


def watch_complaints(watcher, log, whole=True, first=2):
    """Ordered, unique, reliable, atomic, resumable, bookmarkable. `whole`: the watcher must have seen all."""
    states, found = States(log), []

    def wanted(revision):
        return [event for event in log.get(revision, ()) if within(event.key, watcher.key, watcher.end) and
                (DELETE if event.value is None else PUT) not in watcher.filters]

    revisions = [revision for revision in sorted(log) if wanted(revision)]
    position = None     # The next of `revisions` that must come.
    pending = []        # Events of a revision that is being told in fragments.
    reached = 0
    for piece in watcher.pieces:
        if piece[0] == "start":
            at = bisect.bisect_left(revisions, piece[1])
            if position is not None and at != position:
                found.append(f"resumed at {piece[1]}; the next event is at {revisions[position:position + 1]}")
            position, pending = at, []
        elif piece[0] == "compacted":
            position = bisect.bisect_left(revisions, piece[1])
        elif piece[0] == "broken":
            pending = []
        elif piece[0] == "progress":
            if position < len(revisions) and revisions[position] <= piece[1]:
                found.append(f"progress {piece[1]} before the event of revision {revisions[position]}")
            if pending:
                found.append("progress within a revision")
            if piece[1] < reached:
                found.append(f"progress {piece[1]} after revision {reached}")
        else:
            _, header, events, fragment = piece
            if not events:
                found.append("a response without events")
            by_revision = {}
            for seen in pending + events:
                by_revision.setdefault(seen.revision, []).append(seen)
            order = [seen.revision for seen in pending + events]
            if order != sorted(order):
                found.append(f"events out of order: {order}")
            pending = by_revision.pop(order[-1]) if fragment else []
            for revision in sorted(by_revision):
                told = by_revision[revision]
                if position >= len(revisions) or revisions[position] != revision:
                    found.append(f"events of revision {revision}; expected those of {revisions[position:position + 1]}")
                    position = bisect.bisect_right(revisions, revision)
                else:
                    position += 1
                meant = [(event.key, event.value, event.create, event.version, event.lease) for event in wanted(revision)]
                if [tuple(seen[1:6]) for seen in told] != meant:
                    found.append(f"revision {revision} was told as {told}, it is {meant}")
                for seen in told:
                    prev = states.get(seen.key, revision - 1) if watcher.prev_kv else None
                    if seen.prev != prev and revision - 1 >= first:
                        found.append(f"{seen}: the previous one is {prev}")
                reached = revision
            if header < reached:
                found.append(f"header {header} with events up to {reached}")
    if whole and position is not None and position < len(revisions):
        found.append(f"never saw revision {revisions[position]} and {len(revisions) - position - 1} more")
    return found
