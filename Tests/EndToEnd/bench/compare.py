"""Real etcd and martlet under the same load, in turn, on one machine and one disk, with real fsync.

Each round starts both on an empty directory, one after the other (the order alternates), and measures each
workload; the table shows medians over the rounds and the ratio martlet/etcd. Server CPU is what the kernel
charged to the process, so it stays true where the generator or the machine's two cores are the limit; that
is marked in the last column.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from harness import peers  # noqa: E402
from harness.server import READY, Server  # noqa: E402


def build_generator(directory):
    target = directory / "load"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-o", target, HERE / "load.c", "-lnghttp2"], check=True)
    return target


class Bench:
    def __init__(self, load, options):
        self.load, self.options = load, options

    def generate(self, server, *arguments):
        done = subprocess.run([self.load, str(server.client_port), *map(str, arguments)], capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            raise SystemExit(f"load {arguments} on {server.binary}: {done.stderr}\n{server.tail(5)}")
        return json.loads(done.stdout.splitlines()[-1])

    def measured(self, server, action):
        """The generator's figures with the server's CPU time beside them."""
        cpu = server.cpu_seconds()
        row = action()
        row["server_cpu"] = server.cpu_seconds() - cpu
        return row

    def watch(self, server, connections, streams, events):
        watcher = subprocess.Popen([self.load, str(server.client_port), "watch", str(connections), str(streams), str(events)],
                                   stdout=subprocess.PIPE, text=True)
        if watcher.stdout.readline() != "ready\n":
            raise SystemExit("the watch generator did not get ready")
        cpu = server.cpu_seconds()
        puts = self.generate(server, "put", 1, 10, events, 1000, 256)
        row = json.loads(watcher.stdout.readline())
        row["server_cpu"] = server.cpu_seconds() - cpu
        row["cpu_seconds"] += puts["cpu_seconds"]
        watcher.wait()
        return row

    def round(self, binary, directory):
        """All workloads on a fresh server: {name: figures}."""
        n, rows = self.options.scale, {}
        with Server(binary=binary, work=directory) as server:
            run = lambda name, *arguments: rows.__setitem__(name, self.measured(server, lambda: self.generate(server, *arguments)))
            keys = int(20_000 * n)
            run("put 1x1", "put", 1, 1, int(2_000 * n), keys, 256)
            run("put 10x10", "put", 10, 10, int(40_000 * n), keys, 256)
            run("put 100x10", "put", 100, 10, int(40_000 * n), keys, 256)
            run("range l 1x1", "range", 1, 1, int(5_000 * n), keys, 0)
            run("range l 10x10", "range", 10, 10, int(60_000 * n), keys, 0)
            run("range s 10x10", "range", 10, 10, int(60_000 * n), keys, 1)
            rows["watch 50x2"] = self.watch(server, 50, 2, int(1_000 * n))
            rows["after these"] = {"rss": server.rss_bytes(), "disk": server.disk_bytes()}
            server.stop()
            started = time.monotonic()
            server.spawn()
            server.wait_for_line(READY, 60)
            rows["restart"] = {"restart_ms": (time.monotonic() - started) * 1000}
        shutil.rmtree(server.data_dir)
        with Server(binary=binary, work=directory) as server:
            self.generate(server, "put", 10, 10, 10_000, 10_000, 2048)
            rows["list 10k x 2KB"] = self.measured(server, lambda: self.generate(server, "list", 1, 1, max(5, int(20 * n))))
            rows["after lists"] = {"rss": server.rss_bytes(), "disk": server.disk_bytes()}
        shutil.rmtree(server.data_dir)
        return rows


def figures(row):
    """What is shown of a row, by name of the figure."""
    if "done" not in row:
        return {"RSS MB": row.get("rss", 0) / 1e6, "disk MB": row.get("disk", 0) / 1e6} if "rss" in row else {"ms": row["restart_ms"]}
    shown = {"per s": row["done"] / row["seconds"]}
    if row["p50_us"]:
        shown.update({"p50 µs": row["p50_us"], "p99 µs": row["p99_us"]})
    shown["CPU µs"] = row["server_cpu"] / row["done"] * 1e6
    return shown


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the numbers of requests")
    parser.add_argument("--dir", help="where the data go (the disk that is measured); default: the system's temporary directory")
    parser.add_argument("--etcd", default=peers.etcd(), help="the etcd to compare with")
    options = parser.parse_args()
    martlet = peers.server()
    if not options.etcd:
        parser.error("no real etcd; scripts/peers/fetch-test-peers.sh fetches one")

    with tempfile.TemporaryDirectory(prefix="martlet-bench-", dir=options.dir) as directory:
        directory = pathlib.Path(directory)
        kind = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True).stdout.strip()
        print(f"etcd {'.'.join(map(str, peers.version(options.etcd)))} and {martlet}; {os.cpu_count()} cores; data on {kind}; "
              f"{options.rounds} rounds, scale {options.scale:g}")
        if kind == "tmpfs":
            print("warning: these data are in memory: fsync costs nothing here; name a real disk with --dir")
        bench = Bench(build_generator(directory), options)
        results = {"etcd": [], "martlet": []}
        for number in range(options.rounds):
            order = [("etcd", options.etcd), ("martlet", martlet)]
            for name, binary in order if number % 2 == 0 else order[::-1]:
                print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
                results[name].append(bench.round(binary, directory))

    print(f"\n{'workload':<16} {'figure':<8} {'etcd':>12} {'martlet':>12} {'ratio':>7}  limited by")
    for workload in results["etcd"][0]:
        medians = {}
        for name, rounds in results.items():
            shown = [figures(r[workload]) for r in rounds]
            medians[name] = {k: statistics.median(s[k] for s in shown) for k in shown[0]}
        limits = []
        for name, rounds in results.items():
            rows = [r[workload] for r in rounds if "done" in r[workload]]
            if not rows:
                continue
            busy = statistics.median(r["cpu_seconds"] / r["seconds"] for r in rows)
            both = statistics.median((r["cpu_seconds"] + r["server_cpu"]) / r["seconds"] for r in rows)
            if busy > 0.85:
                limits.append(f"{name}: the generator")
            elif both > 0.9 * os.cpu_count():
                limits.append(f"{name}: the machine's cores")
        for i, figure in enumerate(medians["etcd"]):
            e, m = medians["etcd"][figure], medians["martlet"][figure]
            print(f"{workload if i == 0 else '':<16} {figure:<8} {e:>12,.1f} {m:>12,.1f} {m / e if e else 0:>7.2f}  {', '.join(limits) if i == 0 else ''}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
