"""detect_many over a million keys, and over a hundred thousand images with injected faults.

The requests for the keys are answered from memory, so that only the SDK is measured: its memory, which must
not grow with the number of keys, and its rate. The images go to the embedded service, which fails one request
in twenty: every image must have one outcome, and the right one.

    python benchmarks/bench_detect_scale.py --keys 1000000 --images 100000
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
from botocore.awsrequest import AWSResponse
from PIL import Image

from rekolabels import Client, RetryPolicy, S3Location
from rekolabels.formats import read_folder
from rekolabels.local import Fault, FaultPlan, LocalService

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY_TARGET = 150
ARN = "arn:aws:rekognition:us-east-1:111122223333:project/p/version/v1/1690556751958"
PROJECT = "arn:aws:rekognition:us-east-1:111122223333:project/p/1690556751000"
DESCRIBED = json.dumps({"ProjectDescriptions": [{"ProjectArn": PROJECT, "Status": "CREATED"}]}).encode()
FOUND = json.dumps({"CustomLabels": [{"Name": "puppy", "Confidence": 93.5}]}).encode()
FAULTS = (
    Fault.throttled("DetectCustomLabels", probability=0.02),
    Fault.broken("DetectCustomLabels", probability=0.01),
    Fault.dropped("DetectCustomLabels", probability=0.01),
    Fault.dropped("DetectCustomLabels", answered=True, probability=0.005),
    Fault.slow(0.5, "DetectCustomLabels", probability=0.005),
)


class Raw(io.BytesIO):
    """A response body with urllib3's interface."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        """Yield the body."""
        yield self.read()


def reply(request: Any, **_: Any) -> AWSResponse:
    """Reply without a network; botocore does everything else as usual."""
    body = DESCRIBED if request.headers["X-Amz-Target"].endswith(b"DescribeProjects") else FOUND
    return AWSResponse(request.url, 200, {"Content-Type": "application/x-amz-json-1.1"}, Raw(body))


def megabytes() -> float:
    """Return the memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


def stream_keys(count: int, journal: str | None, *, ordered: bool) -> None:
    """Stream keys through detect_many, and print memory and rate."""
    session = boto3.Session("test", "test", region_name="us-east-1")
    session.events.register_first("before-send.*.*", reply)
    model = Client(session).model(ARN)
    keys = (S3Location("bucket", f"photos/{number:09}.jpg") for number in range(count))
    seen, sizes = 0, []
    started, cpu = time.monotonic(), time.process_time()
    for outcome in model.detect_many(keys, journal=journal, ordered=ordered):
        assert outcome.error is None
        seen += 1
        if seen % (count // 10) == 0:
            sizes.append(megabytes())
    wall, cpu = time.monotonic() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    assert seen == count
    print(
        f"{count:,} keys, {'in order' if ordered else 'as completed'}"
        f"{', with a journal' if journal else ''}: {sizes[0]:.0f} MB after a tenth, {sizes[-1]:.0f} MB at "
        f"the end, peak {peak:.0f} MB (target {MEMORY_TARGET}); {count / wall:,.0f} keys per second, "
        f"{cpu / count * 1e6:.0f} us of CPU each"
    )


def stream_in_fresh_processes(count: int) -> None:
    """Measure without and with a journal, each in its own process, so that each has its own peak."""
    with tempfile.TemporaryDirectory() as scratch:
        for more in ([], ["--ordered", "--journal", str(Path(scratch) / "journal.db")]):
            command = [sys.executable, __file__, "--one", "--keys", str(count), *more]
            subprocess.run(command, check=True)  # noqa: S603 -- our own interpreter


def write_images(folder: Path) -> list[Path]:
    """Write label folders with images of one colour and some noise."""
    random = np.random.default_rng(0)
    paths = []
    for label, colour in (("amber", (230, 160, 30)), ("blue", (30, 60, 220))):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            pixels = np.clip(random.normal(colour, 10, (64, 64, 3)), 0, 255).astype("uint8")
            paths.append(folder / label / f"{number}.png")
            Image.fromarray(pixels).save(paths[-1])
    return paths


def links(originals: list[Path], folder: Path, count: int) -> Iterator[Path]:
    """Yield hard links, so that each image has many names."""
    folder.mkdir()
    for number in range(count):
        original = originals[number % len(originals)]
        path = folder / f"{number}-{original.parent.name}.png"
        os.link(original, path)
        yield path


def run_with_faults(count: int) -> None:
    """Detect in many images while one request in twenty fails, and count the outcomes."""
    with tempfile.TemporaryDirectory() as scratch:
        originals = write_images(Path(scratch) / "pictures")
        with LocalService(Path(scratch) / "service", faults=FaultPlan(FAULTS, seed=1)) as service:
            client = service.client(bucket="bench", retry=RetryPolicy(first_poll=0.05, first_delay=0.05))
            project = client.create_project("bench")
            project.create_datasets(read_folder(originals[0].parents[1]))
            model = project.train("v1")
            model.wait_until_trained()
            outcomes: Counter[Path] = Counter()
            failed = wrong = 0
            with model.running() as running:
                names = links(originals, Path(scratch) / "links", count)
                started = time.monotonic()
                for outcome in running.detect_many(names, ordered=False):
                    outcomes[outcome.image] += 1
                    failed += outcome.error is not None
                    labels = [found.label for found in outcome.detections]
                    wrong += outcome.error is None and labels != [outcome.image.stem.partition("-")[2]]
                wall = time.monotonic() - started
    twice = sum(times - 1 for times in outcomes.values())
    print(
        f"{count:,} images, 5 % of the requests failed by injected faults: {count - len(outcomes)} lost, "
        f"{twice} duplicated, {wrong} wrong, {failed} given up (target 0, 0, 0, 0); "
        f"{count / wall:,.0f} images per second"
    )


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--images", type=int, default=2_000)
    parser.add_argument("--one", action="store_true", help="only stream the keys, in this process")
    parser.add_argument("--ordered", action="store_true")
    parser.add_argument("--journal")
    options = parser.parse_args()
    if options.one:
        stream_keys(options.keys, options.journal, ordered=options.ordered)
        return
    if options.keys:
        stream_in_fresh_processes(options.keys)
    if options.images:
        run_with_faults(options.images)


if __name__ == "__main__":
    main()
