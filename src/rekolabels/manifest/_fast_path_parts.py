"""What the two readers of the shortcut share: see ``_shortcut``."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final, TypeVar

import attrs

from rekolabels.images import BoundingBox, ImageSize, LabelledImage

__all__ = ["LONGEST", "MOST_KNOWN", "Clean", "Misfit", "make_boxes", "make_images", "start_of", "uniform"]

_T = TypeVar("_T")

MOST_KNOWN: Final = 5_000
"""Texts of a kind that are remembered; then the memory is emptied."""
LONGEST: Final = 90_000
"""Longer lines take the plain way, where their length is looked at."""

_KEY: Final = r'[^"\\\x00-\x20][^"\\\x00-\x1f]{0,255}'
"""A key that is written without escapes and is short enough in any encoding."""
_DATE: Final = re.compile(r'"creation-date":"[0-9T:. Z+-]{1,40}"')
_CONFIDENCE: Final = re.compile(r'"confidence":0(?:\.[0-9]{1,20})?(?=[,}])')


@attrs.frozen
class Clean:
    """A block of lines that are all valid, with nothing to say about any."""

    bucket: str
    """The bucket of all images."""
    images: list[LabelledImage]
    """One a line."""
    sources: list[str]
    """Where the images lie."""
    labels: Sequence[Collection[str]] = ()
    """The different image-level labels of each line; empty when no line has any."""
    box_labels: Sequence[Collection[str]] = ()
    """The different labels of boxes of each line; empty when no line has any."""


class Misfit(Exception):
    """A piece of text is not what it would have to be."""


def start_of(bucket: str) -> str:
    """The pattern with which every line of a block begins; its group is the image."""
    return rf'^\{{"source-ref":"(s3://{re.escape(bucket)}/{_KEY})",'


def uniform(text: str) -> str:
    """A text with all dates and confidences the same."""
    text = _DATE.sub('"creation-date":"2000-01-01T00:00:00"', text)
    return _CONFIDENCE.sub('"confidence":1', text) if '"confidence":0' in text else text


def make_images(
    sources: Sequence[str],
    labels: Iterable[tuple[str, ...]],
    boxes: Iterable[tuple[BoundingBox, ...]],
    sizes: Iterable[ImageSize | None],
    attributes: Iterable[Mapping[str, Any]],
) -> list[LabelledImage]:
    """Make an image of each row of these columns."""
    return _make(LabelledImage, len(sources), (sources, labels, boxes, sizes, attributes))


def make_boxes(
    labels: Sequence[str],
    left: Iterable[float],
    top: Iterable[float],
    width: Iterable[float],
    height: Iterable[float],
) -> list[BoundingBox]:
    """Make a box of each row of these columns."""
    return _make(BoundingBox, len(labels), (labels, left, top, width, height))


def _make(kind: type[_T], count: int, columns: Iterable[Iterable[object]]) -> list[_T]:
    """Make frozen values from columns of their fields, in a third of the time that their constructors take.

    It does what the constructor of a frozen class does, field by field for all values: it sets the slot.
    Nothing is converted, so the columns must hold what the constructor would have made of them.
    """
    made = list(map(kind.__new__, repeat(kind, count)))
    for field, column in zip(attrs.fields(kind), columns, strict=True):  # type: ignore[arg-type]  # both are attrs classes
        set_slot: Callable[[object, object], None] = getattr(kind, field.name).__set__
        deque(map(set_slot, made, column), maxlen=0)
    return made
