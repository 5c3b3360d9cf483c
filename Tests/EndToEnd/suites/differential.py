"""Thousands of seeded random request sequences to the server under test and to real etcd: every answer, event and hash
must be equal. `differential/` has the generator, the comparison, and what may differ (rules.py).

environment: MARTLET_SEQUENCES   how many sequences (default 2400; an eighth as many against the etcd of PyPI)
             MARTLET_STEPS       steps in each, on average (default 40)
             MARTLET_SEED        the seed of the first one (default: always the same; printed)
             MARTLET_SECONDS     begin no sequence after so long (default 150; a slow machine does fewer then)
             MARTLET_WORKERS     pairs of servers at a time (default: the number of processors and two)
"""

import json
import os
import pathlib
import subprocess
import sys

from harness import peers
from harness.case import Case

SEQUENCES, STEPS = int(os.environ.get("MARTLET_SEQUENCES", 2400)), int(os.environ.get("MARTLET_STEPS", 40))
SECONDS = float(os.environ.get("MARTLET_SECONDS", 150))
WORKERS = int(os.environ.get("MARTLET_WORKERS", 0)) or len(os.sched_getaffinity(0)) + 2

#: The same sequences each time: a run tells what a change has done. MARTLET_SEED begins elsewhere, as long runs by hand do.
FIRST_SEED = 1


class Random(Case):
    def compare(self, reference, count, seconds):
        if not reference:
            self.skipTest("no such real etcd in the cache (scripts/test fetches it)")
        # A worker waits for catch-up passes and restarts of real etcd for much of its time: more of them than processors.
        first = int(os.environ.get("MARTLET_SEED", FIRST_SEED))
        workers = max(1, min(WORKERS, count // 10))
        each = -(-count // workers)
        print(f"seeds from {first} on", flush=True)
        running = [subprocess.Popen(
            [sys.executable, "-m", "differential", "--tested", peers.server(), "--reference", reference, "--seed", str(first + i * each),
             "--sequences", str(each), "--steps", str(STEPS), "--seconds", str(seconds)],
            cwd=pathlib.Path(__file__).resolve().parent.parent, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for i in range(workers)]
        try:
            outputs = [process.communicate()[0] for process in running]
        finally:
            for process in running:
                process.kill()
        done = steps = 0
        for process, output in zip(running, outputs):
            if process.returncode != 0:
                self.fail(f"a worker ended with {process.returncode}:\n{output[:3000]}\n…\n{output[-6000:]}")
            summary = json.loads(output.splitlines()[-1])
            done, steps = done + summary["sequences"], steps + summary["steps"]
        print(f"{done} sequences, {steps} steps", flush=True)
        self.assertGreaterEqual(done, min(count, 10 * workers))

    def test_sequences(self):
        self.compare(peers.etcd(), SEQUENCES, SECONDS)

    def test_sequences_with_the_etcd_of_pypi(self):
        self.compare(peers.old_etcd(), max(10, SEQUENCES // 8), SECONDS / 4)
