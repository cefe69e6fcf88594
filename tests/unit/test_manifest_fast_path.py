"""The fast path gives the same results as the slow path for files that programs write in one form."""

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
"""4 to 10 blocks of 64 KiB: enough for the fast path to fill its caches and to switch itself off."""

Form = Callable[[random.Random, int], dict[str, Any]]


def image_level(label: str, *, created: str = "2024-03-01T09:30:00", confidence: float = 1) -> dict[str, Any]:
    """Return the metadata of an image-level label."""
    return {
        "confidence": confidence,
        "job-name": "labeling-job/job",
        "class-name": label,
        "human-annotated": "yes",
        "creation-date": created,
        "type": "groundtruth/image-classification",
    }


def boxed(
    rng: random.Random,
    *,
    classes: dict[str, str] | None = None,
    count: int = 2,
    size: tuple[int, int] = (640, 480),
    created: str = "2024-03-01T09:30:00",
) -> dict[str, Any]:
    """Return an attribute with boxes and its metadata."""
    classes = {"0": "rust", "1": "dent"} if classes is None else classes
    width, height = size
    return {
        "bounding-box": {
            "image_size": [{"width": width, "height": height, "depth": 3}],
            "annotations": [
                {
                    "class_id": int(rng.choice(list(classes))),
                    "left": rng.randrange(width // 2),
                    "top": rng.randrange(height // 2),
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
            "job-name": "labeling-job/job",
        },
    }


def one_label(rng: random.Random, _: int) -> dict[str, Any]:
    """One of three labels."""
    label = rng.choice("abc")
    return {label: 1, f"{label}-metadata": image_level(label)}


def named_by_job(rng: random.Random, _: int) -> dict[str, Any]:
    """The attribute has the name of the job instead of the label."""
    return {"job": 1, "job-metadata": image_level(rng.choice("abc"))}


def two_jobs(rng: random.Random, number: int) -> dict[str, Any]:
    """Two attributes. In one line both have the same label, which only the slow path can read."""
    second = "a" if number == LINES - 1 else rng.choice("bc")
    return {"x": 1, "x-metadata": image_level("a"), "y": 1, "y-metadata": image_level(second)}


def many_sets(rng: random.Random, _: int) -> dict[str, Any]:
    """Few lines have the same labels."""
    return {
        key: value
        for label in rng.sample([f"label {n}" for n in range(30)], rng.randint(1, 6))
        for key, value in ((label, 1), (f"{label}-metadata", image_level(label)))
    }


def own_dates(rng: random.Random, number: int) -> dict[str, Any]:
    """Each line has its own date and confidence."""
    label = rng.choice("abc")
    date = f"2024-03-01T09:{number // 60 % 60:02}:{number % 60:02}.{number:06}"
    confidence = round(rng.random(), 6)
    return {label: 1, f"{label}-metadata": image_level(label, created=date, confidence=confidence)}


def own_jobs(rng: random.Random, number: int) -> dict[str, Any]:
    """More distinct pieces than labels, because something other than dates differs."""
    label = rng.choice("abc")
    return {label: 1, f"{label}-metadata": {**image_level(label), "job-name": f"labeling-job/{number}"}}


def too_many_labels(_: random.Random, number: int) -> dict[str, Any]:
    """One line has more labels than allowed."""
    labels = [f"l{n}" for n in range(51 if number == LINES // 2 else 2)]
    return {
        key: value
        for label in labels
        for key, value in ((label, 1), (f"{label}-metadata", image_level(label)))
    }


def too_long(_: random.Random, number: int) -> dict[str, Any]:
    """One line is longer than allowed."""
    job = "x" * (100_000 if number == LINES // 2 else 5)
    return {"a": 1, "a-metadata": {**image_level("a"), "job-name": job}}


def with_empty(rng: random.Random, number: int) -> dict[str, Any]:
    """Lines also have the cl-metadata of dataset entries."""
    return {**one_label(rng, number), "cl-metadata": {"is_labeled": True}}


def boxes(rng: random.Random, _: int) -> dict[str, Any]:
    """Boxes in images of one size."""
    return boxed(rng, count=rng.randint(1, 6))


def own_sizes(rng: random.Random, _: int) -> dict[str, Any]:
    """Boxes in images of different sizes."""
    return boxed(rng, size=(rng.randint(64, 4096), rng.randint(300, 1200)))


def own_class_maps(rng: random.Random, number: int) -> dict[str, Any]:
    """Each line has its own class map, with a new class."""
    return boxed(rng, classes={"0": "rust", str(1 + number): f"part {number}"})


def dated_boxes(rng: random.Random, number: int) -> dict[str, Any]:
    """Boxes; each line has its own date."""
    return boxed(rng, created=f"2024-03-01T09:{number // 60 % 60:02}:{number % 60:02}.{number:06}")


def boxes_of_own_jobs(rng: random.Random, number: int) -> dict[str, Any]:
    """Boxes; each line has its own job, which gives more shapes than the fast path caches."""
    made = boxed(rng)
    made["bounding-box-metadata"]["job-name"] = f"labeling-job/{number}"
    return made


def too_many_boxes(rng: random.Random, number: int) -> dict[str, Any]:
    """One image has more boxes than allowed."""
    return boxed(rng, count=51 if number == LINES // 2 else 3)


def with_one_line_changed(change: Callable[[dict[str, Any]], object]) -> Form:
    """Return a form with boxes in which one line in the middle is changed."""

    def form(rng: random.Random, number: int) -> dict[str, Any]:
        made = boxed(rng)
        if number == LINES // 2:
            change(made)
        return made

    return form


FORMS: Final[dict[str, Form]] = {
    form.__name__: form
    for form in (
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
    "an image too small": with_one_line_changed(
        lambda made: made["bounding-box"]["image_size"][0].update(width=63)
    ),
    "an image too large": with_one_line_changed(
        lambda made: made["bounding-box"]["image_size"][0].update(height=4097)
    ),
    "no size": with_one_line_changed(lambda made: made["bounding-box"].pop("image_size")),
    "a size of text": with_one_line_changed(
        lambda made: made["bounding-box"]["image_size"][0].update(width="640")
    ),
    "a class that is not in the map": with_one_line_changed(
        lambda made: made["bounding-box"]["annotations"][0].update(class_id=7)
    ),
    "a class that is a blank": with_one_line_changed(
        lambda made: made["bounding-box-metadata"].update({"class-map": {"0": " ", "1": "dent"}})
    ),
    "a class that is not a number": with_one_line_changed(
        lambda made: made["bounding-box-metadata"].update({"class-map": {"00": "rust", "1": "dent"}})
    ),
    "a box outside": with_one_line_changed(
        lambda made: made["bounding-box"]["annotations"][0].update(left=600)
    ),
    "a box without area": with_one_line_changed(
        lambda made: made["bounding-box"]["annotations"][0].update(width=0)
    ),
    "a box beyond the left": with_one_line_changed(
        lambda made: made["bounding-box"]["annotations"][0].update(left=-1)
    ),
    "fewer objects than boxes": with_one_line_changed(
        lambda made: made["bounding-box-metadata"]["objects"].pop()
    ),
    "another kind": with_one_line_changed(
        lambda made: made["bounding-box-metadata"].update(type="groundtruth/image-classification")
    ),
    "no metadata": with_one_line_changed(lambda made: made.pop("bounding-box-metadata")),
}


@cache
def written(form: Form) -> list[str]:
    """Return the lines of a file."""
    rng = random.Random(7)  # noqa: S311 - the same files in every run
    return [
        json.dumps(
            {"source-ref": f"s3://bucket/{number:04}-{'padding' * 20}.jpg", **form(rng, number)},
            separators=(",", ":"),
        )
        for number in range(LINES)
    ]


def scan_results(manifest: str, *, slow: bool) -> Any:
    """Return everything that a scan of a manifest reports, with or without the fast path."""
    scan = Scan(manifest.encode(), "training", max_lines=10 * LINES, allow_empty=True)
    images = [check.image for check in scan.checks() if check.image] if slow else list(scan.images())
    return images, [dict(image.attributes) for image in images], scan.issues(), attrs.asdict(scan.counts())


@pytest.mark.parametrize("name", FORMS)
def test_both_paths_agree_on_a_file_of_one_form(name: str) -> None:
    """Images, attributes, issues and counts are the same."""
    manifest = "\n".join(written(FORMS[name]))

    assert scan_results(manifest, slow=False) == scan_results(manifest, slow=True)


@pytest.mark.parametrize("second", FORMS)
@pytest.mark.parametrize("first", ["own_dates", "boxes"])
def test_both_paths_agree_on_a_file_of_two_forms(first: str, second: str) -> None:
    """What the caches hold from the first form does not affect the second one."""
    manifest = "\n".join(written(FORMS[first])[: LINES // 2] + written(FORMS[second])[LINES // 3 :])

    assert scan_results(manifest, slow=False) == scan_results(manifest, slow=True)
