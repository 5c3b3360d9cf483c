"""A server whose allocations are counted, and the load generator of the benchmarks to put it to work."""

import os
import pathlib
import struct
import subprocess
import tempfile

from .server import Server

HERE = pathlib.Path(__file__).resolve().parent


class CountedServer:
    """A server with a preloaded counter. `per(mode, …)` is what one operation of a workload costs."""

    def __init__(self, *flags):
        self._directory = tempfile.TemporaryDirectory(prefix="martlet-allocations-")
        directory = pathlib.Path(self._directory.name)
        library, self._load, self._counts = directory / "count.so", directory / "load", directory / "counts"
        compiler = os.environ.get("CC", "cc")
        subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, HERE / "count_allocations.c"], check=True)
        subprocess.run([compiler, "-O2", "-o", self._load, HERE.parent / "bench/load.c", "-lnghttp2"], check=True)
        self._counts.write_bytes(bytes(24))
        self.server = Server(*flags, env={"LD_PRELOAD": str(library), "COUNT_ALLOCATIONS": str(self._counts)})

    def __enter__(self):
        try:
            self.server.start()
        except BaseException:
            self._directory.cleanup()
            raise
        return self

    def __exit__(self, *_):
        self.server.close()
        self._directory.cleanup()

    def counts(self):
        """(calls that handed out memory, bytes asked for, calls of free)"""
        return struct.unpack("3Q", self._counts.read_bytes())

    def command(self, mode, **options):
        return [self._load, str(self.server.client_port), mode, *(f"{name}={value}" for name, value in options.items())]

    def run(self, mode, **options):
        return subprocess.run(self.command(mode, **options), check=True, capture_output=True, text=True, timeout=120).stdout

    def per(self, mode, count, **options):
        """Allocations and bytes per operation once everything has its size: what COUNT operations add to a first run."""
        self.run(mode, requests=count, **options)
        start = self.counts()
        self.run(mode, requests=count, **options)
        middle = self.counts()
        # Connections, streams and whatever goes on beside are in both: half as much again tells them apart.
        self.run(mode, requests=2 * count, **options)
        end = self.counts()
        return tuple(((e - m) - (m - s)) / count for s, m, e in zip(start, middle, end))[:2]
