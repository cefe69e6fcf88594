"""The share of a model's throughput that detect_many uses, compared with threads over boto3.

boto3 uses its standard retries. The embedded service serves a fixed number of calls per second for each
inference unit and throttles the rest. To change the throughput during a run, which the service cannot do
without restarting the model, a gate in front of it passes a changing number of calls.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import tempfile
import threading
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from botocore.awsrequest import AWSResponse
from botocore.config import Config
from PIL import Image

from rekolabels import Client
from rekolabels._aws._connection import connection_of
from rekolabels.formats import read_folder
from rekolabels.local import LocalService, Quotas, Tps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rekolabels import ModelVersion
    from rekolabels.inference import Outcome

SETTLE, MEASURE = 10.0, 10.0
PER_UNIT = 5.0
TARGET = 0.97
CHANGES = (20.0, 50.0, 5.0)
"""Calls per second, each for SETTLE + MEASURE seconds."""


class Gate:
    """Throttles calls that exceed a rate; all calls pass while the rate is None."""

    def __init__(self) -> None:
        self.rate: float | None = None
        self._tokens = 0.0
        self._filled_at = 0.0
        self._lock = threading.Lock()

    def __call__(self, request: Any, **_: Any) -> AWSResponse | None:
        """Throttle the request, or return None to pass it to the service."""
        if self.rate is None:
            return None
        with self._lock:
            now = time.monotonic()
            self._tokens = min(self.rate, self._tokens + (now - self._filled_at) * self.rate)
            self._filled_at = now
            if self._tokens >= 1:
                self._tokens -= 1
                return None
        code = "ProvisionedThroughputExceededException"
        headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}
        return AWSResponse(request.url, 400, headers, Body(json.dumps({"__type": code}).encode()))


class Body(io.BytesIO):
    """A response body with urllib3's interface."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        """Yield the body."""
        yield self.read()


def write_images(folder: Path) -> Path:
    """Write label folders with images of one colour and some noise."""
    random = np.random.default_rng(0)
    for label, colour in (("amber", (230, 160, 30)), ("blue", (30, 60, 220))):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            pixels = np.clip(random.normal(colour, 10, (64, 64, 3)), 0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


def share(served: Iterator[object], capacity: float) -> float:
    """Return the calls served after the first SETTLE seconds, as a share of the capacity."""
    begin = time.monotonic() + SETTLE
    end, count = begin + MEASURE, 0
    while (now := time.monotonic()) < end:
        next(served)
        count += begin <= now < end
    return count / MEASURE / capacity


def threads(call: Callable[[], object], lost: list[object], workers: int = 32) -> Iterator[object]:
    """Keep a pool of threads busy with a call; add calls that fail for good to ``lost``."""
    with ThreadPoolExecutor(workers) as pool:
        under_way = {pool.submit(call) for _ in range(workers)}
        try:
            while True:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                under_way |= {pool.submit(call) for _ in done}
                lost.extend(future for future in done if future.exception() is not None)
                yield from (future for future in done if future.exception() is None)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def answered(outcomes: Iterator[Outcome[bytes]]) -> Iterator[object]:
    """Check that no outcome has an error."""
    for outcome in outcomes:
        assert outcome.error is None
        yield outcome


def shares_of_changes(gate: Gate, served: Iterator[object]) -> list[str]:
    """Return the share of each capacity that is used, from SETTLE seconds after each change."""
    shares = []
    for capacity in CHANGES:
        gate.rate = capacity
        shares.append(f"{share(served, capacity):.1%}")
    gate.rate = None
    return shares


def plain_calls(model: ModelVersion, image: bytes, lost: list[object]) -> Iterator[object]:
    """Call boto3 with its standard retries from threads; collect the calls that failed for good."""
    bare = connection_of(model).session.client(
        "rekognition", config=Config(retries={"mode": "standard"}, max_pool_connections=64)
    )
    return threads(
        lambda: bare.detect_custom_labels(ProjectVersionArn=model.arn, Image={"Bytes": image}), lost
    )


def compare(model: ModelVersion, image: bytes, units: int) -> None:
    """Measure both with a number of inference units."""
    capacity = units * PER_UNIT
    lost: list[object] = []
    with model.running(min_inference_units=units) as running:
        ours = share(answered(running.detect_many(itertools.repeat(image), ordered=False)), capacity)
        plain = share(plain_calls(model, image, lost), capacity)
    print(
        f"{units:2} units, {capacity:g} calls per second: detect_many uses {ours:.1%} and loses no image, "
        f"threads over boto3 use {plain:.1%} and lose {len(lost)} images (target {TARGET:.0%}, 0)"
    )


def compare_changes(gate: Gate, model: ModelVersion, image: bytes) -> None:
    """Measure both while the capacity changes."""
    with model.running(min_inference_units=10) as running:
        ours = shares_of_changes(gate, answered(running.detect_many(itertools.repeat(image), ordered=False)))
        plain = shares_of_changes(gate, plain_calls(model, image, []))
    rates = ", then ".join(f"{rate:g}" for rate in CHANGES)
    print(
        f"{rates} calls per second in one run: detect_many uses {', '.join(ours)}, threads over boto3 "
        f"{', '.join(plain)} (target {TARGET:.0%} from {SETTLE:g} s after each change)"
    )


def main() -> None:
    """Measure with 1, 4 and 10 inference units, and with changes during a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, nargs="*", default=[1, 4, 10])
    options = parser.parse_args()
    gate = Gate()
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_images(Path(scratch) / "pictures")
        tps = Tps(detect_per_unit=PER_UNIT)
        # The tiny engine, because this measures the use of the capacity rather than the speed of the machine.
        with LocalService(engine="tiny", quotas=Quotas(inference_units=10), tps=tps) as service:
            session = service.session()
            session.events.register_first("before-send.rekognition.DetectCustomLabels", gate)
            client = Client(session, bucket="bench")
            client.ensure_bucket()
            project = client.create_project("bench")
            project.create_datasets(read_folder(folder))
            model = project.train("v1")
            model.wait_until_trained()
            image = (folder / "blue" / "0.png").read_bytes()
            for units in options.units:
                compare(model, image, units)
            compare_changes(gate, model, image)


if __name__ == "__main__":
    main()
