"""Labelled images: the values that every room passes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

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


@attrs.frozen
class LabelledImage:
    """An image, where it lies, and what is known about it."""

    source: str = attrs.field(converter=str)
    """An ``s3://bucket/key`` URI or a local path."""
    labels: tuple[str, ...] = attrs.field(default=(), converter=tuple)
    """Image-level labels."""
    boxes: tuple[BoundingBox, ...] = attrs.field(default=(), converter=tuple)
    """Labelled bounding boxes."""
    size: ImageSize | None = None
    """The size of the image; a manifest needs it where there are boxes."""
    attributes: Mapping[str, Any] = attrs.field(factory=dict, repr=False, hash=False)
    """The keys of the manifest line that it was read from, so that nothing is lost when it is written again."""
