"""Hostile files cost work in proportion to their size, and none of it is unbounded.

Work is counted in calls of functions, or limited in memory and processor time to many times of what is
needed, so that a busy machine fails no test. The tests would fail if a reader did something for each byte of
an image, or for each pair of parts of a text.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from label_files import png
from rekolabels import formats
from rekolabels.errors import InvalidImage, InvalidInput, RekolabelsError
from rekolabels.evaluation import EvaluationResult
from rekolabels.images import LabelledImage
from rekolabels.inference import draw
from rekolabels.manifest import check_manifest
from rekolabels.splits import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rekolabels.formats import Problem

SIZE = 3_000_000
"""Bytes of a hostile image."""


def count_calls(action: Callable[[], object]) -> int:
    """Return the number of functions that an action calls, in this thread and in those that it starts."""
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    threading.setprofile(count)
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return calls


LIMITS = """
import resource
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
"""


def run_limited(code: str, *arguments: str | Path) -> None:
    """Run a program within 3 GB of memory and 60 s of processor time, of which it needs a fraction."""
    command = [sys.executable, "-c", LIMITS + code, *map(str, arguments)]
    found = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603 - our own code
    assert found.returncode == 0, f"{found.returncode}: {found.stderr[-500:]}"


# -- images --------------------------------------------------------------------------------------------------


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


START = b"\xff\xd8"
FRAME = b"\xff\xc0\x00\x11\x08\x00\x80\x00\x80\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
PNG = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 128, 128, 8, 2, 0, 0, 0))
HOSTILE: dict[str, Callable[[int], bytes]] = {
    "JPEG of fill bytes": lambda size: START + b"\xff" * size,
    "JPEG with fill bytes behind its frame": lambda size: START + FRAME + b"\xff" * size,
    "PNG of empty chunks": lambda size: PNG + chunk(b"abCd") * (size // 12),
    "PNG of empty pixel chunks": lambda size: PNG + chunk(b"IDAT") * (size // 12),
    "GIF of empty extensions": lambda size: (
        b"GIF89a\x40\x00\x40\x00\x00\x00\x00" + b"\x21\xfe\x00" * (size // 3)
    ),
}


def line_of(path: Path) -> LabelledImage:
    """Return an image with a label."""
    return LabelledImage(str(path), labels=["a"])


def from_page(path: Path, folder: Path) -> None:
    """Show the image in the page of an evaluation, as a mistake of the model."""
    details = {"is-false-positive": True}
    attribute = "rekognition-custom-labels-evaluation-0"
    line = {
        "source-ref": str(path),
        attribute: 1,
        f"{attribute}-metadata": {
            "class-name": "a",
            "confidence": 0.9,
            "rekognition-custom-labels-evaluation-details": details,
        },
    }
    result = EvaluationResult.from_snapshot(
        [json.dumps(line)], read_image=lambda source: Path(source).read_bytes()
    )
    result.save(folder / "page.html")


READERS: dict[str, Callable[[Path, Path], object]] = {
    "check_manifest": lambda path, _: check_manifest([line_of(path)] * 2, open_images=True),
    "draw": lambda path, _: draw(path, []),
    "evaluation page": from_page,
    "near duplicates": lambda path, _: split([line_of(path)] * 4, near_duplicates=True),
    "read_folder": lambda path, _: list(formats.read_folder(path.parents[1])),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("content", HOSTILE)
def test_images(tmp_path: Path, reader: str, content: str) -> None:
    """No reader of images does something for each byte, whatever is in the file."""
    pytest.importorskip("PIL")
    pytest.importorskip("imagehash")

    def read() -> None:
        with contextlib.suppress(RekolabelsError):
            READERS[reader](file, tmp_path)

    file = tmp_path / "images" / "a" / "1.jpg"
    file.parent.mkdir(parents=True)
    file.write_bytes(HOSTILE[content](SIZE))

    assert count_calls(read) < SIZE // 2


def test_scans_of_a_jpeg() -> None:
    """Each scan of a few bytes makes libjpeg go through all pixels again."""
    image = pytest.importorskip("PIL.Image")
    content = io.BytesIO()
    image.new("RGB", (256, 256), "red").save(content, "JPEG", progressive=True)
    jpeg = content.getvalue()
    start = jpeg.rfind(b"\xff\xda")
    scan = jpeg[start:-2]

    def with_scans(count: int) -> bytes:
        return jpeg[:-2] + count * scan + jpeg[-2:]

    assert draw(with_scans(100), []).size == (256, 256)
    with pytest.raises(InvalidImage, match="more than 1,000 scans"):
        draw(with_scans(1001), [])
    report = check_manifest(
        [LabelledImage("a.jpg", labels=["a"])], open_images=True, open_image=lambda _: with_scans(1001)
    )
    assert "ERROR_INVALID_IMAGE" in {issue.code for issue in report}


ENDLESS = """
import sys
from rekolabels import RetryPolicy
from rekolabels.errors import InvalidImage
from rekolabels.inference import draw
from rekolabels.testing import Recorded

arn = "arn:aws:rekognition:us-east-1:123456789012:project/p"
project = {"ProjectArn": f"{arn}/1", "Status": "CREATED", "CreationTimestamp": "2026-01-01T00:00:00Z"}
projects = {"ProjectDescriptions": [project]}
recorded = Recorded(RetryPolicy())({"operation": "DescribeProjects", "response": projects})
model = recorded.model(f"{arn}/version/v/1")
for use in (lambda image: model.detect(image, shrink=True), lambda image: draw(image, [])):
    for image in sys.argv[1:]:
        try:
            use(image)
        except InvalidImage as error:
            assert "has more than 100 MB" in str(error), error
        else:
            raise SystemExit("not refused")
