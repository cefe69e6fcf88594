"""Writer for evaluation manifest snapshots, which list the images of a training or a test.

``TrainingGroundTruth-<project>-<version>.json`` and ``TestingGroundTruth-<project>-<version>.json`` are JSON
Lines files with one line per image that was used. The attributes have the service's own names, whatever their
names in the user's manifest. The number of an attribute is the position of its label among the labels of the
model, ``EvaluationDetails.Labels`` of the summary.
"""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from types import NoneType
from typing import TYPE_CHECKING, Any

import attrs

from rekolabels._arguments import check_instance, check_items, invalid
from rekolabels._display import counted
from rekolabels.errors import InvalidInput
from rekolabels.evaluation._jsonl import to_utf8
from rekolabels.evaluation._values import Verdict
from rekolabels.images import BoundingBox, ImageSize
from rekolabels.manifest._given_images import is_collection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["SnapshotImage", "write_testing_snapshot", "write_training_snapshot"]

_TRAINING = "rekognition-custom-labels-training"
_EVALUATION = "rekognition-custom-labels-evaluation"
_DETAILS = f"{_EVALUATION}-details"


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(check_items("labels", values, str, "a list of labels"))


def _boxes_of(values: Iterable[BoundingBox]) -> tuple[BoundingBox, ...]:
    return tuple(check_items("boxes", values, BoundingBox, "a list of BoundingBox values"))


