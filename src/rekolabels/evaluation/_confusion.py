"""Confusion of labels: the shares of the summary, and counts with missed and background objects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import attrs

from rekolabels._arguments import check_fraction
from rekolabels._display import align, counted
from rekolabels.evaluation._box_metrics import iou
from rekolabels.evaluation._checks import check_label, check_thresholds
from rekolabels.evaluation._report._table import plain_label
from rekolabels.evaluation._values import ConfusionMatrix

if TYPE_CHECKING:
    from rekolabels.evaluation._images import EvaluatedImage
    from rekolabels.evaluation._values import Verdict

__all__ = ["ConfusionCounts", "TopConfusion", "count_confusion", "most_confident"]


class TopConfusion:
    """Confusion of each image's true labels with the same number of most confident labels."""

    def __init__(self) -> None:
        self._shared: dict[tuple[str, str], float] = {}
        self._totals: Counter[str] = Counter()

    def add(self, true: frozenset[str], ranked: Sequence[str]) -> None:
        """Count an image; the predicted labels come most confident first."""
        top = frozenset(ranked[: len(true)])
        instead = sorted(top - true)
        for label in true:
            self._totals[label] += 1
            for predicted in [label] if label in top else instead:
                part = 1 if label in top else 1 / len(instead)
                self._shared[label, predicted] = self._shared.get((label, predicted), 0.0) + part

    def matrix(self, labels: Sequence[str]) -> ConfusionMatrix:
        """Return the shares of the images of each true label."""
        shares = {
            (truth, predicted): self._shared.get((truth, predicted), 0.0) / self._totals[truth]
            for truth in labels
            if self._totals[truth]
            for predicted in labels
        }
        return ConfusionMatrix(tuple(labels), shares)


@attrs.frozen
class ConfusionCounts:
    """How often each label is predicted as each label: counts of images or, for detectors, of boxes.

    Prints as a list of the confusions; a notebook shows the matrix.

    Examples:
        >>> print(ConfusionCounts(("cat", "dog"), {("cat", "cat"): 7, ("cat", "dog"): 2, (None, "dog"): 1}))
        7 of 10 correct
        <BLANKLINE>
        True label    Predicted label  Count
        cat                       dog      2
        (background)              dog      1
    """

    labels: tuple[str, ...] = attrs.field(repr=counted("labels"))
    """Labels of the rows (true) and of the columns (predicted)."""
    counts: Mapping[tuple[str | None, str | None], int] = attrs.field(hash=False, repr=counted("pairs"))
    """Count by true and predicted label. A predicted label of None means missed; a true label of None means
    background: a prediction where the ground truth has nothing."""

    def count(self, truth: str | None, predicted: str | None) -> int:
        """Return how often the one was predicted as the other.

        Raises:
            InvalidInput: A label is neither None nor one of ``labels``.
        """
        for name, label in (("truth", truth), ("predicted", predicted)):
            if label is not None:
                check_label(name, label, self.labels)
        return self.counts.get((truth, predicted), 0)

    def missed(self, label: str) -> int:
        """Return how often the label was missed without another prediction in its place."""
        return self.count(check_label("label", label, self.labels), None)

    def background(self, label: str) -> int:
        """Return how often the label was predicted where the ground truth has nothing."""
        return self.count(None, check_label("label", label, self.labels))

    def rows(self) -> tuple[tuple[int, ...], ...]:
        """Return the matrix: a row per true label, then background; the last column counts the missed."""
        return tuple(
            tuple(self.counts.get((truth, predicted), 0) for predicted in (*self.labels, None))
            for truth in (*self.labels, None)
        )

    def table(self) -> list[list[str]]:
        """Return the confusions as rows of text with a header, the most frequent first."""
        wrong = [
            (count, _name(truth, "(background)"), _name(predicted, "(missed)"))
            for (truth, predicted), count in self.counts.items()
            if truth != predicted and count
        ]
        wrong.sort(key=lambda row: (-row[0], row[1:]))
        header = ["True label", "Predicted label", "Count"]
        return [header, *([truth, predicted, f"{count:,}"] for count, truth, predicted in wrong)]

    def headline(self) -> str:
        """Return how often the model is correct, such as ``"7 of 10 correct"``."""
        correct = sum(self.counts.get((label, label), 0) for label in self.labels)
        return f"{correct:,} of {sum(self.counts.values()):,} correct"

    def __str__(self) -> str:
        rows = self.table()
        return "\n".join([self.headline(), "", *align(rows)]) if len(rows) > 1 else self.headline()

    def _repr_html_(self) -> str:
        # Imported here: only notebooks need it.
        from rekolabels.evaluation._report._notebook import show_confusion

        return show_confusion(self.headline(), self.labels, self.rows(), self.table())


