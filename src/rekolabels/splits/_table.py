"""What a split balances: the images, labels and boxes of each unit, and their counts."""

from __future__ import annotations

import itertools
import operator
from collections import Counter
from collections.abc import Mapping, Sequence

import attrs

from rekolabels.splits._stratify import Feature, Row
from rekolabels.splits._units import Units, labels_of

__all__ = ["Table", "make_table"]


@attrs.frozen
class Table:
    """The features of all units, in the order in which they are dealt out."""

    rows: Sequence[Row]
    """The features of each unit."""
    sizes: Sequence[int]
    """The images of each unit."""
    totals: Mapping[Feature, int]
    """How often each feature occurs in all units."""
    repeats: bool
    """Whether a unit may have a feature, or an image, more than once."""

    def holders(self) -> Mapping[Feature, int]:
        """In how many units each feature is."""
        return Counter(itertools.chain.from_iterable(map(set, self.rows))) if self.repeats else self.totals


def make_table(units: Units) -> Table:
    """Count images, labels and boxes of each unit."""
    repeats = units.members is not None or any(map(operator.attrgetter("boxes"), units.images))
    if repeats:
        rows: list[Row] = []
        for place in range(len(units)):
            images = [units.images[index] for index in units.indices(place)]
            labels = [label for image in images for label in sorted(labels_of(image))]
            rows.append((*labels, *((box.label,) for image in images for box in image.boxes)))
        sizes = [len(units.indices(place)) for place in range(len(units))]
    else:
        # The labels themselves, which makes no new objects; a label that an image has twice is one label.
        sets: list[tuple[str, ...]] = list(map(operator.attrgetter("labels"), units.images))
        if sum(map(len, sets)) != sum(map(len, map(set, sets))):
            sets = [tuple(dict.fromkeys(labels)) for labels in sets]
        rows = [sets[index] for index in units.order]
        sizes = [1] * len(rows)
    return Table(rows, sizes, Counter(itertools.chain.from_iterable(rows)), repeats)
