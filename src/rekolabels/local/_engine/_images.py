"""From the bytes of an image to its pixels: checked against the service's limits first, turned by EXIF."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, NoReturn

from rekolabels._image_header import Header, read_header
from rekolabels.errors import MissingExtra
from rekolabels.images import ImageSize
from rekolabels.local._engine._values import UnusableImage

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_ASPECT", "MAX_BYTES", "MAX_SIDE", "MIN_SIDE", "check_image", "decode"]

MAX_BYTES = 15 * 1024 * 1024
"""The largest image file in S3: 15 MB, taken as 2^20 bytes each (AWS does not say which it means)."""
MIN_SIDE = 64
"""The shortest side in pixels."""
MAX_SIDE = 4096
"""The longest side in pixels."""
MAX_ASPECT = 20
"""The longer side over the shorter one, at most."""

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
"""What Pillow raises for damaged files, depending on where the damage is."""


def check_image(data: bytes) -> ImageSize:
    """Check an image against the service's limits without decoding it.

    The limits are those of "Guidelines and quotas in Amazon Rekognition Custom Labels": JPEG or PNG, 64 to
    4096 pixels a side, at most 20:1, at most 15 MB.

    Args:
        data: The encoded image.

    Returns:
        Its size in pixels, after turning by the EXIF orientation.

    Raises:
        UnusableImage: It breaks a limit, or its header cannot be read.
    """
    header = _check_header(data)
    # A depth of 1 or 3, as Ground Truth states it: transparency does not count.
    return ImageSize(*header.upright_size, 1 if header.channels <= 2 else 3)  # noqa: PLR2004 - grey, alpha


def decode(data: bytes, *, side: int | None = None) -> Image:
    """Decode an image to RGB, as a viewer would show it.

    Turned by the EXIF orientation; transparency is laid on white; 16 bits are reduced to 8.

    Args:
        data: The encoded image.
        side: A size in pixels that suffices for both sides, so that large JPEGs are decoded at a fraction
            (1/2, 1/4, 1/8) of their size; None decodes the full size.

    Raises:
        UnusableImage: It breaks a limit, or cannot be decoded to its end.
    """
    header = _check_header(data)
    if header.exif is not None:
        start, end = header.exif
        data = data[:start] + data[end:]  # read already; Pillow would warn about damaged ones
    with _open(data) as image:
        if side is not None:
            image.draft("RGB", (side, side))
        try:
            image.load()
            rgb = _to_rgb(image)
        except _DECODING_ERRORS as error:
            _refuse(f"it is damaged or incomplete ({error})", error)
    return _turn(rgb, header.orientation)


def _refuse(detail: str, cause: BaseException | None = None) -> NoReturn:
    raise UnusableImage(f"the image cannot be read: {detail}; save it anew", reason="unreadable") from cause


def _check_header(data: bytes) -> Header:
    if len(data) > MAX_BYTES:
        raise UnusableImage(
            f"the image has {len(data):,} bytes, at most {MAX_BYTES:,} are allowed; compress it more",
            reason="too large",
        )
    header = read_header(io.BytesIO(data))
    if header is None:
        if data.startswith((b"\xff\xd8\xff", b"\x89PNG")):
            _refuse("its header is damaged or incomplete")
        raise UnusableImage("the image is neither JPEG nor PNG; convert it", reason="format")
    short, long = sorted((header.width, header.height))
    said = f"the image has {header.width} x {header.height} pixels"
    if long > MAX_SIDE:
        raise UnusableImage(
            f"{said}, at most {MAX_SIDE} a side are allowed; scale it down", reason="too large"
        )
    if short < MIN_SIDE:
        raise UnusableImage(f"{said}, at least {MIN_SIDE} a side are needed; scale it up", reason="too small")
    if long > MAX_ASPECT * short:
        raise UnusableImage(f"{said}, more than {MAX_ASPECT}:1; crop it", reason="aspect ratio")
    return header


def _open(data: bytes) -> Image:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingExtra("local", "Decoding images") from error
    try:
        return Image.open(io.BytesIO(data), formats=("JPEG", "PNG"))
    except _DECODING_ERRORS as error:
        _refuse(f"its header is damaged or incomplete ({error})", error)


def _to_rgb(image: Image) -> Image:
    from PIL.Image import alpha_composite, new

    if image.mode.startswith("I"):
        # Pillow would clip 16-bit grey to 255 instead of scaling it.
        return image.convert("F").point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = new("RGBA", rgba.size, (255, 255, 255, 255))
        return alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _turn(image: Image, orientation: int) -> Image:
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image
