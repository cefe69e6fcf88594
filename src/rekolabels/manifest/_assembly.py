"""A labelled image from a line and what was read from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from rekolabels.images import LabelledImage
from rekolabels.manifest._attributes import LineAttributes

if TYPE_CHECKING:
    from rekolabels.manifest._label_attributes import Pair

__all__ = ["image_of"]

_HEAD: Final = re.compile(r'\s*\{\s*"source-ref"\s*:\s*"(?:[^"\\]|\\.)*"\s*(?:,(?=\s*")|(?=\}\s*$))')
"""The beginning of a line whose first key is the image; the text behind it is kept as it is."""


def image_of(text: str, members: dict[str, Any], pairs: list[Pair], *, keep_text: bool) -> LabelledImage:
    """Put an image together from a line and the pairs that were read from it."""
    labels = tuple(pair.label for pair in pairs if pair.label is not None)
    boxes = tuple(box for pair in pairs for box in pair.boxes)
    size = next((pair.size for pair in pairs if pair.size is not None), None)
    rest = {key: value for key, value in members.items() if key != "source-ref"}
    head = _HEAD.match(text) if keep_text else None
    if head is None:
        return LabelledImage(members["source-ref"], labels, boxes, size, rest)
    tail = text[head.end() : text.rindex("}")].strip()
    return LabelledImage(
        members["source-ref"], labels, boxes, size, LineAttributes(tail, labels, boxes, size, rest)
    )
