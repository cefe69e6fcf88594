"""Conversion of images that the service does not take, to JPEG or PNG within its limits, with Pillow.

An image is decoded twice: before the upload, to find out whether and to what it can be converted, and when it
is uploaded. In between nothing of it is kept, neither in memory nor on the disk.
"""

from __future__ import annotations

import io
import math
import os
import threading
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Literal

import attrs

from rekolabels._display import to_rgb, upright
from rekolabels._image_header import SIDEWAYS, other_format, read_header
from rekolabels.errors import InvalidImage, MissingExtra
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.inference._pillow import decode, open_encoded
from rekolabels.manifest import limits
from rekolabels.manifest._image_probe import MAX_DECODED_PIXELS, Probe, dimension_fault

__all__ = ["Plan", "convert", "make_plan", "require_pillow", "resize_boxes", "turn_boxes"]

_LOSSLESS: Final = frozenset({"BMP", "GIF", "PNG", "TIFF"})
_QUALITIES: Final = (95, 90, 80, 60)
"""Qualities of a JPEG; the first with which the file is small enough is used."""
_MOST_PIXELS: Final = f"at most {MAX_DECODED_PIXELS / 1e6:.0f} million can be converted"
_HEIC: Final = "HEIC"
_ORIENTATION: Final = 0x0112
"""Tag of the orientation in EXIF."""

# Each conversion takes up to 500 MB for a moment, and uploads run in 32 threads.
_slots = threading.BoundedSemaphore(os.cpu_count() or 1)


@attrs.frozen
class Plan:
    """What an image is converted to, and why."""

    reasons: tuple[str, ...]
    """Such as ``WebP`` or ``6000 x 4000 pixels``."""
    format: Literal["JPEG", "PNG"]
    """The format of the converted image."""
    original: ImageSize
    """Size of the upright image."""
    size: ImageSize
    """Size of the converted image."""
    orientation: int = 1
    """The EXIF orientation of the original, 1 to 8."""

    @property
    def suffix(self) -> str:
        """Suffix of the converted file."""
        return ".png" if self.format == "PNG" else ".jpg"


def require_pillow() -> None:
    """Check that Pillow is installed.

    Raises:
        MissingExtra: It is not.
    """
    if find_spec("PIL") is None:
        raise MissingExtra("images", "convert=True")


def make_plan(content: bytes) -> Plan | Probe | None:
    """Return what an image is to be converted to.

    Returns:
        The plan; or why the image cannot be converted; or None if none is needed, or it is not an image.
    """
    reasons = _reasons(content)
    if not reasons:
        return None
    try:
        with _slots:
            opened = _open(content)
            width, height = opened.size
            if width * height > MAX_DECODED_PIXELS:
                return Probe(f"the image has {width} x {height} pixels; {_MOST_PIXELS}", "too large")
            size = opened.load().size
    except MissingExtra as error:
        return Probe(str(error).removesuffix("."), "format")
    except InvalidImage as error:
        if type(error.__cause__).__name__ == "DecompressionBombError":  # Pillow does not open the largest
            return Probe(f"the image has far too many pixels; {_MOST_PIXELS}", "too large")
        return Probe(str(error).removesuffix("."), "damaged")
    plan = _plan(content, size, reasons, opened.orientation)
    fault = dimension_fault(plan.size.width, plan.size.height)
    return plan if fault is None else Probe(*fault)


def convert(content: bytes) -> bytes:
    """Return an image that :func:`make_plan` has a plan for as an upright JPEG or PNG without metadata.

    Transparent images are put on white, 16 bits are scaled to 8, of several pictures the first is taken.

    Raises:
        InvalidImage: It cannot be decoded; the message does not name it.
        MissingExtra: It is a HEIC image, and the extra is not installed.
    """
    with _slots:
        image = _open(content).load()
        plan = _plan(content, image.size)
        size = (plan.size.width, plan.size.height)
        if image.size != size:
            image = image.resize(size, reducing_gap=2.0)
        body = io.BytesIO()
        if plan.format == "PNG":
            image.save(body, "PNG")
            return body.getvalue()
        for quality in _QUALITIES:
            body = io.BytesIO()
            image.save(body, "JPEG", quality=quality)
            if body.tell() <= limits.IMAGE_BYTES:
                break
        return body.getvalue()


def resize_boxes(image: LabelledImage, plan: Plan) -> LabelledImage:
    """Return an image with the size and the boxes that it has after its conversion.

    Boxes keep their places in the frame that they were drawn in: ``image.size``, or the upright image.
    """
    image = turn_boxes(image, plan.original, plan.orientation)
    frame, size = image.size or plan.original, plan.size
    if (frame.width, frame.height) == (size.width, size.height):
        return attrs.evolve(image, size=size)
    return attrs.evolve(image, boxes=[_resize(box, frame, size) for box in image.boxes], size=size)


