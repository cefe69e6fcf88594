"""Files for the tests of label formats: image headers without pixels, and trees of files."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def png(width: int = 100, height: int = 80) -> bytes:
    """Make the header of a PNG."""
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + sides + b"\x08\x02\0\0\0"


def jpeg(width: int = 70, height: int = 80, channels: int = 3, marker: int = 0xC0) -> bytes:
    """Make the start of a JPEG: an application segment, fill bytes and a frame header."""
    frame = struct.pack(">BHHB", 8, height, width, channels) + bytes(3 * channels)
    return (
        b"\xff\xd8\xff\xe1\x00\x08Exif\x00\x00"
        b"\xff\xff\xff" + bytes([marker]) + struct.pack(">H", len(frame) + 2) + frame
    )


def write_files(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files, create their folders, and return the folder of all."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
