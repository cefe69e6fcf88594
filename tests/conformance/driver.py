"""What the drivers of the clients share: steps, and running a program."""

from __future__ import annotations

import subprocess
import sys


def step(text: str) -> None:
    """Print a step that was completed."""
    sys.stdout.write(f"   {text}\n")
    sys.stdout.flush()


def run(*command: str) -> str:
    """Run a program, which must succeed, and return its output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - under test
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout
