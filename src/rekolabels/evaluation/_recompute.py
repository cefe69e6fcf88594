"""Figures computed again from the test images, at any threshold, and how far the summary agrees with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar

import attrs

from rekolabels.evaluation._confusion import TopConfusion
from rekolabels.evaluation._metrics import Counts, ScoredLabel, mean_defined
from rekolabels.evaluation._values import LabelMetrics, ResultFields, Verdict, VerdictKind, by_f1

if TYPE_CHECKING:
    from rekolabels.evaluation._images import EvaluatedImage

__all__ = ["Discrepancy", "Tally", "compare_with_summary", "recompute", "tally"]

Fields = TypeVar("Fields", bound=ResultFields)

_CLOSE = 1e-6
"""Summaries hold some figures in single precision."""


@attrs.frozen
class Discrepancy:
    """A figure that the summary and the snapshot tell differently."""

    label: str | None
    """The label; None for a figure of the whole."""
    metric: str
    """``f1``, ``precision``, ``recall`` or ``test images``."""
    summary: float | None
    """What the summary says; None where it says nothing."""
    snapshot: float | None
    """What the test images of the snapshot amount to."""

    def __str__(self) -> str:
        whose = "" if self.label is None else f"{self.label}: "
        said, seen = _shown(self.summary), _shown(self.snapshot)
        return f"{whose}{self.metric} is {said} in the summary, {seen} by the images"


@attrs.define
class _LabelTally:
    """What the verdicts say of one label."""

    right: list[float] = attrs.field(factory=list[float])
    wrong: list[float] = attrs.field(factory=list[float])
    undetected: int = 0
    images: int = 0
    kinds: Counter[VerdictKind] = attrs.field(factory=Counter["VerdictKind"])
    lowest_counted: float | None = None
    highest_left: float | None = None
    """The highest confidence that did not count."""

    def add(self, verdict: Verdict, *, detection: bool) -> None:
        """Count a verdict of the file."""
        self.kinds[verdict.kind] += 1
        confidence = verdict.confidence
        if verdict.kind in {"true positive", "false positive"}:
            lowest = self.lowest_counted
            self.lowest_counted = confidence if lowest is None else min(confidence, lowest)
        else:
            self.highest_left = max(confidence, self.highest_left or 0.0)
        if not verdict.in_ground_truth:
            self.wrong.append(confidence)
        elif detection and confidence == 0:
            self.undetected += 1  # no box met it: the row stands for the object itself
        else:
            self.right.append(confidence)

    def miss(self, times: int, *, detection: bool) -> None:
        """Count truths that the file has no verdict for: they were missed."""
        self.kinds["false negative"] += times
        if detection:
            self.undetected += times
        else:
            self.right += [0.0] * times


@attrs.define
class Tally:
    """What the verdicts of all test images say."""

    labels: dict[str, _LabelTally] = attrs.field(factory=dict[str, _LabelTally])
    images: int = 0
    detection: bool = False
    confusion: TopConfusion = attrs.field(factory=TopConfusion)

    def scored(self, thresholds: Mapping[str, float | None] | None = None) -> dict[str, ScoredLabel]:
        """The confidences of each label; the assumed thresholds are where a detector's list begins."""
        assumed = thresholds or {}
        return {
            label: ScoredLabel(
                one.right,
                one.wrong,
                one.undetected,
                unscored=0
                if self.detection
                else self.images - len(one.right) - len(one.wrong) - one.undetected,
                complete_from=self._complete_from(one, assumed.get(label)),
            )
            for label, one in sorted(self.labels.items())
        }

    def _complete_from(self, one: _LabelTally, threshold: float | None) -> float:
        if not self.detection:
            return 0.0
        known = [value for value in (threshold, one.lowest_counted) if value is not None]
        return min(known, default=1.0)

    def counts(self, label: str) -> Counts:
        """Count the file's own verdicts."""
        one = self.labels[label]
        right, wrong = one.kinds["true positive"], one.kinds["false positive"]
        missed = one.kinds["false negative"]
        return Counts(right, wrong, missed, None if self.detection else self.images - right - wrong - missed)

    def threshold(self, label: str) -> float | None:
        """Where the assumed threshold must lie: in the middle between what counts and what does not."""
        one = self.labels[label]
        if one.lowest_counted is None:
            return None
        if one.highest_left is None or one.highest_left >= one.lowest_counted:
            return one.lowest_counted
        return (one.lowest_counted + one.highest_left) / 2


