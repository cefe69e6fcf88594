"""What a split did, label by label."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from rekolabels.splits._table import Table


__all__ = ["Balance", "LabelBalance", "make_balance"]


@attrs.frozen
class LabelBalance:
    """How the images and boxes of one label were divided."""

    label: str
    """The label, of whole images or of boxes."""
    train: int
    """Training images that have it."""
    test: int
    """Test images that have it."""
    wanted: float
    """Test images that it should have by the share that was asked for; seldom a whole number."""
    train_boxes: int = 0
    """Its boxes in training images."""
    test_boxes: int = 0
    """Its boxes in test images."""

    @property
    def share(self) -> float:
        """The part of its images that is on the test side, from 0 to 1."""
        return self.test / (self.train + self.test)


@attrs.frozen
class Balance:
    """The counts of a split; prints as a table."""

    share: float
    """The test share that was asked for, from 0 to 1."""
    train: int
    """Training images."""
    test: int
    """Test images."""
    labels: tuple[LabelBalance, ...]
    """One entry a label, in the order of the labels."""

    @property
    def one_sided(self) -> tuple[str, ...]:
        """The labels that have images on one side only."""
        return tuple(entry.label for entry in self.labels if not (entry.train and entry.test))

    def __iter__(self) -> Iterator[LabelBalance]:
        return iter(self.labels)

    def __getitem__(self, label: str) -> LabelBalance:
        for entry in self.labels:
            if entry.label == label:
                return entry
        raise KeyError(label)

    def __str__(self) -> str:
        boxes = any(entry.train_boxes or entry.test_boxes for entry in self.labels)
        rows = [["label", "train", "test", "wanted", "share"] + ["train boxes", "test boxes"] * boxes]
        for entry in self.labels:
            row = [_line(entry.label), str(entry.train), str(entry.test), f"{entry.wanted:.1f}"]
            row.append(f"{entry.share:.1%}")
            rows.append(row + [str(entry.train_boxes), str(entry.test_boxes)] * boxes)
        total = self.train + self.test
        images = ["all images", str(self.train), str(self.test), f"{self.share * total:.1f}"]
        rows.append([*images, f"{self.test / total:.1%}"])
        if boxes:
            rows[-1].append(str(sum(entry.train_boxes for entry in self.labels)))
            rows[-1].append(str(sum(entry.test_boxes for entry in self.labels)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
        )


def make_balance(table: Table, chosen: Collection[int], share: float) -> Balance:
    """Count what lies on each side, given the rows of the test side."""
    test = Counter(itertools.chain.from_iterable(table.rows[row] for row in chosen))
    test_size = sum(table.sizes[row] for row in chosen)
    totals = table.totals
    return Balance(
        share=share,
        train=sum(table.sizes) - test_size,
        test=test_size,
        labels=tuple(
            LabelBalance(
                label=label,
                train=totals[label] - test[label],
                test=test[label],
                wanted=share * totals[label],
                train_boxes=totals.get((label,), 0) - test[label,],
                test_boxes=test[label,],
            )
            for label in sorted(feature for feature in totals if isinstance(feature, str))
        ),
    )


def _line(label: str) -> str:
    """A label in one printable line, whatever it holds."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in label)
