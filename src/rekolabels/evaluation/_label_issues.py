"""Labels of test images that the model disagrees with, and that may therefore be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from rekolabels._arguments import check_fraction, check_instance, check_limit, invalid
from rekolabels.evaluation._box_metrics import iou
from rekolabels.evaluation._images import EvaluatedImage, short_image
from rekolabels.images import BoundingBox
from rekolabels.manifest._given_images import is_collection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rekolabels.evaluation._values import Verdict

__all__ = ["MIN_ISSUE_SCORE", "LabelIssue", "find_label_issues"]

MIN_ISSUE_SCORE = 0.75
"""Score from which an issue is more often a wrong label than a mistake of the model.

``benchmarks/bench_label_errors.py`` measures it; docs/label-errors.md has the figures."""
_SAME_OBJECT_IOU = 0.5
"""Intersection over union from which two boxes are of one object."""
_DISCOUNT = 0.5
"""Factor of the scores of boxes and of several labels for an image: most issues are mistakes of the model."""

_IMAGES = "test images, such as result.images"


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


def find_label_issues(
    images: Iterable[EvaluatedImage], *, limit: int | None = None, min_score: float = MIN_ISSUE_SCORE
) -> list[LabelIssue]:
    """Rank the labels that the model disagrees with, the highest score first.

    The score depends on the kind of images:

    * One image-level label for each image: by how much the confidence of another label exceeds that of the
      true one.
    * Several image-level labels: half of ``1 - 2 * confidence`` of a label that is in the ground truth, half
      of ``2 * confidence - 1`` of one that is not, and half of the score above for images with one label.
    * Boxes: half of the lead of another label over the true one in the place of a true box, times the
      overlap (IoU) of the predicted box; half of the confidence of a predicted box where no true box is.

    The scores of the last two are at most 0.5, because most of these issues are mistakes of the model. So
    they are listed only with a lower ``min_score``.

    Args:
        images: Test images with their verdicts.
        limit: Return at most this many issues.
        min_score: Return only issues with at least this score, 0 to 1. From the default on, an issue is more
            often a wrong label than a mistake of the model; below, most are mistakes.

    Raises:
        InvalidInput: These are not such images, the score is not between 0 and 1, or the limit is negative.
    """
    if not is_collection(images):
        raise invalid("images", images, _IMAGES)
    check_limit("limit", limit)
    check_fraction("min_score", min_score)
    issues: list[LabelIssue] = []
    unsure = False
    for at, given in enumerate(images):
        image = check_instance(f"images[{at}]", given, EvaluatedImage, _IMAGES)
        unsure |= image.is_detection or len(image.labels) != 1
        issues += _issues(image)
    if unsure:
        issues = [attrs.evolve(issue, score=_DISCOUNT * issue.score) for issue in issues]
    issues = [issue for issue in issues if issue.score >= min_score]
    issues.sort(key=lambda issue: -issue.score)
    return issues if limit is None else issues[:limit]


def _issues(image: EvaluatedImage) -> Iterator[LabelIssue]:
    if image.is_detection:
        return _issues_of_boxes(image)
    return _issue_of_label(image) if len(image.labels) == 1 else _issues_of_labels(image)


def _issue_of_label(image: EvaluatedImage) -> Iterator[LabelIssue]:
    (label,) = image.labels
    own = _confidence(verdict for verdict in image.verdicts if verdict.label == label)
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
    best: dict[int, LabelIssue] = {}
    for verdict in image.verdicts:
        if verdict.kind != "false positive" or verdict.box is None:
            continue
        overlap, at = max(
            ((iou(true, verdict.box), at) for at, true in enumerate(image.boxes)), default=(0.0, 0)
        )
        if overlap < _SAME_OBJECT_IOU:
            yield LabelIssue(image, None, verdict.label, verdict.confidence, verdict.box)
            continue
        true = image.boxes[at]
        score = overlap * (verdict.confidence - _confidence_of(true, image))
        if true.label != verdict.label and score > (best[at].score if at in best else 0.0):
            best[at] = LabelIssue(image, true.label, verdict.label, score, true)
    yield from best.values()


def _confidence_of(true: BoundingBox, image: EvaluatedImage) -> float:
    """Return the confidence of the label of a true box in its place."""
    return _confidence(
        verdict
        for verdict in image.verdicts
        if verdict.label == true.label
        and verdict.box is not None
        and iou(true, verdict.box) >= _SAME_OBJECT_IOU
    )


def _confidence(verdicts: Iterable[Verdict]) -> float:
    return max((verdict.confidence for verdict in verdicts), default=0.0)
