"""The shortcut for lines with image-level labels: see ``_shortcut``."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import repeat
from typing import TYPE_CHECKING, Final, cast

from rekolabels.manifest._attributes import LineAttributes
from rekolabels.manifest._fast_path_parts import (
    LONGEST,
    MOST_KNOWN,
    Clean,
    Misfit,
    make_images,
    start_of,
    uniform,
)
from rekolabels.manifest._label_attributes import SUFFIX
from rekolabels.manifest._rules import check_line
from rekolabels.manifest.limits import LABELS_PER_IMAGE

if TYPE_CHECKING:
    from rekolabels.manifest._sources import Block

__all__ = ["Labels"]

_UNLABELLED: Final = ["WARNING_UNANNOTATED_RECORD"]
_MOST_PIECES: Final = 400
"""More pieces than the service allows labels: they differ in something else as well."""
_FEW: Final = 20
"""Blocks of fewer lines say little about the others."""


class Labels:
    """Takes lines apart into the image and pieces of one label each.

    Attributes:
        looks: How often a piece had to be checked in full.
    """

    def __init__(self) -> None:
        self.looks = 0
        self._tails: dict[str, LineAttributes] = {}
        self._names: dict[str, str] = {"": ""}
        self._labels: dict[str, str | None] = {"": None}
        self._dates_differ = False  # lines of the same labels are not the same text
        self._sets_differ = False  # few lines have the same labels
        self._names_differ = False  # attributes are not named after their labels

    def read(self, block: Block, bucket: str) -> Clean | None:
        """The lines of a block, if all of them are in order."""
        found: list[tuple[str, str]] = _pattern(bucket).findall(block.text)
        if len(found) != block.count:
            return None
        try:
            tails = self._read_tails([text for _, text in found])
        except Misfit:
            return None
        sources = [source for source, _ in found]
        labels = [tail.labels for tail in tails]
        images = make_images(sources, labels, repeat(()), repeat(None), tails)
        return Clean(bucket, images, sources, labels=labels)

    def _read_tails(self, texts: list[str]) -> list[LineAttributes]:
        if not self._tails and not self._sets_differ:  # the first block
            self._dates_differ = self._dates_differ or _differ_in_dates(texts)
        same = uniform("\n".join(texts)).split("\n") if self._dates_differ else texts
        if self._sets_differ:
            return [
                LineAttributes(text, self._labels_of(plain)) for text, plain in zip(texts, same, strict=True)
            ]
        known = self._tails
        if len(known) > MOST_KNOWN:
            known.clear()
        unknown = set(same).difference(known)
        for text in unknown:
            known[text] = LineAttributes(text, self._labels_of(text))
        self._sets_differ = 2 * len(unknown) > len(texts) > _FEW
        if self._dates_differ:
            return [
                LineAttributes(text, known[plain].labels) for text, plain in zip(texts, same, strict=True)
            ]
        return [known[text] for text in texts]

    def _labels_of(self, text: str) -> tuple[str, ...]:
        pieces = f",{text}".split("}")
        try:
            found = list(map(self._labels.__getitem__, pieces))
        except KeyError:
            found = list(map(self._look, pieces))
        found.pop()  # of the nothing behind the last brace
        if None in found or self._names_differ:
            names = set(map(self._names.__getitem__, pieces))
            if len(names) != len(pieces):
                raise Misfit
            found = [label for label in found if label is not None]
        labels = cast("tuple[str, ...]", tuple(found))
        if len(set(labels)) != len(labels) or len(text) > LONGEST:
            raise Misfit
        if not 1 <= len(labels) <= LABELS_PER_IMAGE:
            raise Misfit
        return labels

    def _look(self, piece: str) -> str | None:
        """The label that a piece stands for, None when it stands for none, found out by checking it in full.

        A piece begins with a comma and lacks the brace behind its value. One that makes a good line by itself
        has its braces and quotes in order; so have several of them together, if their keys differ.
        """
        if piece in self._labels:
            return self._labels[piece]
        self.looks += 1
        check = check_line(f'{{"source-ref":"s3://bucket/key"{piece}}}}}')
        name, *others = [name for name in check.members or () if name != "source-ref"] or [""]
        label = None
        if name != "cl-metadata" or others or [finding.code for finding in check.findings] != _UNLABELLED:
            if check.findings or check.image is None or len(check.image.labels) != 1:
                raise Misfit
            if others != [name + SUFFIX] or name.endswith(SUFFIX):
                raise Misfit
            label = check.image.labels[0]
        if len(self._labels) > (MOST_KNOWN if self._dates_differ else _MOST_PIECES):
            self._forget()
        self._names[piece], self._labels[piece] = name, label
        self._names_differ = self._names_differ or label not in (None, name)
        return label

    def _forget(self) -> None:
        """There are more pieces than labels can be: they differ in something else, such as dates."""
        self._dates_differ, self._sets_differ = True, False
        self._tails.clear()
        self._names = {"": ""}
        self._labels = {"": None}
        raise Misfit


def _differ_in_dates(texts: list[str]) -> bool:
    """Whether dates and confidences are what makes most of the pieces different."""
    pieces = set("\n".join(texts).split("}"))
    same = set(uniform("}".join(pieces)).split("}"))
    return 2 * len(same) < len(pieces)


@lru_cache(maxsize=16)
def _pattern(bucket: str) -> re.Pattern[str]:
    return re.compile(start_of(bucket) + r'(".*\})\}$', re.MULTILINE)
