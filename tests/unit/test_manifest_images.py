"""Checking the image files of a manifest."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from rekolabels.errors import InvalidInput
from rekolabels.images import BoundingBox, ImageSize, LabelledImage
from rekolabels.manifest import CheckedManifest, Issue, check_manifest, format_line

Image = pytest.importorskip("PIL.Image", reason="Pillow comes with the extra local")

if TYPE_CHECKING:
    from collections.abc import Callable


def picture(width: int, height: int, kind: str = "PNG", orientation: int | None = None) -> bytes:
    """Return the content of an image file."""
    image = Image.new("RGB", (width, height), "red")
    exif = image.getexif()
    if orientation is not None:
        exif[0x0112] = orientation
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()


def bomb() -> bytes:
    """Return a PNG of 60,000 x 60,000 pixels in a hundred bytes."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


GOOD = picture(640, 480)


def manifest(*names: str, size: ImageSize | None = None) -> list[str]:
    """Return lines for these images, with a box if there is a size, and for ten valid ones."""
    boxes = [] if size is None else [BoundingBox("a", 1, 1, 30, 30)]
    images = [LabelledImage(f"s3://bucket/{name}", ["a"], boxes, size) for name in names]
    others = [LabelledImage(f"s3://bucket/good-{n}", ["ab"[n % 2]]) for n in range(10)]
    return [format_line(image) for image in (*images, *others)]


def opener(**contents: bytes) -> Callable[[str], bytes]:
    """Return a function that opens these images, and a valid one for other names."""

    def open_image(source: str) -> bytes:
        name = source.removeprefix("s3://bucket/")
        if name == "missing":
            raise PermissionError("Access Denied")
        return contents.get(name, GOOD)

    return open_image


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "neither JPEG nor PNG"),
        (b"text", "neither JPEG nor PNG"),
        (picture(64, 64, "GIF"), "neither JPEG nor PNG"),
        (GOOD[:300], "cannot be decoded"),
        (picture(800, 600, "JPEG")[:2000], "cannot be decoded"),
        (picture(63, 64), "63 x 64 pixels"),
        (picture(64, 4097), "64 x 4097 pixels"),
        (picture(64, 1281), "at most 20:1"),
        (bomb(), "60000 x 60000|far more than"),
        (GOOD + b" " * 15 * 2**20, "larger than 15 MB"),
    ],
)
def test_images_that_the_service_rejects(content: bytes, why: str) -> None:
    """The line is invalid, and the issue has the reason."""
    report = check_manifest(manifest("bad"), open_images=True, open_image=opener(bad=content))

    [issue] = report
    assert (issue.code, issue.line) == ("ERROR_INVALID_IMAGE", 1)
    assert any(part in issue.detail for part in why.split("|"))
    assert report.counts.invalid == 1


@pytest.mark.parametrize("content", [picture(64, 64), picture(64, 1280), picture(4096, 205, "JPEG")])
def test_images_at_the_limits_are_accepted(content: bytes) -> None:
    """The limits are inclusive."""
    assert list(check_manifest(manifest("bad"), open_images=True, open_image=opener(bad=content))) == []


def test_a_missing_image() -> None:
    """A missing image makes its line invalid; if all are missing, the training would not start."""
    [issue] = check_manifest(manifest("missing"), open_images=True, open_image=opener())
    assert "Access Denied" in issue.detail

    def nothing(source: str) -> bytes:
        raise FileNotFoundError(source)

    report = check_manifest(manifest(), open_images=True, open_image=nothing)
    first, second = [issue.code for issue in report if issue.level == "CONTENT"]
    assert (first, second) == ("ERROR_FAILED_IMAGES_S3_COPY", "ERROR_TOO_MANY_INVALID_ROWS_IN_MANIFEST")
    assert "None of" in report.headline()
    assert not report.ok


def test_a_size_that_differs_from_the_stated_one() -> None:
    """A different size is advice; the EXIF orientation is applied."""
    lines = manifest("turned", size=ImageSize(480, 640))
    turned = picture(640, 480, "JPEG", orientation=6)

    def differences(open_image: Callable[[str], bytes]) -> list[Issue]:
        report = check_manifest(lines, open_images=True, open_image=open_image)
        return [issue for issue in report if issue.code == "IMAGE_SIZE_DIFFERS"]

    assert differences(opener(turned=turned)) == []
    [issue] = differences(opener())
    assert issue.detail == "The line states 480 x 640 pixels, but the image has 640 x 480."


def test_usable_images_are_streamed_with_open_images() -> None:
    """Bad images are left out; files are closed."""
    opened: list[io.BytesIO] = []

    def open_image(source: str) -> io.BytesIO:
        opened.append(io.BytesIO(b"" if source.endswith("bad") else GOOD))
        return opened[-1]

    checked = CheckedManifest(manifest("bad"), open_images=True, open_image=open_image)
    assert len(list(checked.images())) == 10
    assert all(file.closed for file in opened)
    assert '"ERROR_INVALID_IMAGE"' in next(checked.report().validation_lines())


def test_images_in_s3_need_an_opener() -> None:
    """The manifest package does not access the network."""
    with pytest.raises(InvalidInput, match="open_image="):
        check_manifest(manifest(), open_images=True)
