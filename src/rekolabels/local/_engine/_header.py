"""What the first bytes of an image say: nothing is decoded, so nothing can explode.

Format, size, channels and the EXIF orientation; the latter is read here because Pillow, which decodes later,
warns about damaged EXIF blocks instead of passing over them.
"""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["Header", "read_header"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_MARKER = 0xFF
"""Starts every marker of a JPEG."""
_APP1 = 0xE1
"""Marks a segment that may hold EXIF."""
_EXIF = b"Exif\x00\x00"
_SCAN = 0xDA
"""Marks the beginning of the pixels; the header is over."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The frame headers SOF0 to SOF15; the exceptions are tables and extensions."""
_LONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers that carry no length: TEM, the restarts, and the start of the image."""
_GREY_TYPES = frozenset({0, 4})
"""Colour types of a PNG with one channel, without and with transparency."""
_ORIENTATION = 0x0112
_UPRIGHT = 1
_SHORT = 3
"""The TIFF type of an orientation: two bytes."""
_ORIENTATIONS = range(1, 9)
_SIDEWAYS = frozenset({5, 6, 7, 8})
"""Orientations that exchange width and height."""


@attrs.frozen
class Header:
    """What the header of an image says."""

    format: Literal["JPEG", "PNG"]
    """The format by content, whatever the name of the file is."""
    width: int
    """Stored width in pixels, before any turning."""
    height: int
    """Stored height in pixels, before any turning."""
    depth: int = 3
    """1 for grey images, else 3."""
    orientation: int = _UPRIGHT
    """EXIF orientation, 1 to 8; 1, upright, when there is none or the EXIF block is damaged."""
    exif: tuple[int, int] | None = None
    """Where the EXIF segment of a JPEG begins and ends, in bytes."""

    @property
    def turned(self) -> tuple[int, int]:
        """Width and height after turning by the orientation."""
        return (self.height, self.width) if self.orientation in _SIDEWAYS else (self.width, self.height)


def read_header(data: bytes) -> Header | None:
    """Read the header.

    Args:
        data: The encoded image, or its beginning.

    Returns:
        The header; None when the data is neither JPEG nor PNG, or ends within the header.

    Examples:
        >>> header = read_header(bytes.fromhex("89504e470d0a1a0a0000000d4948445200000040000000800802000000"))
        >>> header.format, header.width, header.height
        ('PNG', 64, 128)
        >>> read_header(b"GIF89a") is None
        True
    """
    if data.startswith(_PNG):
        return _read_png(data)
    if data.startswith(_JPEG):
        return _read_jpeg(data)
    return None


def _number(data: bytes, at: int, length: int = 2) -> int:
    """A big-endian number; what is beyond the end counts as 0."""
    return int.from_bytes(data[at : at + length].ljust(length, b"\x00"), "big")


def _read_png(data: bytes) -> Header | None:
    """Read IHDR, then look for eXIf among the chunks before the pixels."""
    at = len(_PNG)
    first = at + 8
    if data[at + 4 : first] != b"IHDR" or len(data) < first + 13:
        return None
    depth = 1 if data[first + 9] in _GREY_TYPES else 3
    orientation = _UPRIGHT
    while at + 8 <= len(data):
        length, kind = _number(data, at, 4), data[at + 4 : at + 8]
        if kind in {b"IDAT", b"IEND"}:
            break
        if kind == b"eXIf":
            orientation = _read_orientation(data[at + 8 : at + 8 + length])
        at += 12 + length
    return Header("PNG", _number(data, first, 4), _number(data, first + 4, 4), depth, orientation)


def _read_jpeg(data: bytes) -> Header | None:
    """Walk from marker to marker until the pixels come."""
    at, orientation, exif = 2, _UPRIGHT, None
    frame: tuple[int, int, int] | None = None
    while at + 4 <= len(data) and data[at] == _MARKER:
        marker = data[at + 1]
        if marker == _MARKER:  # a fill byte
            at += 1
            continue
        if marker in _LONE_MARKERS:
            at += 2
            continue
        if marker == _SCAN:
            break
        end = at + 2 + _number(data, at + 2)
        if marker in _FRAMES and frame is None and at + 10 <= len(data):
            frame = (_number(data, at + 7), _number(data, at + 5), 1 if data[at + 9] == 1 else 3)
        elif marker == _APP1 and exif is None and data[at + 4 : at + 10] == _EXIF:
            orientation, exif = _read_orientation(data[at + 10 : end]), (at, end)
        at = end
    return None if frame is None else Header("JPEG", *frame, orientation, exif)


def _read_orientation(tiff: bytes) -> int:
    """Look the orientation up in the first directory of an EXIF block."""
    order: Literal["little", "big"] = "little" if tiff.startswith(b"II") else "big"

    def number(at: int, length: int = 2) -> int:
        return int.from_bytes(tiff[at : at + length], order)

    start = number(4, 4)
    for index in range(min(number(start), 200)):
        entry = start + 2 + 12 * index
        if number(entry) == _ORIENTATION and number(entry + 2) == _SHORT:
            value = number(entry + 8)
            return value if value in _ORIENTATIONS else _UPRIGHT
    return _UPRIGHT
