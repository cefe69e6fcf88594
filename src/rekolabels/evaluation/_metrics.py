"""Precision, recall, F1, thresholds, average precision and calibration, in plain Python.

A prediction counts when its confidence is *at least* the threshold. An undefined metric, such as the recall
of a label without test images, is None, never 0 or 1.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

import attrs

from rekolabels._arguments import check_fraction, check_integer
from rekolabels._display import counted
from rekolabels.evaluation._inputs import (
    check_confidences,
    check_labels,
    check_per_image,
    check_scores,
    check_truths,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

__all__ = [
    "Calibration",
    "CalibrationBin",
    "Counts",
    "ScoredLabel",
    "mean_defined",
    "score_classification",
    "score_labels",
    "wilson_interval",
]

_MAX_BINS = 10_000
_Z_95 = 1.959963984540054
"""Quantile of the normal distribution for a two-sided 95 % interval."""


@attrs.frozen
class Counts:
    """Confusion counts of one label at a threshold."""

    true_positives: int
    """Predicted, and in the ground truth."""
    false_positives: int
    """Predicted, but not in the ground truth."""
    false_negatives: int
    """In the ground truth, but not predicted."""
    true_negatives: int | None = None
    """Neither predicted nor in the ground truth; None for boxes, where it has no meaning."""

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP), 0 to 1; None if nothing was predicted."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """TP / (TP + FN), 0 to 1; None if there was nothing to find."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), 0 to 1; None for 0 / 0.

        Examples:
            >>> Counts(true_positives=8, false_positives=2, false_negatives=0).f1
            0.888...
        """
        twice = 2 * self.true_positives
        return _share(twice, twice + self.false_positives + self.false_negatives)


@attrs.frozen
class CalibrationBin:
    """Predictions whose confidences fall into one interval."""

    predictions: int
    """Number of predictions."""
    confidence: float
    """Mean confidence, 0 to 1."""
    accuracy: float
    """Share of the predictions that are correct, 0 to 1."""


@attrs.frozen
class Calibration:
    """How well confidences agree with the share of correct predictions."""

    bins: tuple[CalibrationBin, ...] = attrs.field(repr=counted("bins"))
    """Intervals of equal width that contain predictions, in ascending order of confidence."""

    @property
    def error(self) -> float | None:
        """Expected calibration error, 0 to 1: the mean gap between confidence and accuracy.

        None if there are no predictions.
        """
        total = sum(one.predictions for one in self.bins)
        if not total:
            return None
        return sum(one.predictions * abs(one.confidence - one.accuracy) for one in self.bins) / total


class ScoredLabel:
    """Confidences that a model gave one label, separated by the ground truth.

    Args:
        positives: Confidences where the label (or a matching box) is in the ground truth, 0 to 1.
        negatives: Confidences where it is not, 0 to 1.
        undetected: Number of occurrences without a confidence, such as objects that no box matches. No
            threshold finds them.
        unscored: Number of negatives without a confidence; they count as confidence 0.
        complete_from: Confidence from which all negatives are known, 0 to 1. The service's snapshots list
            false positives only from the assumed threshold.

    Examples:
        >>> scored = ScoredLabel(positives=[0.9, 0.8, 0.3], negatives=[0.6, 0.1])
        >>> scored.best_threshold()
        0.2
        >>> scored.counts(0.5)
        Counts(true_positives=2, false_positives=1, false_negatives=1, true_negatives=1)
        >>> round(scored.average_precision(), 4)
        0.9167
    """

    def __init__(
        self,
        positives: Iterable[float],
        negatives: Iterable[float],
        undetected: int = 0,
        *,
        unscored: int = 0,
        complete_from: float = 0.0,
    ) -> None:
        self._positives = sorted(check_confidences("positives", positives))
        self._negatives = sorted(check_confidences("negatives", negatives))
        self._undetected = check_integer("undetected", undetected, at_least=0)
        self._unscored = check_integer("unscored", unscored, at_least=0)
        self._complete_from = check_fraction("complete_from", complete_from)

    def __repr__(self) -> str:
        negatives = len(self._negatives) + self._unscored
        return f"<ScoredLabel: {self.support:,} positives, {negatives:,} negatives>"

    @property
    def complete_from(self) -> float:
        """Confidence from which all predictions are known, 0 to 1; precision is unknown below it."""
        return self._complete_from

    @property
    def support(self) -> int:
        """Number of occurrences of the label (or box) in the ground truth."""
        return len(self._positives) + self._undetected

    def counts(self, threshold: float | None) -> Counts:
        """Count at a threshold, 0 to 1; with None, no prediction counts.

        Raises:
            InvalidInput: The threshold is not between 0 and 1.
        """
        return self._count(None if threshold is None else check_fraction("threshold", threshold))

    def _count(self, threshold: float | None) -> Counts:
        if threshold is None:
            return Counts(0, 0, self.support, len(self._negatives) + self._unscored)
        missed = bisect_left(self._positives, threshold)
        rejected = bisect_left(self._negatives, threshold)
        if threshold > 0:
            rejected += self._unscored
        false_positives = len(self._negatives) + self._unscored - rejected
        return Counts(len(self._positives) - missed, false_positives, missed + self._undetected, rejected)

    def curve(self) -> list[tuple[float, Counts]]:
        """Return each confidence that occurs, in descending order, and the counts at it.

        These are the points of the precision-recall curve and of threshold curves. The curve stops at
        ``complete_from``, below which the precision is unknown.
        """
        known = {0.0} if self._unscored else set[float]()
        return [
            (confidence, self._count(confidence))
            for confidence in sorted(known.union(self._positives, self._negatives), reverse=True)
            if confidence >= self._complete_from
        ]

    def calibration(self, bins: int = 10) -> Calibration:
        """Compare confidences with the share of correct predictions.

        Args:
            bins: Number of confidence intervals of equal width.

        Examples:
            >>> round(ScoredLabel(positives=[0.9, 0.8], negatives=[0.85, 0.1]).calibration(bins=2).error, 4)
            0.1625
        """
        bins = check_integer("bins", bins, at_least=1, at_most=_MAX_BINS)
        inner_edges = [at * (1 / bins) for at in range(1, bins)]
        counts, sums, hits = [0] * bins, [0.0] * bins, [0] * bins
        counts[0] = self._unscored
        for confidences, is_positive in ((self._positives, 1), (self._negatives, 0)):
            for confidence in confidences:
                # as in scikit-learn, a confidence on an edge belongs to the interval below it
                at = bisect_left(inner_edges, confidence)
                counts[at] += 1
                sums[at] += confidence
                hits[at] += is_positive
        return Calibration(
            tuple(
                CalibrationBin(counts[at], sums[at] / counts[at], hits[at] / counts[at])
                for at in range(bins)
                if counts[at]
            )
        )

    def best_threshold(self) -> float | None:
        """Return the threshold with the best F1, 0 to 1; None if no occurrence has a confidence.

        The threshold is midway between the lowest confidence that counts and the next lower one (or 0), so
        that rounding by a service does not matter. Of equally good thresholds, the highest one is returned,
        which gives fewer false positives.
        """
        best, cut = -1.0, None
        for index in range(len(self._positives) - 1, -1, -1):
            lowest = self._positives[index]
            if lowest < self._complete_from:
                break
            if index and self._positives[index - 1] == lowest:
                continue  # equal confidences count together
            f1 = self._count(lowest).f1 or 0.0
            if f1 > best:
                best, cut = f1, lowest
        return None if cut is None else self.threshold_for(cut)

    def threshold_for(self, lowest: float) -> float:
        """Return a threshold that includes this confidence: midway between it and the next lower one.

        The threshold is not below ``complete_from`` unless the confidence itself is: predictions that the
        file does not list would count.

        Examples:
            >>> ScoredLabel([0.9, 0.1], [], complete_from=0.8).threshold_for(0.9)
            0.8
        """
        check_fraction("lowest", lowest)
        below = [
            scores[at - 1]
            for scores in (self._positives, self._negatives)
            if (at := bisect_left(scores, lowest))
        ]
        lower = max(below, default=0.0)
        middle = (lower + lowest) / 2
        threshold = middle if lower < middle else lowest
        return max(threshold, self._complete_from) if lowest >= self._complete_from else threshold

    def confidence_for_recall(self, recall: float) -> float | None:
        """Return the highest confidence at which the recall is reached, 0 to 1; None if none reaches it.

        Examples:
            >>> ScoredLabel(positives=[0.9, 0.8, 0.3], negatives=[]).confidence_for_recall(0.6)
            0.8
        """
        support = self.support
        needed = max(1, math.ceil(check_fraction("recall", recall) * support))
        if needed > 1 and (needed - 1) / support >= recall:
            needed -= 1  # the product was rounded up
        elif support and needed / support < recall:
            needed += 1  # the product was rounded down
        return self._positives[-needed] if needed <= len(self._positives) else None

    def average_precision(self) -> float | None:
        """Return the area under the precision-recall curve, as scikit-learn computes it, 0 to 1.

        The sum, over the distinct confidences in descending order, of the gain in recall times the
        precision. None if the label does not occur.
        """
        if not self.support:
            return None
        total = 0.0
        index = len(self._positives)
        while index:
            lowest = self._positives[index - 1]
            first = bisect_left(self._positives, lowest, 0, index)
            found = len(self._positives) - first
            total += (index - first) * found / (found + self._count(lowest).false_positives)
            index = first
        return total / self.support

    def coco_average_precision(self) -> float | None:
        """Return the mean, over recalls 0.00, 0.01 … 1.00, of the best precision at or beyond that recall.

        This is COCO's average precision, 0 to 1. Of predictions with equal confidences, the negatives come
        first, so that the result does not depend on their order. None if the label does not occur.
        """
        if not self.support:
            return None
        precisions: list[float] = []
        for found, index in enumerate(range(len(self._positives) - 1, -1, -1), start=1):
            precisions.append(found / (found + self._count(self._positives[index]).false_positives))
        for index in range(len(precisions) - 2, -1, -1):
            precisions[index] = max(precisions[index], precisions[index + 1])
        recalls = [(index + 1) / self.support for index in range(len(precisions))]
        total = 0.0
        for hundredths in range(101):
            at = bisect_left(recalls, hundredths * 0.01)
            total += precisions[at] if at < len(precisions) else 0.0
        return total / 101

    def recall_at_any_confidence(self) -> float | None:
        """Return the recall if every prediction counts, 0 to 1; None if the label does not occur."""
        return _share(len(self._positives), self.support)


def score_classification(
    truths: Sequence[Collection[str]], predictions: Sequence[Mapping[str, float]], labels: Iterable[str]
) -> dict[str, ScoredLabel]:
    """Separate the confidences of a classifier by label and ground truth, in one pass.

    Args:
        truths: The true labels of each image; labels that are not in ``labels`` are ignored.
        predictions: The confidence of each label for each image, 0 to 1; a missing label counts as 0.
        labels: The labels to score.

    Raises:
        InvalidInput: An argument is not valid, or there are not as many predictions as truths.

    Examples:
        >>> scored = score_classification([["cat"], ["dog"]], [{"cat": 0.9}, {"cat": 0.4}], ["cat", "dog"])
        >>> scored["cat"].counts(0.3), scored["dog"].support
        (Counts(true_positives=1, false_positives=1, false_negatives=0, true_negatives=0), 1)
    """
    truths, predictions = check_per_image(truths, predictions)
    check_scores(predictions)
    return score_labels(check_truths(truths), predictions, check_labels(labels, len(truths)))


def score_labels(
    truths: Sequence[Collection[str]], predictions: Sequence[Mapping[str, float]], labels: Iterable[str]
) -> dict[str, ScoredLabel]:
    """Do the same with arguments that were checked."""
    positives: dict[str, list[float]] = {label: [] for label in labels}
    negatives: dict[str, list[float]] = {label: [] for label in positives}
    for true, predicted in zip(truths, predictions, strict=True):
        for label, confidence in predicted.items():
            side = positives if label in true else negatives
            if label in side:
                side[label].append(confidence)
        for label in true:
            if label not in predicted and label in positives:
                positives[label].append(0.0)
    images = len(truths)
    return {
        label: ScoredLabel(
            positives[label],
            negatives[label],
            unscored=images - len(positives[label]) - len(negatives[label]),
        )
        for label in positives
    }


def mean_defined(values: Iterable[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if there are none.

    The aggregated metrics of the service are such unweighted means over the labels.

    Examples:
        >>> mean_defined([0.5, None, 1.0])
        0.75
    """
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def wilson_interval(part: int, whole: int) -> tuple[float, float] | None:
    """Return the 95 % confidence interval (Wilson's) of a share, each end 0 to 1; None for 0 of 0.

    Examples:
        >>> low, high = wilson_interval(9, 10)
        >>> round(low, 3), round(high, 3)
        (0.596, 0.982)
    """
    if not whole:
        return None
    share, square = part / whole, _Z_95 * _Z_95
    center = share + square / (2 * whole)
    reach = _Z_95 * math.sqrt(share * (1 - share) / whole + square / (4 * whole * whole))
    below = 1 + square / whole
    return max(0.0, (center - reach) / below), min(1.0, (center + reach) / below)


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
