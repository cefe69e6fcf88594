"""Split images into training and test images, or into folds."""

from __future__ import annotations

import itertools
import operator
from fractions import Fraction
from typing import TYPE_CHECKING

import attrs

from rekolabels._arguments import check_flag, check_fraction, check_integer, invalid
from rekolabels._display import counted
from rekolabels.errors import CannotSplit
from rekolabels.images import LabelledImage
from rekolabels.splits._assign import assign_test, check_divisible
from rekolabels.splits._balance import Balance, make_balance
from rekolabels.splits._groups import (
    FeatureTable,
    GroupBy,
    Groups,
    gather_images,
    make_groups,
    make_table,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

__all__ = ["Split", "folds", "split"]


@attrs.frozen
class Split:
    """Training and test images without an image in common; ``train, test = split(images)`` unpacks it."""

    train: tuple[LabelledImage, ...] = attrs.field(repr=counted("images"))
    """The training images, in the order of their sources."""
    test: tuple[LabelledImage, ...] = attrs.field(repr=counted("images"))
    """The test images, in the order of their sources."""
    balance: Balance
    """Counts, label by label; ``print`` shows a table."""

    def __iter__(self) -> Iterator[tuple[LabelledImage, ...]]:
        return iter((self.train, self.test))


def split(
    images: Iterable[LabelledImage],
    *,
    test: float = 0.2,
    seed: int = 0,
    group_by: GroupBy | None = None,
    near_duplicates: bool = False,
    allow_rare: bool = False,
) -> Split:
    """Split images into training and test images so that every label has its share in both.

    With one label per image, each label's test images are its exact share, rounded up or down. With several
    labels or boxes, every label's images and boxes come as close to their shares as moves of single images
    allow. Every label with two images or more is in both parts. If that conflicts with the exact share, the
    share gives way; ``balance`` shows the counts.

    The same images and the same seed give the same split: on every machine and Python version, in any order
    of the images, and after they were moved to another folder or to S3 (only the part of the sources below
    their common folder counts). An image that occurs twice stays on one side.

    Args:
        images: The images; all are held in memory.
        test: Share of the test images, more than 0 and less than 1.
        seed: Any whole number from 0 to 2**32 - 1; another seed gives another split.
        group_by: Keeps images together that belong together, such as bursts, patients or products: a function
            that returns the key of an image, or a mapping from sources to keys. Images whose key is None are
            not grouped.
        near_duplicates: Whether to keep images together that show the same picture, found with a perceptual
            hash of the local files. Needs the extra ``dedupe``.
        allow_rare: Whether to accept labels that cannot be divided because they have one image or are in one
            group only. Their images go to the training part if possible.

    Returns:
        The two parts and their balance.

    Raises:
        CannotSplit: There are fewer than two images or groups, or a label cannot be on both sides.
        InvalidInput: An argument is not valid.
        InvalidImage: ``near_duplicates`` met an image that cannot be decoded.
        MissingExtra: ``near_duplicates`` without the extra ``dedupe``.

    Examples:
        >>> from rekolabels.images import LabelledImage
        >>> cats = [LabelledImage(f"pets/cat/{n}.jpg", labels=["cat"]) for n in range(10)]
        >>> dogs = [LabelledImage(f"pets/dog/{n}.jpg", labels=["dog"]) for n in range(5)]
        >>> parts = split(cats + dogs, test=0.2, seed=7)
        >>> print(parts.balance)
        label       train  test  wanted  share
        cat             8     2     2.0  20.0%
        dog             4     1     1.0  20.0%
        all images     12     3     3.0  20.0%
    """
    share = check_share(test)
    allow_rare = check_flag("allow_rare", allow_rare)
    gathered = gather_images(images)
    groups = make_groups(gathered, seed=seed, group_by=group_by, near_duplicates=near_duplicates)
    table = make_table(groups)
    check_divisible(table, allow_rare=allow_rare)
    chosen = assign_test(table, range(len(groups)), share, allow_rare=allow_rare)
    return _make_split(groups, table, chosen, float(share))


def folds(
    images: Iterable[LabelledImage],
    k: int = 5,
    *,
    seed: int = 0,
    group_by: GroupBy | None = None,
    near_duplicates: bool = False,
    allow_rare: bool = False,
) -> tuple[Split, ...]:
    """Split images into ``k`` folds for cross-validation: each part is the test part of one fold.

    Every image is a test image in exactly one fold. Labels are balanced as in :func:`split`. A label with
    fewer than ``k`` images is missing from the test part of some folds, but from no training part.

    Args:
        images: The images; all are held in memory.
        k: Number of folds, at least 2 and at most the number of images or groups.
        seed: Any whole number from 0 to 2**32 - 1; another seed gives other folds.
        group_by: As for :func:`split`.
        near_duplicates: As for :func:`split`.
        allow_rare: Whether to accept labels with one image or in one group only. They are tested once, by a
            model that was not trained on them.

    Returns:
        The folds; the test part of each is one of the ``k`` parts.

    Raises:
        CannotSplit: As for :func:`split`, or there are fewer images or groups than folds.
        InvalidInput: An argument is not valid.

    Examples:
        >>> from rekolabels.images import LabelledImage
        >>> cats = [LabelledImage(f"pets/cat/{n}.jpg", labels=["cat"]) for n in range(10)]
        >>> [len(fold.test) for fold in folds(cats, k=3)]
        [3, 4, 3]
    """
    k = check_integer("k", k, at_least=2)  # a single fold would have no training part
    allow_rare = check_flag("allow_rare", allow_rare)
    gathered = gather_images(images)
    groups = make_groups(gathered, seed=seed, group_by=group_by, near_duplicates=near_duplicates)
    table = make_table(groups)
    check_divisible(table, allow_rare=allow_rare)
    if len(groups) < k:
        raise CannotSplit(f"Cannot make {k} folds of {len(groups)} images or groups. Use fewer folds.")
    # Halving keeps the counts of every label even; taking one fold after another would not.
    parts: list[tuple[int, Sequence[int]]] = [(k, range(len(groups)))]
    while len(parts) < k:
        parts = [half for count, rows in parts for half in _halve(table, count, rows)]
    return tuple(_make_split(groups, table, rows, 1 / k) for _, rows in parts)


def _halve(table: FeatureTable, count: int, rows: Sequence[int]) -> list[tuple[int, Sequence[int]]]:
    """Divide rows for ``count`` folds into two halves, each with its number of folds."""
    if count == 1:
        return [(count, rows)]
    first = count // 2
    minimum = (first, count - first)
    chosen = assign_test(table, rows, Fraction(first, count), allow_rare=True, minimum=minimum)
    return [
        (first, [row for row in rows if row in chosen]),
        (count - first, [row for row in rows if row not in chosen]),
    ]


def check_share(test: float) -> Fraction:
    """Return the test share as the decimal number that was written: 0.2 is 1/5, not 0.200000000000000011."""
    number = check_fraction("test", test)
    share = Fraction(str(float(number)))
    if not 0 < share < 1:
        raise invalid("test", test, "a fraction above 0 and below 1, such as 0.2")
    return share


def _make_split(groups: Groups, table: FeatureTable, chosen: Collection[int], share: float) -> Split:
    """Return the split whose test part has the chosen rows."""
    on_test = [False] * len(groups.images)
    for index in itertools.chain.from_iterable(map(groups.indices, chosen)):
        on_test[index] = True
    train = tuple(itertools.compress(groups.images, map(operator.not_, on_test)))
    test = tuple(itertools.compress(groups.images, on_test))
    return Split(train=train, test=test, balance=make_balance(table, chosen, share))
