"""What two servers of different versions may answer differently, each with its reason; anything else is a failure.

docs/compatibility.md has the same list for people.
"""

import struct

from harness import api

HASH_REMEMBERED = 3, 5, 16

KV = "/etcdserverpb.KV/"


def transactions(txn):
    """The transaction and all inside it."""
    yield txn
    for op in (*txn.success, *txn.failure):
        if op.HasField("request_txn"):
            yield from transactions(op.request_txn)


def operations(txn):
    for inner in transactions(txn):
        yield from inner.success
        yield from inner.failure


def deadly(txn):
    """Transactions that delete a key and put it again, which slip through etcd's check for duplicates, and that etcd
    cannot digest: a put that keeps the value or lease of what was deleted before it kills the server; and a
    compaction at such a revision takes the key for deleted there, and reading it kills the server."""
    found = list(operations(txn))
    deletes = [op.request_delete_range for op in found if op.HasField("request_delete_range")]
    if not deletes:
        return False
    puts = [op.request_put for op in found if op.HasField("request_put")]
    return bool(puts) and any(delete.range_end == b"\0" for delete in deletes) or \
        any(put.ignore_value or put.ignore_lease for put in puts)


def deletes_before_puts(txn):
    """A put in a nested transaction and, after it, a delete that covers it in a sibling: etcd lets it pass, and a
    second put of the key may follow."""
    return any(op.HasField("request_txn") for op in (*txn.success, *txn.failure)) and \
        any(op.HasField("request_delete_range") for op in operations(txn))


def asks_keys_only(request):
    if isinstance(request, api.RangeRequest):
        return request.keys_only
    if isinstance(request, api.TxnRequest):
        return any(op.request_range.keys_only for op in operations(request))
    return False


SORTED_BY = {1: "version", 2: "create_revision", 3: "mod_revision", 4: "value"}


def settle_ties(request, answer):
    """Keys that are equal in what a list is sorted by may come in any order (and so be cut off or not by a limit):
    leaves of such an answer what is certain."""
    if isinstance(request, api.TxnRequest):
        for op, part in zip(request.success if answer.succeeded else request.failure, answer.responses):
            if op.HasField("request_range"):
                settle_ties(op.request_range, part.response_range)
            elif op.HasField("request_txn"):
                settle_ties(op.request_txn, part.response_txn)
        return
    if not isinstance(request, api.RangeRequest) or request.sort_target not in SORTED_BY:
        return
    field = SORTED_BY[request.sort_target]
    if answer.more:
        for kv in answer.kvs:
            kept = {} if request.keys_only else {field: getattr(kv, field)}
            kv.Clear()
            for name, value in kept.items():
                setattr(kv, name, value)
        return
    # The values are not in the answer when only keys were asked for.
    if not (request.keys_only and field == "value"):
        order = [getattr(kv, field) for kv in answer.kvs]
        if order != sorted(order, reverse=request.sort_order == 2):
            raise AssertionError(f"not sorted by {field}: {answer}")
    kvs = sorted(answer.kvs, key=lambda kv: kv.key)
    del answer.kvs[:]
    answer.kvs.extend(kvs)


def clear_lease(message):
    """Sets lease to 0 in every KeyValue of an answer."""
    for kv in getattr(message, "kvs", ()):
        kv.lease = 0
    for part in getattr(message, "responses", ()):
        clear_lease(part.response_range)
        clear_lease(part.response_txn)


