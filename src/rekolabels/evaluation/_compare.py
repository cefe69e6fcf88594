"""Comparison of two models on the same test images, with confidence intervals and a significance test."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from rekolabels._arguments import check_choice, check_flag, check_fraction, check_integer, check_seed, shown
from rekolabels._display import align, counted
from rekolabels.errors import InvalidInput, ModelRegressed
from rekolabels.evaluation._checks import check_label
from rekolabels.evaluation._metrics import Counts, mean_defined
from rekolabels.evaluation._report._table import plain_label

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rekolabels.evaluation._images import EvaluatedImage

__all__ = ["METRICS", "Comparison", "Difference", "McNemar", "check_no_regression", "compare_images"]

Metric = Literal["f1", "precision", "recall"]
METRICS: tuple[Metric, ...] = ("f1", "precision", "recall")
_TAIL = 0.025
"""Share of the resamples outside of a 95 % interval, on each side."""
_COLUMNS = ("Label", "Metric", "Before", "After", "Change", "95 % interval")

# for a label: true positives, false positives and false negatives of the baseline, then of the new model
_Row: TypeAlias = tuple[str, int, int, int, int, int, int]


@attrs.frozen
class McNemar:
    """McNemar's exact test, on the images that only one of two models gets right."""

    only_before: int
    """Number of images that only the baseline gets entirely right."""
    only_after: int
    """Number of images that only the new model gets entirely right."""

    @property
    def p_value(self) -> float:
        """Probability that equally good models differ at least this much, 0 to 1.

        Examples:
            >>> McNemar(1, 9).p_value
            0.021484375
        """
        total, fewer = self.only_before + self.only_after, min(self.only_before, self.only_after)
        log_all = math.lgamma(total + 1) - total * math.log(2)
        tail = sum(
            math.exp(log_all - math.lgamma(hits + 1) - math.lgamma(total - hits + 1))
            for hits in range(fewer + 1)
        )
        return min(1.0, round(2 * tail, 12))


@attrs.frozen
class Difference:
    """One metric of both models."""

    label: str | None
    """Label of the metric; None for the mean over the labels."""
    metric: Metric
    """``f1``, ``precision`` or ``recall``."""
    before: float | None
    """Value of the baseline, 0 to 1; None if it is undefined."""
    after: float | None
    """Value of the new model, 0 to 1; None if it is undefined."""
    interval: tuple[float, float] | None
    """95 % confidence interval of the change (paired bootstrap over the images)."""

    @property
    def change(self) -> float | None:
        """``after`` minus ``before``; None if either is undefined."""
        return None if self.before is None or self.after is None else self.after - self.before

    def is_worse(self, tolerance: float = 0.0, *, strict: bool = False) -> bool:
        """Return whether the metric fell by more than the tolerance, and significantly.

        A loss is significant if its 95 % interval is below 0.

        Args:
            tolerance: Acceptable loss, such as 0.02.
            strict: Also count losses that are not significant.
        """
        tolerance, strict = check_fraction("tolerance", tolerance), check_flag("strict", strict)
        if self.change is None:
            return self.before is not None  # a metric that was defined no longer is
        lost = self.change < -tolerance
        return lost and (strict or (self.interval is not None and self.interval[1] < 0))


