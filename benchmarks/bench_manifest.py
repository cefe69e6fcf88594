"""Benchmark manifests: reading against json.loads, writing against json.dumps, and memory of a stream."""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import CheckedManifest, format_line, write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

LINES, ROUNDS, LABELS = 50_000, 5, [f"label {number}" for number in range(40)]
STREAMED, MAX_MEGABYTES = 250_000, 60


class NullFile:
    """A file that discards what is written."""

    def write(self, content: bytes) -> int:
        """Discard the content."""
        return len(content)


def images(kind: str, count: int) -> Iterator[LabelledImage]:
    """Yield images with one label, five labels, or six boxes (with whole numbers or fractions)."""
    draw = random.Random(0)  # noqa: S311 - test data

    def box() -> BoundingBox:
        left, top = draw.uniform(0, 500), draw.uniform(0, 380)
        place = (left, top, draw.uniform(3, 139), draw.uniform(3, 99))
        digits = 2 if "fractions" in kind else None
        return BoundingBox(draw.choice(LABELS[:8]), *(round(number, digits) for number in place))

    for number in range(count):
        source = f"s3://my-images/train/photo_{number:07d}.jpg"
        if "box" in kind:
            yield LabelledImage(source, boxes=[box() for _ in range(6)], size=ImageSize(640, 480))
        else:
            yield LabelledImage(source, draw.sample(LABELS, 5 if "five" in kind else 1))


def lines(kind: str) -> list[str]:
    """Return lines with a common date or individual dates."""
    date = "2024-03-01T09:{:02d}:{:02d}.{:06d}" if "dates" in kind else "2024-03-01T09:30:00"
    return [
        format_line(image, created=date.format(number // 60 % 60, number % 60, number))
        for number, image in enumerate(images(kind, LINES))
    ]


def best(run: Callable[[], object]) -> float:
    """Return the CPU time in seconds of the fastest of several rounds."""
    found: list[float] = []
    for _ in range(ROUNDS):
        gc.collect()
        start = time.process_time()
        run()
        found.append(time.process_time() - start)
    return min(found)


def exhaust(items: Iterable[object]) -> None:
    """Consume an iterable."""
    for _ in items:
        pass


def check(manifest: bytes) -> None:
    """Read and check a manifest, and create its objects."""
    checked = CheckedManifest(manifest)
    exhaust(checked.images())
    assert checked.report().ok, checked.report().headline()


def row(name: str, ours: float, theirs: float, target: float) -> bool:
    """Print a comparison, and return whether the target is met."""
    ratio = ours / theirs
    outcome = "ok" if ratio <= target else "missed"
    to_microseconds = 1e6 / LINES
    numbers = f"{theirs * to_microseconds:>8.2f} us{ours * to_microseconds:>8.2f} us{ratio:>7.2f}"
    print(f"{name:<58}{numbers}  (at most {target}) {outcome}")
    return ratio <= target


def reading(kind: str, target: float) -> bool:
    """Compare reading with json.loads."""
    texts = lines(kind)
    manifest = "\n".join(texts).encode()
    theirs = best(lambda: exhaust(json.loads(text) for text in texts))
    return row(f"read + check + objects: {kind}", best(lambda: check(manifest)), theirs, target)


def writing(kind: str, target: float, *, read_before: bool) -> bool:
    """Compare writing new images, or images read from a manifest, with json.dumps."""
    made = list(CheckedManifest(lines(kind)).images()) if read_before else list(images(kind, LINES))
    objects = [json.loads(text) for text in lines(kind)]
    target_file: Any = NullFile()
    theirs = best(lambda: exhaust(json.dumps(entry) for entry in objects))
    name = f"write, {'as read' if read_before else 'new'}: {kind}"
    return row(name, best(lambda: write_manifest(made, target_file)), theirs, target)


MEMORY = """
import sys
if sys.argv[1:]:
    from rekolabels.manifest import CheckedManifest, write_manifest
    checked = CheckedManifest(sys.argv[1])
    assert write_manifest(checked.images(), sys.argv[2]) == int(sys.argv[3])
    assert checked.report().ok
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def peak(*arguments: str) -> float:
    """Return the peak memory of a new process, in MB."""
    command = [sys.executable, "-c", MEMORY, *arguments]
    process = subprocess.run(command, capture_output=True, check=True, text=True)  # noqa: S603 - this very Python
    return int(process.stdout) / 1024


def memory(kind: str) -> bool:
    """Measure the peak memory of reading, checking and writing a long manifest as a stream."""
    if not Path("/proc/self/status").exists():
        print("peak memory: only measured on Linux")
        return True
    with tempfile.TemporaryDirectory() as folder:
        source, target = str(Path(folder, "a.manifest")), str(Path(folder, "b.manifest"))
        write_manifest(images(kind, STREAMED), source)
        ours = peak(source, target, str(STREAMED)) - peak()
        same = Path(source).read_bytes() == Path(target).read_bytes()
    good = same and ours <= MAX_MEGABYTES
    outcome = "ok" if good else "missed"
    print(f"peak memory, {STREAMED:,} lines, {kind}: {ours:.1f} MB above the interpreter "
          f"(at most {MAX_MEGABYTES}) {outcome}")  # fmt: skip
    return good


def main() -> int:
    """Run all benchmarks."""
    print(f"{'':<58}{'json':>11}{'ours':>11}{'ratio':>7}")
    good = [
        reading("one label", 0.7),
        reading("five labels", 0.7),
        reading("one label, individual dates", 1.1),
        reading("five labels, individual dates", 1.1),
        reading("six boxes", 1.2),
        reading("six boxes with fractions", 1.2),
        *[
            writing(kind, 0.4, read_before=before)
            for kind in ("one label", "five labels", "six boxes")
            for before in (True, False)
        ],
        memory("one label"),
        memory("six boxes"),
    ]  # fmt: skip
    print(f"{sum(good)} of {len(good)} targets met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
