"""What to do next, in the terms of the service's guide on improving a model."""

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

_GOOD = 0.9
_FEW = 10
_OFTEN = 2
_SURE = 0.5
_MOST = 5


def give_advice(
    result: ResultFields,
    counts: Mapping[str, Counts],
    confusion: ConfusionCounts | None,
    issues: Sequence[LabelIssue],
) -> list[str]:
    """Say what is worth doing, the most useful first.

    Args:
        result: The figures.
        counts: By label, at the assumed thresholds; empty where the test images are not known.
        confusion: What is taken for what, where it is known.
        issues: Labels that the model disputes, the strongest first.
    """
    return [
        *_mislabelled(issues),
        *_missed(result, counts),
        *_made_up(result, counts, confusion),
        *_untested(result),
    ] or [
        (
            "Every label does well on the test images. Try the model on images of the kind that it will meet "
            "in use."
        )
    ]


def _mislabelled(issues: Sequence[LabelIssue]) -> list[str]:
    sure = [issue for issue in issues if issue.score >= _SURE]
    if not sure:
        return []
    return [
        (
            f"Look at the labels of {_number(len(sure), 'test image')} first: the model is sure of another "
            f"label "
            "than the one they have. A wrong label costs twice, in training and in the score."
        )
    ]


def _missed(result: ResultFields, counts: Mapping[str, Counts]) -> list[str]:
    low = [
        (found.recall, label)
        for label, found in result.labels.items()
        if found.recall is not None and found.recall < _GOOD
    ]
    advice: list[str] = []
    for recall, label in sorted(low)[:_MOST]:
        missed = ""
        if label in counts:
            one = counts[label]
            missed = f", {one.false_negatives} of {one.true_positives + one.false_negatives} were not found"
        advice.append(
            f"Add training images of {plain_label(label)} that differ in background, light, size and angle: "
            f"its recall is {recall:.2f}{missed}."
        )
    return advice


def _made_up(
    result: ResultFields, counts: Mapping[str, Counts], confusion: ConfusionCounts | None
) -> list[str]:
    low = [
        (found.precision, label)
        for label, found in result.labels.items()
        if found.precision is not None and found.precision < _GOOD
    ]
    advice: list[str] = []
    for precision, label in sorted(low)[:_MOST]:
        wrong = ""
        if label in counts:
            one = counts[label]
            wrong = (
                f", {one.false_positives} of {one.true_positives + one.false_positives} reports were wrong"
            )
        advice.append(
            f"{plain_label(label)} is reported too often (precision {precision:.2f}{wrong}): "
            f"{_what_for(label, confusion)}, or use a higher threshold."
        )
    return advice


def _what_for(label: str, confusion: ConfusionCounts | None) -> str:
    mixed = (
        max(
            ((confusion.count(other, label), other) for other in confusion.labels if other != label),
            default=(0, ""),
        )
        if confusion is not None
        else (0, "")
    )
    background = 0 if confusion is None else confusion.background(label)
    if mixed[0] >= max(_OFTEN, background):
        return f"{plain_label(mixed[1])} is often taken for it, add training images of both that look alike"
    if background >= _OFTEN:
        return "add training images of what is taken for it where nothing is"
    return "add training images of what is taken for it"


def _untested(result: ResultFields) -> list[str]:
    few = [
        (found.test_images, label)
        for label, found in result.labels.items()
        if found.test_images is not None and found.test_images < _FEW
    ]
    if not few:
        return []
    named = ", ".join(f"{plain_label(label)} ({count})" for count, label in sorted(few)[:_MOST])
    more = f" and {len(few) - _MOST} more" if len(few) > _MOST else ""
    return [
        (
            f"Test with more images before you trust the figures of {named}{more}: with fewer than {_FEW}, "
            f"one image "
            "more or less changes them a lot."
        )
    ]


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"