def turn_boxes(image: LabelledImage, upright: ImageSize, orientation: int) -> LabelledImage:
    """Return an image whose boxes were drawn on its stored pixels with those of the upright image.

    Other images are returned as they are: those without boxes, and those whose stated size is not that of the
    stored pixels, with width and height exchanged by the EXIF orientation.

    Args:
        image: The image.
        upright: Size of the upright image.
        orientation: Its EXIF orientation, 1 to 8.
    """
    stored = image.size
    if (
        orientation not in SIDEWAYS
        or not image.boxes
        or stored is None
        or upright.width == upright.height
        or (stored.width, stored.height) != (upright.height, upright.width)
    ):
        return image
    return attrs.evolve(image, boxes=[_turn(box, stored, orientation) for box in image.boxes], size=upright)


def _turn(box: BoundingBox, stored: ImageSize, orientation: int) -> BoundingBox:
    left, top = box.top, box.left
    if orientation in {6, 7}:  # the upper edge of the stored pixels is on the right
        left = stored.height - box.top - box.height
    if orientation in {7, 8}:  # the left edge of the stored pixels is at the bottom
        top = stored.width - box.left - box.width
    return BoundingBox(box.label, left, top, box.height, box.width)


def _resize(box: BoundingBox, frame: ImageSize, size: ImageSize) -> BoundingBox:
    left, width = _scale(box.left, box.width, frame.width, size.width)
    top, height = _scale(box.top, box.height, frame.height, size.height)
    return BoundingBox(box.label, left, top, width, height)


def _scale(start: float, length: float, old: int, new: int) -> tuple[float, float]:
    """Return an edge and a side of a box in another size; a box inside the image stays inside."""
    factor = new / max(old, 1)
    edge, side = start * factor, length * factor
    if start + length <= old and edge + side > new:  # by a rounding error
        side = math.nextafter(new - edge, 0)
    return edge, side


def _reasons(content: bytes) -> tuple[str, ...]:
    """Return why an image needs a conversion; nothing if it needs none or is not an image."""
    header = read_header(io.BytesIO(content))
    if header is None:
        name = other_format(content[:12])
        return () if name is None else (name,)
    found: list[str] = []
    if header.format == "JPEG" and header.channels == 4:  # noqa: PLR2004 - cyan, magenta, yellow, black
        found.append("CMYK")
    if header.bits > 8:  # noqa: PLR2004 - bits
        found.append(f"{header.bits} bits per channel")
    if max(header.width, header.height) > limits.IMAGE_SIDE[1]:
        found.append(f"{header.width} x {header.height} pixels")
    if len(content) > limits.IMAGE_BYTES:
        found.append(f"{len(content) / 2**20:.1f} MB")
    return tuple(found)


@attrs.frozen
class _Opened:
    """An opened image."""

    size: tuple[int, int]
    """Width and height, of the upright or of the stored pixels."""
    orientation: int
    """The EXIF orientation, 1 to 8."""
    load: Callable[[], Any]
    """Returns the upright pixels in RGB, or raises InvalidImage."""


def _open(content: bytes) -> _Opened:
    """Open an image.

    Raises:
        InvalidImage: It cannot be decoded.
        MissingExtra: It is a HEIC image, and the extra is not installed.
    """
    if other_format(content[:12]) == _HEIC:
        file = _open_heic(content)
        # libheif turns the image upright, and its orientation is removed.
        return _Opened(file.size, 1, lambda: _to_rgb(file.to_pillow))
    image = open_encoded(content, "the image")
    return _Opened(image.size, _orientation(image), lambda: _to_rgb(lambda: upright(_decoded(image))))


def _orientation(image: Any) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - a damaged EXIF block, which fails in many ways, has no orientation
        return 1


def _open_heic(content: bytes) -> Any:
    try:
        heif: Any = import_module("pi_heif")
    except ImportError as error:
        raise MissingExtra("heic", "Converting HEIC images") from error
    try:
        return heif.open_heif(io.BytesIO(content))
    except Exception as error:  # decoders fail in many ways on broken files
        raise InvalidImage(f"the image cannot be decoded: {error}") from error


def _decoded(image: Any) -> Any:
    if image.mode == "F" or (image.mode == "I" and image.format == "TIFF"):
        raise InvalidImage("the image has 32 bits per pixel, and their range is not known")
    return decode(image, "the image")


def _to_rgb(load: Callable[[], Any]) -> Any:
    try:
        return to_rgb(load())
    except InvalidImage:
        raise
    except (
        Exception
    ) as error:  # decoders fail in many ways, and palettes and colour modes can be damaged, too
        raise InvalidImage(f"the image cannot be decoded: {error}") from error


def _plan(content: bytes, size: tuple[int, int], reasons: tuple[str, ...] = (), orientation: int = 1) -> Plan:
    width, height = size
    scale = min(1.0, limits.IMAGE_SIDE[1] / max(size))
    target = ImageSize(max(1, round(width * scale)), max(1, round(height * scale)))
    header = read_header(io.BytesIO(content))
    kind = other_format(content[:12]) if header is None else header.format
    # A PNG is at most as large as its pixels, so that this does not depend on how well they compress.
    fits = (3 * target.width + 1) * target.height < limits.IMAGE_BYTES * 0.99
    to: Literal["JPEG", "PNG"] = "PNG" if kind in _LOSSLESS and fits else "JPEG"
    return Plan(reasons, to, ImageSize(*size), target, orientation)
