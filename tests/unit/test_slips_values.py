"""Slips in values, manifests, splits and costs: each raises an error that names the value and the fix."""
# ruff: noqa: E501 - one slip a line, so that they can be compared

from __future__ import annotations

import io
import json
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from label_files import png, write_files
from rekolabels import costs as typed_costs
from rekolabels import descriptions as typed_descriptions
from rekolabels import images as typed_images
from rekolabels import manifest as typed_manifest
from rekolabels import splits as typed_splits
from rekolabels.costs import KNOWN_PRICES, Prices
from rekolabels.descriptions import Box, Detection
from rekolabels.errors import CannotSplit, InvalidManifest
from rekolabels.images import BoundingBox, LabelledImage
from rekolabels.manifest import format_line
from slips import Slip, check, slip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The modules, as callers without types see them.
costs: Any = typed_costs
descriptions: Any = typed_descriptions
images: Any = typed_images
manifest: Any = typed_manifest
splits: Any = typed_splits

IMAGE = LabelledImage("s3://pets/1.jpg", ["cat"])
IMAGES = [
    LabelledImage(f"s3://pets/{number}.jpg", [label]) for label in ("cat", "dog") for number in range(9)
]
LINE = format_line(IMAGE)
PRICES = KNOWN_PRICES["us-east-1"]


def stream() -> Iterator[LabelledImage]:
    """Return a generator of images."""
    yield from IMAGES


def used_up() -> Iterator[LabelledImage]:
    """Return a generator that has no images left."""
    found = stream()
    list(found)
    return found


