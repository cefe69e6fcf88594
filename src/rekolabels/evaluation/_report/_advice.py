"""Advice on what to improve next, based on the service's guide on improving a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rekolabels.evaluation._report._table import plain_label

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rekolabels.evaluation._confusion import ConfusionCounts
    from rekolabels.evaluation._label_issues import LabelIssue
    from rekolabels.evaluation._metrics import Counts
    from rekolabels.evaluation._values import ResultFields

__all__ = ["give_advice"]

_GOOD_METRIC = 0.9
_MIN_TEST_IMAGES = 10
_MIN_CONFUSIONS = 2
_MAX_LABELS = 5


def give_advice(
    result: ResultFields,
    counts: Mapping[str, Counts],
    confusion: ConfusionCounts | None,
    issues: Sequence[LabelIssue],
) -> list[str]:
    """Return what is worth doing, the most useful first.

    Args:
        result: The metrics.
        counts: Counts by label at the assumed thresholds; empty if the test images are unknown.
        confusion: How often each label is predicted as each label; None if it is unknown.
        issues: Labels that are probably wrong, the highest score first.
    """
    return [
        *_check_labels(issues),
        *_raise_recall(result, counts),
        *_raise_precision(result, counts, confusion),
        *_test_more(result),
    ] or [
        (
            "Every label does well on the test images. Next, try the model on images like those in your "
            "application."
        )
    ]


def _check_labels(issues: Sequence[LabelIssue]) -> list[str]:
    count = len({id(issue.image) for issue in issues})
    if not count:
        return []
    images = "1 test image" if count == 1 else f"{count:,} test images"
    return [
        (
            f"First check the labels of {images}: the model confidently disagrees with them. Wrong labels "
            "harm the training and distort the metrics."
        )
    ]


def _raise_recall(result: ResultFields, counts: Mapping[str, Counts]) -> list[str]:
    low = [
        (metrics.recall, label)
        for label, metrics in result.labels.items()
        if metrics.recall is not None and metrics.recall < _GOOD_METRIC
    ]
    advice: list[str] = []
    for recall, label in sorted(low)[:_MAX_LABELS]:
        missed = ""
        if label in counts:
            total = counts[label].true_positives + counts[label].false_negatives
            missed = f" ({counts[label].false_negatives} of {total} missed)"
        advice.append(
            f"Add training images of {plain_label(label)} with different backgrounds, lighting, sizes and "
            f"angles: its recall is {recall:.2f}{missed}."
        )
    return advice


def _raise_precision(
    result: ResultFields, counts: Mapping[str, Counts], confusion: ConfusionCounts | None
) -> list[str]:
    low = [
        (metrics.precision, label)
        for label, metrics in result.labels.items()
        if metrics.precision is not None and metrics.precision < _GOOD_METRIC
    ]
    advice: list[str] = []
    for precision, label in sorted(low)[:_MAX_LABELS]:
        wrong = ""
        if label in counts:
            total = counts[label].true_positives + counts[label].false_positives
            wrong = f", {counts[label].false_positives} of {total} predictions wrong"
        advice.append(
            f"{plain_label(label)} has too many false positives (precision {precision:.2f}{wrong}). "
            f"{_images_to_add(label, confusion)}, or raise its threshold."
        )
    return advice


def _images_to_add(label: str, confusion: ConfusionCounts | None) -> str:
    count, other = 0, ""
    background = 0
    if confusion is not None:
        count, other = max(
            ((confusion.count(other, label), other) for other in confusion.labels if other != label),
            default=(0, ""),
        )
        background = confusion.background(label)
    if count >= max(_MIN_CONFUSIONS, background):
        return (
            f"It is often predicted for {plain_label(other)}: add training images of both labels that look "
            "alike"
        )
    if background >= _MIN_CONFUSIONS:
        return "Add training images that show the background objects mistaken for it"
    return "Add training images of what the model mistakes for it"


def _test_more(result: ResultFields) -> list[str]:
    untested = [
        (metrics.test_images, label)
        for label, metrics in result.labels.items()
        if metrics.test_images is not None and metrics.test_images < _MIN_TEST_IMAGES
    ]
    if not untested:
        return []
    named = ", ".join(f"{plain_label(label)} ({count})" for count, label in sorted(untested)[:_MAX_LABELS])
    more = f" and {len(untested) - _MAX_LABELS} more" if len(untested) > _MAX_LABELS else ""
    return [
        (
            f"Test with more images before you rely on the metrics of {named}{more}: with fewer than "
            f"{_MIN_TEST_IMAGES} test images, a single image changes them considerably."
        )
    ]
