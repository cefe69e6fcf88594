"""Benchmark: convert COCO with 300,000 boxes to a manifest, compared with json.load of the same file."""

from __future__ import annotations

import gc
import io
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rekolabels.formats import read_coco
from rekolabels.manifest import write_manifest

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGES, BOXES, CATEGORIES = 40_000, 300_000, 80


def write_sample(path: Path) -> None:
    """Write a file like those of COCO: boxes with fractions, and a polygon for each."""
    draw = random.Random(0)  # noqa: S311 - test data
    annotations = []
    for number in range(BOXES):
        left, top = round(draw.uniform(0, 500), 2), round(draw.uniform(0, 380), 2)
        width, height = round(draw.uniform(2, 139), 2), round(draw.uniform(2, 99), 2)
        annotations.append(
            {
                "segmentation": [[round(draw.uniform(0, 480), 2) for _ in range(12)]],
                "area": round(width * height, 3),
                "iscrowd": 0,
                "image_id": number % IMAGES,
                "bbox": [left, top, width, height],
                "category_id": draw.randrange(CATEGORIES) + 1,
                "id": number,
            }
        )
    images = [
        {"license": 1, "file_name": f"{n:012}.jpg", "height": 480, "width": 640, "id": n,
         "date_captured": "2013-11-14 17:02:52", "coco_url": f"http://images.example.org/{n:012}.jpg"}
        for n in range(IMAGES)
    ]  # fmt: skip
    categories = [{"supercategory": "thing", "id": n + 1, "name": f"thing-{n}"} for n in range(CATEGORIES)]
    content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    path.write_text(json.dumps(content))


def convert(path: Path) -> None:
    """Read COCO and write a manifest."""
    write_manifest(read_coco(path, images="s3://bucket/images"), io.BytesIO())


def json_load(path: Path) -> None:
    """Parse the file and do nothing else."""
    with path.open() as file:
        json.load(file)


def main() -> None:
    """Measure the time in this process, and the memory in separate processes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "instances.json"
        write_sample(path)
        print(f"{BOXES:,} boxes on {IMAGES:,} images, {path.stat().st_size / 1e6:.0f} MB")
        times: dict[Callable[[Path], None], float] = {}
        for function in (json_load, convert) * 3:
            gc.collect()
            start = time.process_time()
            function(path)
            spent = time.process_time() - start
            times[function] = min(spent, times.get(function, spent))
        memory = {function: peak(function.__name__, path) for function in (json_load, convert)}
        for function in (json_load, convert):
            print(f"  {function.__name__:9} {times[function]:6.2f} s CPU  {memory[function]:6.0f} MB")
        time_ratio, memory_ratio = times[convert] / times[json_load], memory[convert] / memory[json_load]
        print(f"  ratio: {time_ratio:.2f} of the time of json.load, {memory_ratio:.2f} of its memory")


def peak(name: str, path: Path) -> float:
    """Return by how many MB a run increases the resident memory of a new process."""
    run = (
        "import re, sys; from pathlib import Path; import bench_formats as bench\n"
        # Not ru_maxrss: a process inherits it from its parent.
        "status = lambda: Path('/proc/self/status').read_text()\n"
        "used = lambda: int(re.search(r'VmHWM:\\s+(\\d+)', status())[1]) / 1024\n"
        "before = used(); getattr(bench, sys.argv[1])(Path(sys.argv[2])); print(used() - before)"
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", run, name, str(path)],
        cwd=Path(__file__).parent, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)


if __name__ == "__main__":
    main()
