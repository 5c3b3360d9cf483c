"""HashKV by its definition: CRC-32C over the records of the store, recomputed from the history a watch gives."""

from . import api


def _table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    return table


_TABLE = _table()


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def records(client, last):
    """(revision, key, value) of each record of a store that was never compacted, as etcd keeps them."""
    events, found = [], []
    with client.watch() as stream:
        stream.create(b"\0", b"\0", start_revision=2)
        while not events or events[-1].kv.mod_revision < last:
            events += stream.events(1)
    main, sub = 0, 0
    for event in events:
        sub = sub + 1 if event.kv.mod_revision == main else 0
        main = event.kv.mod_revision
        key = main.to_bytes(8, "big") + b"_" + sub.to_bytes(8, "big")
        if event.type == 1:
            found.append((main, key + b"t", api.mvccpb.KeyValue(key=event.kv.key).SerializeToString()))
        else:
            found.append((main, key, event.kv.SerializeToString()))
    return found


def hash_of(history, revision):
    crc = crc32c(b"key")
    for at, key, value in history:
        if at <= revision:
            crc = crc32c(value, crc32c(key, crc))
    return crc
