"""Ground Truth output manifests: usable lines, multi-label lines, and lines that are reported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.errors import InvalidInput
from rekolabels.formats import Problem, read_ground_truth
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import format_line, parse_line

if TYPE_CHECKING:
    from pathlib import Path

COMMON = {"human-annotated": "yes", "creation-date": "2024-03-01T09:30:00", "job-name": "labeling-job/pets"}
SINGLE = {
    "source-ref": "s3://b/1.jpg",
    "pets": 0,
    "pets-metadata": {
        "class-name": "cat",
        "confidence": 0.9,
        "type": "groundtruth/image-classification",
        **COMMON,
    },
}
SEVERAL = {
    "source-ref": "s3://b/2.jpg",
    "pets": [1, 0],
    "pets-metadata": {
        "class-map": {"0": "cat", "1": "dog"},
        "confidence-map": {"0": 0.8, "1": 0.7},
        "type": "groundtruth/image-classification-multilabel",
        **COMMON,
    },
}
FAILED = {
    "source-ref": "s3://b/3.jpg",
    "pets-metadata": {"job-name": "x", "failure-reason": "ClientError: gone"},
}
OTHER = {
    "source-ref": "s3://b/4.jpg",
    "mask-ref": "s3://b/m.png",
    "mask-ref-metadata": {"type": "groundtruth/semantic-segmentation"},
}


def ground_truth(folder: Path, *lines: Any) -> tuple[list[LabelledImage], list[Problem]]:
    """Read an output manifest of lines that are given as objects, text or bytes."""
    raw = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    (folder / "output.manifest").write_bytes(b"\n".join(raw) + b"\n")
    problems: list[Problem] = []
    return list(read_ground_truth(folder / "output.manifest", on_problem=problems.append)), problems


def test_usable_lines_are_manifest_lines(tmp_path: Path) -> None:
    """Classification and boxes are read as by read_manifest, including unknown keys."""
    box = LabelledImage("s3://b/5.jpg", boxes=[BoundingBox("cat", 1, 2, 3, 4)], size=ImageSize(100, 80))
    lines = [json.dumps(SINGLE | {"camera": 7}), format_line(box)]
    images, problems = ground_truth(tmp_path, *lines)
    assert [parse_line(line) for line in lines] == images
    assert images[0].attributes["camera"] == 7
    assert problems == []


def test_multi_label_lines_are_converted(tmp_path: Path) -> None:
    """Each class becomes an attribute, in the order of the list, as in the developer guide."""
    ((image,), problems) = ground_truth(tmp_path, SEVERAL)
    assert image.labels == ("dog", "cat")
    assert dict(image.attributes) == {
        "pets0": 0,
        "pets0-metadata": {
            "class-name": "dog", "confidence": 0.7, "type": "groundtruth/image-classification", **COMMON,
        },
        "pets1": 1,
        "pets1-metadata": {
            "class-name": "cat", "confidence": 0.8, "type": "groundtruth/image-classification", **COMMON,
        },
    }  # fmt: skip
    assert problems == []


@pytest.mark.parametrize(
    ("line", "message", "lost"),
    [
        (FAILED, "The task 'pets' failed: ClientError: gone", "image"),
        (
            OTHER,
            "'mask-ref' comes from a job type that Custom Labels does not support: groundtruth/semantic-seg",
            "image",
        ),
        (SINGLE | OTHER, "'mask-ref' comes from a job type", "label"),
        (SEVERAL | {"pets": [1, 5]}, "Class 5 of 'pets' is not in its class-map", "label"),
        (SEVERAL | {"pets": []}, "'pets' has no class", "image"),
        ("{", "Not JSON", "image"),
        ("[1]", "Not a JSON object", "image"),
        (b"\xff\xfe", "Not UTF-8 text", "image"),
        ("[" * 50_000, "Not JSON", "image"),
        ({"a": 1}, "has no 'source-ref'", "image"),
        (SINGLE | {"source-ref": "s3://b/" + "x" * 100_000}, "characters; at most", "image"),
        ("x" * 5_000_000, "too long", "image"),
    ],
)
def test_rejected_and_failed_lines_are_reported(tmp_path: Path, line: Any, message: str, lost: str) -> None:
    """The problem names the line; the lines around it are read."""
    images, problems = ground_truth(tmp_path, SINGLE, line, "", SINGLE)
    (problem,) = problems
    assert message in problem.message
    assert (2, lost) == (problem.line, problem.lost)
    assert 2 + (lost == "label") == len(images)


def test_a_missing_output_manifest_is_refused(tmp_path: Path) -> None:
    """A missing file raises InvalidInput."""
    with pytest.raises(InvalidInput, match="which does not exist"):
        list(read_ground_truth(tmp_path / "none"))
