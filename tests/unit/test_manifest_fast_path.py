"""Whole files of one make, as programs write them: the shortcut sees what the plain way sees."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache
from typing import Any, Final

import attrs
import pytest

from rekolabels.manifest._scan import Scan

LINES: Final = 500
"""Some 4 to 10 blocks of 64 KiB: enough for the shortcut to learn, to doubt and to give up."""

Make = Callable[[random.Random, int], dict[str, Any]]


def image_level(label: str, *, created: str = "2024-03-01T09:30:00", confidence: float = 1) -> dict[str, Any]:
    """The metadata of one image-level label."""
    return {
        "confidence": confidence,
        "job-name": "labeling-job/made",
        "class-name": label,
        "human-annotated": "yes",
        "creation-date": created,
        "type": "groundtruth/image-classification",
    }


def boxed(
    chance: random.Random,
    *,
    classes: dict[str, str] | None = None,
    count: int = 2,
    size: tuple[int, int] = (640, 480),
    created: str = "2024-03-01T09:30:00",
) -> dict[str, Any]:
    """The attribute of some boxes and its metadata."""
    classes = {"0": "rust", "1": "dent"} if classes is None else classes
    width, height = size
    return {
        "bounding-box": {
            "image_size": [{"width": width, "height": height, "depth": 3}],
            "annotations": [
                {
                    "class_id": int(chance.choice(list(classes))),
                    "left": chance.randrange(width // 2),
                    "top": chance.randrange(height // 2),
                    "width": width // 3,
                    "height": height // 3,
                }
                for _ in range(count)
            ],
        },
        "bounding-box-metadata": {
            "objects": [{"confidence": 1}] * count,
            "class-map": classes,
            "type": "groundtruth/object-detection",
            "human-annotated": "yes",
            "creation-date": created,
            "job-name": "labeling-job/made",
        },
    }


def one_label(chance: random.Random, _: int) -> dict[str, Any]:
    """A label of three."""
    label = chance.choice("abc")
    return {label: 1, f"{label}-metadata": image_level(label)}


def named_by_job(chance: random.Random, _: int) -> dict[str, Any]:
    """The attribute is named after the job, not after the label."""
    return {"job": 1, "job-metadata": image_level(chance.choice("abc"))}


def two_jobs(chance: random.Random, number: int) -> dict[str, Any]:
    """Two attributes; in one line both bear the same label, which only the plain way can judge."""
    second = "a" if number == LINES - 1 else chance.choice("bc")
    return {"x": 1, "x-metadata": image_level("a"), "y": 1, "y-metadata": image_level(second)}


def many_sets(chance: random.Random, _: int) -> dict[str, Any]:
    """Few lines have the same labels."""
    return {
        key: value
        for label in chance.sample([f"label {n}" for n in range(30)], chance.randint(1, 6))
        for key, value in ((label, 1), (f"{label}-metadata", image_level(label)))
    }


def own_dates(chance: random.Random, number: int) -> dict[str, Any]:
    """Each line has a date and a confidence of its own."""
    label = chance.choice("abc")
    date = f"2024-03-01T09:{number // 60 % 60:02}:{number % 60:02}.{number:06}"
    confidence = round(chance.random(), 6)
    return {label: 1, f"{label}-metadata": image_level(label, created=date, confidence=confidence)}


def own_jobs(chance: random.Random, number: int) -> dict[str, Any]:
    """More different pieces than labels can be: something else than dates differs."""
    label = chance.choice("abc")
    return {label: 1, f"{label}-metadata": {**image_level(label), "job-name": f"labeling-job/{number}"}}


def too_many_labels(_: random.Random, number: int) -> dict[str, Any]:
    """One line has more labels than an image may have."""
    labels = [f"l{n}" for n in range(51 if number == LINES // 2 else 2)]
    return {
        key: value
        for label in labels
        for key, value in ((label, 1), (f"{label}-metadata", image_level(label)))
    }


def too_long(_: random.Random, number: int) -> dict[str, Any]:
    """One line is longer than a line may be."""
    job = "x" * (100_000 if number == LINES // 2 else 5)
    return {"a": 1, "a-metadata": {**image_level("a"), "job-name": job}}


def with_empty(chance: random.Random, number: int) -> dict[str, Any]:
    """Some lines carry the label set of the console besides."""
    return {**one_label(chance, number), "cl-metadata": {"is_labeled": True}}


def boxes(chance: random.Random, _: int) -> dict[str, Any]:
    """Boxes in images of one size."""
    return boxed(chance, count=chance.randint(1, 6))


def own_sizes(chance: random.Random, _: int) -> dict[str, Any]:
    """Boxes in images of all sizes."""
    return boxed(chance, size=(chance.randint(64, 4096), chance.randint(300, 1200)))


def own_class_maps(chance: random.Random, number: int) -> dict[str, Any]:
    """Each line maps the classes that it uses, and new ones come all the time."""
    return boxed(chance, classes={"0": "rust", str(1 + number): f"part {number}"})


def dated_boxes(chance: random.Random, number: int) -> dict[str, Any]:
    """Boxes, each line with its own date."""
    return boxed(chance, created=f"2024-03-01T09:{number // 60 % 60:02}:{number % 60:02}.{number:06}")


def boxes_of_own_jobs(chance: random.Random, number: int) -> dict[str, Any]:
    """Boxes, each line with its own job: more shapes than the shortcut remembers."""
    made = boxed(chance)
    made["bounding-box-metadata"]["job-name"] = f"labeling-job/{number}"
    return made


def too_many_boxes(chance: random.Random, number: int) -> dict[str, Any]:
    """One image has more boxes than it may have."""
    return boxed(chance, count=51 if number == LINES // 2 else 3)


def spoilt(change: Callable[[dict[str, Any]], object]) -> Make:
    """Boxes, of which one line in the middle is changed by hand."""

    def make(chance: random.Random, number: int) -> dict[str, Any]:
        made = boxed(chance)
        if number == LINES // 2:
            change(made)
        return made

    return make


MAKES: Final[dict[str, Make]] = {
    make.__name__: make
    for make in (
        one_label,
        named_by_job,
        two_jobs,
        many_sets,
        own_dates,
        own_jobs,
        too_many_labels,
        too_long,
        with_empty,
        boxes,
        own_sizes,
        own_class_maps,
        dated_boxes,
        boxes_of_own_jobs,
        too_many_boxes,
    )
} | {
    "an image too small": spoilt(lambda made: made["bounding-box"]["image_size"][0].update(width=63)),
    "an image too large": spoilt(lambda made: made["bounding-box"]["image_size"][0].update(height=4097)),
    "no size": spoilt(lambda made: made["bounding-box"].pop("image_size")),
    "a size of text": spoilt(lambda made: made["bounding-box"]["image_size"][0].update(width="640")),
    "a class that is not in the map": spoilt(
        lambda made: made["bounding-box"]["annotations"][0].update(class_id=7)
    ),
    "a class that is a blank": spoilt(
        lambda made: made["bounding-box-metadata"].update({"class-map": {"0": " ", "1": "dent"}})
    ),
    "a class that is no number": spoilt(
        lambda made: made["bounding-box-metadata"].update({"class-map": {"00": "rust", "1": "dent"}})
    ),
    "a box outside": spoilt(lambda made: made["bounding-box"]["annotations"][0].update(left=600)),
    "a box without area": spoilt(lambda made: made["bounding-box"]["annotations"][0].update(width=0)),
    "a box beyond the left": spoilt(lambda made: made["bounding-box"]["annotations"][0].update(left=-1)),
    "fewer objects than boxes": spoilt(lambda made: made["bounding-box-metadata"]["objects"].pop()),
    "another kind": spoilt(
        lambda made: made["bounding-box-metadata"].update(type="groundtruth/image-classification")
    ),
    "no metadata": spoilt(lambda made: made.pop("bounding-box-metadata")),
}


@cache
def written(make: Make) -> list[str]:
    """The lines of a file."""
    chance = random.Random(7)  # noqa: S311 - the same files in every run
    return [
        json.dumps(
            {"source-ref": f"s3://bucket/{number:04}-{'padding' * 20}.jpg", **make(chance, number)},
            separators=(",", ":"),
        )
        for number in range(LINES)
    ]


def told(manifest: str, *, plain: bool) -> Any:
    """Everything that a check of a manifest says, by the shortcut or without it."""
    scan = Scan(manifest.encode(), "training", max_lines=10 * LINES, allow_empty=True)
    images = [check.image for check in scan.checks() if check.image] if plain else list(scan.images())
    return images, [dict(image.attributes) for image in images], scan.issues(), attrs.asdict(scan.counts())


@pytest.mark.parametrize("name", MAKES)
def test_a_file_of_one_make_reads_the_same_both_ways(name: str) -> None:
    """Images, attributes, issues and counts are the same, whatever the lines have in common."""
    manifest = "\n".join(written(MAKES[name]))

    assert told(manifest, plain=False) == told(manifest, plain=True)


@pytest.mark.parametrize("second", MAKES)
@pytest.mark.parametrize("first", ["own_dates", "boxes"])
def test_a_file_that_changes_its_make_reads_the_same_both_ways(first: str, second: str) -> None:
    """Two files put together: what was learnt from the first lines is not believed of the others."""
    manifest = "\n".join(written(MAKES[first])[: LINES // 2] + written(MAKES[second])[LINES // 3 :])

    assert told(manifest, plain=False) == told(manifest, plain=True)
