"""A bbolt file read by its definition, independently of the server's own reader and writer."""

import struct

from .hashkv import crc32c

BRANCH, LEAF, META, FREELIST = 1, 2, 4, 16
NO_FREELIST = (1 << 64) - 1
#: What the Hash call leaves out of the bucket `meta`.
HASH_IGNORES = {b"consistent_index", b"term", b"storageVersion"}


def fnv(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & NO_FREELIST
    return value


class File:
    """A whole file in memory; `buckets()` is its content. Everything wrong is an AssertionError.

    A copy that bbolt itself has made while it was in use, such as etcd's snapshots, has the newer meta page first, whatever its
    number is.
    """

    def __init__(self, data, is_copy=False):
        self.data = data
        metas = []
        for number in (0, 1):
            page = data[number * 4096:(number + 1) * 4096]
            ident, flags, _, _ = struct.unpack_from("<QHHI", page)
            assert (ident, flags) == (number, META), (number, ident, flags)
            magic, version, size, _, root, sequence, freelist, high, txid, checksum = struct.unpack_from("<IIIIQQQQQQ", page, 16)
            assert (magic, version, size) == (0xED0CDAED, 2, 4096)
            assert checksum == fnv(page[16:72]), f"checksum of meta page {number}"
            assert is_copy or txid % 2 == number, f"transaction {txid} on meta page {number}"
            metas.append((txid, root, sequence, freelist, high))
        assert abs(metas[0][0] - metas[1][0]) == 1
        self.txid, self.root, self.sequence, self.freelist, self.high = max(metas)
        assert len(data) >= self.high * 4096
        self.used = {0, 1}
        self.free = set()
        if self.freelist != NO_FREELIST:
            ident, flags, count, overflow = struct.unpack_from("<QHHI", data, self.freelist * 4096)
            assert (ident, flags) == (self.freelist, FREELIST) and count < 0xFFFF
            self._use(self.freelist, overflow)
            self.free = set(struct.unpack_from(f"<{count}Q", data, self.freelist * 4096 + 16))

    def _use(self, page, overflow):
        for number in range(page, page + overflow + 1):
            assert number not in self.used and number not in self.free and number < self.high, f"page {number}"
            self.used.add(number)

    def _elements(self, at, flags, count):
        for i in range(count):
            element = at + 16 + 16 * i
            if flags == LEAF:
                kind, pos, ksize, vsize = struct.unpack_from("<IIII", self.data, element)
                key = element + pos
                yield self.data[key:key + ksize], self.data[key + ksize:key + ksize + vsize], kind
            else:
                pos, ksize, child = struct.unpack_from("<IIQ", self.data, element)
                yield self.data[element + pos:element + pos + ksize], child, None

    def _page(self, number, first=None):
        ident, flags, count, overflow = struct.unpack_from("<QHHI", self.data, number * 4096)
        assert ident == number and flags in (BRANCH, LEAF), (number, ident, flags)
        self._use(number, overflow)
        elements = list(self._elements(number * 4096, flags, count))
        assert first is None or elements[0][0] == first, f"page {number} does not begin with its parent's key"
        if flags == LEAF:
            yield from elements
        else:
            assert count >= 2, f"branch page {number} has {count} children"
            for key, child, _ in elements:
                yield from self._page(child, key)

    def _bucket(self, root, value):
        if root:
            found = list(self._page(root))
        else:
            saved, self.data = self.data, bytes(value)
            ident, flags, count, overflow = struct.unpack_from("<QHHI", self.data)
            assert (ident, flags, overflow) == (0, LEAF, 0)
            found = list(self._elements(0, flags, count))
            self.data = saved
        keys = [key for key, _, _ in found]
        assert keys == sorted(set(keys)), "keys out of order"
        return found

    def buckets(self):
        """{name: [(key, value)]} in order; afterwards every page is accounted for."""
        result = {}
        for name, value, kind in self._bucket(self.root, None):
            assert kind == 1, f"{name} is no bucket"
            root = int.from_bytes(value[:8], "little")
            result[name.decode()] = [(bytes(k), bytes(v)) for k, v, _ in self._bucket(root, value[16:])]
        if self.freelist != NO_FREELIST:
            assert self.used | self.free == set(range(self.high)), "pages that are neither used nor free"
        return result


def hash_of(buckets, ignores=frozenset()):
    """The Hash call's checksum; `etcdutl snapshot status` has the same without anything ignored."""
    crc = 0
    for name in sorted(buckets):
        crc = crc32c(name.encode(), crc)
        for key, value in buckets[name]:
            if name == "meta" and key in ignores:
                continue
            crc = crc32c(value, crc32c(key, crc))
    return crc


def revision(key):
    """(main, sub, is tombstone) of a key of the bucket `key`."""
    assert len(key) == 17 or (len(key) == 18 and key[17:] == b"t"), key
    assert key[8:9] == b"_"
    return int.from_bytes(key[:8], "big"), int.from_bytes(key[9:17], "big"), len(key) == 18