@attrs.frozen
class Comparison:
    """Comparison of two models on the same test images. Prints as a table."""

    differences: tuple[Difference, ...] = attrs.field(repr=counted("differences"))
    """Differences of the means over the labels, then of each label by name: F1, precision and recall."""
    images: int
    """Number of test images that both models share, with the same ground truth."""
    left_out: int
    """Number of test images that only one model has, or whose ground truth differs."""
    mcnemar: McNemar
    """McNemar's test over images; an image is right if all its labels or boxes are."""
    by_label: Mapping[str, McNemar] = attrs.field(hash=False, repr=counted("labels"))
    """McNemar's test for each label; an image is right if this label is."""

    def difference(self, label: str | None = None, metric: Metric = "f1") -> Difference:
        """Return one difference; by default that of the mean F1.

        Args:
            label: The label; None for the mean over the labels.
            metric: ``f1``, ``precision`` or ``recall``.

        Raises:
            InvalidInput: The comparison has no such label or metric.
        """
        check_choice("metric", metric, METRICS)
        if label is not None:
            check_label("label", label, self.by_label)
        for difference in self.differences:
            if (difference.label, difference.metric) == (label, metric):
                return difference
        raise InvalidInput(f"The comparison has no {metric} of {shown(label)}.")

    def worse(
        self, tolerance: float = 0.0, *, metric: Metric = "f1", strict: bool = False
    ) -> tuple[Difference, ...]:
        """Return the differences that are worse; see :meth:`Difference.is_worse`."""
        check_choice("metric", metric, METRICS)
        check_fraction("tolerance", tolerance)
        return tuple(
            difference
            for difference in self.differences
            if difference.metric == metric and difference.is_worse(tolerance, strict=strict)
        )

    def table(self) -> list[list[str]]:
        """Return the differences as rows of text, with a header."""
        return [[*_COLUMNS], *(_row(difference) for difference in self.differences)]

    def headline(self) -> str:
        """Return the number of images and the result of McNemar's test in one line."""
        test = self.mcnemar
        return (
            f"{self.images:,} shared test images"
            + (f", {self.left_out:,} left out" if self.left_out else "")
            + f". Right only before: {test.only_before:,}, right only after: {test.only_after:,} "
            f"(McNemar's test: p = {test.p_value:.3g})"
        )

    def __str__(self) -> str:
        return "\n".join([self.headline(), "", *align(self.table())])

    def _repr_html_(self) -> str:
        # Imported here: only notebooks need it.
        from rekolabels.evaluation._report._notebook import show_table

        return show_table(self.headline(), self.table())


def compare_images(
    before: Iterable[EvaluatedImage],
    after: Iterable[EvaluatedImage],
    *,
    only_shared: bool,
    n_resamples: int,
    seed: int,
) -> Comparison:
    """Compare two models by their verdicts at their own thresholds.

    Raises:
        InvalidInput: The test sets differ, or have no image in common.
    """
    only_shared = check_flag("only_shared", only_shared)
    n_resamples = check_integer("n_resamples", n_resamples, at_least=1)
    seed = check_seed("seed", seed)
    first, second = _by_image(before), _by_image(after)
    shared = [key for key, image in first.items() if key in second and _truth(image) == _truth(second[key])]
    left_out = len(first) + len(second) - 2 * len(shared)
    if left_out and not only_shared:
        raise InvalidInput(
            f"Cannot compare the models: their test sets differ ({len(first):,} and {len(second):,} images, "
            f"{len(shared):,} in common with the same labels). Use only_shared=True to compare on the images "
            "in common."
        )
    if not shared:
        raise InvalidInput("Cannot compare the models: they have no test images in common.")
    patterns: Counter[tuple[_Row, ...]] = Counter()
    right = Counter[tuple[bool, bool]]()
    by_label: dict[str, Counter[tuple[bool, bool]]] = {}
    for key in shared:
        rows = _rows(first[key], second[key])
        patterns[rows] += 1
        right[not any(row[2] or row[3] for row in rows), not any(row[5] or row[6] for row in rows)] += 1
        for row in rows:
            sides = not (row[2] or row[3]), not (row[5] or row[6])
            by_label.setdefault(row[0], Counter())[sides] += 1
    labels = sorted(by_label)
    return Comparison(
        tuple(_differences(patterns, labels, len(shared), n_resamples, seed)),
        len(shared),
        left_out,
        _mcnemar(right),
        {label: _mcnemar(by_label[label]) for label in labels},
    )


def check_no_regression(comparison: Comparison, tolerance: float, metric: Metric, *, strict: bool) -> None:
    """Check that no value of the metric is worse.

    Raises:
        ModelRegressed: A value is worse.
    """
    worse = comparison.worse(tolerance, metric=metric, strict=strict)
    if worse:
        lost = "\n".join(align([_COLUMNS, *map(_row, worse)]))
        raise ModelRegressed(
            f"The model is worse than the baseline in {metric} (tolerance {tolerance:g}).\n"
            f"{lost}\n\n{comparison}",
            comparison=comparison,
        )


