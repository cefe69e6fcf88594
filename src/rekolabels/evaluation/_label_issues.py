"""Labels of test images that the model disagrees with, and that may therefore be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from rekolabels.evaluation._box_metrics import iou
from rekolabels.evaluation._images import EvaluatedImage, short_image
from rekolabels.images import BoundingBox

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LabelIssue", "find_label_issues"]

_SAME_OBJECT_IOU = 0.5
"""Intersection over union from which two boxes are of one object."""


@attrs.frozen
class LabelIssue:
    """A label, or a missing label, that may be wrong."""

    image: EvaluatedImage = attrs.field(repr=short_image)
    """The image."""
    label: str | None
    """Label in the ground truth; None if one seems to be missing."""
    suggestion: str | None
    """Label that the model predicts instead; None if it predicts nothing there."""
    score: float
    """How strongly the model disagrees with the label, above 0, up to 1."""
    box: BoundingBox | None = None
    """Box in question, in pixels; None for image-level labels."""

    def __str__(self) -> str:
        if self.label is None:
            return f"{self.image.source}: {self.suggestion} may be missing ({self.score:.2f})"
        instead = "wrong" if self.suggestion is None else self.suggestion
        return f"{self.image.source}: {self.label} may be {instead} ({self.score:.2f})"


def find_label_issues(images: Iterable[EvaluatedImage], *, limit: int | None = None) -> list[LabelIssue]:
    """Rank the labels that the model disagrees with, the highest score first.

    The score depends on the kind of image:

    * One image-level label: by how much the confidence of another label exceeds that of the true one.
    * Several image-level labels: each label by itself, ``2 * confidence - 1`` for one that is not in the
      ground truth, and ``1 - 2 * confidence`` for one that is.
    * Boxes: the confidence of a predicted box of another label in the same place, or of one in a place
      without a true box.

    Args:
        images: Test images with their verdicts.
        limit: Return at most this many issues.
    """
    issues = [issue for image in images for issue in _issues(image)]
    issues.sort(key=lambda issue: -issue.score)
    return issues if limit is None else issues[:limit]


def _issues(image: EvaluatedImage) -> Iterator[LabelIssue]:
    if image.is_detection:
        return _issues_of_boxes(image)
    return _issue_of_label(image) if len(image.labels) == 1 else _issues_of_labels(image)


def _issue_of_label(image: EvaluatedImage) -> Iterator[LabelIssue]:
    (label,) = image.labels
    own = max((verdict.confidence for verdict in image.verdicts if verdict.label == label), default=0.0)
    for other in image.verdicts:  # only the most confident other label counts
        if other.label != label:
            if other.confidence > own:
                yield LabelIssue(image, label, other.label, other.confidence - own)
            return


def _issues_of_labels(image: EvaluatedImage) -> Iterator[LabelIssue]:
    for verdict in image.verdicts:
        doubt = 2 * verdict.confidence - 1
        if verdict.label in image.labels and doubt < 0:
            yield LabelIssue(image, verdict.label, None, -doubt)
        elif verdict.label not in image.labels and doubt > 0:
            yield LabelIssue(image, None, verdict.label, doubt)


def _issues_of_boxes(image: EvaluatedImage) -> Iterator[LabelIssue]:
    for verdict in image.verdicts:
        if verdict.kind != "false positive" or verdict.box is None:
            continue
        box = verdict.box
        overlap, true = max(
            ((iou(true, box), true) for true in image.boxes),
            key=lambda pair: pair[0],
            default=(0.0, box),
        )
        if overlap < _SAME_OBJECT_IOU:
            yield LabelIssue(image, None, verdict.label, verdict.confidence, box)
        elif true.label != verdict.label:
            yield LabelIssue(image, true.label, verdict.label, verdict.confidence, true)
