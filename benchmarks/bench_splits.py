"""Benchmark: splits compared with iterative-stratification (several labels) and scikit-learn (one label).

Needs the dependency group ``bench``; a peer that is not installed is skipped with a message.
"""

from __future__ import annotations

import gc
import random
import statistics
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

from rekolabels.images import LabelledImage
from rekolabels.splits import split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IMAGES, LABELS, SHARE = 250_000, 250, 0.2


def cpu(function: Callable[[], Any], runs: int) -> tuple[float, Any]:
    """Return the shortest CPU time of some runs in seconds, and the last result."""
    times = []
    result = None
    for _ in range(runs):
        gc.collect()
        start = time.process_time()
        result = function()
        times.append(time.process_time() - start)
    return min(times), result


def peak(function: Callable[[], Any]) -> float:
    """Return the peak of the memory that a run allocates, in MB."""
    gc.collect()
    tracemalloc.start()
    function()
    _, maximum = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return maximum / 1e6


def deviations(sets: Sequence[Sequence[int]], on_test: Sequence[bool]) -> tuple[float, float, int]:
    """Return the mean and maximum deviation of test shares, and the number of labels missing from a side."""
    totals, tests = [0] * LABELS, [0] * LABELS
    for labels, test in zip(sets, on_test, strict=True):
        for label in labels:
            totals[label] += 1
            tests[label] += test
    pairs = [(test, total) for test, total in zip(tests, totals, strict=True) if total > 1]
    off = [abs(test / total - SHARE) for test, total in pairs]
    return statistics.fmean(off), max(off), sum(test in {0, total} for test, total in pairs)


def several_labels() -> None:
    """Split 250,000 images with one to six of 250 labels, common and rare ones."""
    draw = random.Random(0)  # noqa: S311 - test data
    weights = [1 / (rank + 1) for rank in range(LABELS)]
    sets = [
        tuple(sorted(set(draw.choices(range(LABELS), weights, k=draw.randint(1, 6))))) for _ in range(IMAGES)
    ]
    names = [f"label-{number:03}" for number in range(LABELS)]
    images = [
        LabelledImage(f"s3://bucket/images/{number:06}.jpg", [names[label] for label in labels])
        for number, labels in enumerate(sets)
    ]
    ours, parts = cpu(lambda: split(images, test=SHARE), 3)
    chosen = {image.source for image in parts.test}
    mean, largest, missing = deviations(sets, [image.source in chosen for image in images])
    print(f"{IMAGES:,} images x {LABELS} labels, several each")
    print(
        f"  rekolabels   {ours:6.2f} s  deviation mean {mean:.6f} max {largest:.6f}  missing {missing}",
        end="  ",
    )
    print(f"test images {len(parts.test)}  peak {peak(lambda: split(images, test=SHARE)):.0f} MB")
    try:
        import numpy as np
        from iterstrat.ml_stratifiers import (  # type: ignore[import-untyped]  # ships no types
            MultilabelStratifiedShuffleSplit,
        )
    except ImportError:
        print("  iterative-stratification is not installed. Run: pip install --group bench")
        return

    def theirs() -> Any:
        matrix = np.zeros((IMAGES, LABELS), dtype=np.int8)
        for row, labels in enumerate(sets):
            matrix[row, list(labels)] = 1
        splitter = MultilabelStratifiedShuffleSplit(n_splits=1, test_size=SHARE, random_state=0)
        return next(splitter.split(np.zeros(IMAGES), matrix))[1]

    peer, rows = cpu(theirs, 1)
    on_test = [False] * IMAGES
    for row in rows.tolist():
        on_test[row] = True
    mean, largest, missing = deviations(sets, on_test)
    print(
        f"  iterstrat    {peer:6.2f} s  deviation mean {mean:.6f} max {largest:.6f}  missing {missing}",
        end="  ",
    )
    print(f"test images {sum(on_test)}  peak {peak(theirs):.0f} MB")
    print(f"  ratio: {peer / ours:.1f} times faster")


def single_labels() -> None:
    """Split 250,000 images with one of 250 labels."""
    draw = random.Random(1)  # noqa: S311 - test data
    labels = draw.choices([f"label-{number:03}" for number in range(LABELS)], k=IMAGES)
    images = [LabelledImage(f"s3://bucket/images/{n:06}.jpg", [label]) for n, label in enumerate(labels)]
    ours, parts = cpu(lambda: split(images, test=SHARE), 3)
    print(f"{IMAGES:,} images x {LABELS} labels, one each")
    print(f"  rekolabels   {ours:6.2f} s  test images {len(parts.test)}")
    try:
        from sklearn.model_selection import train_test_split
    except ImportError:
        print("  scikit-learn is not installed. Run: pip install 'rekolabels[local]'")
        return
    peer, _ = cpu(lambda: train_test_split(images, test_size=SHARE, stratify=labels, random_state=0), 3)
    print(f"  scikit-learn {peer:6.2f} s")
    print(f"  ratio: {ours / peer:.2f} of the time of scikit-learn")


if __name__ == "__main__":
    several_labels()
    single_labels()
