"""The format and the size of an image, from its first bytes: nothing is decoded, so nothing can explode."""

from __future__ import annotations

from typing import Literal

import attrs

__all__ = ["Header", "read_header"]

_MARKER = 0xFF
"""Starts every marker of a JPEG."""
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""The frame headers SOF0 to SOF15; the exceptions are tables and extensions."""
_PNG_HEADER = 24
"""Signature, length, name and two sizes."""
_PNG = b"\x89PNG\r\n\x1a\n"
_LONE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})
"""JPEG markers that carry no length: TEM, the restarts, and the start of the image."""


@attrs.frozen
class Header:
    """What the header of an image says."""

    format: Literal["JPEG", "PNG"]
    """The format by content, whatever the name of the file is."""
    width: int
    """Stored width in pixels, before any turning."""
    height: int
    """Stored height in pixels, before any turning."""


def read_header(data: bytes) -> Header | None:
    """Read format and size.

    Args:
        data: The encoded image, or its beginning.

    Returns:
        The header; None when the data is neither JPEG nor PNG, or ends within the header.

    Examples:
        >>> read_header(bytes.fromhex("89504e470d0a1a0a0000000d49484452000000400000008008020000"))
        Header(format='PNG', width=64, height=128)
        >>> read_header(b"GIF89a") is None
        True
    """
    if data.startswith(_PNG):
        return _read_png(data)
    if data.startswith(b"\xff\xd8\xff"):
        return _read_jpeg(data)
    return None


def _read_png(data: bytes) -> Header | None:
    if len(data) < _PNG_HEADER or data[12:16] != b"IHDR":
        return None
    return Header("PNG", int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big"))


def _read_jpeg(data: bytes) -> Header | None:
    """Walk from marker to marker until a frame header (SOF0 to SOF15) comes."""
    at = 2
    while at + 9 <= len(data):
        if data[at] != _MARKER:
            return None
        marker = data[at + 1]
        if marker == _MARKER:  # a fill byte
            at += 1
        elif marker in _LONE_MARKERS:
            at += 2
        elif marker in _FRAMES:
            height = int.from_bytes(data[at + 5 : at + 7], "big")
            return Header("JPEG", int.from_bytes(data[at + 7 : at + 9], "big"), height)
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
