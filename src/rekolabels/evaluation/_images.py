"""The test images of an evaluation, one by one: what is there, what the model said, and who is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import attrs

from rekolabels.errors import InvalidEvaluation, InvalidInput
from rekolabels.evaluation._jsonl import as_list, number_in, object_in, read_objects, text_in
from rekolabels.evaluation._snapshot import SnapshotImage
from rekolabels.evaluation._values import Verdict, VerdictKind
from rekolabels.images import BoundingBox, ImageSize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "EvaluatedImage",
    "Mistake",
    "MistakeKind",
    "find_mistakes",
    "read_images",
    "read_training_snapshot",
]

MistakeKind = Literal["false positive", "false negative"]
"""Found and not there, or there and not found."""

_TRAINING = "rekognition-custom-labels-training"
_EVALUATION = "rekognition-custom-labels-evaluation"
_DETAILS = f"{_EVALUATION}-details"
_METADATA = "-metadata"
_KINDS: dict[str, VerdictKind] = {
    "is-true-positive": "true positive",
    "is-true-negative": "true negative",
    "is-false-positive": "false positive",
    "is-false-negative": "false negative",
}


@attrs.frozen
class EvaluatedImage:
    """A test image with its truths and what the model made of it (a line of ``TestingGroundTruth-…``)."""

    source: str
    """Its URI."""
    labels: tuple[str, ...] = ()
    """The image-level labels that it really has."""
    boxes: tuple[BoundingBox, ...] = ()
    """The boxes that it really has, in pixels."""
    size: ImageSize | None = None
    """Its size; known for detectors."""
    verdicts: tuple[Verdict, ...] = ()
    """Everything that the file says of it, most confident first: predictions that count, things that were
    missed and, where the file has them, labels that are rightly not predicted."""
    line: int | None = None
    """Its line in the file, from 1."""

    @property
    def truths(self) -> tuple[str, ...]:
        """What is really there: the labels, then the label of each box."""
        return (*self.labels, *(box.label for box in self.boxes))

    @property
    def predictions(self) -> tuple[Verdict, ...]:
        """What counts as found at the assumed thresholds, most confident first."""
        return tuple(one for one in self.verdicts if one.kind in {"true positive", "false positive"})

    @property
    def mistakes(self) -> tuple[Verdict, ...]:
        """What is wrong at the assumed thresholds, most confident first."""
        return tuple(one for one in self.verdicts if one.kind in {"false positive", "false negative"})

    @property
    def candidates(self) -> tuple[tuple[BoundingBox, float], ...]:
        """The boxes that the model found, with their confidences; rows of confidence 0 are truths."""
        return tuple(
            (one.box, one.confidence) for one in self.verdicts if one.box is not None and one.confidence > 0
        )

    @property
    def is_detection(self) -> bool:
        """Whether boxes are looked for in it."""
        return self.size is not None


@attrs.frozen
class Mistake:
    """One mistake of the model on one test image."""

    image: EvaluatedImage
    """Where."""
    verdict: Verdict
    """What."""

    @property
    def certainty(self) -> float:
        """How sure the model was of its mistake, 0 to 1.

        The confidence of a false positive; for a false negative, what the confidence lacks to 1.
        """
        confidence = self.verdict.confidence
        return confidence if self.verdict.kind == "false positive" else 1 - confidence


def find_mistakes(
    images: Iterable[EvaluatedImage], label: str | None, kind: MistakeKind | None, limit: int | None
) -> list[Mistake]:
    """The mistakes, the ones that the model was surest of first; of equal ones, in the order of the file."""
    if kind not in {None, "false positive", "false negative"}:
        raise InvalidInput(f"kind={kind!r}: expected 'false positive', 'false negative' or None for both")
    found = [
        Mistake(image, verdict)
        for image in images
        for verdict in image.mistakes
        if label in {None, verdict.label} and kind in {None, verdict.kind}
    ]
    found.sort(key=lambda mistake: -mistake.certainty)
    return found if limit is None else found[:limit]


def read_images(lines: Iterable[str] | Iterable[bytes], name: str) -> Iterator[EvaluatedImage]:
    """Read a testing snapshot, an image at a time.

    Raises:
        InvalidEvaluation: A line that is not what the service writes.
    """
    for number, where, fields in read_objects(lines, name):
        labels, boxes, size = _truths(fields, where)
        verdicts, size = _verdicts(fields, where, size)
        yield EvaluatedImage(
            text_in(fields, "source-ref", where),
            labels,
            boxes,
            size,
            tuple(sorted(verdicts, key=lambda one: -one.confidence)),
            number,
        )


def read_training_snapshot(
    lines: Iterable[str] | Iterable[bytes], name: str = "the snapshot"
) -> Iterator[SnapshotImage]:
    """Read ``TrainingGroundTruth-<project>-<version>.json``: what the model was really trained with.

    Args:
        lines: The lines of the file, or the open file.
        name: How messages call the file.

    Raises:
        InvalidEvaluation: A line that is not what the service writes.

    Examples:
        >>> from datetime import datetime
        >>> from rekolabels.evaluation import write_training_snapshot
        >>> lines = write_training_snapshot([SnapshotImage("s3://b/a.jpg", ["cat"])], datetime(2026, 1, 2))
        >>> list(read_training_snapshot(lines))
        [SnapshotImage(source='s3://b/a.jpg', labels=('cat',), boxes=(), size=None)]
    """
    for _, where, fields in read_objects(lines, name):
        yield SnapshotImage(text_in(fields, "source-ref", where), *_truths(fields, where))


def _truths(
    fields: Mapping[str, Any], where: str
) -> tuple[tuple[str, ...], tuple[BoundingBox, ...], ImageSize | None]:
    labels: list[str] = []
    boxes: list[BoundingBox] = []
    size: ImageSize | None = None
    for name, metadata in _attributes(fields, _TRAINING, where):
        if isinstance(fields[name], dict):
            found, size = _boxes(fields, name, metadata, where)
            boxes += found
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
            raise InvalidEvaluation(f"{place}: {len(objects)} objects for {len(boxes)} boxes")
        for at, (box, one) in enumerate(zip(boxes, objects, strict=True)):
            spot = f"{place}.objects[{at}]"
            verdicts.append(Verdict(box.label, _confidence(one, spot), _kind(one, spot), box))
    return verdicts, size


def _attributes(fields: Mapping[str, Any], prefix: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The attributes whose name begins so, with their metadata."""
    for name in fields:
        if name.startswith(prefix) and not name.endswith(_METADATA):
            yield name, object_in(fields, name + _METADATA, where)


