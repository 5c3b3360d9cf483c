"""A disk that misbehaves on request: the library faults.c, preloaded into the server, and its control block."""

import atexit
import functools
import mmap
import pathlib
import shutil
import struct
import subprocess
import tempfile
import unittest

#: The fields of the control block in faults.c.
_LAYOUT = struct.Struct("=iiiiqqqqqq")
_FIELDS = ("sync_delay_us", "sync_errno", "write_errno", "short_writes", "write_budget", "syncs", "writes", "failures", "operations", "kill_at")


@functools.lru_cache(maxsize=None)
def _library():
    """faults.c, compiled once in a run."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise unittest.SkipTest("no C compiler for the library of disk faults")
    directory = pathlib.Path(tempfile.mkdtemp(prefix="martlet-faults-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    library = directory / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, pathlib.Path(__file__).with_name("faults.c"), "-ldl"], check=True)
    return library


class Faults:
    """`with Faults() as faults: Server(env=faults.environment)`; then `faults.set(sync_delay_us=20_000)`."""

    def __init__(self):
        library = _library()
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="martlet-faults-"))
        block = self.directory / "control"
        block.write_bytes(bytes(mmap.PAGESIZE))
        self._file = open(block, "r+b")
        self._map = mmap.mmap(self._file.fileno(), mmap.PAGESIZE)
        self.environment = {"LD_PRELOAD": str(library), "FAULTS": str(block)}

    def set(self, **fields):
        # A field at a time: the counters go on meanwhile.
        for name, value in fields.items():
            index = _FIELDS.index(name)
            offset, kind = (index * 4, "=i") if index < 4 else (16 + (index - 4) * 8, "=q")
            struct.pack_into(kind, self._map, offset, value)

    def get(self, name):
        return _LAYOUT.unpack_from(self._map, 0)[_FIELDS.index(name)]

    def heal(self):
        self.set(write_errno=0, sync_errno=0, sync_delay_us=0, short_writes=0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._map.close()
        self._file.close()
        shutil.rmtree(self.directory, ignore_errors=True)
