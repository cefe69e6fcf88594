"""Labelled images as lines of the manifest that they are not yet, so that they can be checked."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import attrs

from rekolabels.errors import InvalidManifest
from rekolabels.images import LabelledImage
from rekolabels.manifest._sources import Block, Source
from rekolabels.manifest._writing import format_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from rekolabels.images import ImageSize
    from rekolabels.manifest._sources import BadLine

__all__ = ["BadImage", "CheckSource", "GivenImages", "given", "image_blocks"]

CheckSource: TypeAlias = "Source | Iterable[LabelledImage]"
"""What can be checked: a manifest (see ``Source``), or the images that are to become one."""

_BLOCK: Final = 64 * 1024


@attrs.frozen
class BadImage:
    """An image that cannot be written as a line."""

    line: int
    """The number that its line would have, from 1."""
    source: str
    """Where the image lies."""
    code: str
    """One of ``CODES``."""
    detail: str
    """What is wrong with it, in words."""


@attrs.frozen
class GivenImages:
    """Images, not a manifest."""

    images: Iterator[Any]
    """The first is a labelled image; the others ought to be."""


def given(source: CheckSource) -> Source | GivenImages:
    """Tell images from a manifest, by the first element of what is given.

    Raises:
        InvalidManifest: It is neither.
    """
    if isinstance(source, (str, os.PathLike, bytes, bytearray, memoryview)) or hasattr(source, "read"):
        return cast("Source", source)
    try:
        elements: Iterator[Any] = iter(source)
    except TypeError as error:
        raise InvalidManifest(
            f"A {type(source).__name__} cannot be checked. Give the path of a manifest, its bytes, an open "
            "file, its lines, or labelled images."
        ) from error
    first = list(islice(elements, 1))
    everything = chain(first, elements)
    return GivenImages(everything) if first and isinstance(first[0], LabelledImage) else everything


def image_blocks(
    images: Iterator[Any], size_of: Callable[[str], ImageSize | None] | None
) -> Iterator[Block | BadLine | BadImage]:
    """Write images as blocks of lines, in bounded memory.

    Args:
        images: The images.
        size_of: Looks up the size of an image that has boxes but does not say it.

    Raises:
        InvalidManifest: There is something else among the images.
    """
    texts: list[str] = []
    size = 0
    number = 0
    for number, image in enumerate(images, start=1):
        line = _line(image, number, size_of)
        if isinstance(line, str):
            texts.append(line)
            size += len(line) + 1
        if texts and (size >= _BLOCK or not isinstance(line, str)):
            first = number - len(texts) + isinstance(line, str)
            yield Block(first, "\n".join(texts), len(texts), size)
            texts, size = [], 0
        if not isinstance(line, str):
            yield line
    if texts:
        yield Block(number - len(texts) + 1, "\n".join(texts), len(texts), size)


def _line(image: object, number: int, size_of: Callable[[str], ImageSize | None] | None) -> str | BadImage:
    if not isinstance(image, LabelledImage):
        raise InvalidManifest(f"Among the images, number {number} is a {type(image).__name__}.")
    if image.boxes and image.size is None and size_of is not None:
        image = attrs.evolve(image, size=size_of(image.source))
    try:
        return format_line(image)
    except InvalidManifest as error:
        return BadImage(number, image.source, error.code or "ERROR_INVALID_JSON_LINE", str(error))
