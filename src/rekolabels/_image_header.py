"""Image files, read without an imaging library: format, size, channels, EXIF orientation, completeness.

Headers are read without decoding, so a hostile file cannot exhaust the memory. The EXIF
orientation is read here too, because Pillow warns about a damaged EXIF block instead of ignoring it.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, BinaryIO, Literal

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "SIDEWAYS",
    "EncodedImage",
    "Header",
    "image_format",
    "is_complete",
    "other_format",
    "read_header",
    "webp_orientation",
]

_JPEG = b"\xff\xd8\xff"
_MARKER = 0xFF
"""First byte of each marker of a JPEG."""
_APP1 = 0xE1
"""Marker of a segment that may hold EXIF."""
_END_OF_IMAGE = b"\xff\xd9"
"""Marker at the end; in the pixels the first byte is followed by a zero or a restart marker."""
_START_OF_SCAN = 0xDA
"""Marker after which the pixels follow; the header ends here."""
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the frame headers SOF0 to SOF15; the three left out are tables and extensions."""
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
"""Markers without a length: TEM, the restart markers, and the start of the image."""
_MAX_SCANS = 1000
"""Scans of a JPEG. libjpeg goes through all pixels for each, even for one of a dozen bytes; real progressive
files have about 10. Thumbnails and colour profiles may contain the marker, too."""
_BYTES_PER_READ = 128
"""Pillow reads headers in Python, some byte by byte: 60 MB of fill bytes took 23 s. It reads pixels in blocks
of 64 kB, and the chunks of a PNG, usually of 8 kB, in three reads."""
_FREE_READS = 20_000
_FREE_READS_OTHER = 200_000
"""For formats of which Pillow decodes the pixels in Python, such as compressed BMP."""
_MAX_SEGMENTS = 10_000
"""Bounds the work on a hostile file; real files have some dozens."""

_PNG = b"\x89PNG\r\n\x1a\n"
_IHDR_END = 29
"""Signature 8, chunk header 8, content of IHDR 13 bytes."""
_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Channels by colour type; a palette holds RGB."""

_OTHER_FORMATS = {
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
"""Formats by their first bytes; those of BigTIFF have a plus sign."""
_ISO_MEDIA = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
"""Image formats by the brand of their ISO media file; others are videos."""

_EXIF = b"Exif\x00\x00"
_MAX_EXIF = 1 << 20
"""Bytes of an EXIF block that are read; a JPEG holds at most 64 KiB, a PNG states up to 4 GiB."""
_ORIENTATION = 0x0112
_SHORT = 3
"""TIFF type of the orientation: two bytes."""
_UPRIGHT = 1
_ORIENTATIONS = range(1, 9)
SIDEWAYS = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange width and height."""


@attrs.frozen
class Header:
    """What the header of an image states."""

    format: Literal["JPEG", "PNG"]
    """Format by content, whatever the file is called."""
    width: int
    """Stored width in pixels, before the orientation is applied; may be 0 in a damaged file."""
    height: int
    """Stored height in pixels, before the orientation is applied; may be 0 in a damaged file."""
    channels: int = 3
    """1 grey, 2 grey with transparency, 3 colour, 4 colour with transparency or CMYK."""
    orientation: int = _UPRIGHT
    """EXIF orientation, 1 to 8; 1 (upright) when there is none or it is damaged."""
    exif: tuple[int, int] | None = None
    """First byte of a JPEG's EXIF segment, and the first byte after it; None without one."""
    bits: int = 8
    """Bits per channel, such as 16 for some PNG files."""

    @property
    def upright_size(self) -> tuple[int, int]:
        """Width and height after the orientation is applied."""
        return (self.height, self.width) if self.orientation in SIDEWAYS else (self.width, self.height)


def image_format(start: bytes) -> Literal["JPEG", "PNG"] | None:
    """Return the format of an image by its first 8 bytes; None when it is neither JPEG nor PNG."""
    if start.startswith(_JPEG):
        return "JPEG"
    return "PNG" if start.startswith(_PNG) else None


def other_format(start: bytes) -> str | None:
    r"""Return the name of an image format that is neither JPEG nor PNG, by the first 12 bytes of the file.

    Knows the formats that cameras, phones, scanners and the web use; None for anything else.

    >>> other_format(b"RIFF\x24\x00\x00\x00WEBP"), other_format(b"just a text")
    ('WebP', None)
    """
    if start.startswith(b"RIFF") and start[8:12] == b"WEBP":
        return "WebP"
    if start.startswith(b"BM") and start[6:10] == bytes(4):  # two letters alone could begin a text
        return "BMP"
    if start[4:8] == b"ftyp":
        return _ISO_MEDIA.get(start[8:12])
    return next((name for magic, name in _OTHER_FORMATS.items() if start.startswith(magic)), None)


def is_complete(data: bytes) -> bool:
    """Return whether a JPEG or PNG file has its end, judged by its structure: nothing is decoded."""
    return _has_png_end(data) if data.startswith(_PNG) else _has_jpeg_end(data)


def _has_png_end(data: bytes) -> bool:
    at = len(_PNG)
    while at + 12 <= len(data):  # length, kind and checksum of a chunk
        kind = data[at + 4 : at + 8]
        at += 12 + int.from_bytes(data[at : at + 4], "big")
        if kind == b"IEND":
            return at <= len(data)
    return False


