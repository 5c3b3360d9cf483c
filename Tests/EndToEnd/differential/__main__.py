"""Runs random sequences against the server under test and a real etcd.

usage: python -m differential [--tested PATH] [--reference PATH] [--seed N] [--sequences N] [--steps N]
                              [--pair-sequences N] [--seconds N] [--profile NAME] [--keep-going] [--no-shrink]

Sequence number i has seed N + i. A pair of servers runs some sequences one after the other, with restarts between
them, and is then replaced. On a difference the pair's sequences are cut down to the fewest steps that still
show it, and these are printed as requests. The last line is a JSON object with what was done.
"""

import argparse
import collections
import json
import random
import sys
import time
import traceback

from harness import peers, wire

from . import sequence as sequences
from .pair import Difference, Pair, Settings


def plan(seed, count, length, per_pair, profile=None):
    """The items of each pair: sequences, and now and then a restart."""
    items, rng = [], random.Random(f"plan {seed}")
    for i in range(count):
        items.append(sequences.sequence(seed + i, length, profile))
        if rng.random() < 0.02:
            items.append(sequences.Restart(rng.random() < 0.7))
        if len(items) >= per_pair:
            yield items
            items = []
    if items:
        yield items


def settings_of(seed, tested, reference):
    rng = random.Random(f"pair {seed}")
    return Settings(tested, reference, 20_000 if rng.random() < 0.3 else None, "100ms" if rng.random() < 0.25 else None)


def main():
    parser = argparse.ArgumentParser(prog="differential", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tested", default=None)
    parser.add_argument("--reference", default=None)
    parser.add_argument("--seed", type=int, default=time.time_ns() // 1000 % 1_000_000_000)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--pair-sequences", type=int, default=120)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no sequence after so long")
    parser.add_argument("--keep-going", action="store_true")
    parser.add_argument("--profile", help="only sequences of this kind")
    parser.add_argument("--no-shrink", action="store_true")
    options = parser.parse_args()
    tested, reference = options.tested or peers.server(), options.reference or peers.etcd()
    done, steps, calls, failures, counts, began = 0, 0, 0, 0, collections.Counter(), time.monotonic()
    for items in plan(options.seed, options.sequences, options.steps, options.pair_sequences, options.profile):
        if time.monotonic() - began > options.seconds:
            break
        seed = next(item.seed for item in items if isinstance(item, sequences.Sequence))
        settings = settings_of(seed, tested, reference)
        failure = None
        with Pair(settings) as pair:
            runner = sequences.Runner(pair, settings.request_limit)
            for index, item in enumerate(items):
                if time.monotonic() - began > options.seconds:
                    break
                try:
                    runner.run(item)
                except (Difference, wire.Broken) as error:
                    failure = str(error)
                    break
                except Exception:
                    traceback.print_exc()
                    failure = "the test itself failed"
                    break
                done += isinstance(item, sequences.Sequence)
            steps += runner.steps
            calls += pair.calls
            counts.update(runner.counts)
        if failure:
            failures += 1
            print(f"DIFFERENCE in {items[index]!r:.80} ({settings})\n{failure}", flush=True)
            if not options.no_shrink:
                small = sequences.shrink(items[:index + 1], settings)
                if small is None:
                    print("It did not come again on a fresh pair of servers.", flush=True)
                else:
                    requests, difference = sequences.describe(small[0], settings)
                    print(f"-------- the fewest steps found:\n{requests}\n-------- lead to\n{difference or small[1]}\n--------", flush=True)
            if not options.keep_going:
                break
    print(json.dumps({"sequences": done, "steps": steps, "calls": calls, "failures": failures, "seconds": round(time.monotonic() - began, 1),
                      "counts": {f"{name} {'ok' if ok else 'refused'}": n for (name, ok), n in sorted(counts.items())}}))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
