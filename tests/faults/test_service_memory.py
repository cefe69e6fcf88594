"""Limits that keep the memory of the service constant; ``benchmarks/soak_local.py`` measures the whole."""

from __future__ import annotations

import platform
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from service_backends import (
    describe_version,
    make_dataset,
    make_project,
    make_version,
    open_backend,
    put_pictures,
)

from rekolabels.local import Quotas, _engine
from rekolabels.local._jobs import _training_run

if TYPE_CHECKING:
    from pathlib import Path

LARGE = """
import os, threading
from pathlib import Path
import numpy as np
from rekolabels.local._core._memory import limit_retained_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def work():
    for megabytes in (24, 16, 8, 4, 2):  # after the first one, glibc would keep the others
        together = [np.ones(megabytes << 17) for _ in range(4)]
        small = bytes(5000)  # at the end of the heap, so that the heap cannot shrink
        kept.append(small)

limit_retained_memory()
kept, before = [], resident()
for _ in range(2):
    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(resident() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tests the allocator of glibc")
def test_large_blocks_are_returned_to_the_system() -> None:
    """Threads that used hundreds of megabytes return nearly all of it when they end."""
    done = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    assert float(done.stdout) < 40


def test_two_trainings_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only two of six trainings run at the same time; the others wait, and all complete."""
    both, real = threading.Barrier(2, timeout=60), _engine.train
    lock, running, maximum = threading.Lock(), 0, 0

    def train(*given: Any, **options: Any) -> Any:
        nonlocal running, maximum
        with lock:
            running += 1
            maximum = max(maximum, running)
        both.wait()
        try:
            return real(*given, **options)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(_training_run, "train", train)
    with open_backend("in process", tmp_path, engine="tiny", quotas=Quotas.off()) as backend:
        backend.s3.create_bucket(Bucket="puppies")
        project = make_project(backend)
        for kind in ("TRAIN", "TEST"):
            make_dataset(backend, project, kind, put_pictures(backend, kind.lower(), 2))
        versions = [make_version(backend, project, f"v{number}", wait=False) for number in range(6)]
        backend.settle()
        statuses = [describe_version(backend, version)["Status"] for version in versions]
    assert (statuses, maximum) == (["TRAINING_COMPLETED"] * 6, 2)
