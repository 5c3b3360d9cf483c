"""Random requests: each step's are made from the step's own seed and from what the store is like then, so that a
sequence of steps from which some are dropped still means something."""

import random

from harness import api
from harness.client import RESULTS, TARGETS, compare

from . import rules
from .access import auth_request, claim_request

KEYS = [b"a", b"a\0", b"aa", b"ab", b"b", b"b/1", b"b/2", b"c", b"c\xff", b"d", b"\0", b"\xff", b"\xff\xff", b"zz",
        b"/registry/pods/default/x", b"/registry/pods/default/y", b"k" * 300]
#: Lease ids. Their lifetimes are far apart, so that a list ordered by expiry has one order.
LEASES = {11: 100, 12: 3000, 13: 20_000, -5: 90_000, 2**62: 700_000, -2**63: 5_000_000}
UNKNOWN_LEASES = [99, -1, 2**63 - 1]
ODD_REVISIONS = [-1, -2**63, 2**63 - 1, 1]

#: What a sequence is mostly about: how often each step is taken.
PROFILES = {
    "mixed": dict(range=26, put=26, delete=9, txn=18, compact=2, lease=8, hash=2, watch=3, cancel=1, progress=1, odd=2,
                  metadata=1, encoding=2, settle=1),
    "txn": dict(range=8, put=16, delete=5, txn=60, compact=2, lease=5, hash=1, watch=1, encoding=2),
    "watch": dict(range=4, put=34, delete=12, txn=20, compact=3, lease=6, watch=9, cancel=3, progress=3, settle=2, close=1),
    "lease": dict(range=8, put=25, delete=6, txn=12, lease=42, hash=1, watch=2, compact=1),
    "history": dict(range=30, put=26, delete=12, txn=12, compact=7, hash=8, watch=2),
    "wire": dict(range=8, put=8, delete=3, txn=6, lease=2, odd=12, metadata=16, encoding=30, watch=1, malformed=14),
    "alarm": dict(range=10, put=20, delete=8, txn=20, lease=10, alarm=16, odd=10, compact=2, watch=1),
    "auth": dict(range=14, put=14, delete=5, txn=9, auth=40, lease=3),
    "claims": dict(range=5, put=3, lease=14, claim=50, delete=2),
    "large": dict(range=14, put=30, delete=6, txn=20, watch=3, limits=20, compact=1, hash=1),
}
ORDER = ["mixed", "mixed", "mixed", "txn", "watch", "watch", "lease", "history", "wire", "alarm", "auth", "claims", "large"]


class State:
    """What requests refer to, as the answers of the reference tell it."""

    def __init__(self):
        self.revision, self.compacted = 1, -1
        self.leases = set()
        self.racy_hashes = set()    # Revisions whose hash is remembered or not, depending on when a compaction ended.
        self.alarms = set()         # (member, type)
        self.auth = False
        self.passwords = {}         # Of the users there are.
        self.claims = {}            # The revision of a lock or election, by its key.
        self.request_limit = 1572864


