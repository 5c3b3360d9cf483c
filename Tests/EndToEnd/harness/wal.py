"""The write-ahead log, record by record, as far as tests rewrite it."""

from google.protobuf.message import DecodeError

from . import api
from .hashkv import crc32c

METADATA, ENTRY, STATE, CRC, SNAPSHOT = 1, 2, 3, 4, 5


def read(path):
    """The records of one file."""
    data, at, records = path.read_bytes(), 0, []
    while at + 8 <= len(data):
        head = int.from_bytes(data[at:at + 8], "little")
        if head == 0:
            break
        size, pad = head & ((1 << 56) - 1), (head >> 56) & 7 if head >> 63 else 0
        records.append(api.walpb.Record.FromString(data[at + 8:at + 8 + size]))
        at += 8 + size + pad
    return records


def write(path, records, crc):
    """Writes the records with checksums that follow from `crc`; returns the last one. The file keeps its size."""
    out, size_before = bytearray(), path.stat().st_size
    for record in records:
        if record.type == CRC:
            record.crc = crc
        else:
            crc = crc32c(record.data, crc)
            record.crc = crc
        body = record.SerializeToString()
        pad = -len(body) % 8
        out += (len(body) | ((0x80 | pad) << 56 if pad else 0)).to_bytes(8, "little") + body + bytes(pad)
    path.write_bytes(out + bytes(max(0, size_before - len(out))))
    return crc


def lower_cluster_version(directory, version):
    """Rewrites the log so that the cluster was never at a higher version: what `etcdctl downgrade` comes to. Without
    it an older etcd refuses a log of a newer one, whatever is in it."""
    crc = 0
    for path in sorted(directory.glob("*.wal")):
        records = read(path)
        for record in records:
            if record.type != ENTRY:
                continue
            entry = api.raftpb.Entry.FromString(record.data)
            if entry.Type != 0 or not entry.Data:
                continue
            try:
                request = api.InternalRaftRequest.FromString(entry.Data)
            except DecodeError:
                continue  # a request of the old key space, as etcd 3.5 writes it
            if request.HasField("cluster_version_set"):
                request.cluster_version_set.ver = version
                entry.Data = request.SerializeToString()
                record.data = entry.SerializeToString()
        crc = write(path, records, crc)
