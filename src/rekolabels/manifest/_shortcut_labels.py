"""The shortcut for lines with image-level labels: see ``_shortcut``."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from rekolabels.images import LabelledImage
from rekolabels.manifest._attributes import LineAttributes
from rekolabels.manifest._pairs import SUFFIX
from rekolabels.manifest._rules import check_line
from rekolabels.manifest._shortcut_parts import LONGEST, MOST_KNOWN, Clean, Misfit, start_of, uniform
from rekolabels.manifest.limits import CLASSIFICATION_LABELS, LABELS_PER_IMAGE

if TYPE_CHECKING:
    from rekolabels.manifest._sources import Block

__all__ = ["Labels"]

_UNLABELLED: Final = ["WARNING_UNANNOTATED_RECORD"]
_MOST_LABELS: Final = CLASSIFICATION_LABELS[1] + 50
"""More different pieces than labels can be: the pieces differ in something else, such as dates."""


class Labels:
    """Takes lines apart into the image and pieces of one label each.

    Attributes:
        looks: How often a piece had to be checked in full.
    """

    def __init__(self) -> None:
        self.looks = 0
        self._tails: dict[str, LineAttributes] = {}
        self._pieces: dict[str, tuple[str, str | None]] = {}
        self._all_alike = True  # lines with the same labels are the same text; else their dates differ

    def read(self, block: Block, bucket: str) -> Clean | None:
        """The lines of a block, if all of them are in order."""
        found: list[tuple[str, str]] = _pattern(bucket).findall(block.text)
        if len(found) != block.count:
            return None
        sources = [source for source, _ in found]
        texts = [text for _, text in found]
        try:
            tails = self._read_tails(texts)
        except Misfit:
            return None
        if not self._all_alike:
            tails = [LineAttributes(text, tail.labels) for text, tail in zip(texts, tails, strict=True)]
        images = [
            LabelledImage(source, tail.labels, (), None, tail)
            for source, tail in zip(sources, tails, strict=True)
        ]
        return Clean(bucket, images, sources, labels=[tail.labels for tail in tails])

    def _read_tails(self, texts: list[str]) -> list[LineAttributes]:
        if not self._all_alike:
            texts = uniform("\n".join(texts)).split("\n")
        known = self._tails
        if len(known) > MOST_KNOWN:
            known.clear()
        for text in set(texts).difference(known):
            known[text] = self._read_tail(text)
        return [known[text] for text in texts]

    def _read_tail(self, text: str) -> LineAttributes:
        pieces = text[1:-1].split('},"')
        pairs = [self._pieces.get(piece) or self._look(piece) for piece in pieces]
        names = {name for name, _ in pairs}
        labels = [label for _, label in pairs if label is not None]
        if not 1 <= len(labels) <= LABELS_PER_IMAGE or len(set(labels)) != len(labels):
            raise Misfit
        if len(names) != len(pairs) or len(text) > LONGEST:
            raise Misfit
        return LineAttributes(text, tuple(labels))

    def _look(self, piece: str) -> tuple[str, str | None]:
        """The attribute and the label that a piece stands for, found out by checking it in full.

        A piece lacks the quote before its first key and the brace behind its last value. One that is a good
        line by itself has its braces and quotes in order; so have several of them together, if their keys are
        different.
        """
        self.looks += 1
        check = check_line(f'{{"source-ref":"s3://bucket/key","{piece}}}}}')
        name, *others = [name for name in check.members or () if name != "source-ref"] or [""]
        found: tuple[str, str | None] = (name, None)
        if name != "cl-metadata" or others or [finding.code for finding in check.findings] != _UNLABELLED:
            if check.findings or check.image is None or len(check.image.labels) != 1:
                raise Misfit
            if others != [name + SUFFIX] or name.endswith(SUFFIX):
                raise Misfit
            found = (name, check.image.labels[0])
        self._remember(piece, found)
        return found

    def _remember(self, piece: str, found: tuple[str, str | None]) -> None:
        if self._all_alike and len(self._pieces) > _MOST_LABELS:
            self._all_alike = False
            self._tails.clear()
            self._pieces.clear()
            raise Misfit
        if len(self._pieces) > MOST_KNOWN:
            self._pieces.clear()
        self._pieces[piece] = found


@lru_cache(maxsize=16)
def _pattern(bucket: str) -> re.Pattern[str]:
    return re.compile(start_of(bucket) + r'("[^"\n]+":.*\})\}$', re.MULTILINE)
