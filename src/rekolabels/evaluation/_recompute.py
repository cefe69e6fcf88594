"""Metrics recomputed from the test images, at any threshold, and discrepancies with the summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

import attrs

from rekolabels.evaluation._checks import check_thresholds
from rekolabels.evaluation._confusion import TopConfusion, most_confident
from rekolabels.evaluation._metrics import Counts, ScoredLabel, mean_defined
from rekolabels.evaluation._values import (
    ConfusionMatrix,
    LabelMetrics,
    ResultFields,
    Verdict,
    VerdictKind,
    by_f1,
)

if TYPE_CHECKING:
    from rekolabels.evaluation._images import EvaluatedImage

__all__ = ["Discrepancy", "Tally", "compare_with_summary", "recompute", "tally"]

Fields = TypeVar("Fields", bound=ResultFields)

_TOLERANCE = 1e-6
"""Summaries contain some metrics in single precision."""


@attrs.frozen
class Discrepancy:
    """A value that differs between the summary and the test images of the snapshot."""

    label: str | None
    """The label; None for an aggregated value."""
    metric: str
    """``f1``, ``precision``, ``recall`` or ``test images``."""
    summary: float | None
    """Value in the summary; None if it is undefined or missing."""
    snapshot: float | None
    """Value computed from the test images; None if it is undefined."""

    def __str__(self) -> str:
        name = self.metric if self.label is None else f"{self.label}: {self.metric}"
        return f"{name} is {_shown(self.summary)} in the summary, {_shown(self.snapshot)} in the test images"


@attrs.define
class _LabelTally:
    """Verdicts of one label."""

    positives: list[float] = attrs.field(factory=list[float])
    negatives: list[float] = attrs.field(factory=list[float])
    undetected: int = 0
    images: int = 0
    kinds: Counter[VerdictKind] = attrs.field(factory=Counter["VerdictKind"])
    lowest_counted: float | None = None
    """Lowest confidence of a prediction that counts."""
    highest_rejected: float | None = None
    """Highest confidence of a prediction that does not count."""

    def add(self, verdict: Verdict, *, detection: bool) -> None:
        """Count a verdict of the file."""
        self.kinds[verdict.kind] += 1
        confidence = verdict.confidence
        if verdict.kind in {"true positive", "false positive"}:
            lowest = self.lowest_counted
            self.lowest_counted = confidence if lowest is None else min(confidence, lowest)
        else:
            self.highest_rejected = max(confidence, self.highest_rejected or 0.0)
        if not verdict.in_ground_truth:
            self.negatives.append(confidence)
        elif detection and confidence == 0:
            self.undetected += 1  # no predicted box matches: the verdict stands for the object itself
        else:
            self.positives.append(confidence)

    def complete_from(self, threshold: float | None) -> float:
        """Return the confidence from which the file lists all predictions, given the assumed threshold.

        Without one, or if the verdicts contradict it, only what counts is known to be complete.
        """
        lowest = 1.0 if self.lowest_counted is None else self.lowest_counted
        if threshold is None or (self.highest_rejected is not None and self.highest_rejected >= threshold):
            return lowest
        return max(0.0, min(threshold, lowest))

    def miss(self, times: int, *, detection: bool) -> None:
        """Count occurrences without a verdict in the file: the model missed them."""
        self.kinds["false negative"] += times
        if detection:
            self.undetected += times
        else:
            self.positives += [0.0] * times


@attrs.define
class Tally:
    """Verdicts of all test images, by label."""

    labels: dict[str, _LabelTally] = attrs.field(factory=dict[str, _LabelTally])
    images: int = 0
    detection: bool = False
    all_listed: TopConfusion = attrs.field(factory=TopConfusion)
    """Confusion, if the file lists every label for every image."""
    some_listed: TopConfusion = attrs.field(factory=TopConfusion)
    """Confusion, if labels that are not listed may be more confident than missed ones."""

    @property
    def lists_all(self) -> bool:
        """Whether the file has a verdict of every label for every image, as no detector's file has."""
        return not self.detection and all(
            sum(label.kinds.values()) == self.images for label in self.labels.values()
        )

    def confusion(self) -> ConfusionMatrix:
        """Return the confusion of a classifier's most confident labels."""
        found = self.all_listed if self.lists_all else self.some_listed
        return found.matrix(sorted(self.labels))

    def scored(self, assumed: Mapping[str, float]) -> dict[str, ScoredLabel]:
        """Return the confidences of each label.

        Args:
            assumed: The assumed thresholds that are known, 0 to 1.
        """
        return {label: self._scored(self.labels[label], assumed.get(label)) for label in sorted(self.labels)}

    def _scored(self, counted: _LabelTally, threshold: float | None) -> ScoredLabel:
        listed = len(counted.positives) + len(counted.negatives)
        unscored = 0 if self.detection else self.images - listed
        # Such a file lists what counts at the assumed threshold, but not the rest.
        complete_from = counted.complete_from(threshold) if self.detection or unscored else 0.0
        return ScoredLabel(
            counted.positives,
            counted.negatives,
            counted.undetected,
            unscored=unscored,
            complete_from=complete_from,
        )

    def counts(self, label: str) -> Counts:
        """Count the file's own verdicts."""
        kinds = self.labels[label].kinds
        true, false, missed = kinds["true positive"], kinds["false positive"], kinds["false negative"]
        return Counts(true, false, missed, None if self.detection else self.images - true - false - missed)

    def threshold(self, label: str) -> float | None:
        """Estimate the assumed threshold: midway between what counts and what does not."""
        counted = self.labels[label]
        lowest, highest = counted.lowest_counted, counted.highest_rejected
        if lowest is None or highest is None or highest >= lowest:
            return lowest
        return (lowest + highest) / 2


