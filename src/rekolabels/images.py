"""Labelled images: the values that readers make and that datasets, splits and manifests take."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import attrs

from rekolabels._arguments import check_instance, check_integer, check_items, check_number, invalid
from rekolabels._display import counted

__all__ = ["BoundingBox", "Conversion", "ImageSize", "LabelledImage"]

_NUMBERS = frozenset({int, float})


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

    def __attrs_post_init__(self) -> None:
        # Types only: a manifest may state any numbers, and check_manifest() has the rules for them.
        if (
            type(self.label) is str
            and type(self.left) in _NUMBERS
            and type(self.top) in _NUMBERS
            and type(self.width) in _NUMBERS
            and type(self.height) in _NUMBERS
        ):
            return
        check_instance("label", self.label, str, "the label of a box, as text")
        for name in ("left", "top", "width", "height"):
            value = check_number(name, getattr(self, name), kind="a number of pixels")
            object.__setattr__(self, name, value)


@attrs.frozen
class ImageSize:
    """Size of an image in pixels."""

    width: int
    """Width in pixels; the service accepts 64 to 4096."""
    height: int
    """Height in pixels; the service accepts 64 to 4096."""
    depth: int = 3
    """Number of channels, 3 for RGB. The service ignores it."""

    def __attrs_post_init__(self) -> None:
        for name in ("width", "height", "depth"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                object.__setattr__(self, name, check_integer(name, value, at_least=1))


def _source(source: str | os.PathLike[str]) -> str:
    if type(source) is str:
        return source
    path: object = os.fspath(source) if isinstance(source, (str, os.PathLike)) else None  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
    if not isinstance(path, str):
        raise invalid("source", source, "the path or s3:// URI of an image")
    return path


def _labels(labels: Iterable[str]) -> tuple[str, ...]:
    # Readers make millions of images: only unusual labels take the time of a full check.
    if isinstance(labels, (tuple, list)):
        for label in labels:
            if type(label) is not str:
                break
        else:
            return tuple(labels)
    return tuple(check_items("labels", labels, str, "a list of labels, as text"))


def _boxes(boxes: Iterable[BoundingBox]) -> tuple[BoundingBox, ...]:
    if isinstance(boxes, (tuple, list)):
        for box in boxes:
            if type(box) is not BoundingBox:
                break
        else:
            return tuple(boxes)
    return tuple(check_items("boxes", boxes, BoundingBox, "a list of BoundingBox values"))


@attrs.frozen
class LabelledImage:
    """An image and its labels, bounding boxes and size.

    >>> image = LabelledImage("puppies/rex.jpg", labels=["puppy"])
    >>> attrs.evolve(image, source="s3://my-bucket/rex.jpg").labels
    ('puppy',)
    """

    source: str = attrs.field(converter=_source)
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

    def __attrs_post_init__(self) -> None:
        if self.size is not None and type(self.size) is not ImageSize:
            fix = "Write ImageSize(width, height)."
            check_instance("size", self.size, ImageSize, "an ImageSize or None", fix)
        if type(self.attributes) is not dict and not isinstance(self.attributes, Mapping):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise invalid("attributes", self.attributes, "a mapping from keys to JSON values")


@attrs.frozen
class Conversion:
    """An image that is converted when it is uploaded, because the service does not take it as it is.

    >>> print(Conversion("scans/1.tif", "TIFF, 5000 x 2500 pixels", "JPEG", ImageSize(4096, 2048)))
    scans/1.tif (TIFF, 5000 x 2500 pixels) to JPEG, 4096 x 2048 pixels
    """

    source: str
    """Path of the image, which is not changed."""
    reason: str
    """What the service does not take: ``WebP``, ``CMYK``, ``16 bits per channel``, ``5000 x 2500 pixels``,
    ``18.2 MB``; several are separated by commas."""
    format: Literal["JPEG", "PNG"]
    """Format of the uploaded image."""
    size: ImageSize
    """Size of the uploaded image; its boxes are scaled with it."""

    def __str__(self) -> str:
        size = f"{self.size.width} x {self.size.height} pixels"
        return f"{self.source} ({self.reason}) to {self.format}, {size}"