def twice(call: Any) -> Any:
    """Pass the same generator as both arguments."""
    found = stream()
    return call(found, found)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the files that the slips name."""
    return write_files(tmp_path, {"pics/cat/1.png": png(), "train.manifest": f"{LINE}\n", "text.txt": "text"})


# fmt: off
VALUES = [
    slip("no source", lambda _: images.LabelledImage(None, ["cat"]), "source is None", "s3:// URI of an image"),
    slip("bytes as source", lambda _: images.LabelledImage(b"a.jpg"), "source is b'a.jpg'"),
    slip("a number as source", lambda _: images.LabelledImage(5), "source is 5"),
    slip("one label", lambda _: images.LabelledImage("a.jpg", "cat"), "labels is 'cat'", "labels=['cat']"),
    slip("a number as labels", lambda _: images.LabelledImage("a.jpg", 3), "labels is 3", "a list of labels"),
    slip("integer labels", lambda _: images.LabelledImage("a.jpg", [3]), "labels[0] is 3", "as text"),
    slip("no label", lambda _: images.LabelledImage("a.jpg", ["cat", None]), "labels[1] is None", "as text"),
    slip("labels with scores", lambda _: images.LabelledImage("a.jpg", {"cat": 1}), "labels is {'cat': 1}"),
    slip("no labels", lambda _: images.LabelledImage("a.jpg", None), "labels is None", "a list of labels"),
    slip("one box", lambda _: images.LabelledImage("a.jpg", boxes=BoundingBox("cat", 1, 2, 3, 4)), "boxes is BoundingBox("),
    slip("a tuple as box", lambda _: images.LabelledImage("a.jpg", boxes=[(1, 2, 3, 4)]), "boxes[0] is (1, 2, 3, 4)"),
    slip("a tuple as size", lambda _: images.LabelledImage("a.jpg", size=(640, 480)), "size is (640, 480)", "ImageSize("),
    slip("attributes as text", lambda _: images.LabelledImage("a.jpg", attributes="x"), "attributes is 'x'"),
    slip("a box without a label", lambda _: images.BoundingBox(None, 1, 2, 3, 4), "label is None", "the label of a box"),
    slip("an integer as label of a box", lambda _: images.BoundingBox(3, 1, 2, 3, 4), "label is 3"),
    slip("text as a side of a box", lambda _: images.BoundingBox("cat", "1", 2, 3, 4), "left is '1'", "of pixels"),
    slip("no side of a box", lambda _: images.BoundingBox("cat", 1, 2, 3, None), "height is None"),
    slip("a size of nothing", lambda _: images.ImageSize(0, 480), "width is 0", "1"),
    slip("a negative size", lambda _: images.ImageSize(640, -1), "height is -1", "1"),
    slip("a fraction as size", lambda _: images.ImageSize(640.5, 480), "width is 640.5", "a whole number"),
    slip("a size as text", lambda _: images.ImageSize("640", 480), "width is '640'", "Remove the quotes"),
    slip("a path as location", lambda _: descriptions.S3Location.parse("pets/1.jpg"), "'pets/1.jpg'", "s3://bucket/key"),
    slip("a URL as location", lambda _: descriptions.S3Location.parse("https://x.org/a"), "'https://x.org/a'"),
    slip("no location", lambda _: descriptions.S3Location.parse(None), "uri is None", "s3://bucket/key"),
    slip("no bucket", lambda _: descriptions.S3Location("", "key"), "bucket is ''", "the name of a bucket"),
    slip("no key", lambda _: descriptions.S3Location("bucket", None), "key is None"),
    slip("a confidence of 150", lambda _: descriptions.Detection("cat", 150), "confidence is 150", "from 0 to 100"),
    slip("a confidence as text", lambda _: descriptions.Detection("cat", "90"), "confidence is '90'"),
    slip("a tuple as place", lambda _: descriptions.Detection("cat", 90.0, (0, 0, 1, 1)), "box is (0, 0, 1, 1)"),
    slip("text as place", lambda _: descriptions.Box("0", 0, 1, 1), "left is '0'"),
]
MANIFESTS = [
    slip("a folder", lambda f: manifest.check_manifest(f / "pics"), "'FOLDER/pics'", "a folder", "read_folder('FOLDER/pics')", error=InvalidManifest),
    slip("a folder to read", lambda f: manifest.read_manifest(str(f)), "'FOLDER'", "a folder", error=InvalidManifest),
    slip("a folder to repair", lambda f: manifest.repair_manifest(f, f / "o"), "a folder", error=InvalidManifest),
    slip("nothing", lambda _: manifest.check_manifest(None), "source is None", "the path of a manifest", error=InvalidManifest),
    slip("nothing to read", lambda _: manifest.read_manifest(None), "source is None", error=InvalidManifest),
    slip("an empty path", lambda _: manifest.check_manifest(""), "source is ''", error=InvalidManifest),
    slip("one image", lambda _: manifest.check_manifest(IMAGE), "one image", "source=[image]", error=InvalidManifest),
    slip("a dict", lambda _: manifest.check_manifest({"source-ref": "x"}), "source is {'source-ref': 'x'}", error=InvalidManifest),
    slip("paths of images", lambda _: manifest.check_manifest(["a.jpg"]), "'a.jpg'", "labels=[...]", error=InvalidManifest),
    slip("Paths", lambda f: manifest.check_manifest([f / "pics"]), "read_folder('FOLDER/pics')", error=InvalidManifest),
    slip("numbers", lambda _: manifest.read_manifest([7]), "7 (int)", "str or bytes", error=InvalidManifest),
    slip("images to read", lambda _: manifest.read_manifest(IMAGES), "LabelledImage", "write_manifest()", error=InvalidManifest),
    slip("a manifest in S3", lambda _: manifest.check_manifest("s3://b/t.manifest"), "s3://b/t.manifest is in S3", "Download it", error=InvalidManifest),
    slip("the content as str", lambda _: manifest.check_manifest(LINE), "not its content", "text.encode()", error=InvalidManifest),
    slip("a generator that is used up", lambda _: manifest.check_manifest(used_up()), "used up", "list(", error=InvalidManifest),
    slip("one generator for both", lambda _: twice(lambda a, b: manifest.check_manifest(a, testing=b)), "same iterator", "list"),
    slip("a folder for the test", lambda f: manifest.check_manifest([LINE], testing=f), "testing is 'FOLDER'", error=InvalidManifest),
    slip("another stage", lambda _: manifest.check_manifest([LINE], stage="train"), "stage is 'train'", "Did you mean 'training'"),
    slip("a flag as text", lambda _: manifest.check_manifest([LINE], auto_split="yes"), "auto_split is 'yes'", "True or False"),
    slip("a limit of zero", lambda _: manifest.check_manifest([LINE], max_lines=0), "max_lines is 0", "1"),
    slip("a negative limit", lambda _: manifest.CheckedManifest([LINE], max_lines=-5), "max_lines is -5"),
    slip("a limit as text", lambda _: manifest.check_manifest([LINE], max_lines="10"), "max_lines is '10'", "Remove the quotes"),
    slip("no opener", lambda _: manifest.check_manifest([LINE], open_image="a.jpg"), "open_image is 'a.jpg'", "a function"),
    slip("another side", lambda _: manifest.CheckedManifest([LINE]).images("train"), "side is 'train'", "'training'"),
    slip("no test manifest", lambda _: manifest.CheckedManifest([LINE]).images("testing"), "No testing manifest", error=InvalidManifest),
    slip("another side of a report", lambda _: manifest.check_manifest([LINE]).validation_lines("test"), "side is 'test'", "'testing'"),
    slip("entries of another side", lambda _: manifest.check_manifest([LINE]).dataset_entries("val"), "side is 'val'"),
    slip("bytes as line", lambda _: manifest.parse_line(LINE.encode()), "text is b'", "text.decode()"),
    slip("no line", lambda _: manifest.parse_line(None), "text is None", "a line of a manifest"),
    slip("no image to format", lambda _: manifest.format_line("a.jpg"), "image is 'a.jpg'", "a LabelledImage"),
    slip("a time stamp", lambda _: manifest.format_line(IMAGE, created=1700000000), "created is 1700000000", "a datetime"),
    slip("a number as job", lambda _: manifest.format_line(IMAGE, job_name=5), "job_name is 5"),
    slip("a folder to write", lambda f: manifest.write_manifest("pics", f / "o"), "images is 'pics'", "read_folder('pics')"),
    slip("arguments in the wrong order", lambda f: manifest.write_manifest(str(f / "o.manifest"), IMAGES), "images is", "read_manifest("),
    slip("a text file as target", lambda _: manifest.write_manifest(IMAGES, io.StringIO()), "target is", "mode 'wb'"),
    slip("no target", lambda _: manifest.write_manifest(IMAGES, None), "target is None", "the path of a manifest"),
    slip("a missing target folder", lambda f: manifest.write_manifest(IMAGES, f / "no" / "o.manifest"), "FOLDER/no", "does not exist", "mkdir"),
    slip("a target in S3", lambda _: manifest.write_manifest(IMAGES, "s3://b/t.manifest"), "'s3://b/t.manifest'"),
    slip("a number to repair", lambda f: manifest.repair_manifest(5, f / "o"), "source is 5", error=InvalidManifest),
    slip("no target of a repair", lambda _: manifest.repair_manifest([LINE], None), "target is None"),
]
SPLITS = [
    slip("a percentage", lambda _: splits.split(IMAGES, test=20), "test is 20", "test=0.2"),
    slip("a share as text", lambda _: splits.split(IMAGES, test="0.2"), "test is '0.2'", "a fraction"),
    slip("all of it", lambda _: splits.split(IMAGES, test=1), "test is 1", "below 1"),
    slip("nothing of it", lambda _: splits.split(IMAGES, test=0.0), "test is 0.0", "above 0"),
    slip("a negative share", lambda _: splits.split(IMAGES, test=-0.2), "test is -0.2"),
    slip("no share", lambda _: splits.split(IMAGES, test=None), "test is None"),
    slip("a yes as share", lambda _: splits.split(IMAGES, test=True), "test is True"),
    slip("one fold", lambda _: splits.folds(IMAGES, 1), "k is 1", "2 or more"),
    slip("a share as folds", lambda _: splits.folds(IMAGES, 0.2), "k is 0.2", "a whole number"),
    slip("folds as text", lambda _: splits.folds(IMAGES, "5"), "k is '5'", "Remove the quotes"),
    slip("too many folds", lambda _: splits.folds(IMAGES[:9], 10), "10 folds of 9 images", error=CannotSplit),
    slip("a negative seed", lambda _: splits.split(IMAGES, seed=-1), "seed is -1", "from 0 to 4,294,967,295"),
    slip("a seed as text", lambda _: splits.folds(IMAGES, seed="7"), "seed is '7'", "Remove the quotes"),
    slip("no seed", lambda _: splits.split(IMAGES, seed=None), "seed is None"),
    slip("a folder of images", lambda _: splits.split("pics"), "images is 'pics'", "read_folder('pics')"),
    slip("paths", lambda _: splits.split(["a.jpg", "b.jpg"]), "images[0] is 'a.jpg'", "LabelledImage('a.jpg'"),
    slip("no images", lambda _: splits.split([]), "no images were given", error=CannotSplit),
    slip("nothing to split", lambda _: splits.split(None), "images is None"),
    slip("images used up", lambda _: splits.split(used_up()), "used up", "images = list("),
    slip("a column to group by", lambda _: splits.split(IMAGES, group_by="patient"), "group_by is 'patient'", "a function"),
    slip("a list of groups", lambda _: splits.folds(IMAGES, group_by=[1, 2]), "group_by is [1, 2]", "a mapping"),
    slip("a list as key", lambda _: splits.split(IMAGES, group_by=lambda _: []), "group_by", "not hashable"),
    slip("a flag as number", lambda _: splits.split(IMAGES, near_duplicates=4), "near_duplicates is 4", "True or False"),
    slip("another flag", lambda _: splits.split(IMAGES, allow_rare="all"), "allow_rare is 'all'"),
    slip("an unknown label", lambda _: splits.split(IMAGES).balance["cats"], "'cats'", "'cat'"),
]
COSTS = [
    slip("a negative price", lambda _: costs.Prices("us-east-1", -1, 4), "training_hour is -1", "US dollars"),
    slip("a price as text", lambda _: costs.Prices("us-east-1", 1, "4"), "inference_unit_hour is '4'", "Remove the quotes"),
    slip("no Region of prices", lambda _: costs.Prices(None, 1, 4), "region is None", "'us-east-1'"),
    slip("negative seconds", lambda _: PRICES.training(-5), "seconds is -5", "0 or more"),
    slip("seconds as a timedelta", lambda _: costs.KNOWN_PRICES["us-east-1"].running(timedelta(hours=1)), "seconds is", "total_seconds()"),
    slip("negative units", lambda _: PRICES.running(60, -1), "units is -1"),
    slip("an unknown Region", lambda _: costs.prices_for("us-east1"), "us-east1", "Prices(region='us-east1'"),
    slip("no Region", lambda _: costs.prices_for(None), "region is None"),
    slip("a list of Regions", lambda _: costs.prices_for(["us-east-1"]), "region is ['us-east-1']"),
    slip("a Region as prices", lambda _: costs.plan(100, prices="us-east-1"), "prices is 'us-east-1'", "prices_for('us-east-1')"),
    slip("no prices", lambda _: costs.estimate_training(prices=None), "prices is None", "prices_for("),
    slip("one earlier training", lambda _: costs.estimate_training(prices=PRICES, earlier=1899), "earlier is 1899", "a list"),
    slip("earlier trainings as text", lambda _: costs.estimate_training(prices=PRICES, earlier=["1899"]), "earlier[0] is '1899'"),
    slip("a negative number of images", lambda _: costs.plan(-1, prices=PRICES), "images is -1", "from 0"),
    slip("the images themselves", lambda _: costs.plan(["a.jpg"], prices=PRICES), "images is ['a.jpg']", "len(images)"),
    slip("half an image", lambda _: costs.plan(1.5, prices=PRICES), "images is 1.5", "a whole number"),
    slip("no throughput", lambda _: costs.plan(10, prices=PRICES, images_per_second=0), "images_per_second is 0"),
    slip("a deadline as text", lambda _: costs.plan(10, prices=PRICES, deadline="3h"), "deadline is '3h'", "seconds"),
    slip("a negative deadline", lambda _: costs.plan(10, prices=PRICES, deadline=-1), "deadline is -1"),
    slip("a timedelta", lambda _: costs.plan(10, prices=PRICES, deadline=timedelta(hours=3)), "deadline is", "total_seconds()"),
    slip("an early deadline", lambda _: costs.plan(10, prices=PRICES, deadline=60), "10 images", "Allow more time"),
    slip("a budget as text", lambda _: costs.plan(10, prices=PRICES, budget="10"), "budget is '10'", "Remove the quotes"),
    slip("a small budget", lambda _: costs.plan(10, prices=PRICES, budget=0.5), "0.50 USD", "Analyse fewer images"),
    slip("no units", lambda _: costs.plan(10, prices=PRICES, max_units=0), "max_units is 0", "1"),
    slip("an endless start", lambda _: costs.plan(10, prices=PRICES, start_seconds=float("inf")), "start_seconds is inf"),
]
# fmt: on


@pytest.mark.parametrize("slip", [*VALUES, *MANIFESTS, *SPLITS, *COSTS])
def test_slips(slip: Slip, folder: Path) -> None:
    """The error names the value and the fix, and no file is left behind."""
    check(slip, folder)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_numbers_of_numpy_are_numbers(kind: str) -> None:
    """Sides of boxes and images may come from arrays; they become Python's own."""
    numpy = pytest.importorskip("numpy")
    box = BoundingBox("cat", *numpy.array([1, 2, 3, 4], dtype=kind))
    size = typed_images.ImageSize(*numpy.array([640, 480]))
    sides = [box.left, box.top, box.width, box.height, size.width, size.height]
    assert sides == [1, 2, 3, 4, 640, 480]
    assert [type(side) for side in sides] == [float] * 4 + [int] * 2


@pytest.mark.parametrize("kind", [Decimal, Fraction])
def test_numbers_of_other_types_are_numbers(kind: type[Decimal | Fraction]) -> None:
    """Values can be computed with, and written as JSON."""
    half: Any = kind("0.5")
    detection = Detection("cat", half, Box(half, half, half, half))
    sides = {"left": 0.5, "top": 0.5, "width": 0.5, "height": 0.5}
    assert json.loads(json.dumps(detection.to_dict())) == {"label": "cat", "confidence": 0.5, "box": sides}
    assert Prices("us-east-1", training_hour=half, inference_unit_hour=half).training(7200) == 1.0
