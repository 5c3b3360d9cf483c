"""What observing costs: one martlet with --observe-requests and one without, side by side under the same load in short turns.

Both servers live through the whole run; each turn loads one of them and then the other, in changing order, so that the machine's mood
is the same for both. The ratio of a turn is observed/unobserved; printed are its median and the middle 95 % of medians of
turns drawn at random (bootstrap): what lies within is noise.
"""

import argparse
import contextlib
import pathlib
import random
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bench import measure  # noqa: E402
from harness import peers  # noqa: E402
from harness.server import Server  # noqa: E402

READ = {"keys": 20_000, "requests": 60_000}
#: Name: the generator's mode and its options.
LOADS = {
    "put": ("put", {"keys": 20_000, "value": 256, "requests": 30_000}),
    "txn": ("txn", {"value": 256, "requests": 30_000}),
    "rangel": ("range", READ),
    "ranges": ("range", READ | {"serializable": 1}),
    "keepalive": ("keepalive", {"leases": 1000, "requests": 60_000}),
}


def turn(server, generator, mode, options):
    """(processor time per call in µs, calls a second)"""
    before = measure.cpu_seconds(server.pid)
    figures = generator.finish(generator.start(mode, connections=100, streams=10, **options))
    done = figures["done"]
    return (measure.cpu_seconds(server.pid) - before) / done * 1e6, done / figures["seconds"]


def spread(ratios, draws=1000):
    medians = sorted(statistics.median(random.choices(ratios, k=len(ratios))) for _ in range(draws))
    return medians[draws // 40], medians[-draws // 40]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=40)
    parser.add_argument("--only", default=",".join(LOADS), metavar="NAME[,NAME…]", help="of " + ", ".join(LOADS))
    parser.add_argument("--against", help="another martlet to stand for the unobserved one, with its defaults")
    parser.add_argument("--dir", help="where the data go; default: the system's temporary directory")
    options = parser.parse_args()
    names = options.only.split(",")
    if unknown := set(names) - set(LOADS):
        parser.error(f"no load {', '.join(sorted(unknown))}")

    with tempfile.TemporaryDirectory(prefix="martlet-bench-", dir=options.dir) as directory, contextlib.ExitStack() as stack:
        directory = pathlib.Path(directory)
        load = measure.build_generator(directory)
        servers = []
        for flag in ("false", "true"):
            other = options.against if flag == "false" else None
            flags = () if options.against else (f"--observe-requests={flag}",)
            servers.append(stack.enter_context(Server(
                "--quota-backend-bytes", str(16 << 30), *flags, binary=other or peers.server(), work=directory,
                data_dir=directory / f"data-{flag}")))
        generators = [measure.Generator(load, server) for server in servers]
        for generator in generators:
            generator.finish(generator.start("put", connections=100, streams=10, keys=20_000, value=256, requests=40_000))
            generator.finish(generator.start("grant", connections=10, streams=10, ttl=3600, requests=1000))
        print(f"{'load':<10} {'µs unobserved':>14} {'observed':>9} {'ratio':>6}   {'95 %':<13} {'rate':>6}")
        for name in names:
            mode, load_options = LOADS[name]
            pairs = []
            for number in range(options.turns):
                order = (0, 1) if number % 2 == 0 else (1, 0)
                figures = {index: turn(servers[index], generators[index], mode, load_options) for index in order}
                pairs.append((figures[0], figures[1]))
            ratios = [on[0] / off[0] for off, on in pairs]
            low, high = spread(ratios)
            print(f"{name:<10} {statistics.median(off[0] for off, _ in pairs):>14.2f} {statistics.median(on[0] for _, on in pairs):>9.2f} "
                  f"{statistics.median(ratios):>6.3f}   {low:.3f}–{high:.3f}   {statistics.median(on[1] / off[1] for off, on in pairs):>6.3f}",
                  flush=True)


if __name__ == "__main__":
    main()
