"""Real etcd and martlet under the same load, in turn, on one machine and one disk, with real fsync.

Each round starts each server on an empty directory for each content that its workloads need, one server after the
other (the order alternates); the table shows medians over the rounds and the ratio martlet/etcd. Server CPU is what the
kernel charged to the process, so it stays true where the generator or the machine's cores are the limit; that
is marked in the last column.
"""

import argparse
import contextlib
import csv
import functools
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bench import measure, workloads  # noqa: E402
from harness import peers  # noqa: E402
from harness.certificates import Certificates  # noqa: E402
from harness.server import Server  # noqa: E402


class SecureServer(Server):
    """Speaks TLS with the certificate that lies in the directory of its data."""

    url = property(lambda self: f"https://{self.address}")

    def __init__(self, certificates, *flags, **options):
        super().__init__("--cert-file", certificates.path("server.crt"), "--key-file", certificates.path("server.key"), *flags, **options)


#: Contents may be larger than the usual 2 GiB.
QUOTA = "--quota-backend-bytes", str(16 << 30)


def run_round(wanted, name, binary, generators, directory, scale):
    """{workload: figures} of one server; workloads of one content share it."""
    rows = {}
    data = directory / name
    # Reading changes nothing: workloads that find a content share it. The others begin with a new server.
    contents = dict.fromkeys(w.content for w in wanted if w.content != "empty")
    groups = [[w] for w in wanted if w.content == "empty"] + [[w for w in wanted if w.content == c] for c in contents]
    for group in groups:
        load, certificates = generators[group[0].content == "TLS"]
        start = functools.partial(SecureServer, certificates, *QUOTA) if certificates else functools.partial(Server, *QUOTA)
        with start(binary=binary, work=directory, data_dir=data) as server:
            bench = workloads.Bench(server, measure.Generator(load, server), directory, scale)
            workloads.CONTENTS[group[0].content](bench)
            for workload in group:
                print(f"  {workload.name}", file=sys.stderr, flush=True)
                rows[workload.name] = workload.run(bench)
        shutil.rmtree(data, ignore_errors=True)
    return rows


def measured(wanted, binaries, generators, directory, options):
    """{server: [figures of a round]}; the order of the servers alternates."""
    results = {name: [] for name in binaries}
    for number in range(options.rounds):
        for name in sorted(binaries, reverse=number % 2 == 1):
            print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
            theirs = [w for w in wanted if name == "martlet" or not w.only_martlet]
            results[name].append(run_round(theirs, name, binaries[name], generators, directory, options.scale))
        if options.csv:
            write_csv(options.csv, wanted, results)
    return results


def write_csv(path, wanted, results):
    """After each round, so that a run that is cut short has measured something."""
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([("workload", "figure", "etcd", "martlet", "ratio", "remark"), *table(wanted, results)])


def table(wanted, results):
    """Lines of (workload, figure, etcd, martlet, ratio, remark)."""
    for workload in wanted:
        medians = {}
        for name, rounds in results.items():
            rows = [r[workload.name] for r in rounds if workload.name in r]
            medians[name] = {figure: statistics.median(r[figure] for r in rows) for figure in rows[0]} if rows else {}
        busy = {name: figures.pop("generator", 0) for name, figures in medians.items()}
        remark = ", ".join(f"the generator limits {name}" for name, share in busy.items() if share > 0.85)
        for figure in medians["martlet"] or medians["etcd"]:
            etcd, martlet = medians["etcd"].get(figure), medians["martlet"].get(figure)
            ratio = martlet / etcd if etcd and martlet is not None else None
            yield workload.name, figure, etcd, martlet, ratio, remark
            remark = ""


def text(number):
    if number is None:
        return "–"
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:,.1f}" if abs(number) >= 10 else f"{number:,.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the numbers of requests")
    parser.add_argument("--only", action="append", default=[], metavar="NAME[,NAME…]", help="these workloads; also the long ones")
    parser.add_argument("--all", action="store_true", help="the long workloads too")
    parser.add_argument("--list", action="store_true", help="name the workloads and end")
    parser.add_argument("--csv", type=pathlib.Path, help="write the table there as well")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--dir", help="where the data go (the disk that is measured); default: the system's temporary directory")
    parser.add_argument("--etcd", default=peers.etcd(), help="the etcd to compare with")
    options = parser.parse_args()
    if options.list:
        for workload in workloads.WORKLOADS.values():
            print(f"{workload.name:<16} {'long  ' if workload.is_long else '      '}{' '.join(workload.about.split())}")
        return 0
    names = [name for group in options.only for name in group.split(",")]
    for name in names:
        if name not in workloads.WORKLOADS:
            parser.error(f"no workload {name}; --list names them")
    wanted = [w for w in workloads.WORKLOADS.values() if (w.name in names if names else options.all or not w.is_long)]
    martlet = peers.server()
    if not options.etcd:
        parser.error("no real etcd; scripts/peers/fetch-test-peers.sh fetches one")

    with tempfile.TemporaryDirectory(prefix="martlet-bench-", dir=options.dir) as directory:
        directory = pathlib.Path(directory)
        kind = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True).stdout.strip()
        measure.build_floor(directory)
        floor = measure.floor(directory)
        print(f"etcd {'.'.join(map(str, peers.version(options.etcd)))} and {martlet}; {os.cpu_count()} cores; data on {kind}; "
              f"{options.rounds} rounds, scale {options.scale:g}; bare fdatasync {floor['sync_us']:.0f} µs, "
              f"echo between threads {floor['echo_us']:.0f} µs")
        if kind == "tmpfs":
            print("warning: these data are in memory: fsync costs nothing here; name a real disk with --dir")
        generators = {False: (measure.build_generator(directory), None)}
        with contextlib.ExitStack() as stack:
            if any(w.content == "TLS" for w in wanted):
                certificates = stack.enter_context(contextlib.closing(Certificates()))
                certificates.leaf("server")
                generators[True] = (measure.build_generator(directory, tls=True), certificates)
            results = measured(wanted, {"etcd": options.etcd, "martlet": martlet}, generators, directory, options)

    lines = list(table(wanted, results))
    last = None
    if options.markdown:
        print("\n| workload | figure | etcd | martlet | martlet/etcd | |\n|---|---|---|---|---|---|")
    else:
        print(f"\n{'workload':<16} {'figure':<16} {'etcd':>12} {'martlet':>12} {'ratio':>7}")
    for workload, figure, etcd, ours, ratio, remark in lines:
        first, last = "" if workload == last else workload, workload
        if options.markdown:
            print(f"| {first} | {figure} | {text(etcd)} | {text(ours)} | {text(ratio)} | {remark} |")
        else:
            print(f"{first:<16} {figure:<16} {text(etcd):>12} {text(ours):>12} {text(ratio):>7}  {remark}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
