"""Labels that the model disputes: the test images to look at before anything else is tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from rekolabels.evaluation._box_metrics import iou
from rekolabels.evaluation._images import EvaluatedImage
from rekolabels.images import BoundingBox

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LabelIssue", "find_label_issues"]

_SAME_PLACE = 0.5
"""Overlap from which two boxes are of one object."""


@attrs.frozen
class LabelIssue:
    """A label of an image that may be wrong."""

    image: EvaluatedImage
    """The image."""
    label: str | None
    """The label that it has; None where one seems to be missing."""
    suggestion: str | None
    """What the model would say instead; None where it sees nothing of the label."""
    score: float
    """How strongly the model disputes the label, above 0, to 1."""
    box: BoundingBox | None = None
    """The box that is meant, for detectors."""

    def __str__(self) -> str:
        if self.label is None:
            return f"{self.image.source}: {self.suggestion} may be missing ({self.score:.2f})"
        instead = "not there" if self.suggestion is None else self.suggestion
        return f"{self.image.source}: {self.label} may be {instead} ({self.score:.2f})"


def find_label_issues(images: Iterable[EvaluatedImage], *, limit: int | None = None) -> list[LabelIssue]:
    """Rank what the model disputes, the strongest first.

    An image with one label is disputed by as much as another label is more confident than its own. Of
    several labels, each is looked at by itself: one that is not there by how far its confidence is above one
    half, one that is there by how far it is below. A box is disputed by the confidence of a box of another
    label in its place, or of one where nothing is labelled.
    """
    found = [issue for image in images for issue in _issues(image)]
    found.sort(key=lambda issue: -issue.score)
    return found if limit is None else found[:limit]


def _issues(image: EvaluatedImage) -> Iterator[LabelIssue]:
    if image.is_detection:
        return _disputed_boxes(image)
    return _disputed_label(image) if len(image.labels) == 1 else _disputed_labels(image)


def _disputed_label(image: EvaluatedImage) -> Iterator[LabelIssue]:
    (label,) = image.labels
    own = max((one.confidence for one in image.verdicts if one.label == label), default=0.0)
    for other in image.verdicts:  # the most confident other one
        if other.label != label:
            if other.confidence > own:
                yield LabelIssue(image, label, other.label, other.confidence - own)
            return


def _disputed_labels(image: EvaluatedImage) -> Iterator[LabelIssue]:
    for one in image.verdicts:
        doubt = 1 - 2 * one.confidence if one.label in image.labels else 2 * one.confidence - 1
        if doubt > 0 and one.label in image.labels:
            yield LabelIssue(image, one.label, None, doubt)
        elif doubt > 0:
            yield LabelIssue(image, None, one.label, doubt)


def _disputed_boxes(image: EvaluatedImage) -> Iterator[LabelIssue]:
    for one in image.verdicts:
        if one.kind != "false positive" or one.box is None:
            continue
        box = one.box
        place, true = max(
            ((iou(true, box), true) for true in image.boxes),
            key=lambda pair: pair[0],
            default=(0.0, box),
        )
        if place < _SAME_PLACE:
            yield LabelIssue(image, None, one.label, one.confidence, box)
        elif true.label != one.label:
            yield LabelIssue(image, true.label, one.label, one.confidence, true)
