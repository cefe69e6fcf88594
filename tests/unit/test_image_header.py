"""Headers of JPEG and PNG files, read by formats.image_size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from label_files import jpeg, png
from rekolabels.errors import InvalidImage
from rekolabels.formats import image_size
from rekolabels.formats._other_images import other_image_size
from rekolabels.images import ImageSize

if TYPE_CHECKING:
    from pathlib import Path

JPEG: Final = b"\xff\xd8"
FRAME: Final = b"\xff\xc0\x00\x11\x08\x01\xe0\x02\x80\x03" + b"\0" * 9
"""A frame header: 480 high, 640 wide, three channels."""


@pytest.mark.parametrize("before", [b"", b"\xff\xff", b"\xff\x01", b"\xff\xd0", b"\xff\xe0\x00\x04ab"])
def test_segments_before_the_size_of_a_jpeg_are_skipped(tmp_path: Path, before: bytes) -> None:
    """Fill bytes, markers without a length, and other segments are skipped."""
    path = tmp_path / "a.jpg"
    path.write_bytes(JPEG + before + FRAME)

    assert image_size(path) == ImageSize(640, 480, 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a",
        JPEG,
        JPEG + b"\x00\xc0",
        JPEG + b"\xff\xe0\x00",
        JPEG + b"\xff\xe0\x00\x01",
        JPEG + FRAME[:7],
        JPEG + b"\xff\x01" * 20_000 + FRAME,
        JPEG + FRAME.replace(b"\x01\xe0", b"\x00\x00"),
        b"\x89PNG\r\n\x1a\n" + b"\0" * 18,
    ],
)
def test_headers_without_a_size(tmp_path: Path, content: bytes) -> None:
    """Empty, truncated, endless and damaged files, and other formats, raise InvalidImage with the name."""
    path = tmp_path / "a.jpg"
    path.write_bytes(content)

    with pytest.raises(InvalidImage, match=r"a\.jpg"):
        image_size(path)


def test_an_image_that_cannot_be_opened(tmp_path: Path) -> None:
    """A folder, a missing file and an invalid path raise InvalidImage."""
    for path in (tmp_path, tmp_path / "missing.jpg", "nul\0character"):
        with pytest.raises(InvalidImage):
            image_size(path)


@pytest.mark.parametrize(
    "content", [b"\xff\xd8\xff", b"\xff\xd8\xff\xd8" * 50, b"\xff\xd8\xff\xc0\x00\x01", jpeg(0, 5), png(0, 9)]
)
def test_damaged_headers_are_refused(tmp_path: Path, content: bytes) -> None:
    """Truncated segments, wrong lengths and sizes of zero raise InvalidImage."""
    path = tmp_path / "x"
    path.write_bytes(content)

    with pytest.raises(InvalidImage, match="x"):
        image_size(path)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_sizes_are_those_of_the_upright_image(kind: str, orientation: int, tmp_path: Path) -> None:
    """Boxes are relative to the image as viewers show it; YOLO files hold shares of its sides."""
    image = pytest.importorskip("PIL.Image")
    exif = image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "x"
    image.new("RGB", (31, 47)).save(path, kind, exif=exif)
    size = other_image_size(path) if kind == "WEBP" else image_size(path)
    assert size == (ImageSize(47, 31) if orientation >= 5 else ImageSize(31, 47))


def test_sizes_agree_with_pillow(tmp_path: Path) -> None:
    """For the modes of JPEG and PNG, the size and the channels are those that Pillow reports."""
    image = pytest.importorskip("PIL.Image")
    for mode, depth in {"L": 1, "RGB": 3, "CMYK": 4}.items():
        for progressive in (False, True):
            image.new(mode, (31, 47)).save(tmp_path / "x.jpg", progressive=progressive, dpi=(72, 72))
            assert ImageSize(31, 47, depth) == image_size(tmp_path / "x.jpg")
    for mode, depth in {"1": 1, "L": 1, "LA": 2, "P": 3, "RGB": 3, "RGBA": 4}.items():
        image.new(mode, (31, 47)).save(tmp_path / "x.png")
        assert ImageSize(31, 47, depth) == image_size(tmp_path / "x.png")
