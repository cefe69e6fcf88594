"""The size of a JPEG or PNG from its first bytes, without decoding it and without an imaging library."""

from __future__ import annotations

import os
import stat
import struct
from typing import BinaryIO

from rekolabels.errors import InvalidImage
from rekolabels.formats._problems import shown
from rekolabels.images import ImageSize

__all__ = ["image_size"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}  # by colour type; a palette holds RGB
# The frame headers of JPEG; C4, C8 and CC of the same range are tables and extensions.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD8)})
_MOST_SEGMENTS = 10_000


def image_size(path: str | os.PathLike[str]) -> ImageSize:
    """Read the size of a JPEG or PNG file from its header; the kind is told by content, not by name.

    The size is that of the stored pixels; an EXIF orientation is not applied.

    Args:
        path: The image file.

    Raises:
        InvalidImage: The file cannot be read, is neither JPEG nor PNG, or is cut off before its size.
    """
    name = shown(os.fspath(path))
    try:
        # A pipe or device would block or never end: only plain files hold images.
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - also takes the strings of os.scandir
            raise InvalidImage(f"{name}: not a regular file")
        with open(path, "rb") as file:  # noqa: PTH123 - the same
            start = file.read(26)
            if start.startswith(_PNG):
                return _png_size(start, name)
            if start.startswith(_JPEG):
                file.seek(2)
                return _jpeg_size(file, name)
    except OSError as error:
        raise InvalidImage(f"{name}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL character in the path
        if isinstance(error, InvalidImage):
            raise
        raise InvalidImage(f"{name}: not a usable file name: {error}") from error
    what = "empty" if not start else "neither JPEG nor PNG"
    raise InvalidImage(f"{name}: {what}; the service takes JPEG and PNG files only")


def _png_size(start: bytes, name: str) -> ImageSize:
    if len(start) < 26 or start[12:16] != b"IHDR":  # noqa: PLR2004 - signature 8, chunk head 8, IHDR up to the colour type 10
        raise InvalidImage(f"{name}: a PNG file that is cut off or damaged before its size")
    width, height, _, colour = struct.unpack(">IIBB", start[16:26])
    return _checked(width, height, _PNG_CHANNELS.get(colour, 3), name)


def _jpeg_size(file: BinaryIO, name: str) -> ImageSize:
    for _ in range(_MOST_SEGMENTS):
        marker = file.read(2)
        while marker[1:] == b"\xff":  # fill bytes may stand before a marker
            marker = marker[1:] + file.read(1)
        if len(marker) < 2 or marker[0] != 0xFF:  # noqa: PLR2004 - two bytes make a marker, the first is FF
            break
        if marker[1] in _WITHOUT_LENGTH:
            continue
        head = file.read(2)
        length = int.from_bytes(head, "big")
        if len(head) < 2 or length < 2:  # noqa: PLR2004 - the length counts its own two bytes
            break
        if marker[1] in _START_OF_FRAME:
            frame = file.read(6)
            if len(frame) < 6:  # noqa: PLR2004 - precision 1, height 2, width 2, channels 1
                break
            _, height, width, channels = struct.unpack(">BHHB", frame)
            return _checked(width, height, channels, name)
        file.seek(length - 2, os.SEEK_CUR)
    raise InvalidImage(f"{name}: a JPEG file that is cut off or damaged before its size")


def _checked(width: int, height: int, depth: int, name: str) -> ImageSize:
    if width < 1 or height < 1:
        raise InvalidImage(f"{name}: its header states the size {width} x {height}")
    return ImageSize(width, height, depth)
