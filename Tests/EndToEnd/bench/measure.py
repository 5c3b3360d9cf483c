"""What is measured: the generator's figures, and the server's processor time and memory as the kernel counts them."""

import json
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent


def build_generator(directory, tls=False):
    target = directory / ("load-tls" if tls else "load")
    extra = ["-DTLS", "-lssl", "-lcrypto"] if tls else []
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-o", target, HERE / "load.c", "-lnghttp2", *extra],
                   check=True)
    return target


def cpu_seconds(pid):
    """Processor time of all threads, to the nanosecond where the kernel says it (ticks are 10 ms)."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            pass  # The thread has just ended.
    return total / 1e9


def memory(pid):
    """Resident megabytes: now, and the most since the start or `forget_peak`."""
    found = {}
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            found[name] = int(rest.split()[0]) * 1024 / 1e6
    return found["VmRSS"], found["VmHWM"]


def forget_peak(pid):
    pathlib.Path(f"/proc/{pid}/clear_refs").write_text("5")


class Generator:
    """Runs load.c against one server."""

    def __init__(self, path, server):
        self.path, self.server = path, server

    def command(self, mode, **options):
        return [self.path, str(self.server.client_port), mode, *(f"{name}={value}" for name, value in options.items())]

    def start(self, mode, **options):
        return subprocess.Popen(self.command(mode, **options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def finish(self, process, may_fail=False):
        out, error = process.communicate(timeout=1800)
        if process.returncode != 0 and not (may_fail and out):
            raise SystemExit(f"load {process.args[1:]} on {self.server.binary}: {error}\n{self.server.tail(5)}")
        return json.loads(out.splitlines()[-1])

    def run(self, mode, may_fail=False, **options):
        """The generator's figures, with the server's processor time beside them."""
        before = cpu_seconds(self.server.pid)
        row = self.finish(self.start(mode, **options), may_fail)
        row["server_cpu"] = cpu_seconds(self.server.pid) - before
        return row

    def watching(self, writes, **options):
        """Figures of watchers while `writes()` runs; it may answer a row whose processor time is the generator's too."""
        watcher = self.start("watch", **options)
        if watcher.stdout.readline() != "ready\n":
            raise SystemExit(f"the watchers did not get ready: {watcher.stderr.read()}")
        before = cpu_seconds(self.server.pid)
        other = writes()
        row = self.finish(watcher)
        row["server_cpu"] = cpu_seconds(self.server.pid) - before
        row["cpu_seconds"] += other["cpu_seconds"] if other else 0
        return row


def rates(row, per="op"):
    """What is shown of a generator's row."""
    shown = {"per s": row["done"] / row["seconds"], f"CPU µs/{per}": row["server_cpu"] / row["done"] * 1e6}
    if row["p50_us"]:
        shown |= {"p50 µs": row["p50_us"], "p99 µs": row["p99_us"]}
    shown["generator"] = row["cpu_seconds"] / row["seconds"]
    return shown


def build_floor(directory):
    target = directory / "floor"
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-Wall", "-Wextra", "-o", target, HERE / "floor.c", "-lpthread"], check=True)
    return target


def floor(directory, count=1000):
    """What disk and scheduler alone cost, in microseconds: `sync_us`, `echo_us`, `durable_us` (see floor.c)."""
    program = directory / "floor"
    done = subprocess.run([program, directory / "floor-data", str(count)], capture_output=True, text=True, check=True, timeout=300)
    return json.loads(done.stdout)