class Generator:
    def __init__(self, seed, profile, state, versions):
        self.rng = random.Random(seed)
        self.profile, self.state, self.versions = profile, state, versions
        self.oldest = min(versions)

    def step(self):
        table = PROFILES[self.profile]
        return self.rng.choices(list(table), list(table.values()))[0]

    # Parts of requests.

    def key(self, empty=0.02):
        roll = self.rng.random()
        if roll < empty:
            return b""
        if roll > 0.999 - empty:
            return self.rng.randbytes(self.rng.choice([1, 2, 40, 2000]))
        return self.rng.choice(KEYS)

    def interval(self):
        key, r = self.key(), self.rng
        roll = r.random()
        if roll < 0.45:
            return key, b""
        if roll < 0.6:
            return key, b"\0"
        if roll < 0.65:
            return b"\0", b"\0"
        if roll < 0.8 and key and key[-1] < 255:
            return key, key[:-1] + bytes([key[-1] + 1])
        return key, self.key()

    def past(self, none=0.6):
        """A revision: mostly none, sometimes of the past, seldom compacted or of the future."""
        roll, state = self.rng.random(), self.state
        if roll < none:
            return 0
        if roll < none + 0.3:
            low = max(1, state.compacted - 1)
            return self.rng.randint(max(low, state.revision - 40) if self.rng.random() < 0.8 else low, max(low, state.revision))
        return self.rng.choice([*ODD_REVISIONS, max(0, state.compacted), state.compacted + 1, state.revision,
                                state.revision + 1, state.revision + 100])

    def range(self, in_txn=False):
        key, end = self.interval()
        r = self.rng
        revision = self.past()
        if in_txn and revision < 0 and r.random() < 0.8:
            revision = 0
        fields = dict(key=key, range_end=end, revision=revision)
        if r.random() < 0.4:
            fields["limit"] = r.choice([1, 2, 3, 5, 100, -1, 2**63 - 1, -2**63])
        if r.random() < 0.15:
            fields["count_only"] = True
        if r.random() < 0.2:
            fields["keys_only"] = True
        if r.random() < 0.2:
            fields["serializable"] = True
        if r.random() < 0.3:
            fields["sort_order"] = r.randint(0, 2)
            fields["sort_target"] = r.randint(0, 4)
        while r.random() < 0.18:
            fields[r.choice(["min_mod_revision", "max_mod_revision", "min_create_revision", "max_create_revision"])] = \
                r.choice([r.randint(1, self.state.revision + 1), max(1, self.state.revision - r.randint(0, 20)), -1])
        if self.oldest >= (3, 6) and r.random() < 0.02:
            fields[r.choice(["sort_target", "sort_order"])] = r.choice([7, -1])
        return api.RangeRequest(**fields)

    def value(self):
        r = self.rng
        roll = r.random()
        if roll < 0.15:
            return b""
        if roll < 0.5:
            return r.choice([b"x", b"yy", b"\0", b"\xff\xfe"])
        if self.profile == "large" and roll > 0.6:
            return r.randbytes(r.choice([3000, 15_000, 18_000]))
        return r.randbytes(r.choice([3, 30, 300]))

    def put(self, in_txn=False):
        r = self.rng
        fields = dict(key=self.key(), value=self.value())
        if r.random() < 0.3:
            # A lease in a transaction is verified since 3.7; before, one that is unknown kills the server.
            known = sorted(self.state.leases)
            if in_txn and self.oldest < (3, 7):
                if known:
                    fields["lease"] = r.choice(known)
            else:
                fields["lease"] = r.choice([*LEASES, *known, *known, *UNKNOWN_LEASES])
        if r.random() < 0.3:
            fields["prev_kv"] = True
        if r.random() < 0.1:
            fields["ignore_value"] = True
            if r.random() < 0.8:
                fields["value"] = b""
        if r.random() < 0.1:
            fields["ignore_lease"] = True
            if r.random() < 0.8:
                fields.pop("lease", None)
        return api.PutRequest(**fields)

    def delete(self):
        key, end = self.interval()
        if self.rng.random() < 0.6:
            end = b""
        return api.DeleteRangeRequest(key=key, range_end=end, prev_kv=self.rng.random() < 0.4)

    def compare(self):
        r = self.rng
        target = r.choice(list(TARGETS))
        operand = r.choice([b"", b"x", b"yy"]) if target == "value" else r.choice(
            [0, 1, 2, -1, *LEASES, r.randint(0, self.state.revision + 1), self.state.revision])
        key, end = self.interval()
        made = compare(key or b"a", target, r.choice(list(RESULTS)), operand, end if r.random() < 0.4 else b"")
        roll = r.random()
        if roll < 0.03:
            made.result = r.choice([4, 17])
        elif roll < 0.06:
            made.target = r.choice([5, 17])
        elif roll < 0.1:
            made.target = r.choice([0, 1, 2, 3, 4])  # Another target than the operand is for.
        elif roll < 0.12:
            made.ClearField("target_union")
        elif roll < 0.13:
            made.key = b""
        return made

    def op(self, depth):
        r = self.rng
        roll = r.random()
        if roll < 0.35:
            return api.RequestOp(request_range=self.range(in_txn=True))
        if roll < 0.7:
            return api.RequestOp(request_put=self.put(in_txn=True))
        if roll < 0.88 or depth == 4:
            return api.RequestOp(request_delete_range=self.delete())
        if roll < 0.885:
            return api.RequestOp()
        return api.RequestOp(request_txn=self.txn(depth + 1))

    def txn(self, depth=0):
        r = self.rng
        small = depth > 1
        return api.TxnRequest(compare=[self.compare() for _ in range(r.choice([0, 0, 1, 1, 2, 3]))],
                              success=[self.op(depth) for _ in range(r.choice([0, 1, 1, 2] if small else [0, 1, 1, 2, 3, 5]))],
                              failure=[self.op(depth) for _ in range(r.choice([0, 1, 1, 2]))])

    def full_txn(self):
        """A transaction at the limit of its operations (128), and one beyond."""
        r = self.rng
        count = r.choice([126, 127, 128, 128, 129])
        kind, side = r.randrange(4), r.choice(["compare", "success", "failure"])
        if kind == 0:
            nested = api.TxnRequest(success=[api.RequestOp(request_range=api.RangeRequest(key=b"a")) for _ in range(128 - 2)])
            return api.TxnRequest(success=[api.RequestOp(request_txn=nested)] * r.choice([1, 2, 3]))
        if side == "compare":
            return api.TxnRequest(compare=[compare(b"a", "version", "!=", -1)] * count,
                                  success=[api.RequestOp(request_put=api.PutRequest(key=b"a", value=b"full"))])
        ops = [api.RequestOp(request_put=api.PutRequest(key=b"n%03d" % i, value=b"v"))
               if kind < 3 else api.RequestOp(request_range=api.RangeRequest(key=b"a", range_end=b"\0", limit=2)) for i in range(count)]
        return api.TxnRequest(compare=[compare(b"a", "version", r.choice(["=", "!="]), 0)], **{side: ops})

    # Whole requests: (method, message).

    def request(self, step):
        r, state = self.rng, self.state
        if step == "range":
            return "KV.Range", self.range()
        if step == "put":
            return "KV.Put", self.put()
        if step == "delete":
            return "KV.DeleteRange", self.delete()
        if step == "txn":
            return "KV.Txn", self.txn()
        if step == "compact":
            return "KV.Compact", api.CompactionRequest(
                revision=r.choice([state.revision - 3, max(state.compacted, 0) + 1, (state.revision + max(0, state.compacted)) // 2, state.revision,
                                   state.revision, state.revision + 1, state.compacted, 0, -1, 2**63 - 1]),
                physical=r.random() < 0.8)
        if step == "lease":
            return self.lease()
        if step == "hash":
            revision = r.choice([0, state.revision, max(state.compacted, state.revision - 5), state.compacted, state.compacted - 1,
                                 state.revision + 1, -1])
            if revision in state.racy_hashes or self.oldest < rules.HASH_REMEMBERED and revision <= state.compacted:
                revision = state.revision if state.revision > state.compacted else 0
            return "Maintenance.HashKV", api.HashKVRequest(revision=revision)
        if step == "alarm":
            action, member, alarm = r.choice([0, 0, 1, 2, 2, 2]), r.choice([0, 1, 0xABCDEF0123456789]), r.choice([0, 1, 1, 1, 2])
            if action == 1 and self.oldest < (3, 6) and any(active != alarm for _, active in state.alarms):
                action = 0  # Of two types of alarm only the last one raised counts before 3.6.
            return "Maintenance.Alarm", api.AlarmRequest(action=action, memberID=member, alarm=alarm)
        if step == "limits":
            return self.limits()
        if step == "auth":
            return auth_request(r, state)
        if step == "claim":
            return claim_request(r, state) or self.lease()
        return self.odd()

    def lease(self):
        r, known = self.rng, sorted(self.state.leases)
        roll, id = r.random(), r.choice([*LEASES, *known, *known, r.choice(UNKNOWN_LEASES)])
        if roll < 0.4:
            id = r.choice(list(LEASES))
            ttl = LEASES[id]
            if r.random() < 0.08:
                ttl = r.choice([9_000_000_000, 9_000_000_001, 2**63 - 1])
                # Its place among the others is certain: it is the last, and alone there.
                id = 12 if ttl == 9_000_000_000 else id
            return "Lease.LeaseGrant", api.LeaseGrantRequest(ID=id, TTL=ttl)
        if roll < 0.6:
            return "Lease.LeaseRevoke", api.LeaseRevokeRequest(ID=r.choice([id, id, 0]))
        if roll < 0.75:
            return "Lease.LeaseTimeToLive", api.LeaseTimeToLiveRequest(ID=r.choice([id, id, id, 0]), keys=r.random() < 0.7)
        if roll < 0.85:
            return "Lease.LeaseLeases", api.LeaseLeasesRequest()
        return "Lease.LeaseKeepAlive", api.LeaseKeepAliveRequest(ID=r.choice([id, id, id, 0]))

    def odd(self):
        """Calls that are neither reads nor writes of keys."""
        r = self.rng
        roll = r.randrange(12)
        if roll == 0:
            return "Maintenance.Status", api.StatusRequest()
        if roll == 1:
            return "Cluster.MemberList", api.MemberListRequest(linearizable=r.random() < 0.5)
        if roll == 2:
            return "Maintenance.MoveLeader", api.MoveLeaderRequest(targetID=r.choice([0, 7, 2**64 - 1]))
        if roll == 3:
            return r.choice(["Cluster.MemberRemove", "Cluster.MemberPromote"]), None
        if roll == 4:
            return "Auth.AuthStatus", api.AuthStatusRequest()
        if roll == 5:
            return "Auth.Authenticate", api.AuthenticateRequest(name=r.choice(["", "root"]), password="x")
        if roll == 6:
            return "Cluster.MemberAdd", api.MemberAddRequest(
                peerURLs=r.choice([[], [""], ["nonsense"], ["http://127.0.0.1"], ["ftp://127.0.0.1:1"], ["http://127.0.0.1:99/path"],
                                   ["http://localhost:http"], ["127.0.0.1:2380"], ["http://[::1:2380"], ["http://:1", "x"]]),
                isLearner=r.random() < 0.5)
        if roll == 7:
            return "Cluster.MemberUpdate", api.MemberUpdateRequest(ID=r.choice([0, 7]), peerURLs=r.choice([[], ["http://127.0.0.1:1"]]))
        if roll == 8:
            return "Maintenance.Status", api.StatusRequest()
        if roll == 9:
            return "Maintenance.Alarm", api.AlarmRequest(action=0, alarm=r.choice([0, 1, 2]))
        if roll == 10:
            return "Maintenance.Defragment", api.DefragmentRequest()
        return "Lease.LeaseLeases", api.LeaseLeasesRequest()

    def limits(self):
        """Requests at the limits of size and number."""
        r, limit = self.rng, self.state.request_limit
        roll = r.random()
        if roll < 0.3:
            return "KV.Txn", self.full_txn()
        near = r.choice([limit - 40 + r.randrange(50), limit, limit + 524288 - r.randrange(40), limit + 524288 + r.randrange(2)])
        if limit > 100_000 and near > limit + 100:
            near = limit - 20 + r.randrange(30)
        if roll < 0.7:
            return "KV.Put", api.PutRequest(key=b"large", value=b"v" * near)
        if roll < 0.85:
            half = near // 2
            return "KV.Txn", api.TxnRequest(success=[api.RequestOp(request_put=api.PutRequest(key=b"l1", value=b"v" * half)),
                                                     api.RequestOp(request_put=api.PutRequest(key=b"l2", value=b"v" * (near - half)))])
        if roll < 0.93:
            return "KV.DeleteRange", api.DeleteRangeRequest(key=b"d" * near)
        return "KV.Range", api.RangeRequest(key=b"d" * near)

    # The same message in other bytes, and bytes that are no message.

    def reencoded(self, message):
        """Bytes that mean the same: fields in another order, numbers longer than need be, fields that nobody knows,
        zeros written out, messages in two parts."""
        return self._reencoded(message.SerializeToString(), message.DESCRIPTOR, 0)

    def _reencoded(self, data, descriptor, depth):
        r, parts = self.rng, []
        for number, kind, raw, start, end in rules.fields(data):
            field = descriptor.fields_by_number.get(number)
            if field is not None and field.message_type is not None and kind == 2:
                _, at = rules._varint(raw, 0)
                inner = self._reencoded(raw[at:], field.message_type, depth + 1)
                parts.append((number, rules.varint(number << 3 | 2) + self._long(len(inner)) + inner))
            elif kind == 0:
                parts.append((number, self._tag(number << 3) + self._long(rules._varint(raw, 0)[0])))
            else:
                _, at = rules._varint(raw, 0)
                parts.append((number, self._tag(number << 3 | kind) + self._long(len(raw) - at) + raw[at:]))
        singular = [p for p in parts if not (descriptor.fields_by_number.get(p[0]) and
                                             descriptor.fields_by_number[p[0]].label == descriptor.fields_by_number[p[0]].LABEL_REPEATED)]
        if r.random() < 0.3:
            # In any order, save that what is repeated stays in its own.
            order = [p[0] for p in parts]
            r.shuffle(order)
            queues = {}
            for p in parts:
                queues.setdefault(p[0], []).append(p)
            parts = [queues[number].pop(0) for number in order]
        if r.random() < 0.3 and singular:
            # A field twice: the last one counts.
            number, raw = r.choice(singular)
            field = descriptor.fields_by_number.get(number)
            if field is not None and field.message_type is None and field.containing_oneof is None:
                kind = 2 if field.type in (field.TYPE_BYTES, field.TYPE_STRING) else 0
                parts.insert(0, (number, rules.varint(number << 3 | kind) + (b"\x02zz" if kind == 2 else self._long(r.randrange(1000)))))
        for _ in range(r.choice([0, 0, 1, 2])):
            number = r.choice([15, 16, 99, 2000, 2**29 - 1])
            if number in descriptor.fields_by_number:
                continue
            unknown = r.choice([
                rules.varint(number << 3) + self._long(r.randrange(2**40)), rules.varint(number << 3 | 1) + bytes(8),
                rules.varint(number << 3 | 2) + b"\x03abc", rules.varint(number << 3 | 5) + bytes(4),
                rules.varint(number << 3 | 3) + b"\x08\x01" + rules.varint(number << 3 | 4)])
            parts.insert(r.randint(0, len(parts)), (number, unknown))
        if r.random() < 0.2:
            for field in descriptor.fields:
                if field.label != field.LABEL_REPEATED and field.message_type is None and field.containing_oneof is None \
                        and not any(p[0] == field.number for p in parts):
                    kind = 2 if field.type in (field.TYPE_BYTES, field.TYPE_STRING) else 0
                    parts.append((field.number, rules.varint(field.number << 3 | kind) + b"\0"))
        return b"".join(p[1] for p in parts)

    def _tag(self, tag):
        return rules.varint(tag)

    def _long(self, value):
        raw = rules.varint(value)
        extra = self.rng.choice([0, 0, 0, 1, 3])
        if not extra or len(raw) + extra > 9:
            return raw
        return raw[:-1] + bytes([raw[-1] | 0x80]) + b"\x80" * (extra - 1) + b"\0"

    def damaged(self, data):
        """A valid message with something wrong in it; it may still be valid."""
        r, data = self.rng, bytearray(data)
        roll = r.randrange(7)
        if roll == 0 and data:
            del data[r.randrange(len(data)):]
        elif roll == 1 and data:
            data[r.randrange(len(data))] = r.randrange(256)
        elif roll == 2:
            at = r.randint(0, len(data))
            data[at:at] = r.randbytes(r.choice([1, 2, 5]))
        elif roll == 3:
            data += r.choice([b"\0", b"\x07", b"\x06\x01", b"\x0b", b"\x0c", b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\x0a\x05a",
                              b"\xff" * 11, b"\x08" + b"\xff" * 10 + b"\x01", b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                              b"\x7b\x7b\x7c\x7c", b"\x7b\x7c\x74"])
        elif roll == 4 and data:
            at = r.randrange(len(data))
            del data[at:at + r.choice([1, 2, 5])]
        elif roll == 5:
            return r.randbytes(r.choice([1, 3, 10, 50]))
        else:
            data[0:0] = r.choice([b"\x0d\0\0\0\0", b"\x09" + bytes(8), b"\x08\x01", b"\x12\x80"])
        return bytes(data)

    METADATA = [
        (("hasleader", "true"),), (("hasleader", "false"),), (("hasleader", "TRUE"),), (("client-api-version", "3.7"),),
        (("token", "nonsense.12"),), (("authorization", "Bearer nonsense"),), (("grpc-timeout", "10S"),), (("grpc-timeout", "1H"),),
        (("grpc-timeout", "99999999H"),), (("grpc-timeout", "30000m"),), (("user-agent", "x" * 300),), (("x-unknown", "1"), ("x-unknown", "2")),
        (("x-data-bin", "AAEC"),), (("grpcgateway-accept", "x"),), (("hasleader", "true"), ("hasleader", "false")),
        (("grpc-timeout", "10"),), (("grpc-timeout", "S"),), (("grpc-timeout", "123456789S"),), (("grpc-timeout", "1x"),), (("grpc-timeout", ""),),
        (("grpc-timeout", "-1S"),), (("grpc-encoding", "identity"),), (("grpc-encoding", "snappy"),), (("grpc-accept-encoding", "gzip,identity"),),
    ]

    def metadata(self):
        # What is wrong with a timeout is told differently by an old grpc-go.
        if self.oldest >= rules.HASH_REMEMBERED:
            return self.rng.choice(self.METADATA)
        while True:
            # Old ones also judge tokens while authentication is off.
            found = self.rng.choice(self.METADATA[:15])
            if found[0][0] not in ("token", "authorization"):
                return found

    def watch(self):
        """The fields of a create request, and whether it looks back."""
        r, state = self.rng, self.state
        key, end = self.interval()
        if r.random() < 0.3:
            key, end = r.choice([(b"\0", b"\0"), (b"a", b"d"), (b"", b"\0"), (b"/registry/pods/", b"/registry/pods0")])
        fields = dict(key=key, range_end=end)
        roll = r.random()
        if roll < 0.45:
            pass
        elif roll < 0.85:
            # Before 3.5.16 a deletion at the compacted revision itself is gone.
            low = max(1, state.compacted + (0 if self.oldest >= rules.HASH_REMEMBERED else 1))
            fields["start_revision"] = r.randint(low, max(low, state.revision)) if r.random() < 0.85 \
                else r.choice([1, max(1, state.compacted - 1), max(low, state.revision)])
        elif roll < 0.97:
            fields["start_revision"] = state.revision + r.randint(1, 8)
        elif self.oldest >= (3, 7):
            fields["start_revision"] = r.choice([-1, -2**63])
        if r.random() < 0.5:
            fields["prev_kv"] = True
        if r.random() < 0.3:
            fields["filters"] = r.choice([[0], [1], [0, 1], [1, 1], [5], [0, 9]])
        if r.random() < 0.3:
            fields["fragment"] = True
        if r.random() < 0.2:
            fields["progress_notify"] = True
        if r.random() < 0.25:
            fields["watch_id"] = r.choice([1, 2, 3, 7, -9, -2**63, 2**63 - 1, 100 + r.randrange(5)])
        return fields