def _boxes(
    fields: Mapping[str, Any], name: str, metadata: Mapping[str, Any], where: str
) -> tuple[list[BoundingBox], ImageSize]:
    content, place = object_in(fields, name, where), f"{where}: {name}"
    sizes = _list(content, "image_size", place)
    if not sizes:
        raise InvalidEvaluation(f"{place}: image_size: expected one size, found none")
    width, height = (int(number_in(sizes[0], side, f"{place}.image_size")) for side in ("width", "height"))
    size = ImageSize(width, height, int(sizes[0].get("depth") or 3))
    annotations = _list(content, "annotations", place)
    classes = object_in(metadata, "class-map", f"{place}{_METADATA}") if annotations else {}
    boxes: list[BoundingBox] = []
    for at, one in enumerate(annotations):
        spot = f"{place}.annotations[{at}]"
        label = classes.get(str(one.get("class_id")))
        if not isinstance(label, str):
            raise InvalidEvaluation(f"{spot}: class_id {one.get('class_id')!r} is not in the class-map")
        edges = (number_in(one, edge, spot) for edge in ("left", "top", "width", "height"))
        boxes.append(BoundingBox(label, *edges))
    return boxes, size


def _list(fields: Mapping[str, Any], name: str, where: str) -> list[dict[str, Any]]:
    """A list of objects."""
    listed = as_list(fields.get(name))
    if listed is None or any(not isinstance(one, dict) for one in listed):
        raise InvalidEvaluation(f"{where}: {name}: expected a list of objects")
    return listed


def _confidence(fields: Mapping[str, Any], where: str) -> float:
    confidence = number_in(fields, "confidence", where)
    if not 0 <= confidence <= 1:
        raise InvalidEvaluation(f"{where}: confidence: expected 0 to 1, found {confidence}")
    return confidence


def _kind(fields: Mapping[str, Any], where: str) -> VerdictKind:
    details = object_in(fields, _DETAILS, where)
    kinds: list[VerdictKind] = [kind for flag, kind in _KINDS.items() if details.get(flag) is True]
    if len(kinds) != 1:
        raise InvalidEvaluation(f"{where}: {_DETAILS}: expected one of {', '.join(_KINDS)}, found {kinds}")
    return kinds[0]
