"""Test images of an evaluation: the ground truth, the predictions and their verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

from rekolabels._arguments import check_choice, check_limit, check_text
from rekolabels._display import counted
from rekolabels.evaluation._checks import check_label
from rekolabels.evaluation._jsonl import (
    Lines,
    as_list,
    line_stream,
    number_in,
    object_in,
    read_objects,
    text_in,
    unreadable,
)
from rekolabels.evaluation._snapshot import SnapshotImage
from rekolabels.evaluation._values import Verdict, VerdictKind
from rekolabels.images import BoundingBox, ImageSize
from rekolabels.manifest._json import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "EvaluatedImage",
    "Mistake",
    "MistakeKind",
    "find_mistakes",
    "read_images",
    "read_training_snapshot",
    "short_image",
]

MistakeKind = Literal["false positive", "false negative"]
"""A wrong prediction, or an occurrence that the model missed."""
_MISTAKES: tuple[MistakeKind, ...] = ("false positive", "false negative")

_TRAINING = "rekognition-custom-labels-training"
_EVALUATION = "rekognition-custom-labels-evaluation"
_DETAILS = f"{_EVALUATION}-details"
_METADATA = "-metadata"
_MAX_PIXELS = 2**53
"""Larger numbers are not pixels. Up to this number, floats represent integers exactly."""
_KINDS: dict[str, VerdictKind] = {
    "is-true-positive": "true positive",
    "is-true-negative": "true negative",
    "is-false-positive": "false positive",
    "is-false-negative": "false negative",
}


@attrs.frozen
class EvaluatedImage:
    """A test image with its ground truth and its verdicts (a line of ``TestingGroundTruth-…``)."""

    source: str
    """URI of the image."""
    labels: tuple[str, ...] = ()
    """Image-level labels of the ground truth."""
    boxes: tuple[BoundingBox, ...] = attrs.field(default=(), repr=counted("boxes"))
    """Boxes of the ground truth, in pixels."""
    size: ImageSize | None = None
    """Size of the image; None for classifiers."""
    verdicts: tuple[Verdict, ...] = attrs.field(default=(), repr=counted("verdicts"))
    """Verdicts of the file, most confident first. They are predictions and missed objects or labels. Files
    of your own may have true negatives, too."""
    line: int | None = None
    """Line number in the file, from 1."""

    @property
    def truths(self) -> tuple[str, ...]:
        """Labels of the ground truth: the image-level labels, then the label of each box."""
        return (*self.labels, *(box.label for box in self.boxes))

    @property
    def predictions(self) -> tuple[Verdict, ...]:
        """Predictions at the assumed thresholds, in descending order of confidence."""
        return tuple(
            verdict for verdict in self.verdicts if verdict.kind in {"true positive", "false positive"}
        )

    @property
    def mistakes(self) -> tuple[Verdict, ...]:
        """Mistakes at the assumed thresholds, in descending order of confidence."""
        return tuple(
            verdict for verdict in self.verdicts if verdict.kind in {"false positive", "false negative"}
        )

    @property
    def candidates(self) -> tuple[tuple[BoundingBox, float], ...]:
        """Boxes that the model predicted at any confidence above 0, with their confidences."""
        return tuple(
            (verdict.box, verdict.confidence)
            for verdict in self.verdicts
            if verdict.box is not None and verdict.confidence > 0
        )

    @property
    def is_detection(self) -> bool:
        """Whether the image belongs to a detector."""
        return self.size is not None


def short_image(image: EvaluatedImage) -> str:
    """Return an image as the reprs of its mistakes show it."""
    return f"<EvaluatedImage {image.source!r}>"


@attrs.frozen
class Mistake:
    """A mistake of the model on a test image."""

    image: EvaluatedImage = attrs.field(repr=short_image)
    """The test image."""
    verdict: Verdict
    """The wrong prediction, or what was missed."""

    @property
    def certainty(self) -> float:
        """How confident the model is of its mistake, 0 to 1.

        The confidence of a false positive; 1 minus the confidence of a false negative.
        """
        confidence = self.verdict.confidence
        return confidence if self.verdict.kind == "false positive" else 1 - confidence


def find_mistakes(
    images: Iterable[EvaluatedImage],
    label: str | None = None,
    kind: MistakeKind | None = None,
    limit: int | None = None,
    labels: Iterable[str] = (),
) -> list[Mistake]:
    """Return the mistakes, most confident first; ties in the order of the file.

    Args:
        images: The test images.
        label: Return only mistakes of this label.
        kind: Return only this kind.
        limit: Return at most this many mistakes.
        labels: Labels that are known in addition to those that occur.
    """
    limit = check_limit("limit", limit)
    if kind is not None:
        check_choice("kind", kind, _MISTAKES)
    if label is not None:
        check_text("label", label, "a label")
    known, found = set(labels), list[Mistake]()
    for image in images:
        known.update(image.truths, (verdict.label for verdict in image.verdicts))
        found += [
            Mistake(image, verdict)
            for verdict in image.mistakes
            if label in {None, verdict.label} and kind in {None, verdict.kind}
        ]
    if label is not None:
        check_label("label", label, known)
    found.sort(key=lambda mistake: -mistake.certainty)
    return found if limit is None else found[:limit]


def read_images(lines: Iterable[str] | Iterable[bytes], name: str) -> Iterator[EvaluatedImage]:
    """Read a testing snapshot, one image at a time.

    Raises:
        InvalidEvaluation: A line is not in the format of the service.
    """
    for number, where, fields in read_objects(lines, name):
        labels, boxes, size = _ground_truth(fields, where)
        verdicts, size = _verdicts(fields, where, size)
        yield EvaluatedImage(
            text_in(fields, "source-ref", where),
            labels,
            boxes,
            size,
            tuple(sorted(verdicts, key=lambda verdict: -verdict.confidence)),
            number,
        )


def read_training_snapshot(lines: Lines, name: str = "the training snapshot") -> Iterator[SnapshotImage]:
    """Read ``TrainingGroundTruth-<project>-<version>.json``: the images that the training used.

    Args:
        lines: A path, the content of the file as bytes, an open file, or its lines.
        name: Name of the file, for error messages.

    Raises:
        InvalidEvaluation: A line is not in the format of the service.

    Examples:
        >>> from datetime import datetime
        >>> from rekolabels.evaluation import write_training_snapshot
        >>> lines = write_training_snapshot([SnapshotImage("s3://b/a.jpg", ["cat"])], datetime(2026, 1, 2))
        >>> list(read_training_snapshot(lines))
        [SnapshotImage(source='s3://b/a.jpg', labels=('cat',), boxes=(), size=None)]
    """
    check_text("name", name, "the name of the file, for messages")
    return _training_images(line_stream(lines, "lines"), name)


def _training_images(lines: Iterable[str] | Iterable[bytes], name: str) -> Iterator[SnapshotImage]:
    for _, where, fields in read_objects(lines, name):
        yield SnapshotImage(text_in(fields, "source-ref", where), *_ground_truth(fields, where))


def _ground_truth(
    fields: Mapping[str, Any], where: str
) -> tuple[tuple[str, ...], tuple[BoundingBox, ...], ImageSize | None]:
    labels: list[str] = []
    boxes: list[BoundingBox] = []
    size: ImageSize | None = None
    for name, metadata in _attributes(fields, _TRAINING, where):
        if isinstance(fields[name], dict):
            annotated, size = _boxes(fields, name, metadata, where)
            boxes += annotated
        else:
            labels.append(text_in(metadata, "class-name", f"{where}: {name}{_METADATA}"))
    return tuple(labels), tuple(boxes), size


def _verdicts(
    fields: Mapping[str, Any], where: str, size: ImageSize | None
) -> tuple[list[Verdict], ImageSize | None]:
    verdicts: list[Verdict] = []
    for name, metadata in _attributes(fields, _EVALUATION, where):
        place = f"{where}: {name}{_METADATA}"
        if not isinstance(fields[name], dict):
            label = text_in(metadata, "class-name", place)
            verdicts.append(Verdict(label, _confidence(metadata, place), _kind(metadata, place)))
            continue
        boxes, size = _boxes(fields, name, metadata, where)
        objects = _list(metadata, "objects", place)
        if len(objects) != len(boxes):
            raise unreadable(place, f"{len(objects)} objects for {len(boxes)} boxes")
        for at, (box, described) in enumerate(zip(boxes, objects, strict=True)):
            spot = f"{place}.objects[{at}]"
            verdicts.append(Verdict(box.label, _confidence(described, spot), _kind(described, spot), box))
    return verdicts, size


def _attributes(fields: Mapping[str, Any], prefix: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the attributes whose names start with the prefix, and their metadata."""
    for name in fields:
        if name.startswith(prefix) and not name.endswith(_METADATA):
            yield name, object_in(fields, name + _METADATA, where)


