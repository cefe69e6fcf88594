"""Checks images against the service's limits, and decodes them to RGB."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, NoReturn, TypeVar

from rekolabels._display import to_rgb
from rekolabels._image_header import EncodedImage, Header, read_header
from rekolabels.errors import MissingExtra
from rekolabels.images import ImageSize
from rekolabels.local._engine._values import UnusableImage

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

    from rekolabels.local._engine._values import Sample

__all__ = ["MAX_ASPECT", "MAX_BYTES", "MAX_SIDE", "MIN_SIDE", "call_with_image", "check_image", "decode"]

_T = TypeVar("_T")

MAX_BYTES = 15 * 1024 * 1024
"""Maximum size of an image file in S3: 15 MB, read as 15 * 2^20 bytes (AWS does not define it)."""
MIN_SIDE = 64
"""Minimum length of a side in pixels."""
MAX_SIDE = 4096
"""Maximum length of a side in pixels."""
MAX_ASPECT = 20
"""Maximum ratio of the longer side to the shorter one."""

_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    struct.error,
    MemoryError,
)
"""Exceptions of Pillow for damaged files; which one depends on where the damage is."""


def check_image(data: bytes) -> ImageSize:
    """Check an image against the service's limits without decoding it.

    The limits are those in "Guidelines and quotas in Amazon Rekognition Custom Labels": JPEG or PNG, 64 to
    4096 pixels a side, an aspect ratio of at most 20:1, at most 15 MB.

    Args:
        data: The encoded image.

    Returns:
        Its size in pixels, after rotation by the EXIF orientation.

    Raises:
        UnusableImage: The image exceeds a limit, or its header cannot be read.
    """
    header = _check_header(data)
    # A depth of 1 or 3, as Ground Truth states it: transparency does not count.
    return ImageSize(*header.upright_size, 1 if header.channels <= 2 else 3)  # noqa: PLR2004 - grey, alpha


def decode(data: bytes, *, side: int | None = None) -> Image:
    """Decode an image to RGB, as a viewer would show it.

    Rotates it by the EXIF orientation, puts transparent images on white, and scales 16 bits to 8.

    Args:
        data: The encoded image.
        side: Length in pixels that is enough for both sides. Larger JPEGs are decoded at 1/2, 1/4 or 1/8 of
            their size, but never below it. None decodes the full size.

    Raises:
        UnusableImage: The image exceeds a limit, or cannot be decoded completely.
    """
    header = _check_header(data)
    if header.exif is not None:
        start, end = header.exif
        data = data[:start] + data[end:]  # already read, and Pillow warns about damaged EXIF
    with _open(data) as image:
        if side is not None:
            image.draft("RGB", (side, side))
        try:
            image.load()
            rgb: Image = to_rgb(image)
        except _DECODING_ERRORS as error:
            _raise_unreadable(f"it is damaged or incomplete ({error})", error)
    return _rotate(rgb, header.orientation)


def call_with_image(sample: Sample, function: Callable[[bytes], _T]) -> _T:
    """Call a function with the encoded image of a sample, and name the image in its errors.

    Raises:
        UnusableImage: As the function raises it, with the source of the sample in the message.
    """
    try:
        return function(sample.read())
    except UnusableImage as error:
        raise UnusableImage(f"{sample.source}: {error}", reason=error.reason) from error


def _raise_unreadable(detail: str, cause: BaseException | None = None) -> NoReturn:
    raise UnusableImage(
        f"The image cannot be read: {detail}. Save it again as JPEG or PNG.", reason="unreadable"
    ) from cause


def _check_header(data: bytes) -> Header:
    if len(data) > MAX_BYTES:
        raise UnusableImage(
            f"The image has {len(data):,} bytes; at most {MAX_BYTES:,} are allowed. Compress it more.",
            reason="too large",
        )
    header = read_header(io.BytesIO(data))
    if header is None:
        if data.startswith((b"\xff\xd8\xff", b"\x89PNG")):
            _raise_unreadable("its header is damaged or incomplete")
        raise UnusableImage("The image is neither JPEG nor PNG. Convert it to one of them.", reason="format")
    short, long = sorted((header.width, header.height))
    size = f"The image has {header.width} x {header.height} pixels"
    if long > MAX_SIDE:
        raise UnusableImage(
            f"{size}; at most {MAX_SIDE} a side are allowed. Scale it down.", reason="too large"
        )
    if short < MIN_SIDE:
        raise UnusableImage(
            f"{size}; at least {MIN_SIDE} a side are required. Scale it up.", reason="too small"
        )
    if long > MAX_ASPECT * short:
        raise UnusableImage(
            f"{size}; an aspect ratio of at most {MAX_ASPECT}:1 is allowed. Crop it.", reason="aspect ratio"
        )
    return header


def _open(data: bytes) -> Image:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("local", "Decoding images") from error
    try:
        return Image.open(EncodedImage(data), formats=("JPEG", "PNG"))
    except _DECODING_ERRORS as error:
        _raise_unreadable(f"its header is damaged or incomplete ({error})", error)


def _rotate(image: Image, orientation: int) -> Image:
    from PIL.Image import Transpose

    transpositions = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(transpositions[orientation]) if orientation in transpositions else image