def _name(label: str | None, otherwise: str) -> str:
    return otherwise if label is None else plain_label(label)


def count_confusion(
    images: Iterable[EvaluatedImage],
    thresholds: float | Mapping[str, float] | None,
    iou_threshold: float,
    labels: Iterable[str] = (),
) -> ConfusionCounts:
    """Count how often each label is predicted as each label.

    Args:
        images: The test images.
        thresholds: Confidence from which a prediction counts, 0 to 1, for all labels or by label; a label
            without one keeps the verdicts of the file. With None, a classifier's images count by as many of
            the most confident labels as the image has labels, whatever their confidence.
        iou_threshold: Intersection over union from which boxes match, whatever their labels are.
        labels: The labels of the model, which are listed in addition to those that occur. If the file of a
            classifier does not list all of them for an image, a missed label of this image counts as missed.

    Raises:
        InvalidInput: A threshold is not between 0 and 1, or of an unknown label.
    """
    check_fraction("iou_threshold", iou_threshold)
    check_thresholds("thresholds", thresholds)
    counts: Counter[tuple[str | None, str | None]] = Counter()
    scored, model_labels = set[str](), frozenset(labels)
    for image in images:
        scored.update(verdict.label for verdict in image.verdicts)
        if image.is_detection:
            counts.update(_boxes(image, {} if thresholds is None else thresholds, iou_threshold))
        else:
            counts.update(_labels(image, thresholds, model_labels))
    known = {label for pair in counts for label in pair if label is not None} | model_labels
    check_thresholds("thresholds", thresholds, known | scored)
    return ConfusionCounts(tuple(sorted(known)), dict(counts))


def most_confident(image: EvaluatedImage, labels: Collection[str] = ()) -> list[str]:
    """Return as many of the most confident labels as the image has labels; of equals, the first by name.

    Where the file does not list every label, a missed label is left out: a label that is not listed may be
    more confident.

    Args:
        image: A test image of a classifier.
        labels: The labels of the model.
    """
    listed = {verdict.label for verdict in image.verdicts}
    judged = image.verdicts if listed.issuperset(labels) else image.predictions
    ranked = sorted(judged, key=lambda verdict: (-verdict.confidence, verdict.label))
    return [verdict.label for verdict in ranked[: len(set(image.labels))]]


def _is_predicted(verdict: Verdict, thresholds: float | Mapping[str, float]) -> bool:
    """Whether a prediction counts at the thresholds; without a threshold, the file's verdict decides."""
    threshold = thresholds.get(verdict.label) if isinstance(thresholds, Mapping) else thresholds
    if threshold is None:
        return verdict.kind in {"true positive", "false positive"}
    return verdict.confidence >= threshold


def _labels(
    image: EvaluatedImage, thresholds: float | Mapping[str, float] | None, labels: Collection[str]
) -> list[tuple[str | None, str | None]]:
    true = set(image.labels)
    if thresholds is None:
        predicted = most_confident(image, labels)
    else:
        predicted = [verdict.label for verdict in image.verdicts if _is_predicted(verdict, thresholds)]
    missed = sorted(true.difference(predicted))
    instead = [label for label in predicted if label not in true]
    pairs: list[tuple[str | None, str | None]] = [(label, label) for label in predicted if label in true]
    both = min(len(missed), len(instead))
    pairs += zip(missed[:both], instead[:both], strict=True)
    pairs += [(label, None) for label in missed[both:]]
    return pairs + [(None, label) for label in instead[both:]]


def _boxes(
    image: EvaluatedImage, thresholds: float | Mapping[str, float], iou_threshold: float
) -> list[tuple[str | None, str | None]]:
    """Match each prediction, most confident first, to the free true box with the highest IoU.

    A true box with the label of the prediction is preferred to one with another label.
    """
    free = list(image.boxes)
    pairs: list[tuple[str | None, str | None]] = []
    for verdict in image.verdicts:
        box = verdict.box
        if box is None or not _is_predicted(verdict, thresholds):
            continue
        near = [(true.label == box.label, iou(true, box), at) for at, true in enumerate(free)]
        near = [match for match in near if match[1] >= iou_threshold]
        at = max(near)[2] if near else None
        pairs.append((None if at is None else free[at].label, box.label))
        if at is not None:
            del free[at]
    return pairs + [(box.label, None) for box in free]
