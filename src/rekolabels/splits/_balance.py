"""Counts of a split, label by label."""

from __future__ import annotations

import difflib
import itertools
from collections import Counter
from typing import TYPE_CHECKING

import attrs

from rekolabels._arguments import shown
from rekolabels._display import align, as_html, counted
from rekolabels.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from rekolabels.splits._groups import FeatureTable

__all__ = ["Balance", "LabelBalance", "make_balance"]


@attrs.frozen
class LabelBalance:
    """Images and boxes of one label on both sides of a split."""

    label: str
    """The label, image-level or of boxes."""
    train: int
    """Training images with this label."""
    test: int
    """Test images with this label."""
    wanted: float
    """Test images that the requested share asks for; seldom a whole number."""
    train_boxes: int = 0
    """Boxes with this label in training images."""
    test_boxes: int = 0
    """Boxes with this label in test images."""

    @property
    def share(self) -> float:
        """Share of its images that are test images, 0 to 1."""
        return self.test / (self.train + self.test)


@attrs.frozen
class Balance:
    """Counts of a split, label by label; ``print`` shows a table."""

    share: float
    """Requested share of test images, 0 to 1."""
    train: int
    """Number of training images."""
    test: int
    """Number of test images."""
    labels: tuple[LabelBalance, ...] = attrs.field(repr=counted("labels"))
    """One entry per label, sorted by label."""

    @property
    def one_sided(self) -> tuple[str, ...]:
        """Labels with images on one side only."""
        return tuple(entry.label for entry in self.labels if not (entry.train and entry.test))

    def __iter__(self) -> Iterator[LabelBalance]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __contains__(self, label: object) -> bool:
        return any(label in (entry.label, entry) for entry in self.labels)

    def __getitem__(self, label: str) -> LabelBalance:
        for entry in self.labels:
            if entry.label == label:
                return entry
        near = difflib.get_close_matches(str(label), [entry.label for entry in self.labels], 1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise InvalidInput(f"label is {shown(label)}, which the images of the split do not have.{meant}")

    def __str__(self) -> str:
        boxes = any(entry.train_boxes or entry.test_boxes for entry in self.labels)
        rows = [["label", "train", "test", "wanted", "share"] + ["train boxes", "test boxes"] * boxes]
        for entry in self.labels:
            row = [_printable(entry.label), str(entry.train), str(entry.test), f"{entry.wanted:.1f}"]
            row.append(f"{entry.share:.1%}")
            rows.append(row + [str(entry.train_boxes), str(entry.test_boxes)] * boxes)
        total = self.train + self.test
        images = ["all images", str(self.train), str(self.test), f"{self.share * total:.1f}"]
        rows.append([*images, f"{self.test / total:.1%}"])
        if boxes:
            rows[-1].append(str(sum(entry.train_boxes for entry in self.labels)))
            rows[-1].append(str(sum(entry.test_boxes for entry in self.labels)))
        return "\n".join(align(rows))

    _repr_html_ = as_html


def make_balance(table: FeatureTable, chosen: Collection[int], share: float) -> Balance:
    """Count images and boxes on both sides, given the rows of the test side."""
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


def _printable(label: str) -> str:
    """Return a label as one printable line."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in label)