"""


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="the system has no /dev/zero")
def test_files_without_end(tmp_path: Path) -> None:
    """A device and a sparse file of 20 GB are refused within 2 GB of memory, with and without shrinking."""
    pytest.importorskip("PIL")
    large = tmp_path / "large.jpg"
    large.touch()
    os.truncate(large, 20 << 30)

    run_limited(ENDLESS, "/dev/zero", large)


def test_programs_are_not_run_for_images(tmp_path: Path) -> None:
    """EPS would be handed to Ghostscript."""
    pytest.importorskip("PIL")
    path = tmp_path / "a.jpg"
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\n%%EOF\n")

    with pytest.raises(InvalidImage, match="is an EPS file"):
        draw(path, [])


# -- texts ---------------------------------------------------------------------------------------------------


YAML = {
    "brackets": "[" * 20_000,
    "braces": "{" * 20_000,
    "keys in brackets": "[{a: " * 5_000,
    "dashes": "- " * 20_000,
    "questions": "? " * 20_000,
    "lines": "".join(f"{' ' * depth}a:\n" for depth in range(300)),
    "a number in base 60": "names: [a]\ntrain: 1" + ":1" * 50_000,
    "a hexadecimal number": "names: [a]\ntrain: 0x" + "f" * 100_000,
    "a long text": "names: [a]\ntrain: " + "a" * 200_000,
}


@pytest.mark.parametrize("content", YAML)
def test_yaml(tmp_path: Path, content: str) -> None:
    """YAML: neither nesting nor long values cost more than their length."""
    pytest.importorskip("yaml")
    file = tmp_path / "data.yaml"
    file.write_text(YAML[content], encoding="utf-8")

    def read() -> None:
        with pytest.raises(InvalidInput, match=r"nested more than|more than 4,096 characters"):
            list(formats.read_yolo(file))

    read()
    assert count_calls(read) < 30 * len(YAML[content]) + 1_000_000


MANIFEST = """
import sys
from rekolabels.manifest import check_manifest

report = check_manifest(sys.argv[1])
assert report.counts.invalid == 20, report
"""


def test_a_manifest_of_quotes(tmp_path: Path) -> None:
    """Lines that are nested too deeply, with a text that does not end: each quote is looked at once."""
    file = tmp_path / "a.manifest"
    line = "[" * 201 + '"' + '\\"' * 49_000
    file.write_text(f"{line}\n" * 20, encoding="utf-8")

    run_limited(MANIFEST, file)


GROUND_TRUTH = """
import sys
from rekolabels.formats import read_ground_truth

problems = []
assert list(read_ground_truth(sys.argv[1], on_problem=problems.append)) == []
assert "too many for a manifest line" in problems[0].message, problems
"""


def test_a_ground_truth_line_that_grows(tmp_path: Path) -> None:
    """Each class of a multi-label line gets the name of the job: 2 MB times 500,000 classes."""
    file = tmp_path / "output.manifest"
    metadata = {
        "type": "groundtruth/image-classification-multilabel",
        "class-map": {"0": "a"},
        "job-name": "j" * 2_000_000,
    }
    line = {"source-ref": "s3://b/a.jpg", "a": [0] * 500_000, "a-metadata": metadata}
    file.write_text(json.dumps(line), encoding="utf-8")

    run_limited(GROUND_TRUTH, file)


COCO = """
import sys
from rekolabels.errors import InvalidInput
from rekolabels.formats import read_coco

try:
    list(read_coco(sys.argv[1]))
except InvalidInput as error:
    assert "more than 4,194,304 characters" in str(error), error
else:
    raise SystemExit("not refused")
"""


def test_a_coco_value_without_end(tmp_path: Path) -> None:
    """Values are read whole, so their length is limited; parsed, they need far more memory than the text."""
    file = tmp_path / "coco.json"
    file.write_text('{"images": [[' + "[],\n" * (1 << 25), encoding="utf-8")

    run_limited(COCO, file)


# -- folders -------------------------------------------------------------------------------------------------


@pytest.fixture
def deep_image(tmp_path: Path) -> Iterator[Path]:
    """Put an image into 1,200 folders, each in another, and remove them without recursion."""
    names = ["deep", "a", *("x" * 1200)]
    folder = os.open(tmp_path, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=folder)
        folder = _move(folder, name)
    image = os.open("1.png", os.O_WRONLY | os.O_CREAT, dir_fd=folder)
    os.write(image, png())
    os.close(image)
    yield tmp_path.joinpath(*names, "1.png")
    os.unlink("1.png", dir_fd=folder)
    for name in reversed(names):
        folder = _move(folder, "..")
        os.rmdir(name, dir_fd=folder)
    os.close(folder)


def _move(folder: int, name: str) -> int:
    """Open a folder in another one, and close that."""
    found = os.open(name, os.O_RDONLY, dir_fd=folder)
    os.close(folder)
    return found


def test_label_folders_in_folders(tmp_path: Path, deep_image: Path) -> None:
    """Label folders: an image is found even if it is nested more deeply than Python's stack."""
    problems: list[Problem] = []
    (found,) = formats.read_folder(tmp_path / "deep", on_problem=problems.append)

    assert (found.source, found.labels, problems) == (str(deep_image), ("a",), [])


def test_yolo_folders_in_folders(tmp_path: Path, deep_image: Path) -> None:
    """YOLO: the same."""
    pytest.importorskip("yaml")
    (tmp_path / "data.yaml").write_text("names: [a]\ntrain: deep\n", encoding="utf-8")

    problems: list[Problem] = []
    (found,) = formats.read_yolo(tmp_path, on_problem=problems.append)

    assert (found.source, problems) == (str(deep_image), [])
