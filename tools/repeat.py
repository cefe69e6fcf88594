"""Repeat tests while other processes keep the processors busy; stop at the first failure.

Each run has another seed, which the tests with random moments read from ``REKOLABELS_SEED``. `make repeat`
runs this on the tests of crashes, races and endings.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import time

BUSY = 2
"""Number of processes that do nothing but compute."""


def main() -> int:
    """Run the tests; return the status of the last run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=20, help="number of runs")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first run; later ones count on")
    parser.add_argument("tests", nargs="+", help="files of tests")
    options = parser.parse_args()
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", *options.tests]
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(BUSY)]
    try:
        for seed in range(options.seed, options.seed + options.count):
            begin = time.monotonic()
            print(f"== REKOLABELS_SEED={seed} {shlex.join(command)}", flush=True)
            environment = os.environ | {"REKOLABELS_SEED": str(seed)}
            done = subprocess.run(command, env=environment, check=False)  # noqa: S603 - our own interpreter
            print(f"== seed {seed}: status {done.returncode} in {time.monotonic() - begin:.0f} s", flush=True)
            if done.returncode:
                return done.returncode
    finally:
        for process in busy:
            process.kill()
            process.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