def _boxes(
    fields: Mapping[str, Any], name: str, metadata: Mapping[str, Any], where: str
) -> tuple[list[BoundingBox], ImageSize]:
    content, place = object_in(fields, name, where), f"{where}: {name}"
    sizes = _list(content, "image_size", place)
    if not sizes:
        raise unreadable(f"{place}: image_size", "expected one size, found none")
    stated = sizes[0] if sizes[0].get("depth") else {**sizes[0], "depth": 3}
    size = ImageSize(*(_side(stated, side, f"{place}.image_size") for side in ("width", "height", "depth")))
    annotations = _list(content, "annotations", place)
    classes = object_in(metadata, "class-map", f"{place}{_METADATA}") if annotations else {}
    boxes: list[BoundingBox] = []
    for at, annotation in enumerate(annotations):
        spot = f"{place}.annotations[{at}]"
        class_id = annotation.get("class_id")
        label = classes.get(str(class_id)) if isinstance(class_id, (int, str)) else None
        if not isinstance(label, str):
            raise unreadable(spot, f"class_id {short_repr(class_id)} is not in the class-map")
        edges = (_pixels(annotation, edge, spot) for edge in ("left", "top", "width", "height"))
        boxes.append(BoundingBox(label, *edges))
    return boxes, size


def _pixels(fields: Mapping[str, Any], name: str, where: str) -> float:
    """Return the field, which must be a number of pixels."""
    number = number_in(fields, name, where)
    if abs(number) > _MAX_PIXELS:
        raise unreadable(f"{where}: {name}", f"expected a number of pixels, found {number:g}")
    return number


def _side(fields: Mapping[str, Any], name: str, where: str) -> int:
    """Return the field, which must be a side of an image."""
    side = int(_pixels(fields, name, where))
    if side < 1:
        raise unreadable(f"{where}: {name}", f"expected 1 or more, found {side}")
    return side


def _list(fields: Mapping[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    """Return the field, which must be a list of objects."""
    listed = as_list(fields.get(name))
    if listed is None or any(not isinstance(item, dict) for item in listed):
        raise unreadable(f"{where}: {name}", "expected a list of objects")
    return listed


def _confidence(fields: Mapping[str, Any], where: str) -> float:
    confidence = number_in(fields, "confidence", where)
    if not 0 <= confidence <= 1:
        raise unreadable(f"{where}: confidence", f"expected 0 to 1, found {confidence}")
    return confidence


def _kind(fields: Mapping[str, Any], where: str) -> VerdictKind:
    details = object_in(fields, _DETAILS, where)
    kinds: list[VerdictKind] = [kind for flag, kind in _KINDS.items() if details.get(flag) is True]
    if len(kinds) != 1:
        raise unreadable(f"{where}: {_DETAILS}", f"expected one of {', '.join(_KINDS)}, found {kinds}")
    return kinds[0]
