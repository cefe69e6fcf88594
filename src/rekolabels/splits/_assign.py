"""Choose the groups for the test side: exact counts for single labels, stratification for anything else."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING

from rekolabels.errors import CannotSplit
from rekolabels.splits._stratify import Feature, Row, StratifyInput, stratify

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels.splits._groups import FeatureTable

__all__ = ["assign_test", "check_divisible"]

_MAX_NAMED = 10
"""Labels that a message names."""
_BOX_WEIGHT = 0.5
"""Weight of a label's boxes; its images weigh 1, so they win where the two conflict."""


def check_divisible(table: FeatureTable, *, allow_rare: bool) -> None:
    """Check that the groups can be divided.

    Raises:
        CannotSplit: There are fewer than two groups, or (unless ``allow_rare``) a label is in one group only.
    """
    if len(table.rows) < 2:  # noqa: PLR2004 - one for each side
        reason = "no images were given" if not table.rows else "all images are one image or one group"
        raise CannotSplit(f"Cannot split: {reason}. A split needs at least two images or groups.")
    rare = sorted(label for label, rows in table.members.items() if isinstance(label, str) and len(rows) == 1)
    if rare and not allow_rare:
        images = table.totals
        names = _join_names(
            f"{label!r} ({'one image' if images[label] == 1 else f'{images[label]} images in one group'})"
            for label in rare
        )
        raise CannotSplit(
            f"Cannot split: these labels cannot be in both the training and the test images: {names}. Add "
            "images of them (in another group), remove them, or keep their images in training with "
            "allow_rare=True."
        )


def assign_test(
    table: FeatureTable,
    rows: Sequence[int],
    share: Fraction,
    *,
    allow_rare: bool,
    minimum: tuple[int, int] = (1, 1),
) -> set[int]:
    """Choose the rows for the test side.

    Args:
        table: The features of all rows.
        rows: The rows to divide, in their order.
        share: The share of them that becomes the test side, more than 0 and less than 1.
        allow_rare: Whether a label in two rows or more may be missing from a side.
        minimum: Rows that the test side and the training side need at least; together at most ``len(rows)``.

    Raises:
        CannotSplit: No division has each label on both sides, and ``allow_rare`` is not set.
    """
    subset = table.subset(rows)
    if table.repeats or any(len(features) > 1 for features in subset.rows):
        sides = _stratified(subset, share, allow_rare=allow_rare)
        chosen = set(itertools.compress(rows, sides))
    else:
        chosen = {rows[index] for index in _exact(subset.rows, share)}
    # A side may be too small when no label requires it: too few images, or large groups.
    missing = max(minimum[0] - len(chosen), 0) or min(len(rows) - len(chosen) - minimum[1], 0)
    if missing:
        candidates = [row for row in rows if (row in chosen) is (missing < 0)]
        candidates.sort(key=lambda row: table.sizes[row])
        chosen.symmetric_difference_update(candidates[: abs(missing)])
    return chosen


def _exact(rows: Sequence[Row], share: Fraction) -> Iterable[int]:
    """Divide images with at most one label: each label's exact share, largest remainders rounded up."""
    by_label: dict[Row, list[int]] = {}
    for index, features in enumerate(rows):
        by_label.setdefault(features, []).append(index)
    strata = [by_label[features] for features in sorted(by_label, key=lambda row: str(row[:1]))]
    counts = [min(max(int(share * len(stratum)), 1), len(stratum) - 1) for stratum in strata]
    missing = _round_half_up(share * len(rows)) - sum(counts)
    # Labels that were raised to one image have no positive remainder.
    remainders = [(share * len(stratum) - counts[index], -index) for index, stratum in enumerate(strata)]
    for remainder, negative in sorted(remainders, reverse=True):
        if missing <= 0 or remainder <= 0:
            break
        if counts[-negative] + 1 < len(strata[-negative]):
            counts[-negative] += 1
            missing -= 1
    return itertools.chain(*(stratum[:count] for stratum, count in zip(strata, counts, strict=True)))


def _stratified(table: FeatureTable, share: Fraction, *, allow_rare: bool) -> list[bool]:
    """Divide images with several labels or boxes, or groups of images, close to their shares.

    Raises:
        CannotSplit: No division has each label on both sides, and ``allow_rare`` is not set.
    """
    data = _stratify_input(table, share)
    sides = stratify(data)
    if not allow_rare:
        on_test = Counter(itertools.chain.from_iterable(itertools.compress(table.rows, sides)))
        missing = [label for label in data.required if on_test[label] in {0, data.totals[label]}]
        if missing:
            raise CannotSplit(
                "Cannot split: found no division with these labels in both parts: "
                f"{_join_names(sorted(map(repr, missing)))}. Their images share other rare labels. Add "
                "images of them or pass allow_rare=True."
            )
    return sides


def _stratify_input(table: FeatureTable, share: Fraction) -> StratifyInput:
    totals, size = table.totals, sum(table.sizes)
    # Sorted, because the iteration order of a set of strings changes from run to run.
    features = sorted(totals, key=lambda feature: (isinstance(feature, tuple), feature))
    required = {
        feature for feature in features if isinstance(feature, str) and len(table.members[feature]) > 1
    }
    return StratifyInput(
        rows=table.rows,
        sizes=table.sizes,
        size=size,
        test_size=min(max(_round_half_up(share * size), 1), size - 1),
        members=table.members,
        totals={feature: totals[feature] for feature in features},
        wanted={f: _wanted(share * totals[f], totals[f], f, required=f in required) for f in features},
        weights={f: (_BOX_WEIGHT if isinstance(f, tuple) else 1.0) / totals[f] for f in features},
        required=required,
        repeats=table.repeats,
    )


def _wanted(count: Fraction, total: int, feature: Feature, *, required: bool) -> float:
    if isinstance(feature, tuple):
        return float(count)
    # A label that cannot be on both sides belongs to the training side.
    return min(max(float(count), 1.0), total - 1.0) if required else 0.0


def _round_half_up(number: Fraction) -> int:
    return int(number + Fraction(1, 2))


def _join_names(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _MAX_NAMED
    return ", ".join(listed[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
