"""Training and test images from one set, and folds of it."""

from __future__ import annotations

import itertools
import operator
from fractions import Fraction
from typing import TYPE_CHECKING

import attrs

from rekolabels.errors import CannotSplit, InvalidInput
from rekolabels.images import LabelledImage
from rekolabels.splits._assign import check, deal
from rekolabels.splits._balance import Balance, make_balance
from rekolabels.splits._groups import GroupBy, Units, gather_images, make_units
from rekolabels.splits._table import Table, make_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

__all__ = ["Split", "folds", "split"]


@attrs.frozen
class Split:
    """Images in two parts that share none."""

    train: tuple[LabelledImage, ...] = attrs.field(repr=False)
    """The training images, in the order of their sources."""
    test: tuple[LabelledImage, ...] = attrs.field(repr=False)
    """The test images, in the order of their sources."""
    balance: Balance
    """The counts, label by label; prints as a table."""


def split(
    images: Iterable[LabelledImage],
    *,
    test: float = 0.2,
    seed: int = 0,
    group_by: GroupBy | None = None,
    near_duplicates: bool = False,
    allow_rare: bool = False,
) -> Split:
    """Divide images into training and test images so that every label has its share in both.

    With one label an image, each label's test images are its exact share, rounded up or down. With several
    labels or boxes, the counts of every label's images and boxes are brought as close to their shares as
    moves of single images allow. Every label that has two images is in both parts: where that and the exact
    share cannot both be had, the share gives way, and ``balance`` shows it.

    The same images and the same seed give the same split: on every machine and Python version, in any order
    of the images, and after they have moved to another folder or to S3 (only the part of the sources below
    their common folder matters). An image that occurs twice stays on one side.

    Args:
        images: The images; all are held in memory.
        test: The part that becomes test images, more than 0 and less than 1.
        seed: Any integer; another one gives another split.
        group_by: Keeps images together that belong together, such as bursts, patients or products: a function
            that gives a key for an image, or a mapping from sources to keys; None as a key is no group.
        near_duplicates: Whether to keep images together that show the same picture, found with a perceptual
            hash of the local files. Needs the extra ``dedupe``.
        allow_rare: Whether labels that cannot be divided, with one image or in one group only, may pass:
            their images go to the training part where they can. The default is an error.

    Raises:
        CannotSplit: There are fewer than two images or groups, or a label cannot be on both sides.
        InvalidInput: An argument is not as it must be.
        InvalidImage: ``near_duplicates`` met an image that cannot be decoded.
        MissingExtra: ``near_duplicates`` without the extra.

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
    share = _share(test)
    gathered = gather_images(images)
    units = make_units(gathered, seed=seed, group_by=group_by, near_duplicates=near_duplicates)
    table = make_table(units)
    check(table, allow_rare=allow_rare)
    chosen = deal(table, range(len(units)), share, allow_rare=allow_rare)
    return _parts(units, table, chosen, float(share))


def folds(
    images: Iterable[LabelledImage],
    k: int = 5,
    *,
    seed: int = 0,
    group_by: GroupBy | None = None,
    near_duplicates: bool = False,
    allow_rare: bool = False,
) -> tuple[Split, ...]:
    """Divide images into ``k`` parts and let each be the test part once: for a cross-validation.

    Every image is a test image in exactly one fold. Labels are balanced as :func:`split` does; a label with
    fewer than ``k`` images is missing from the test part of some folds, but from no training part.

    Args:
        images: The images; all are held in memory.
        k: The number of folds, at least 2 and at most the number of images or groups.
        seed: Any integer; another one gives other folds.
        group_by: As for :func:`split`.
        near_duplicates: As for :func:`split`.
        allow_rare: Whether labels with one image, or in one group only, may pass: they are tested once, by a
            model that has not seen them. The default is an error.

    Raises:
        CannotSplit: As for :func:`split`, or there are fewer images or groups than folds.
        InvalidInput: An argument is not as it must be.

    Examples:
        >>> from rekolabels.images import LabelledImage
        >>> cats = [LabelledImage(f"pets/cat/{n}.jpg", labels=["cat"]) for n in range(10)]
        >>> [len(fold.test) for fold in folds(cats, k=3)]
        [3, 4, 3]
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 2:  # noqa: PLR2004  # pyright: ignore[reportUnnecessaryIsInstance] - one fold has no training part; callers without types
        raise InvalidInput(f"k: expected a number of folds of at least 2, not {k!r}")
    gathered = gather_images(images)
    units = make_units(gathered, seed=seed, group_by=group_by, near_duplicates=near_duplicates)
    table = make_table(units)
    check(table, allow_rare=allow_rare)
    if len(units) < k:
        raise CannotSplit(f"{len(units)} images or groups cannot fill {k} folds; take fewer folds")
    # Halving keeps the counts of every label even; cutting off one fold after another would not.
    parts: list[tuple[int, Sequence[int]]] = [(k, range(len(units)))]
    while len(parts) < k:
        parts = [half for count, rows in parts for half in _halved(table, count, rows)]
    return tuple(_parts(units, table, rows, 1 / k) for _, rows in parts)


def _halved(table: Table, count: int, rows: Sequence[int]) -> list[tuple[int, Sequence[int]]]:
    """Divide rows that are to become ``count`` folds into two halves of so many folds each."""
    if count == 1:
        return [(count, rows)]
    first = count // 2
    chosen = deal(table, rows, Fraction(first, count), allow_rare=True, least=(first, count - first))
    return [
        (first, [row for row in rows if row in chosen]),
        (count - first, [row for row in rows if row not in chosen]),
    ]


def _share(test: float) -> Fraction:
    """The test share as the decimal number that was written: 0.2 is a fifth, not 0.200000000000000011."""
    try:
        share = Fraction(str(float(test)))
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(f"test: expected a share such as 0.2, not {test!r}") from error
    if not 0 < share < 1:
        raise InvalidInput(f"test: expected a share of the images between 0 and 1, such as 0.2, not {test!r}")
    return share


def _parts(units: Units, table: Table, chosen: Collection[int], share: float) -> Split:
    """The split whose test part has the chosen rows."""
    on_test = [False] * len(units.images)
    for index in itertools.chain.from_iterable(map(units.indices, chosen)):
        on_test[index] = True
    train = tuple(itertools.compress(units.images, map(operator.not_, on_test)))
    test = tuple(itertools.compress(units.images, on_test))
    return Split(train=train, test=test, balance=make_balance(table, chosen, share))
