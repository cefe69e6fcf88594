"""Precision, recall, F1, thresholds and average precision, in plain Python.

One rule holds everywhere: a prediction counts when its confidence is *at least* the threshold. What is
undefined, such as the recall of a label that no test image has, is None, never a silent 0 or 1.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

__all__ = [
    "Calibration",
    "CalibrationBin",
    "Counts",
    "ScoredLabel",
    "mean_defined",
    "score_classification",
    "wilson_interval",
]


_NORMAL_95 = 1.959963984540054


@attrs.frozen
class CalibrationBin:
    """The predictions whose confidence lies in one interval."""

    predictions: int
    """How many."""
    confidence: float
    """Their mean confidence, 0 to 1."""
    accuracy: float
    """The share that was right, 0 to 1."""


@attrs.frozen
class Calibration:
    """How far confidences can be taken for probabilities."""

    bins: tuple[CalibrationBin, ...]
    """Intervals of equal width that have predictions, from low to high confidence."""

    @property
    def error(self) -> float | None:
        """The expected calibration error, 0 to 1: the mean distance of confidence and share that was right.

        None where there are no predictions.
        """
        total = sum(one.predictions for one in self.bins)
        if not total:
            return None
        return sum(one.predictions * abs(one.confidence - one.accuracy) for one in self.bins) / total


def calibrate(right: Sequence[float], wrong: Sequence[float], unscored: int, bins: int) -> Calibration:
    """Sort confidences into intervals of equal width; ``unscored`` are wrong ones at 0."""
    inner = [at * (1 / bins) for at in range(1, bins)]
    counts, sums, hits = [0] * bins, [0.0] * bins, [0] * bins
    counts[0] = unscored
    for confidences, is_right in ((right, 1), (wrong, 0)):
        for confidence in confidences:
            # as scikit-learn: a confidence on a border belongs to the interval below it
            at = bisect_left(inner, confidence)
            counts[at] += 1
            sums[at] += confidence
            hits[at] += is_right
    return Calibration(
        tuple(
            CalibrationBin(counts[at], sums[at] / counts[at], hits[at] / counts[at])
            for at in range(bins)
            if counts[at]
        )
    )


@attrs.frozen
class Counts:
    """How a label's predictions and truths fall out at a threshold."""

    true_positives: int
    """Predicted and there."""
    false_positives: int
    """Predicted, not there."""
    false_negatives: int
    """There, not predicted."""
    true_negatives: int | None = None
    """Neither; None for boxes, where it has no meaning."""

    @property
    def precision(self) -> float | None:
        """TP / (TP + FP), 0 to 1; None when nothing was predicted."""
        return _share(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float | None:
        """TP / (TP + FN), 0 to 1; None when there was nothing to find."""
        return _share(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), 0 to 1; None for 0 / 0.

        Examples:
            >>> Counts(true_positives=8, false_positives=2, false_negatives=0).f1
            0.888...
        """
        twice = 2 * self.true_positives
        return _share(twice, twice + self.false_positives + self.false_negatives)


class ScoredLabel:
    """The confidences that a model gave one label, sorted apart into right and wrong ones.

    Args:
        positives: Confidences where the label (or box) was there.
        negatives: Confidences where it was not.
        undetected: Things that were there without any prediction, such as objects that no candidate box met.
        unscored: Cases where it was not there and that got no confidence; they count as confidence 0.
        complete_from: Below this confidence the wrong ones are not all known, as in a detector's snapshot.

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
        self._positives = sorted(positives)
        self._negatives = sorted(negatives)
        self._undetected = undetected
        self._unscored = unscored
        self._complete_from = complete_from

    @property
    def complete_from(self) -> float:
        """The confidence, 0 to 1, from which all predictions are known; below it, precision is not."""
        return self._complete_from

    @property
    def support(self) -> int:
        """How often the label (or box) was there."""
        return len(self._positives) + self._undetected

    def counts(self, threshold: float | None) -> Counts:
        """Count at a threshold, 0 to 1; None counts no prediction at all."""
        if threshold is None:
            return Counts(0, 0, self.support, len(self._negatives) + self._unscored)
        missed = bisect_left(self._positives, threshold)
        rejected = bisect_left(self._negatives, threshold)
        if threshold > 0:
            rejected += self._unscored
        false = len(self._negatives) + self._unscored - rejected
        return Counts(len(self._positives) - missed, false, missed + self._undetected, rejected)

    def curve(self) -> Iterator[tuple[float, Counts]]:
        """Count at each confidence that occurs, from the highest: precision-recall and threshold curves.

        Stops at the complete_from, below which nobody knows the precision.
        """
        known = {0.0} if self._unscored else set[float]()
        for confidence in sorted(known.union(self._positives, self._negatives), reverse=True):
            if confidence < self._complete_from:
                return
            yield confidence, self.counts(confidence)

    def calibration(self, bins: int = 10) -> Calibration:
        """Compare confidences with how often they were right, in so many intervals of equal width.

        Examples:
            >>> round(ScoredLabel(positives=[0.9, 0.8], negatives=[0.85, 0.1]).calibration(bins=2).error, 4)
            0.1625
        """
        return calibrate(self._positives, self._negatives, self._unscored, bins)

    def best_threshold(self) -> float | None:
        """The threshold with the best F1; None when no right prediction has a confidence.

        It lies in the middle between the lowest confidence that counts and the next lower one (or 0), so that
        rounding on the way through a service does not matter. Of equally good thresholds, the highest is
        taken: fewer false alarms.
        """
        best, cut = -1.0, None
        for index in range(len(self._positives) - 1, -1, -1):
            lowest = self._positives[index]
            if lowest < self._complete_from:
                break
            if index and self._positives[index - 1] == lowest:
                continue  # all of one confidence count together
            f1 = self.counts(lowest).f1 or 0.0
            if f1 > best:
                best, cut = f1, lowest
        return None if cut is None else self.threshold_for(cut)

    def average_precision(self) -> float | None:
        """The area under the precision-recall steps, as scikit-learn has it; None when nothing was there.

        The sum over the distinct confidences, from the highest, of the gain in recall times the precision
        there.
        """
        if not self.support:
            return None
        total = 0.0
        index = len(self._positives)
        while index:
            lowest = self._positives[index - 1]
            first = bisect_left(self._positives, lowest, 0, index)
            found = len(self._positives) - first
            false = self.counts(lowest).false_positives
            total += (index - first) * found / (found + false)
            index = first
        return total / self.support

    def coco_average_precision(self) -> float | None:
        """The mean, over the recalls 0.00, 0.01 ... 1.00, of the best precision at that recall or beyond.

        This is how COCO averages; predictions of one confidence count one after the other, right ones last,
        so that the figure does not depend on their order.
        """
        if not self.support:
            return None
        precisions: list[float] = []
        for done, index in enumerate(range(len(self._positives) - 1, -1, -1), start=1):
            false = self.counts(self._positives[index]).false_positives
            precisions.append(done / (done + false))
        for index in range(len(precisions) - 2, -1, -1):
            precisions[index] = max(precisions[index], precisions[index + 1])
        recalls = [(index + 1) / self.support for index in range(len(precisions))]
        total = 0.0
        for hundredths in range(101):
            at = bisect_left(recalls, hundredths * 0.01)
            total += precisions[at] if at < len(precisions) else 0.0
        return total / 101

    def recall_at_any_confidence(self) -> float | None:
        """The share that is found when every prediction counts; None when nothing was there."""
        return _share(len(self._positives), self.support)

    def confidence_for_recall(self, recall: float) -> float | None:
        """The highest confidence from which so much is found, 0 to 1; None when nothing finds so much.

        Examples:
            >>> ScoredLabel(positives=[0.9, 0.8, 0.3], negatives=[]).confidence_for_recall(0.6)
            0.8
        """
        needed = max(1, math.ceil(recall * self.support - 1e-9))
        return self._positives[-needed] if needed <= len(self._positives) else None

    def threshold_for(self, lowest: float) -> float:
        """The middle between the lowest confidence that shall count and the next lower one."""
        below = [
            scores[at - 1]
            for scores in (self._positives, self._negatives)
            if (at := bisect_left(scores, lowest))
        ]
        lower = max(below, default=0.0)
        middle = (lower + lowest) / 2
        return middle if lower < middle else lowest


def score_classification(
    truths: Sequence[Collection[str]], predictions: Sequence[Mapping[str, float]], labels: Iterable[str]
) -> dict[str, ScoredLabel]:
    """Sort the confidences of a classifier apart, label by label, in one pass.

    Args:
        truths: For each image, its true labels; others than ``labels`` are left out.
        predictions: For each image, the confidence of each label, 0 to 1; a missing label counts as 0.
        labels: The labels to score.

    Examples:
        >>> scored = score_classification([["cat"], ["dog"]], [{"cat": 0.9}, {"cat": 0.4}], ["cat", "dog"])
        >>> scored["cat"].counts(0.3), scored["dog"].support
        (Counts(true_positives=1, false_positives=1, false_negatives=0, true_negatives=0), 1)
    """
    right: dict[str, list[float]] = {label: [] for label in labels}
    wrong: dict[str, list[float]] = {label: [] for label in right}
    for true, found in zip(truths, predictions, strict=True):
        for label, confidence in found.items():
            side = right if label in true else wrong
            if label in side:
                side[label].append(confidence)
        for label in true:
            if label not in found and label in right:
                right[label].append(0.0)
    images = len(truths)
    return {
        label: ScoredLabel(
            right[label], wrong[label], unscored=images - len(right[label]) - len(wrong[label])
        )
        for label in right
    }


def mean_defined(values: Iterable[float | None]) -> float | None:
    """The mean of what is defined; None when nothing is.

    The aggregated metrics of the service are such unweighted means over the labels.

    Examples:
        >>> mean_defined([0.5, None, 1.0])
        0.75
    """
    defined = [value for value in values if value is not None]
    return sum(defined) / len(defined) if defined else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def wilson_interval(part: int, whole: int) -> tuple[float, float] | None:
    """The 95 % interval (Wilson's) of a share, each end 0 to 1; None for a share of nothing.

    Examples:
        >>> low, high = wilson_interval(9, 10)
        >>> round(low, 3), round(high, 3)
        (0.596, 0.982)
    """
    if not whole:
        return None
    share, square = part / whole, _NORMAL_95 * _NORMAL_95
    middle = share + square / (2 * whole)
    reach = _NORMAL_95 * math.sqrt(share * (1 - share) / whole + square / (4 * whole * whole))
    below = 1 + square / whole
    return max(0.0, (middle - reach) / below), min(1.0, (middle + reach) / below)
