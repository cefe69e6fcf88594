"""Why the service would reject an image file: its format, its limits, and whether it can be decoded."""

from __future__ import annotations

import hashlib
import io
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import attrs

from rekolabels._image_header import EncodedImage, image_format, is_complete, other_format, read_header
from rekolabels.images import ImageSize
from rekolabels.manifest.limits import IMAGE_ASPECT, IMAGE_BYTES, IMAGE_SIDE

if TYPE_CHECKING:
    from rekolabels._image_header import Header

__all__ = [
    "MAX_DECODED_BYTES",
    "MAX_DECODED_PIXELS",
    "Fault",
    "Probe",
    "dimension_fault",
    "probe",
    "read_file",
]

MAX_DECODED_BYTES: Final = 100 * 2**20
"""Largest file that is decoded on this machine, to convert it or to compare it with others."""
MAX_DECODED_PIXELS: Final = 89_478_485
"""Largest image that is decoded: 89 megapixels. For larger ones Pillow warns of an attack."""

Fault: TypeAlias = Literal[
    "unreadable", "not an image", "format", "damaged", "too small", "too large", "elongated"
]
"""The kind of problem that an image file has."""

_ENOUGH = (64, 64)
"""Pixels to decode: libjpeg reads all data of a JPEG for fewer pixels, too, but computes less."""


@attrs.frozen
class Probe:
    """The result of inspecting an image file."""

    problem: str | None = None
    """The reason why the service would reject it; None if it would accept it."""
    fault: Fault | None = None
    """The kind of the problem."""
    size: ImageSize | None = None
    """The size after applying the EXIF orientation; None if it cannot be read."""
    digest: str = ""
    """SHA-256 of the file, as hexadecimal; empty if it was not read to its end."""
    found: bool = True
    """Whether the file could be read."""
    orientation: int = 1
    """The EXIF orientation, 1 to 8."""


def read_file(path: str, limit: int = IMAGE_BYTES) -> bytes:
    """Return the content of a file, and one byte more than the limit of a larger one.

    Raises:
        OSError: It cannot be read, or is a pipe or device, which would block or never end.
        ValueError: The path is not a valid file name.
    """
    found = Path(path).stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError("not a regular file")
    with Path(path).open("rb") as file:
        return file.read(min(found.st_size, limit) + 1)  # as much memory is allocated


def probe(content: bytes) -> Probe:
    """Inspect an image file: format, file size, dimensions, and whether it can be decoded to its end.

    Checks the dimensions before decoding, so that a small file cannot exhaust the memory, and bounds the work
    on hostile files. Without Pillow, looks for the end of the file instead of decoding it.
    """
    header = read_header(io.BytesIO(content))
    if header is not None and min(header.width, header.height) < 1:
        header = None
    size = None if header is None else _upright_size(header)
    if len(content) > IMAGE_BYTES:
        return Probe(f"the file is larger than {IMAGE_BYTES // 2**20} MB", "too large", size)
    digest = hashlib.sha256(content).hexdigest()
    if header is None:
        return Probe(*_header_fault(content[:12]), digest=digest)
    found = dimension_fault(header.width, header.height)
    if found is None:
        reason = _decoding_problem(content, header)
        found = None if reason is None else (reason, "damaged")
    problem, fault = found or (None, None)
    return Probe(problem, fault, size, digest, orientation=header.orientation)


def dimension_fault(width: int, height: int) -> tuple[str, Fault] | None:
    """Return what is wrong with the dimensions of an image; None if the service accepts them."""
    low, high = IMAGE_SIDE
    pixels = f"the image has {width} x {height} pixels"
    if max(width, height) > high:
        return f"{pixels}; {low} to {high} a side are allowed", "too large"
    if min(width, height) < low:
        return f"{pixels}; {low} to {high} a side are allowed", "too small"
    if max(width, height) > IMAGE_ASPECT * min(width, height):
        return f"{pixels}; an aspect ratio of at most {IMAGE_ASPECT:.0f}:1 is allowed", "elongated"
    return None


def _header_fault(start: bytes) -> tuple[str, Fault]:
    if not start:
        return "the file is empty; neither JPEG nor PNG", "not an image"
    if image_format(start) is not None:
        return "the image cannot be decoded (its header is damaged or incomplete)", "damaged"
    name = other_format(start)
    if name is None:
        return "the file is neither JPEG nor PNG", "not an image"
    return f"the file is neither JPEG nor PNG, but {name}", "format"


def _upright_size(header: Header) -> ImageSize:
    # A depth of 1 or 3, as Ground Truth states it: transparency does not count.
    return ImageSize(*header.upright_size, 1 if header.channels <= 2 else 3)  # noqa: PLR2004 - grey, alpha


def _decoding_problem(content: bytes, header: Header) -> str | None:
    """Return why an image cannot be decoded to its end; None if it can."""
    if not is_complete(content):  # Pillow ignores that the last chunk of a PNG is missing
        return "the image cannot be decoded (its end is missing)"
    try:
        from PIL import Image
    except ImportError:
        return None
    if header.exif is not None:
        start, end = header.exif
        content = content[:start] + content[end:]  # already read, and Pillow warns about damaged EXIF
    try:
        with Image.open(EncodedImage(content), formats=("JPEG", "PNG")) as image:
            image.draft("L", _ENOUGH)
            image.load()
    except Exception as error:  # noqa: BLE001 - decoders fail in many ways on broken files
        return f"the image cannot be decoded ({error})"
    return None
