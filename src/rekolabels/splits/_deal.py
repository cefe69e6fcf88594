"""Deal units out to the test side: the counts of their labels, the exact way and the balanced way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from fractions import Fraction

import attrs

from rekolabels.errors import CannotSplit
from rekolabels.splits._stratify import SIZE, Features, Problem, divide
from rekolabels.splits._units import Units, labels_of

__all__ = ["Table", "check", "deal", "make_table"]

_NAMED = 10  # labels that a message names
# An image's labels and its boxes are both balanced; where they pull in two directions, labels pull harder.
_BOX_WEIGHT = 0.5


@attrs.frozen
class Table:
    """The features of all units, in the order in which they are dealt out."""

    rows: Sequence[Features]
    """What each unit holds: see :class:`rekolabels.splits._stratify.Problem`."""
    labels: Sequence[str]
    """The label of each feature; empty text for the size."""
    boxes: Sequence[bool]
    """Which features count boxes rather than images."""


def make_table(units: Units) -> Table:
    """Count images, labels and boxes of each unit."""
    numbers: dict[tuple[str, bool] | None, int] = {None: SIZE}

    def number(label: str, *, boxes: bool) -> int:
        return numbers.setdefault((label, boxes), len(numbers))

    # Few distinct sets of labels stand for many images: their features are made once and shared.
    known: dict[tuple[str, ...], Features] = {}
    rows: list[Features] = []
    for place in range(len(units)):
        images = [units.images[index] for index in units.indices(place)]
        if len(images) > 1 or images[0].boxes:
            counts: Counter[int] = Counter({SIZE: len(images)})
            for image in images:
                counts.update([number(label, boxes=False) for label in sorted(labels_of(image))])
                counts.update([number(box.label, boxes=True) for box in image.boxes])
            rows.append(tuple(counts.items()))
            continue
        labels = images[0].labels
        features = known.get(labels)
        if features is None:
            ones = [(number(label, boxes=False), 1) for label in dict.fromkeys(labels)]
            features = known[labels] = ((SIZE, 1), *ones)
        rows.append(features)
    names = [key or ("", False) for key in numbers]
    return Table(rows, [label for label, _ in names], [boxes for _, boxes in names])


def check(table: Table, *, allow_rare: bool) -> None:
    """Refuse what cannot be divided.

    Raises:
        CannotSplit: There are fewer than two units, or (unless ``allow_rare``) a label is in one unit only.
    """
    if len(table.rows) < 2:  # noqa: PLR2004 - two sides need one each
        what = "no images were given" if not table.rows else "all images are one image or one group"
        raise CannotSplit(f"{what}; a split needs at least two that can be told apart")
    if allow_rare:
        return
    holders = _holders(table.rows, len(table.labels))
    rare = [
        feature
        for feature in range(1, len(table.labels))
        if holders[feature] == 1 and not table.boxes[feature]
    ]
    if rare:
        images = {feature: count for row in table.rows for feature, count in row if feature in set(rare)}
        named = _named(
            f"{table.labels[f]!r} ({'one image' if images[f] == 1 else f'{images[f]} images in one group'})"
            for f in sorted(rare, key=lambda f: table.labels[f])
        )
        raise CannotSplit(
            f"these labels cannot be in both the training and the test images: {named}. Add images of "
            "them (of another group), remove them, or pass allow_rare=True to keep their images in training"
        )


def deal(table: Table, part: Sequence[int], share: Fraction, *, allow_rare: bool) -> set[int]:
    """Choose rows for the test side.

    Args:
        table: The features of all rows.
        part: The rows to divide, in their order.
        share: The test side's part of them.
        allow_rare: Whether a label may be missing from a side though it is in two rows.

    Raises:
        CannotSplit: No way was found to have each label on both sides, and ``allow_rare`` is not set.
    """
    strata: dict[Features, list[int]] = {}
    for row in part:
        strata.setdefault(table.rows[row], []).append(row)
    if all(len(features) <= 2 and dict(features)[SIZE] == 1 for features in strata):  # noqa: PLR2004 - size and label
        return _exact(list(strata.values()), len(part), share)
    problem = _problem(table, part, share)
    sides = divide(problem)
    chosen = {row for row, test in zip(part, sides, strict=True) if test}
    if not allow_rare:
        on_test = _holders([table.rows[row] for row in chosen], len(table.labels))
        missing = [
            table.labels[feature]
            for feature, guarded in enumerate(problem.guarded)
            if guarded and on_test[feature] in {0, problem.holders[feature]}
        ]
        if missing:
            raise CannotSplit(
                f"no way was found to have these labels in both parts: {_named(map(repr, sorted(missing)))}. "
                "Their images share other rare labels; add images of them, or pass allow_rare=True"
            )
    return chosen


def _exact(strata: Sequence[Sequence[int]], size: int, share: Fraction) -> set[int]:
    """Images with one label at most: each label's exact share, the rest where the remainders are largest."""
    counts = [min(max(int(share * len(rows)), 1), len(rows) - 1) for rows in strata]
    missing = _rounded(share * size) - sum(counts)
    # Labels in the order of what rounding down took from them; those raised to one image have had their part.
    gains = [(share * len(rows) - counts[index], -index) for index, rows in enumerate(strata)]
    for gain, negative in sorted(gains, reverse=True):
        if missing <= 0 or gain <= 0:
            break
        if counts[-negative] + 1 < len(strata[-negative]):
            counts[-negative] += 1
            missing -= 1
    return {row for rows, count in zip(strata, counts, strict=True) for row in rows[:count]}


def _problem(table: Table, part: Sequence[int], share: Fraction) -> Problem:
    rows = [table.rows[row] for row in part]
    totals = [0] * len(table.labels)
    for features in rows:
        for feature, count in features:
            totals[feature] += count
    holders = _holders(rows, len(table.labels))
    guarded = [
        feature != SIZE and not boxes and holders[feature] > 1 for feature, boxes in enumerate(table.boxes)
    ]
    wanted: list[float] = []
    for feature, total in enumerate(totals):
        if feature == SIZE:
            wanted.append(float(_rounded(share * total)))
        elif guarded[feature]:
            wanted.append(min(max(float(share * total), 1.0), total - 1.0))
        elif table.boxes[feature]:
            wanted.append(float(share * total))
        else:
            wanted.append(0.0)  # a label that cannot be on both sides belongs to the training part
    return Problem(
        units=rows,
        wanted=wanted,
        totals=totals,
        holders=holders,
        weights=[
            (_BOX_WEIGHT if boxes else 1.0) / max(total, 1)
            for boxes, total in zip(table.boxes, totals, strict=True)
        ],
        guarded=guarded,
    )


def _holders(rows: Iterable[Features], size: int) -> list[int]:
    """How many rows have each feature."""
    holders = [0] * size
    for features in rows:
        for feature, _ in features:
            holders[feature] += 1
    return holders


def _rounded(number: Fraction) -> int:
    """The nearest whole number, halves upwards."""
    return int(number + Fraction(1, 2))


def _named(names: Iterable[str]) -> str:
    listed = list(names)
    more = len(listed) - _NAMED
    return ", ".join(listed[:_NAMED]) + (f" and {more} more" if more > 0 else "")
