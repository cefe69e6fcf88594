"""Whether one model is better than another, or just luckier: paired on the same test images."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

import attrs

from rekolabels.errors import InvalidInput, ModelRegressed
from rekolabels.evaluation._metrics import Counts, mean_defined
from rekolabels.evaluation._report._table import align, plain_label

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rekolabels.evaluation._images import EvaluatedImage

__all__ = ["Comparison", "Difference", "McNemar", "check_no_regression", "compare_images"]

Metric = Literal["f1", "precision", "recall"]
_METRICS: tuple[Metric, ...] = ("f1", "precision", "recall")
_OUTER = 0.025
"""What lies outside of a 95 % interval on each side."""

# for a label: right, made up and missed, by the first model, then by the second
_Row: TypeAlias = tuple[str, int, int, int, int, int, int]


@attrs.frozen
class McNemar:
    """McNemar's exact test: do the models differ on the images that only one of them gets right?"""

    only_before: int
    """Images that only the baseline gets entirely right."""
    only_after: int
    """Images that only the new model gets entirely right."""

    @property
    def p_value(self) -> float:
        """How often equal models would differ at least so much, 0 to 1.

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
    """One figure of both models."""

    label: str | None
    """The label; None for the mean over the labels."""
    metric: Metric
    """``f1``, ``precision`` or ``recall``."""
    before: float | None
    """Of the baseline, 0 to 1."""
    after: float | None
    """Of the new model, 0 to 1."""
    interval: tuple[float, float] | None
    """Where the change lies with 95 % confidence (paired bootstrap over the images)."""

    @property
    def change(self) -> float | None:
        """After less before; None where one is undefined."""
        return None if self.before is None or self.after is None else self.after - self.before

    def is_worse(self, tolerance: float = 0.0, *, strict: bool = False) -> bool:
        """Whether the figure has fallen by more than the tolerance, and not by chance alone.

        Args:
            tolerance: A loss that does not matter.
            strict: Take every such loss for real, also one that chance may explain.
        """
        if self.change is None:
            return self.before is not None  # what was known is not known any more
        lost = self.change < -tolerance
        return lost and (strict or (self.interval is not None and self.interval[1] < 0))


@attrs.frozen
class Comparison:
    """Two models on the same test images; print it for a table."""

    differences: tuple[Difference, ...]
    """The means over the labels, then the labels by name, each with F1, precision and recall."""
    images: int
    """Test images that both models were tested with, with the same truths."""
    left_out: int
    """Test images that only one was tested with, or whose truths differ."""
    mcnemar: McNemar
    """Over whole images."""
    by_label: Mapping[str, McNemar] = attrs.field(hash=False)
    """Over images too, each looked at for one label."""

    def difference(self, label: str | None = None, metric: Metric = "f1") -> Difference:
        """One difference; by default that of the mean F1.

        Raises:
            KeyError: There is no such label.
        """
        for one in self.differences:
            if (one.label, one.metric) == (label, metric):
                return one
        raise KeyError(label)

    def worse(
        self, tolerance: float = 0.0, *, metric: Metric = "f1", strict: bool = False
    ) -> tuple[Difference, ...]:
        """What has fallen; see :meth:`Difference.is_worse`."""
        return tuple(
            one for one in self.differences if one.metric == metric and one.is_worse(tolerance, strict=strict)
        )

    def table(self) -> list[list[str]]:
        """The differences as rows of text, with a head."""
        head = ["Label", "Metric", "Before", "After", "Change", "95 % interval"]
        return [head, *(_row(one) for one in self.differences)]

    def headline(self) -> str:
        """The images, and what McNemar's test says of them."""
        test = self.mcnemar
        return (
            f"{self.images:,} shared test images"
            + (f", {self.left_out:,} left out" if self.left_out else "")
            + f". Only before right: {test.only_before:,}, only after: {test.only_after:,} "
            f"(McNemar p = {test.p_value:.3g})"
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
    """Compare two models by their verdicts at their own thresholds."""
    first, second = _by_image(before), _by_image(after)
    shared = [key for key, image in first.items() if key in second and _truth(image) == _truth(second[key])]
    left_out = len(first) + len(second) - 2 * len(shared)
    if left_out and not only_shared:
        raise InvalidInput(
            f"the test sets differ: {len(first):,} and {len(second):,} images, of which {len(shared):,} are "
            "the same with the same labels. Figures of different images do not compare; only_shared=True "
            "compares on the shared ones."
        )
    if not shared:
        raise InvalidInput("the models share no test images, so there is nothing to compare")
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
    """See that nothing has fallen.

    Raises:
        ModelRegressed: Something has.
    """
    worse = comparison.worse(tolerance, metric=metric, strict=strict)
    if worse:
        shown = align([["Label", "Metric", "Before", "After", "Change", "95 % interval"], *map(_row, worse)])
        lost = "\n".join(shown)
        raise ModelRegressed(
            f"the model has become worse by {metric} (tolerance {tolerance:g}):\n{lost}\n\n{comparison}",
            comparison=comparison,
        )


def _by_image(images: Iterable[EvaluatedImage]) -> dict[tuple[str, int], EvaluatedImage]:
    """By source; an image that a test set has twice is told apart by its turn."""
    turns: Counter[str] = Counter()
    found: dict[tuple[str, int], EvaluatedImage] = {}
    for image in images:
        found[image.source, turns[image.source]] = image
        turns[image.source] += 1
    return found


def _truth(image: EvaluatedImage) -> tuple[object, ...]:
    boxes = sorted((box.label, box.left, box.top, box.width, box.height) for box in image.boxes)
    return (*sorted(image.labels), *boxes)


def _rows(first: EvaluatedImage, second: EvaluatedImage) -> tuple[_Row, ...]:
    counts: dict[str, list[int]] = {}
    for offset, image in ((0, first), (3, second)):
        there = Counter(image.truths)
        for verdict in image.verdicts:
            if verdict.kind == "true negative":
                continue
            row = counts.setdefault(verdict.label, [0] * 6)
            at = {"true positive": 0, "false positive": 1, "false negative": 2}[verdict.kind]
            row[offset + at] += 1
            there[verdict.label] -= verdict.in_ground_truth
        for label, left in there.items():
            if left > 0:  # a truth without a verdict was missed
                counts.setdefault(label, [0] * 6)[offset + 2] += left
    return tuple((label, *row) for label, row in sorted(counts.items()))  # type: ignore[misc]  # six numbers


def _differences(
    patterns: Counter[tuple[_Row, ...]], labels: list[str], images: int, n_resamples: int, seed: int
) -> Iterable[Difference]:
    keys, draw = list(patterns), random.Random(seed)  # noqa: S311 - a bootstrap keeps no secrets
    now = _figures(patterns, labels)
    cumulative: list[int] = []
    for key in keys:
        cumulative.append(patterns[key] + (cumulative[-1] if cumulative else 0))
    changes: dict[tuple[str | None, Metric], list[float]] = {what: [] for what in now}
    for _ in range(n_resamples):
        sample = Counter(draw.choices(keys, cum_weights=cumulative, k=images))
        for what, (before, after) in _figures(sample, labels).items():
            if before is not None and after is not None:
                changes[what].append(after - before)
    for what, (before, after) in now.items():
        yield Difference(*what, before, after, _interval(changes[what]))


def _figures(
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
    for metric in _METRICS:
        means = [mean_defined(getattr(one, metric) for one in side.values()) for side in sides]
        found[None, metric] = means[0], means[1]
    for label in labels:
        for metric in _METRICS:
            found[label, metric] = getattr(sides[0][label], metric), getattr(sides[1][label], metric)
    return found


def _interval(changes: list[float]) -> tuple[float, float] | None:
    """The middle 95 % of what the resampled images give."""
    if not changes:
        return None
    changes.sort()
    out = math.floor(_OUTER * len(changes))
    return changes[out], changes[-1 - out]


def _mcnemar(right: Counter[tuple[bool, bool]]) -> McNemar:
    return McNemar(right[True, False], right[False, True])


def _row(one: Difference) -> list[str]:
    change = "n/a" if one.change is None else f"{one.change:+.3f}"
    interval = "" if one.interval is None else f"{one.interval[0]:+.3f} to {one.interval[1]:+.3f}"
    shown = ["n/a" if value is None else f"{value:.3f}" for value in (one.before, one.after)]
    return [
        "All labels" if one.label is None else plain_label(one.label),
        one.metric,
        *shown,
        change,
        interval,
    ]
