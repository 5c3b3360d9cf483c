"""The workloads by name. Each gets a server with a known content and answers figures; the runner compares them."""

import threading
import time
from dataclasses import dataclass
from typing import Callable

from harness.client import Client
from harness.server import READY

from . import measure
from .measure import cpu_seconds, forget_peak, memory, rates


@dataclass
class Workload:
    name: str
    about: str
    content: str
    run: Callable
    #: Takes minutes: only when it is asked for.
    is_long: bool = False
    only_martlet: bool = False


WORKLOADS: dict[str, Workload] = {}
CONTENTS: dict[str, Callable] = {}


def workload(name, content="empty", **options):
    def add(run):
        WORKLOADS[name] = Workload(name, run.__doc__, content, run, **options)
        return run
    return add


def content(name):
    def add(fill):
        CONTENTS[name] = fill
        return fill
    return add


class Bench:
    """One server under measurement. `n(count)` scales numbers of requests."""

    def __init__(self, server, generator, directory, scale):
        self.server, self.generator, self.directory, self.scale = server, generator, directory, scale
        self.run, self.watching = generator.run, generator.watching

    def n(self, count):
        return max(1, int(count * self.scale))

    def restart_ms(self):
        self.server.stop()
        started = time.monotonic()
        self.server.spawn()
        self.server.wait_for_line(READY, 600)
        return (time.monotonic() - started) * 1000


# What the server holds before it is measured.

@content("empty")
def _(bench):
    pass


#: On servers that speak TLS: the certificate's key is P-256; OpenSSL and the server agree on the cipher.
@content("TLS")
def _(bench):
    pass


@content("20k keys x 256 B")
def _(bench):
    bench.run("put", connections=10, streams=10, requests=20_000, keys=20_000)


@content("10k objects x 2 KB")
def _(bench):
    bench.run("put", connections=10, streams=10, requests=10_000, keys=10_000, value=2048)


@content("1 GB in 16,384 objects")
def _(bench):
    bench.run("put", connections=4, streams=4, requests=16_384, keys=16_384, value=65_500)


@content("1M keys x 256 B x 3")
def _(bench):
    # etcd at such a rate lets some puts time out when the disk is slow.
    bench.run("put", may_fail=True, connections=100, streams=10, requests=3_000_000, keys=1_000_000)


@content("10M keys x 256 B")
def _(bench):
    bench.run("put", connections=100, streams=10, requests=10_000_000, keys=10_000_000)


# Writes.

@workload("put1x1")
def _(bench):
    """one client, one put of 256 B at a time; p50 against a bare write and fdatasync on this disk, and against the same
    between two threads and a socket (floor.c)"""
    # The disk's mood changes: measured on both sides, the better counts.
    floors = [measure.floor(bench.directory)]
    shown = rates(bench.run("put", requests=bench.n(3_000), keys=20_000))
    floors.append(measure.floor(bench.directory))
    shown["of fdatasync"] = shown["p50 µs"] / min(f["sync_us"] for f in floors)
    shown["of the floor"] = shown["p50 µs"] / min(f["durable_us"] for f in floors)
    return shown


@workload("put10x10")
def _(bench):
    """ten connections, ten puts at a time on each; keys of 25 B, values of 256 B"""
    return rates(bench.run("put", connections=10, streams=10, requests=bench.n(60_000), keys=20_000))


@workload("put100x10")
def _(bench):
    """100 connections, 1,000 clients: keys of 8 B, values of 256 B"""
    return rates(bench.run("put", connections=100, streams=10, requests=bench.n(100_000), keys=20_000, key=8))


@workload("txn100x10")
def _(bench):
    """1,000 clients, each "if unchanged since I wrote it: put, else get", as an API server writes objects"""
    return rates(bench.run("txn", connections=100, streams=10, requests=bench.n(100_000)))


@workload("put-tls", "TLS")
def _(bench):
    """put100x10 over TLS"""
    return rates(bench.run("put", connections=100, streams=10, requests=bench.n(100_000), keys=20_000, key=8))


# Reads.

@workload("range1x1", "20k keys x 256 B")
def _(bench):
    """one linearizable read at a time"""
    return rates(bench.run("range", requests=bench.n(10_000), keys=20_000))


@workload("rangel", "20k keys x 256 B")
def _(bench):
    """linearizable reads of single keys, 100 connections with ten each"""
    return rates(bench.run("range", connections=100, streams=10, requests=bench.n(150_000), keys=20_000))


@workload("ranges", "20k keys x 256 B")
def _(bench):
    """the same, serializable"""
    return rates(bench.run("range", connections=100, streams=10, requests=bench.n(150_000), keys=20_000, serializable=1))


@workload("list", "10k objects x 2 KB")
def _(bench):
    """all 10,000 objects of 2 KB in one answer"""
    return rates(bench.run("list", requests=bench.n(30))) | {"RSS MB": memory(bench.server.pid)[0]}


@workload("page500", "10k objects x 2 KB")
def _(bench):
    """pages of 500 objects of 2 KB from random places"""
    return rates(bench.run("page", requests=bench.n(300), keys=10_000, limit=500))


