"""What a split balances: the images, labels and boxes of each unit, and their counts."""

from __future__ import annotations

import itertools
import operator
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import attrs

from rekolabels.splits._groups import Units, labels_of
from rekolabels.splits._stratify import Feature, Row

__all__ = ["Table", "make_table"]


@attrs.frozen
class Table:
    """The features of some units, in the order in which they are dealt out."""

    rows: Sequence[Row]
    """The features of each unit."""
    sizes: Sequence[int]
    """The images of each unit."""
    members: Mapping[Feature, Sequence[int]]
    """The rows that have each feature, in order."""
    totals: Mapping[Feature, int]
    """How often each feature occurs in all rows."""
    repeats: bool
    """Whether a unit may have a feature, or an image, more than once."""

    @classmethod
    def of(cls, rows: Sequence[Row], sizes: Sequence[int], *, repeats: bool) -> Table:
        """Count rows."""
        members: defaultdict[Feature, list[int]] = defaultdict(list)
        for number, row in enumerate(map(set, rows) if repeats else rows):
            for feature in row:
                members[feature].append(number)
        totals: Mapping[Feature, int] = {feature: len(numbers) for feature, numbers in members.items()}
        if repeats:
            totals = Counter(itertools.chain.from_iterable(rows))
        return cls(rows, sizes, dict(members), totals, repeats)

    def part(self, numbers: Sequence[int]) -> Table:
        """Some of the rows, counted anew unless they are all."""
        if len(numbers) == len(self.rows):
            return self
        rows = [self.rows[number] for number in numbers]
        return Table.of(rows, [self.sizes[number] for number in numbers], repeats=self.repeats)


def make_table(units: Units) -> Table:
    """Count images, labels and boxes of each unit."""
    if units.members is not None or any(map(operator.attrgetter("boxes"), units.images)):
        rows: list[Row] = []
        for place in range(len(units)):
            images = [units.images[index] for index in units.indices(place)]
            labels = [label for image in images for label in sorted(labels_of(image))]
            rows.append((*labels, *((box.label,) for image in images for box in image.boxes)))
        sizes = [len(units.indices(place)) for place in range(len(units))]
        return Table.of(rows, sizes, repeats=True)
    # The labels themselves, which makes no new objects; a label that an image has twice is one label.
    sets: list[tuple[str, ...]] = list(map(operator.attrgetter("labels"), units.images))
    if sum(map(len, sets)) != sum(map(len, map(set, sets))):
        sets = [tuple(dict.fromkeys(labels)) for labels in sets]
    return Table.of([sets[index] for index in units.order], [1] * len(sets), repeats=False)
