"""Labelled images: the values that readers make and that datasets, splits and manifests take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from rekolabels._display import counted
from rekolabels.errors import InvalidInput

__all__ = ["BoundingBox", "ImageSize", "LabelledImage"]


@attrs.frozen
class BoundingBox:
    """A bounding box in pixels; the origin is the upper left corner of the image."""

    label: str
    """Label of the object in the box."""
    left: float
    """Left edge, in pixels from the left of the image."""
    top: float
    """Top edge, in pixels from the top of the image."""
    width: float
    """Width in pixels; the service requires more than 1."""
    height: float
    """Height in pixels; the service requires more than 1."""


@attrs.frozen
class ImageSize:
    """Size of an image in pixels."""

    width: int
    """Width in pixels; the service accepts 64 to 4096."""
    height: int
    """Height in pixels; the service accepts 64 to 4096."""
    depth: int = 3
    """Number of channels, 3 for RGB. The service ignores it."""


def _labels(labels: Iterable[str]) -> tuple[str, ...]:
    if isinstance(labels, str):
        raise InvalidInput(
            f"Invalid labels={labels!r}: expected a list of labels. Write labels=[{labels!r}]."
        )
    return tuple(labels)


def _boxes(boxes: Iterable[BoundingBox]) -> tuple[BoundingBox, ...]:
    return tuple(boxes)


@attrs.frozen
class LabelledImage:
    """An image and its labels, bounding boxes and size.

    >>> image = LabelledImage("puppies/rex.jpg", labels=["puppy"])
    >>> attrs.evolve(image, source="s3://my-bucket/rex.jpg").labels
    ('puppy',)
    """

    source: str = attrs.field(converter=str)
    """An ``s3://bucket/key`` URI or a local path."""
    labels: tuple[str, ...] = attrs.field(default=(), converter=_labels)
    """Image-level labels; accepts any iterable."""
    boxes: tuple[BoundingBox, ...] = attrs.field(default=(), converter=_boxes, repr=counted("boxes"))
    """Bounding boxes; accepts any iterable."""
    size: ImageSize | None = None
    """Size of the image; a manifest needs it when there are boxes."""
    attributes: Mapping[str, Any] = attrs.field(factory=dict[str, Any], repr=False, hash=False)
    """Keys of the manifest line that the image was read from, except ``source-ref``; otherwise empty.

    ``write_manifest`` keeps them. Where they disagree with the fields above, because the image was changed
    with ``attrs.evolve``, the fields win.
    """