def tally(images: Iterable[EvaluatedImage]) -> Tally:
    """Count the verdicts of the test images in one pass."""
    result = Tally()
    for image in images:
        result.images += 1
        result.detection |= image.is_detection
        if not image.is_detection:
            true = frozenset(image.labels)
            result.all_listed.add(true, most_confident(image))
            result.some_listed.add(true, [verdict.label for verdict in image.predictions])
        # An image of a classifier has each label once, even if its file repeats one.
        unjudged = Counter(image.truths if image.is_detection else dict.fromkeys(image.truths).keys())
        for label in unjudged:
            result.labels.setdefault(label, _LabelTally()).images += 1
        for verdict in image.verdicts:
            result.labels.setdefault(verdict.label, _LabelTally()).add(verdict, detection=image.is_detection)
            unjudged[verdict.label] -= verdict.in_ground_truth
        for label, left in unjudged.items():
            if left > 0:
                result.labels[label].miss(left, detection=image.is_detection)
    return result


def recompute(
    images: Iterable[EvaluatedImage],
    base: Fields,
    thresholds: float | Mapping[str, float] | None,
) -> Fields:
    """Recompute the metrics from the test images.

    Args:
        images: The test images.
        base: A result with what the images do not contain: assumed thresholds, times, names.
        thresholds: Confidence from which a prediction counts, 0 to 1, for all labels or by label. A label
            without one keeps the verdicts of the file, and so do all labels with None.

    Raises:
        InvalidInput: A threshold is not between 0 and 1, or of an unknown label.
    """
    counted = tally(images)
    for label in base.labels:
        counted.labels.setdefault(label, _LabelTally())
    thresholds = check_thresholds("thresholds", thresholds, counted.labels)
    assumed = base.assumed_thresholds
    scored = counted.scored(assumed)
    metrics: dict[str, LabelMetrics] = {}
    for label, label_tally in counted.labels.items():
        threshold = thresholds.get(label) if isinstance(thresholds, Mapping) else thresholds
        if threshold is None:
            counts, known = counted.counts(label), True
            threshold = assumed.get(label, counted.threshold(label))
        else:
            counts = scored[label].counts(threshold)
            known = threshold >= scored[label].complete_from
        metrics[label] = LabelMetrics(
            counts.f1 if known else None,
            counts.precision if known else None,
            counts.recall,
            threshold,
            label_tally.images,
        )
    return attrs.evolve(
        base,
        f1=mean_defined(metric.f1 for metric in metrics.values()),
        precision=mean_defined(metric.precision for metric in metrics.values()),
        recall=mean_defined(metric.recall for metric in metrics.values()),
        labels=by_f1(metrics.items()),
        confusion_matrix=_confusion(counted, base),
        mean_average_precision=mean_defined(label.coco_average_precision() for label in scored.values())
        if counted.detection
        else None,
        mean_average_recall=mean_defined(label.recall_at_any_confidence() for label in scored.values())
        if counted.detection
        else None,
        test_images=counted.images,
        extra={},
        _assumed=assumed,
    )


def _confusion(counted: Tally, base: ResultFields) -> ConfusionMatrix | None:
    """Return the confusion of a classifier; the summary knows it better than a file without some labels."""
    if counted.detection:
        return None
    if base.confusion_matrix is not None and not counted.lists_all:
        return base.confusion_matrix
    return counted.confusion()


def compare_with_summary(images: Iterable[EvaluatedImage], summary: ResultFields) -> tuple[Discrepancy, ...]:
    """Compare the values of the summary with those computed from the test images.

    A result that was itself computed from test images has no summary to compare with.
    """
    if summary.is_recomputed:
        return ()
    counted = recompute(images, summary, None)
    found = [
        Discrepancy(None, metric, said, computed)
        for metric, said, computed in (
            ("f1", summary.f1, counted.f1),
            ("precision", summary.precision, counted.precision),
            ("recall", summary.recall, counted.recall),
            ("test images", summary.test_images, counted.test_images),
        )
        if not _agree(said, computed)
    ]
    for label, recomputed in counted.labels.items():
        stated = summary.labels.get(label, LabelMetrics())
        found += [
            Discrepancy(label, metric, said, computed)
            for metric, said, computed in (
                ("f1", stated.f1, recomputed.f1),
                ("precision", stated.precision, recomputed.precision),
                ("recall", stated.recall, recomputed.recall),
            )
            if not _agree(said, computed)
        ]
    return tuple(found)


def _agree(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _TOLERANCE


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6g}"
