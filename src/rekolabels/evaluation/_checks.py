"""Checks of the labels and thresholds that users pass to an evaluation."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import TypeVar

from rekolabels._arguments import check_fraction, shown
from rekolabels.errors import InvalidInput

__all__ = ["check_label", "check_thresholds"]

Thresholds = TypeVar("Thresholds", bound="float | Mapping[str, float] | None")

_MAX_LABELS = 20
"""Maximum number of labels that a message lists."""


def check_label(name: str, label: object, known: Collection[str]) -> str:
    """Check that a label is one of the evaluation's; the error names the nearest label.

    Examples:
        >>> check_label("label", "huskey", ["beagle", "husky"])
        Traceback (most recent call last):
        rekolabels.errors.InvalidInput: label is 'huskey', which is not a label of this evaluation. Did you \
mean 'husky'? Its labels are 'beagle', 'husky'.
    """
    if isinstance(label, str) and label in known:
        return label
    names = sorted(known)
    by_folded = {one.casefold(): one for one in names}
    near = (
        difflib.get_close_matches(str(label).strip().casefold(), by_folded, 1)
        if isinstance(label, str)
        else []
    )
    meant = f" Did you mean {by_folded[near[0]]!r}?" if near else ""
    listed = ", ".join(map(repr, names[:_MAX_LABELS]))
    more = f" and {len(names) - _MAX_LABELS} more" if len(names) > _MAX_LABELS else ""
    its = f" Its labels are {listed}{more}." if names else " It has no labels."
    raise InvalidInput(f"{name} is {shown(label)}, which is not a label of this evaluation.{meant}{its}")


def check_thresholds(name: str, thresholds: Thresholds, known: Collection[str] | None = None) -> Thresholds:
    """Check a threshold for all labels, or thresholds by label; None is valid and means none.

    Args:
        name: Name of the argument.
        thresholds: The value that was given.
        known: The labels of the evaluation; None if they are not known yet.

    Raises:
        InvalidInput: A threshold is not between 0 and 1, or of an unknown label.
    """
    if isinstance(thresholds, Mapping):
        for label, threshold in thresholds.items():
            if known is not None:
                check_label(f"A label in {name}", label, known)
            check_fraction(f"{name}[{label!r}]", threshold)
    elif thresholds is not None:
        check_fraction(name, thresholds)
    return thresholds
