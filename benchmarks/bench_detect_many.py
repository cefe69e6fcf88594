"""How much of what a model can serve detect_many uses, against threads over boto3 with its standard retries.

The embedded service serves so many calls a second for each inference unit, and throttles the rest.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from botocore.config import Config
from PIL import Image

from rekolabels.formats import read_folder
from rekolabels.local import LocalService, Quotas, Tps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rekolabels import ModelVersion

SETTLE, MEASURE = 10.0, 10.0
PER_UNIT = 5.0
TARGET = 0.97


def pictures(folder: Path) -> Path:
    """Write label folders with plain colours and some noise."""
    random = np.random.default_rng(0)
    for label, colour in (("amber", (230, 160, 30)), ("blue", (30, 60, 220))):
        (folder / label).mkdir(parents=True)
        for number in range(6):
            pixels = np.clip(random.normal(colour, 10, (64, 64, 3)), 0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


def share(served: Iterator[object], capacity: float) -> float:
    """Count what is served after the first seconds, as a share of the capacity."""
    begin = time.monotonic() + SETTLE
    end, count = begin + MEASURE, 0
    for _ in served:
        now = time.monotonic()
        if now >= end:
            break
        count += now >= begin
    return count / MEASURE / capacity


def threads(call: Callable[[], object], workers: int = 32) -> Iterator[object]:
    """Keep a pool of threads busy with a call; what fails for good is not served."""
    with ThreadPoolExecutor(workers) as pool:
        under_way = {pool.submit(call) for _ in range(workers)}
        try:
            while True:
                done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                under_way |= {pool.submit(call) for _ in done}
                yield from (future for future in done if future.exception() is None)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def compare(model: ModelVersion, image: bytes, units: int) -> None:
    """Measure both with a number of inference units."""
    capacity = units * PER_UNIT
    bare = model.client.session.client(
        "rekognition", config=Config(retries={"mode": "standard"}, max_pool_connections=64)
    )
    with model.running(min_inference_units=units) as running:
        ours = share(running.detect_many(itertools.repeat(image), ordered=False), capacity)
        plain = share(
            threads(lambda: bare.detect_custom_labels(ProjectVersionArn=model.arn, Image={"Bytes": image})),
            capacity,
        )
    print(
        f"{units:2} units, {capacity:g} calls a second: detect_many uses {ours:.1%}, threads over boto3 "
        f"{plain:.1%} (target {TARGET:.0%})"
    )


def main() -> None:
    """Measure with 1, 4 and 10 inference units."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--units", type=int, nargs="*", default=[1, 4, 10])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pictures(Path(scratch) / "pictures")
        tps = Tps(detect_per_unit=PER_UNIT)
        with LocalService(quotas=Quotas(inference_units=10), tps=tps) as service:
            project = service.client(bucket="bench").create_project("bench")
            project.create_datasets(read_folder(folder))
            model = project.train("v1")
            model.wait_until_trained()
            image = (folder / "blue" / "0.png").read_bytes()
            for units in options.units:
                compare(model, image, units)


if __name__ == "__main__":
    main()