def tally(images: Iterable[EvaluatedImage]) -> Tally:
    """Go through the test images once."""
    found = Tally()
    for image in images:
        found.images += 1
        found.detection |= image.is_detection
        if not image.is_detection:
            ranked = sorted(image.verdicts, key=lambda one: (-one.confidence, one.label))
            found.confusion.add(frozenset(image.labels), [verdict.label for verdict in ranked])
        there = Counter(image.truths)
        for label in there:
            found.labels.setdefault(label, _LabelTally()).images += 1
        for verdict in image.verdicts:
            found.labels.setdefault(verdict.label, _LabelTally()).add(verdict, detection=image.is_detection)
            there[verdict.label] -= verdict.in_ground_truth
        for label, left in there.items():
            if left > 0:
                found.labels[label].miss(left, detection=image.is_detection)
    return found


def recompute(
    images: Iterable[EvaluatedImage],
    base: Fields,
    thresholds: float | Mapping[str, float] | None,
) -> Fields:
    """Make the figures anew.

    Args:
        images: The test images.
        base: For what they do not tell: the assumed thresholds, times, names.
        thresholds: None for the file's own verdicts; a label that a mapping lacks keeps its verdicts.
    """
    found = tally(images)
    for label in base.labels:
        found.labels.setdefault(label, _LabelTally())
    scored = found.scored({label: metrics.threshold for label, metrics in base.labels.items()})
    metrics: dict[str, LabelMetrics] = {}
    for label, one in found.labels.items():
        wanted = thresholds.get(label) if isinstance(thresholds, Mapping) else thresholds
        if wanted is None:
            counts, threshold = found.counts(label), base.labels.get(label, LabelMetrics()).threshold
            threshold = found.threshold(label) if threshold is None else threshold
            known = True
        else:
            counts, threshold = scored[label].counts(wanted), wanted
            known = wanted >= scored[label].complete_from
        metrics[label] = LabelMetrics(
            counts.f1 if known else None,
            counts.precision if known else None,
            counts.recall,
            threshold,
            one.images,
        )
    return attrs.evolve(
        base,
        f1=mean_defined(one.f1 for one in metrics.values()),
        precision=mean_defined(one.precision for one in metrics.values()),
        recall=mean_defined(one.recall for one in metrics.values()),
        labels=by_f1(metrics.items()),
        confusion_matrix=None if found.detection else found.confusion.matrix(sorted(metrics)),
        mean_average_precision=mean_defined(one.coco_average_precision() for one in scored.values())
        if found.detection
        else None,
        mean_average_recall=mean_defined(one.recall_at_any_confidence() for one in scored.values())
        if found.detection
        else None,
        test_images=found.images,
        extra={},
    )


def compare_with_summary(images: Iterable[EvaluatedImage], summary: ResultFields) -> tuple[Discrepancy, ...]:
    """Hold each figure of the summary against what the test images amount to."""
    counted = recompute(images, summary, None)
    found = [
        Discrepancy(None, metric, said, seen)
        for metric, said, seen in (
            ("f1", summary.f1, counted.f1),
            ("precision", summary.precision, counted.precision),
            ("recall", summary.recall, counted.recall),
            ("test images", summary.test_images, counted.test_images),
        )
        if not _agree(said, seen)
    ]
    for label, seen in counted.labels.items():
        said = summary.labels.get(label, LabelMetrics())
        found += [
            Discrepancy(label, metric, one, other)
            for metric, one, other in (
                ("f1", said.f1, seen.f1),
                ("precision", said.precision, seen.precision),
                ("recall", said.recall, seen.recall),
            )
            if not _agree(one, other)
        ]
    return tuple(found)


def _agree(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) <= _CLOSE


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.6g}"