def _has_jpeg_end(data: bytes) -> bool:
    # The segments before the pixels may hold a thumbnail with an end of its own.
    pixels = 2
    for _, start, length in _jpeg_segments(io.BytesIO(data)):
        pixels = start + 2 + length
    return data.find(_END_OF_IMAGE, pixels) >= 0


def read_header(file: BinaryIO, *, exif: bool = True) -> Header | None:
    """Read the header of an image.

    Args:
        file: The encoded image, seekable and at its beginning.
        exif: Whether to look for the EXIF orientation. Without it, reading stops at the size.

    Returns:
        The header; None when the file is neither JPEG nor PNG, or its header is damaged or incomplete.

    Examples:
        >>> import io
        >>> png = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000040000000800802000000")
        >>> header = read_header(io.BytesIO(png))
        >>> header.format, header.width, header.height
        ('PNG', 64, 128)
        >>> read_header(io.BytesIO(b"GIF89a")) is None
        True
    """
    start = file.read(_IHDR_END)
    match image_format(start):
        case "PNG":
            return _read_png(start, file, exif=exif)
        case "JPEG":
            return _read_jpeg(file, exif=exif)
        case None:
            return None


def _read_png(start: bytes, file: BinaryIO, *, exif: bool) -> Header | None:
    if len(start) < _IHDR_END or start[12:16] != b"IHDR":
        return None
    width, height, bits, colour = struct.unpack(">IIBB", start[16:26])
    orientation = _UPRIGHT
    if exif:
        chunk = _png_chunk(file, b"eXIf")
        orientation = _UPRIGHT if chunk is None else _read_orientation(chunk)
    return Header("PNG", width, height, _PNG_CHANNELS.get(colour, 3), orientation, bits=bits)


def _png_chunk(file: BinaryIO, wanted: bytes) -> bytes | None:
    """Return the content of the last such chunk between IHDR and the pixels."""
    found = None
    at = _IHDR_END + 4  # behind the checksum of IHDR
    for _ in range(_MAX_SEGMENTS):
        file.seek(at)
        head = file.read(8)
        kind = head[4:]
        if len(head) < 8 or kind in {b"IDAT", b"IEND"}:  # noqa: PLR2004 - length 4, kind 4
            break
        length = int.from_bytes(head[:4], "big")
        if kind == wanted:
            found = file.read(min(length, _MAX_EXIF))
        at += 12 + length
    return found


def _read_jpeg(file: BinaryIO, *, exif: bool) -> Header | None:
    frame: tuple[int, int, int] | None = None
    orientation, place = _UPRIGHT, None
    for marker, start, length in _jpeg_segments(file):
        if marker in _START_OF_FRAME and frame is None:
            content = file.read(6)
            if len(content) < 6:  # noqa: PLR2004 - precision 1, height 2, width 2, channels 1
                break
            _, height, width, channels = struct.unpack(">BHHB", content)
            frame = (width, height, channels)
            if not exif:
                break
        elif exif and marker == _APP1 and place is None and file.read(6) == _EXIF:
            orientation = _read_orientation(file.read(max(length - 8, 0)))
            place = (start, start + 2 + length)
    return None if frame is None else Header("JPEG", *frame, orientation, place)


def _jpeg_segments(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    """Yield marker, position and length of each segment before the pixels, with the file at its content.

    The length includes its own two bytes. Ends early where the file is damaged or incomplete.
    """
    at = 2
    for _ in range(_MAX_SEGMENTS):
        file.seek(at)
        head = file.read(4)
        if len(head) < 4 or head[0] != _MARKER or head[1] == _START_OF_SCAN:  # noqa: PLR2004 - marker, length
            return
        marker = head[1]
        if marker == _MARKER:  # a fill byte
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            length = head[2] << 8 | head[3]
            if length < 2:  # noqa: PLR2004 - the length includes its own two bytes
                return
            yield marker, at, length
            at += 2 + length


def webp_orientation(file: BinaryIO) -> int:
    """Return the EXIF orientation of a WebP file, 1 to 8; 1 when there is none or it is damaged."""
    at = 12  # behind RIFF, length and WEBP
    for _ in range(_MAX_SEGMENTS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:  # noqa: PLR2004 - kind 4, length 4
            break
        length = int.from_bytes(head[4:], "little")
        if head[:4] == b"EXIF":
            return _read_orientation(file.read(min(length, _MAX_EXIF)).removeprefix(_EXIF))
        at += 8 + length + length % 2
    return _UPRIGHT


def _read_orientation(tiff: bytes) -> int:
    """Return the orientation in the first directory of an EXIF block; 1 when there is none."""
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


class EncodedImage(io.BytesIO):
    """The content of an image file, to be opened with Pillow.

    Raises:
        OSError: Decoding it would take far more work than decoding an image. Raised by the constructor, or by
            the methods that read.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        found = image_format(data[:8])
        if found == "JPEG" and data.count(bytes((_MARKER, _START_OF_SCAN))) > _MAX_SCANS:
            raise OSError(f"it has more than {_MAX_SCANS:,} scans")
        self._reads = (_FREE_READS_OTHER if found is None else _FREE_READS) + len(data) // _BYTES_PER_READ

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes; all that are left by default."""
        self._count()
        return super().read(size)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read up to the end of the line."""
        self._count()
        return super().readline(size)

    def _count(self) -> None:
        self._reads -= 1
        if self._reads < 0:
            raise OSError("it consists of far more parts than an image")