def status_is_sound(status, version):
    """What must hold of each Status by itself; what is left must be equal."""
    problems = []
    if tuple(map(int, status.version.split(".")[:3])) != version:
        problems.append(f"version {status.version}, not {version}")
    if status.leader != status.header.member_id:
        problems.append("a lone member is not its own leader")
    if not 0 <= status.dbSizeInUse <= status.dbSize:
        problems.append(f"dbSizeInUse {status.dbSizeInUse} of dbSize {status.dbSize}")
    if status.raftAppliedIndex > status.raftIndex:
        problems.append("applied is ahead of committed")
    if status.raftTerm != status.header.raft_term:
        problems.append("two terms")
    if version >= (3, 6):
        # Unknown until the version's monitor has looked.
        if status.storageVersion and not status.storageVersion.startswith("%d.%d." % version[:2]):
            problems.append(f"storage version {status.storageVersion}")
        if status.dbSizeQuota <= 0:
            problems.append("no quota")
        if not status.HasField("downgradeInfo"):
            problems.append("no downgradeInfo")
    if problems:
        raise AssertionError(f"{problems}: {status}")
    for field in ("version", "dbSize", "dbSizeInUse", "storageVersion", "dbSizeQuota", "downgradeInfo"):
        status.ClearField(field)
    # The text of an alarm is in the form of the protobuf library, whose spaces vary.
    errors = sorted(" ".join(text.split()) for text in status.errors)
    del status.errors[:]
    status.errors.extend(errors)
    status.raftAppliedIndex = 0  # May trail by what is being applied.


UNPARSABLE = "grpc: error unmarshalling request:"


def equal_errors(one, two):
    """(code, text) of both sides. What cannot be parsed is told by the protobuf library, in its words."""
    if one == two:
        return True
    return one[0] == two[0] == 13 and one[1].startswith(UNPARSABLE) and two[1].startswith(UNPARSABLE)


#: Calls that etcd takes through its log, or not, depending on the version: the Raft index tells them apart.
PROPOSED_OR_NOT = {"Auth.AuthStatus", "Cluster.MemberRemove", "Cluster.MemberUpdate", "Cluster.MemberPromote", "Cluster.MemberAdd",
                   "Lock.Lock", "Lock.Unlock", "Election.Campaign", "Election.Proclaim", "Election.Leader", "Election.Resign"}


def cost(txn, nested):
    """Whether a branch of a transaction puts anything, which a full database refuses. Puts in nested transactions count
    since 3.6."""
    return any(op.HasField("request_put") or nested and op.HasField("request_txn") and cost(op.request_txn, True)
               for op in (*txn.success, *txn.failure))


def foreign_types(descriptor, data):
    """Whether a known field comes with the wire type of another: 3.7's runtime takes it for an unknown one, those before
    refuse the message, and so does martlet."""
    try:
        for number, kind, raw, _, _ in fields(data):
            field = descriptor.fields_by_number.get(number)
            if field is None:
                continue
            wide = field.type in (field.TYPE_BYTES, field.TYPE_STRING, field.TYPE_MESSAGE)
            if kind != (2 if wide else 0) and not (kind == 2 and field.label == field.LABEL_REPEATED and not wide):
                return True
            if field.type == field.TYPE_MESSAGE and kind == 2:
                _, at = _varint(raw, 0)
                if foreign_types(field.message_type, raw[at:]):
                    return True
    except ValueError:
        # A group: of a known field's number it is foreign too.
        return any(descriptor.fields_by_number.get(number) for number in groups(data))
    return False


def groups(data):
    """Numbers of the fields that begin a group."""
    at, found = 0, []
    try:
        while at < len(data):
            tag, at = _varint(data, at)
            kind = tag & 7
            if kind == 0:
                _, at = _varint(data, at)
            elif kind in (1, 5):
                at += 8 if kind == 1 else 4
            elif kind == 2:
                size, at = _varint(data, at)
                at += size
            else:
                found.append(tag >> 3)
    except ValueError:
        pass
    return found


def varint(value):
    out = bytearray()
    value &= (1 << 64) - 1
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def fields(data):
    """(tag, wire type, raw value with its length, start, end) of each field; ValueError when it is not protobuf."""
    at = 0
    while at < len(data):
        start = at
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            _, end = _varint(data, at)
        elif kind == 1:
            end = at + 8
        elif kind == 2:
            size, at2 = _varint(data, at)
            end = at2 + size
        elif kind == 5:
            end = at + 4
        else:
            raise ValueError("group")
        if end > len(data) or number == 0:
            raise ValueError("torn")
        yield number, kind, data[at:end], start, end
        at = end


def _varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("varint")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def double(value):
    return struct.pack("<d", value)