def _by_image(images: Iterable[EvaluatedImage]) -> dict[tuple[str, int], EvaluatedImage]:
    """Index images by source and occurrence, since a test set can contain an image twice."""
    seen: Counter[str] = Counter()
    indexed: dict[tuple[str, int], EvaluatedImage] = {}
    for image in images:
        indexed[image.source, seen[image.source]] = image
        seen[image.source] += 1
    return indexed


def _truth(image: EvaluatedImage) -> tuple[object, ...]:
    boxes = sorted((box.label, box.left, box.top, box.width, box.height) for box in image.boxes)
    return (*sorted(image.labels), *boxes)


def _rows(first: EvaluatedImage, second: EvaluatedImage) -> tuple[_Row, ...]:
    counts: dict[str, list[int]] = {}
    for offset, image in ((0, first), (3, second)):
        unjudged = Counter(image.truths)
        for verdict in image.verdicts:
            if verdict.kind == "true negative":
                continue
            row = counts.setdefault(verdict.label, [0] * 6)
            at = {"true positive": 0, "false positive": 1, "false negative": 2}[verdict.kind]
            row[offset + at] += 1
            unjudged[verdict.label] -= verdict.in_ground_truth
        for label, left in unjudged.items():
            if left > 0:  # an occurrence without a verdict was missed
                counts.setdefault(label, [0] * 6)[offset + 2] += left
    return tuple((label, *row) for label, row in sorted(counts.items()))  # type: ignore[misc]  # six numbers


def _differences(
    patterns: Counter[tuple[_Row, ...]], labels: list[str], images: int, n_resamples: int, seed: int
) -> Iterable[Difference]:
    keys, rng = list(patterns), random.Random(seed)  # noqa: S311 - a bootstrap needs no cryptographic randomness
    values = _values(patterns, labels)
    cumulative: list[int] = []
    for pattern in keys:
        cumulative.append(patterns[pattern] + (cumulative[-1] if cumulative else 0))
    changes: dict[tuple[str | None, Metric], list[float]] = {key: [] for key in values}
    for _ in range(n_resamples):
        sample = Counter(rng.choices(keys, cum_weights=cumulative, k=images))
        for metric, (before, after) in _values(sample, labels).items():
            if before is not None and after is not None:
                changes[metric].append(after - before)
    for metric, (before, after) in values.items():
        yield Difference(*metric, before, after, _interval(changes[metric]))


def _values(
    patterns: Mapping[tuple[_Row, ...], int], labels: list[str]
) -> dict[tuple[str | None, Metric], tuple[float | None, float | None]]:
    totals: dict[str, list[int]] = {label: [0] * 6 for label in labels}
    for rows, times in patterns.items():
        for label, *counts in rows:
            total = totals[label]
            for at, count in enumerate(counts):
                if count:
                    total[at] += times * count
    sides = [{label: Counts(*total[at : at + 3]) for label, total in totals.items()} for at in (0, 3)]
    found: dict[tuple[str | None, Metric], tuple[float | None, float | None]] = {}
    for metric in METRICS:
        means = [mean_defined(getattr(counts, metric) for counts in side.values()) for side in sides]
        found[None, metric] = means[0], means[1]
    for label in labels:
        for metric in METRICS:
            found[label, metric] = getattr(sides[0][label], metric), getattr(sides[1][label], metric)
    return found


def _interval(changes: list[float]) -> tuple[float, float] | None:
    """Return the middle 95 % of the changes over the resamples."""
    if not changes:
        return None
    changes.sort()
    out = math.floor(_TAIL * len(changes))
    return changes[out], changes[-1 - out]


def _mcnemar(right: Counter[tuple[bool, bool]]) -> McNemar:
    return McNemar(right[True, False], right[False, True])


def _row(difference: Difference) -> list[str]:
    change = "n/a" if difference.change is None else f"{difference.change:+.3f}"
    bounds = difference.interval
    interval = "" if bounds is None else f"{bounds[0]:+.3f} to {bounds[1]:+.3f}"
    shown = ["n/a" if value is None else f"{value:.3f}" for value in (difference.before, difference.after)]
    return [
        "All labels" if difference.label is None else plain_label(difference.label),
        difference.metric,
        *shown,
        change,
        interval,
    ]