@workload("list1g", "1 GB in 16,384 objects")
def _(bench):
    """one answer of 1 GB: what it adds to memory at its peak"""
    forget_peak(bench.server.pid)
    before = memory(bench.server.pid)[0]
    row = bench.run("list", requests=1)
    return {"RSS before MB": before, "added MB": memory(bench.server.pid)[1] - before, "s": row["seconds"], "CPU s": row["server_cpu"]}


# Watches.

def _watchers(bench, connections, streams, watchers, events):
    before = memory(bench.server.pid)[0]
    held = {}

    def writes():
        held["MB"] = memory(bench.server.pid)[0] - before
        # etcd under thousands of watchers lets some puts time out, and applies them all the same.
        return bench.run("put", may_fail=True, streams=10, requests=events, keys=1000)
    forget_peak(bench.server.pid)
    row = bench.watching(writes, connections=connections, streams=streams, watchers=watchers, events=events)
    return rates(row, "event") | {"watchers MB": held["MB"], "peak MB": memory(bench.server.pid)[1] - before}


@workload("watch100")
def _(bench):
    """50 connections with two watch streams each, on everything that is put"""
    return _watchers(bench, 50, 2, 1, bench.n(2_000))


@workload("watchers10k")
def _(bench):
    """10,000 watchers on one prefix: 100 connections with a stream of 100 watchers each"""
    return _watchers(bench, 100, 1, 100, bench.n(100))


@workload("watchstreams10k")
def _(bench):
    """10,000 watchers on one prefix, each with a stream of its own, on 100 connections"""
    return _watchers(bench, 100, 100, 1, bench.n(100))


# Leases.

@workload("keepalive")
def _(bench):
    """renewals on 1,000 streams of 100 connections, of 10,000 leases"""
    bench.run("grant", connections=10, streams=10, requests=10_000, ttl=3600)
    return rates(bench.run("keepalive", connections=100, streams=10, requests=bench.n(150_000), leases=10_000))


@workload("expiry10k")
def _(bench):
    """10,000 leases with a key each that end together: deletions seen by a watcher"""
    count = bench.n(10_000)

    def writes():
        bench.run("grant", connections=10, streams=100, requests=count, ttl=5)
        bench.run("put", connections=10, streams=100, requests=count, keys=count, lease=1)
    row = bench.watching(writes, events=count, noput=1)
    return {"per s": row["done"] / row["seconds"], "s": row["seconds"]}


# Memory, disk and start.

@workload("idle")
def _(bench):
    """a new server that does nothing"""
    time.sleep(2)
    before = cpu_seconds(bench.server.pid)
    time.sleep(3)
    return {"RSS MB": memory(bench.server.pid)[0], "CPU ms/s": max(0, cpu_seconds(bench.server.pid) - before) / 3 * 1e3}


def _restarted(bench):
    time.sleep(3)
    full, disk = memory(bench.server.pid)[0], bench.server.disk_bytes() / 1e6
    ms = bench.restart_ms()
    time.sleep(1)
    return {"RSS MB": full, "disk MB": disk, "restart ms": ms, "RSS after it MB": memory(bench.server.pid)[0]}


@workload("restart", "20k keys x 256 B")
def _(bench):
    """a clean stop and start of a small store"""
    return _restarted(bench)


@workload("million", "1M keys x 256 B x 3", is_long=True)
def _(bench):
    """a million keys written three times over: memory, disk, clean restart"""
    return _restarted(bench)


@workload("million-killed", "1M keys x 256 B x 3", is_long=True)
def _(bench):
    """the same after kill -9"""
    time.sleep(3)
    bench.server.kill()
    started = time.monotonic()
    bench.server.spawn()
    bench.server.wait_for_line(READY, 600)
    return {"restart ms": (time.monotonic() - started) * 1000}


@workload("keys10m", "10M keys x 256 B", is_long=True, only_martlet=True)
def _(bench):
    """ten million keys: memory, disk, clean restart"""
    return _restarted(bench)


# Latency while the server is busy with itself.

@workload("beside", is_long=True)
def _(bench):
    """p99 of reads and of puts (two at a time of each) beside a compaction with what follows it, a snapshot, a
    defragmentation, against the quiet p99; 150,000 keys, 600 MB of garbage"""
    server, shown = bench.server, {}
    bench.run("put", connections=10, streams=10, requests=600_000, keys=150_000, value=1000)
    # Both checkpoint and write back what they were just given.
    time.sleep(5)
    with Client(server.address) as client:
        def snapshot():
            for _ in client.call("Maintenance.Snapshot", timeout=300):
                pass
        for name, disturbance in {
                "quiet": None, "compaction": lambda: client.compact(client.revision(), physical=True), "snapshot": snapshot,
                "defrag": lambda: client.call("Maintenance.Defragment", timeout=300)}.items():
            puts = bench.generator.start("put", streams=2, seconds=6, keys=1, value=1000)
            reads = bench.generator.start("range", streams=2, seconds=6, keys=150_000)
            if disturbance:
                time.sleep(0.3)
                beside = threading.Thread(target=disturbance)
                beside.start()
                beside.join()
            for kind, process in ("put", puts), ("read", reads):
                row = bench.generator.finish(process)
                if name == "quiet":
                    shown[f"{kind} p99 µs"] = row["p99_us"]
                else:
                    shown[f"{kind} {name}"] = row["p99_us"] / shown[f"{kind} p99 µs"]
    return shown
