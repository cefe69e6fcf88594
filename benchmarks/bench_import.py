"""Measure the time of 'import rekolabels' as a fraction of 'import boto3', in new processes."""

from __future__ import annotations

import statistics
import subprocess
import sys

ROUNDS = 15
TARGET = 0.5


def seconds(statement: str) -> float:
    """Return the seconds of one import in a new process, without the start of the interpreter."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)  # noqa: S603 - our own interpreter
    return float(done.stdout)


def main() -> None:
    """Measure both alternately, so that other load affects both equally."""
    rounds = [(seconds("import rekolabels"), seconds("import boto3")) for _ in range(ROUNDS)]
    ours, boto = (statistics.median(column) for column in zip(*rounds, strict=True))
    times = f"import rekolabels {ours * 1e3:.0f} ms, import boto3 {boto * 1e3:.0f} ms"
    print(f"{times}: {ours / boto:.2f} (target {TARGET})")


if __name__ == "__main__":
    main()
