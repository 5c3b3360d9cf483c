"""What it costs when every request is slow: puts at the rate that the server takes, once with usual thresholds, once with thresholds
of a nanosecond and lines sampled as by default, once with 10,000 lines a second to a file.

usage: MARTLET_BIN=… python -m bench.slowlog [--rounds N] [--requests N] [--rate LINES]   (in Tests/EndToEnd)
"""

import argparse
import pathlib
import shutil
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from bench import measure  # noqa: E402
from harness.server import Server  # noqa: E402
from suites.http import parse_metrics  # noqa: E402
from suites.observability import get  # noqa: E402

EVERYTHING_IS_SLOW = "--warning-apply-duration=1ns", "--warning-unary-request-duration=1ns"


def counters(server):
    families = parse_metrics(get(server.url + "/metrics")[2].decode())
    names = "martlet_slow_requests_dropped_total", "martlet_slow_request_lines_dropped_total", "martlet_log_lines_dropped_total", \
        "martlet_log_lines_sampled_out_total"
    return {name: sum(families[name][1].values()) for name in names if name in families}


def one(flags, generator, directory, options):
    log = directory / "log"
    log.unlink(missing_ok=True)
    with Server(*flags, f"--log-outputs={log},stderr", work=directory, data_dir=directory / "data") as server:
        load = measure.Generator(generator, server)
        load.run("put", connections=10, streams=10, requests=2_000, keys=2_000)
        before = log.read_bytes().count(b"\n") if log.exists() else 0
        row = load.run("put", connections=10, streams=10, requests=options.requests, keys=20_000)
        shown = measure.rates(row)
        lost = counters(server)
        server.stop()
        lines = log.read_bytes().count(b"\n") - before
    return shown | {"lines per s": lines / row["seconds"]} | lost


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=10_000)
    options = parser.parse_args()
    kinds = {
        "usual thresholds": (), "all slow, sampled lines": EVERYTHING_IS_SLOW,
        f"all slow, {options.rate} lines/s": (*EVERYTHING_IS_SLOW, f"--slow-request-log-rate={options.rate}")}
    results = {name: [] for name in kinds}
    with tempfile.TemporaryDirectory(prefix="martlet-slowlog-") as directory:
        directory = pathlib.Path(directory)
        generator = measure.build_generator(directory)
        for _ in range(options.rounds):
            for name, flags in kinds.items():
                work = directory / "server"
                work.mkdir()
                results[name].append(one(flags, generator, work, options))
                shutil.rmtree(work)
    for name, rounds in results.items():
        print(name)
        for figure in rounds[0]:
            print(f"  {figure:<45} {statistics.median(r.get(figure, 0) for r in rounds):12.1f}")


if __name__ == "__main__":
    main()
