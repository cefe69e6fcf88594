"""The backends that the contract of the SDK is held against, and images to hold it with."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

COLOURS = {"amber": (230, 160, 30), "blue": (30, 60, 220), "green": (40, 170, 60)}


def png(width: int, height: int, colour: tuple[int, int, int], mark: int) -> bytes:
    """A small picture: a coloured ground with a dark stripe whose place tells pictures apart."""
    rows = bytearray()
    for y in range(height):
        dark = mark % height <= y < mark % height + 5
        rows += b"\0" + bytes(value // 3 if dark else value for value in colour) * width
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", head),
            _chunk(b"IDAT", zlib.compress(bytes(rows))),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_folder(folder: Path, *, images: int = 6, labels: int = 2) -> Path:
    """Write label folders with pictures that even a small model tells apart."""
    for label, colour in list(COLOURS.items())[:labels]:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(images):
            (folder / label / f"{number:02}.png").write_bytes(png(64, 64, colour, 7 * number))
    return folder
