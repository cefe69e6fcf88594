"""Labelled images: the values that every room passes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from rekolabels.errors import InvalidInput

__all__ = ["BoundingBox", "ImageSize", "LabelledImage"]


@attrs.frozen
class BoundingBox:
    """A box around one object, in pixels of the image; the origin is the upper left corner."""

    label: str
    """What the box holds."""
    left: float
    """Distance of the box from the left edge, in pixels."""
    top: float
    """Distance of the box from the upper edge, in pixels."""
    width: float
    """Width in pixels; the service asks for more than 1."""
    height: float
    """Height in pixels; the service asks for more than 1."""


@attrs.frozen
class ImageSize:
    """The size of an image in pixels."""

    width: int
    """64 to 4096 for the service."""
    height: int
    """64 to 4096 for the service."""
    depth: int = 3
    """Channels; 3 for RGB. The service does not use it."""


def _labels(labels: Iterable[str]) -> tuple[str, ...]:
    if isinstance(labels, str):
        raise InvalidInput(f"labels takes several labels: write labels=[{labels!r}], not labels={labels!r}.")
    return tuple(labels)


def _boxes(boxes: Iterable[BoundingBox]) -> tuple[BoundingBox, ...]:
    return tuple(boxes)


@attrs.frozen
class LabelledImage:
    """An image, where it lies, and what is known about it.

    >>> image = LabelledImage("puppies/rex.jpg", labels=["puppy"])
    >>> attrs.evolve(image, source="s3://my-bucket/rex.jpg").labels
    ('puppy',)
    """

    source: str = attrs.field(converter=str)
    """An ``s3://bucket/key`` URI or a local path."""
    labels: tuple[str, ...] = attrs.field(default=(), converter=_labels)
    """Image-level labels; any iterable of them can be given."""
    boxes: tuple[BoundingBox, ...] = attrs.field(default=(), converter=_boxes)
    """Labelled bounding boxes; any iterable of them can be given."""
    size: ImageSize | None = None
    """The size of the image; a manifest needs it where there are boxes."""
    attributes: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """The keys of the manifest line that it was read from, except ``source-ref``; empty for an image made
    anew.

    A manifest that is written from the image keeps them. Where they and the fields above disagree, because an
    image was changed with ``attrs.evolve``, the fields win.
    """