@attrs.frozen
class SnapshotImage:
    """An image of a snapshot, with its ground truth."""

    source: str
    """URI of the image (``source-ref``)."""
    labels: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Image-level labels."""
    boxes: tuple[BoundingBox, ...] = attrs.field(default=(), converter=_boxes_of, repr=counted("boxes"))
    """Bounding boxes, in pixels."""
    size: ImageSize | None = None
    """Size of the image; required for images with boxes."""

    def __attrs_post_init__(self) -> None:
        check_instance("source", self.source, str, "the URI of an image")
        check_instance("size", self.size, (ImageSize, NoneType), "an ImageSize or None")


def write_training_snapshot(
    images: Iterable[SnapshotImage], created: datetime, *, labels: Iterable[str] | None = None
) -> Iterator[str]:
    """Yield the lines of ``TrainingGroundTruth-<project>-<version>.json``, without line endings.

    Args:
        images: The images that the training used.
        created: Time for ``creation-date``; a naive time is UTC.
        labels: The labels of the model in the order of the summary, by which they are numbered; by default
            those that occur, by name.
    """
    stamp = _timestamp(created)
    found: Iterable[SnapshotImage] = _each(images)
    if labels is None:
        found = list(found)
        labels = sorted({label for image in found for label in image.labels})
    numbers = _numbers(labels)
    return (
        _line(_ground_truth(image, stamp, numbers), number) for number, image in enumerate(found, start=1)
    )


def write_testing_snapshot(
    images: Iterable[SnapshotImage],
    verdicts: Sequence[Sequence[Verdict]],
    created: datetime,
    *,
    labels: Iterable[str] | None = None,
) -> Iterator[str]:
    """Yield the lines of ``TestingGroundTruth-<project>-<version>.json``, without line endings.

    A classifier's line has a numbered pair of attributes for each of its verdicts. The service's files have
    no true negatives: only labels that the model found, or that are in the ground truth. A file of your own
    may have them, so that every metric can be recomputed from it at any threshold. A detector's line has one
    attribute with the boxes above the threshold and one box of low confidence for each missed object.

    Args:
        images: The images that the test used.
        verdicts: The verdicts of each image, in the same order (``Evaluation.verdicts``), one for each label.
        created: Time for ``creation-date``; a naive time is UTC.
        labels: The labels of the model in the order of the summary, by which they are numbered; by default
            those that occur, by name.

    Raises:
        InvalidInput: There are not as many verdicts as images.

    Examples:
        >>> from rekolabels.evaluation import Verdict
        >>> image = SnapshotImage("s3://bucket/a.jpg", labels=["cat"])
        >>> verdicts = [[Verdict("cat", 0.9, "true positive")]]
        >>> (line,) = write_testing_snapshot([image], verdicts, datetime(2026, 1, 2))
        >>> json.loads(line)["rekognition-custom-labels-evaluation-0-metadata"]["class-name"]
        'cat'
    """
    stamp = _timestamp(created)
    images = list(_each(images))
    listed = [
        check_items(f"verdicts[{at}]", found, Verdict, "a list of Verdict values")
        for at, found in enumerate(check_items("verdicts", verdicts, object, "the verdicts of each image"))
    ]
    if len(images) != len(listed):
        raise InvalidInput(
            f"Got {len(images)} images and verdicts of {len(listed)}; pass one of each per image."
        )
    if labels is None:
        labels = {label for image in images for label in image.labels}
        labels = sorted(labels.union(verdict.label for found in listed for verdict in found))
    return _testing_lines(images, listed, stamp, _numbers(labels))


def _numbers(labels: Iterable[str]) -> dict[str, int]:
    """Return the numbers of the labels of the model; other labels get the next ones."""
    return {label: number for number, label in enumerate(dict.fromkeys(_texts(labels)))}


def _each(images: object) -> Iterator[SnapshotImage]:
    if not is_collection(images):
        raise invalid("images", images, "a list of SnapshotImage values")
    return _checked(images)


def _checked(images: Iterable[object]) -> Iterator[SnapshotImage]:
    for at, image in enumerate(images):
        yield check_instance(f"images[{at}]", image, SnapshotImage, "a SnapshotImage")


def _testing_lines(
    images: Iterable[SnapshotImage],
    verdicts: Sequence[Sequence[Verdict]],
    stamp: str,
    numbers: dict[str, int],
) -> Iterator[str]:
    for number, (image, listed) in enumerate(zip(images, verdicts, strict=True), start=1):
        truth = _ground_truth(image, stamp, numbers)
        boxed = image.size is not None and (image.boxes or any(verdict.box is not None for verdict in listed))
        predicted = (
            _predicted_boxes(image, listed, stamp) if boxed else _predicted_labels(listed, stamp, numbers)
        )
        yield _line(truth | predicted, number)


def _line(content: dict[str, Any], number: int) -> str:
    return to_utf8(
        json.dumps({**content, "rekognition-custom-labels-object-id": number}, ensure_ascii=False)
    ).decode()


def _timestamp(time: datetime) -> str:
    """Format a time as the service does: UTC, without a zone."""
    check_instance("created", time, datetime, "a datetime")
    utc = time if time.tzinfo is None else time.astimezone(UTC).replace(tzinfo=None)
    return utc.isoformat(timespec="microseconds")


def _ground_truth(image: SnapshotImage, stamp: str, numbers: dict[str, int]) -> dict[str, Any]:
    line: dict[str, Any] = {"source-ref": image.source}
    for label in image.labels:
        number = numbers.setdefault(label, len(numbers))
        line[f"{_TRAINING}-{number}"] = 1
        line[f"{_TRAINING}-{number}-metadata"] = _label_metadata(label, 1.0, "training", stamp)
    if image.size is not None and (image.boxes or not image.labels):
        boxes = [(box, 1.0, None) for box in image.boxes]
        number = len(numbers) if image.labels else 0
        line |= _boxes(f"{_TRAINING}-{number}", boxes, image.size, "training", stamp)
    return line


def _predicted_labels(verdicts: Sequence[Verdict], stamp: str, numbers: dict[str, int]) -> dict[str, Any]:
    line: dict[str, Any] = {}
    for verdict in verdicts:
        number = numbers.setdefault(verdict.label, len(numbers))
        metadata = _label_metadata(verdict.label, verdict.confidence, "evaluation", stamp)
        line[f"{_EVALUATION}-{number}"] = 1
        line[f"{_EVALUATION}-{number}-metadata"] = {**metadata, _DETAILS: _details(verdict)}
    return line


def _predicted_boxes(image: SnapshotImage, verdicts: Sequence[Verdict], stamp: str) -> dict[str, Any]:
    boxes = [(verdict.box, verdict.confidence, verdict) for verdict in verdicts if verdict.box is not None]
    return _boxes(_EVALUATION, boxes, image.size or ImageSize(0, 0), "evaluation", stamp)


def _label_metadata(label: str, confidence: float, job: str, stamp: str) -> dict[str, Any]:
    return {
        "confidence": confidence,
        "job-name": f"rekognition-custom-labels-{job}-job",
        "class-name": label,
        "human-annotated": "yes" if job == "training" else "no",
        "creation-date": stamp,
        "type": "groundtruth/image-classification",
    }


def _boxes(
    name: str,
    boxes: Sequence[tuple[BoundingBox, float, Verdict | None]],
    size: ImageSize,
    job: str,
    stamp: str,
) -> dict[str, Any]:
    # The service's sample has an undocumented confidence for the predictions as a whole.
    whole = (
        {}
        if job == "training"
        else {"confidence": max((confidence for _, confidence, _ in boxes), default=0.0)}
    )
    classes = {label: number for number, label in enumerate(sorted({box.label for box, _, _ in boxes}))}
    return {
        name: {
            "annotations": [
                {
                    "class_id": classes[box.label],
                    "left": _pixels(box.left),
                    "top": _pixels(box.top),
                    "width": _pixels(box.width),
                    "height": _pixels(box.height),
                }
                for box, _, _ in boxes
            ],
            "image_size": [{"width": size.width, "height": size.height, "depth": size.depth}],
        },
        f"{name}-metadata": {
            **whole,
            "job-name": f"rekognition-custom-labels-{job}-job",
            "class-map": {str(number): label for label, number in classes.items()},
            "human-annotated": "yes" if job == "training" else "no",
            "objects": [
                {"confidence": confidence} | ({} if verdict is None else {_DETAILS: _details(verdict)})
                for _, confidence, verdict in boxes
            ],
            "creation-date": stamp,
            "type": "groundtruth/object-detection",
        },
    }


def _pixels(value: float) -> int | float:
    """Return whole numbers as int, as the service writes them."""
    return int(value) if math.isfinite(value) and value == int(value) else value


def _details(verdict: Verdict) -> dict[str, Any]:
    return {
        "version": 1,
        "ground-truth-labelling-jobs": ["rekognition-custom-labels-training-job"],
        "is-true-positive": verdict.kind == "true positive",
        "is-true-negative": verdict.kind == "true negative",
        "is-false-positive": verdict.kind == "false positive",
        "is-false-negative": verdict.kind == "false negative",
        "is-present-in-ground-truth": verdict.in_ground_truth,
    }
