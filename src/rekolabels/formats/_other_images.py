"""Sizes of images that are neither JPEG nor PNG, from their headers: ``create_datasets`` can convert them."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from rekolabels._image_header import SIDEWAYS, other_format, webp_orientation
from rekolabels.formats._files import is_file
from rekolabels.images import ImageSize

if TYPE_CHECKING:
    import os

__all__ = ["EXTENSIONS", "is_other_image", "other_image_size"]

EXTENSIONS = frozenset({".avif", ".bmp", ".gif", ".heic", ".heif", ".tif", ".tiff", ".webp"})
"""Extensions of such images, in lower case."""
_HEADER = 32
"""Bytes in which WebP, BMP and GIF files have their size."""
_WEBP_EXIF = 8
"""Bit of the flags of an extended WebP file."""


def is_other_image(path: str | os.PathLike[str]) -> bool:
    """Return whether a file is an image of another format than JPEG and PNG, which could be converted."""
    return other_format(_start(path)) is not None


def other_image_size(path: str | os.PathLike[str]) -> ImageSize | None:
    """Return the size of a WebP, BMP or GIF image; None for other formats, and for damaged headers.

    The size is that of the upright image, as for JPEG and PNG.
    """
    start = _start(path)
    if len(start) < _HEADER:
        return None
    match other_format(start):
        case "WebP":
            width, height = _webp_size(start)
            if start[12:16] == b"VP8X" and start[20] & _WEBP_EXIF and _webp_orientation(path) in SIDEWAYS:
                width, height = height, width
        case "GIF":
            width, height = struct.unpack_from("<HH", start, 6)
        case "BMP":
            old = int.from_bytes(start[14:18], "little") == 12  # noqa: PLR2004 - bytes of the first header
            width, height = struct.unpack_from("<HH" if old else "<ii", start, 18)
            height = abs(height)  # negative if the rows begin at the top
        case _:
            return None
    return ImageSize(width, height) if width > 0 and height > 0 else None


def _webp_size(start: bytes) -> tuple[int, int]:
    match start[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(start[24:27], "little"), 1 + int.from_bytes(start[27:30], "little")
        case b"VP8L":
            bits = int.from_bytes(start[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", start, 26)
            return width & 0x3FFF, height & 0x3FFF  # the other bits are a scale for display
        case _:
            return 0, 0


def _webp_orientation(path: str | os.PathLike[str]) -> int:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - as below
            return webp_orientation(file)
    except OSError:
        return 1


def _start(path: str | os.PathLike[str]) -> bytes:
    try:
        if not is_file(path):  # a pipe would block
            return b""
        with open(path, "rb") as file:  # noqa: PTH123 - also takes the strings of os.scandir
            return file.read(_HEADER)
    except OSError:
        return b""
