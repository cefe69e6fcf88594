"""Deal units out to the test side: the counts of their labels, the exact way and the balanced way."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING

from rekolabels.errors import CannotSplit
from rekolabels.splits._stratify import Feature, Problem, Row, divide

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rekolabels.splits._table import Table

__all__ = ["check", "deal"]

_NAMED = 10  # labels that a message names
# An image's labels and its boxes are both balanced; where they pull in two directions, labels pull harder.
_BOX_WEIGHT = 0.5


def check(table: Table, *, allow_rare: bool) -> None:
    """Refuse what cannot be divided.

    Raises:
        CannotSplit: There are fewer than two units, or (unless ``allow_rare``) a label is in one unit only.
    """
    if len(table.rows) < 2:  # noqa: PLR2004 - two sides need one each
        what = "no images were given" if not table.rows else "all images are one image or one group"
        raise CannotSplit(f"{what}; a split needs at least two that can be told apart")
    rare = sorted(label for label, rows in table.members.items() if isinstance(label, str) and len(rows) == 1)
    if rare and not allow_rare:
        images = table.totals
        named = _named(
            f"{label!r} ({'one image' if images[label] == 1 else f'{images[label]} images in one group'})"
            for label in rare
        )
        raise CannotSplit(
            f"these labels cannot be in both the training and the test images: {named}. Add images of "
            "them (of another group), remove them, or pass allow_rare=True to keep their images in training"
        )


def deal(
    table: Table, part: Sequence[int], share: Fraction, *, allow_rare: bool, least: tuple[int, int] = (1, 1)
) -> set[int]:
    """Choose rows for the test side.

    Args:
        table: The features of all rows.
        part: The rows to divide, in their order.
        share: The test side's part of them.
        allow_rare: Whether a label may be missing from a side though it is in two rows.
        least: How many rows the test side and the other side need; together no more than there are.

    Raises:
        CannotSplit: No way was found to have each label on both sides, and ``allow_rare`` is not set.
    """
    of_part = table.part(part)
    if table.repeats or any(len(features) > 1 for features in of_part.rows):
        sides = _balanced(of_part, share, allow_rare=allow_rare)
        chosen = set(itertools.compress(part, sides))
    else:
        chosen = {part[number] for number in _exact(of_part.rows, share)}
    # Where no label asks for it (too few images, or large groups), a side may have come out too small.
    missing = max(least[0] - len(chosen), 0) or min(len(part) - len(chosen) - least[1], 0)
    if missing:
        giving = [row for row in part if (row in chosen) is (missing < 0)]
        giving.sort(key=lambda row: table.sizes[row])
        chosen.symmetric_difference_update(giving[: abs(missing)])
    return chosen


def _exact(rows: Sequence[Row], share: Fraction) -> Iterable[int]:
    """Images with one label at most: each label's exact share, the rest where the remainders are largest."""
    by_label: dict[Row, list[int]] = {}
    for number, features in enumerate(rows):
        by_label.setdefault(features, []).append(number)
    strata = [by_label[features] for features in sorted(by_label, key=lambda row: str(row[:1]))]
    counts = [min(max(int(share * len(stratum)), 1), len(stratum) - 1) for stratum in strata]
    missing = _rounded(share * len(rows)) - sum(counts)
    # Labels in the order of what rounding down took from them; those raised to one image have had their part.
    gains = [(share * len(stratum) - counts[index], -index) for index, stratum in enumerate(strata)]
    for gain, negative in sorted(gains, reverse=True):
        if missing <= 0 or gain <= 0:
            break
        if counts[-negative] + 1 < len(strata[-negative]):
            counts[-negative] += 1
            missing -= 1
    return itertools.chain(*(stratum[:count] for stratum, count in zip(strata, counts, strict=True)))


def _balanced(table: Table, share: Fraction, *, allow_rare: bool) -> list[bool]:
    """Images with several labels or boxes, or groups of images: as close as can be.

    Raises:
        CannotSplit: No way was found to have each label on both sides, and ``allow_rare`` is not set.
    """
    problem = _problem(table, share)
    sides = divide(problem)
    if not allow_rare:
        on_test = Counter(itertools.chain.from_iterable(itertools.compress(table.rows, sides)))
        missing = [label for label in problem.guarded if on_test[label] in {0, problem.totals[label]}]
        if missing:
            raise CannotSplit(
                "no way was found to have these labels in both parts: "
                f"{_named(sorted(map(repr, missing)))}. Their images share other rare labels; add images of "
                "them, or pass allow_rare=True"
            )
    return sides


def _problem(table: Table, share: Fraction) -> Problem:
    totals, size = table.totals, sum(table.sizes)
    # In an order of their own: the order of a set of texts changes from run to run.
    features = sorted(totals, key=lambda feature: (isinstance(feature, tuple), feature))
    guarded = {
        feature for feature in features if isinstance(feature, str) and len(table.members[feature]) > 1
    }
    return Problem(
        rows=table.rows,
        sizes=table.sizes,
        size=size,
        test_size=min(max(_rounded(share * size), 1), size - 1),
        members=table.members,
        totals={feature: totals[feature] for feature in features},
        wanted={f: _wanted(share * totals[f], totals[f], f, guarded=f in guarded) for f in features},
        weights={f: (_BOX_WEIGHT if isinstance(f, tuple) else 1.0) / totals[f] for f in features},
        guarded=guarded,
        repeats=table.repeats,
    )


def _wanted(part: Fraction, total: int, feature: Feature, *, guarded: bool) -> float:
    if isinstance(feature, tuple):
        return float(part)
    # A label that cannot be on both sides belongs to the training part.
    return min(max(float(part), 1.0), total - 1.0) if guarded else 0.0


def _rounded(number: Fraction) -> int:
    """The nearest whole number, halves upwards."""
    return int(number + Fraction(1, 2))


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more} more" if more > 0 else "")
