"""The image files behind the lines: are they there, and are they what the service takes?"""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeAlias

import attrs

from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.images import ImageSize
from rekolabels.manifest._json import short_repr
from rekolabels.manifest._line_rules import Finding
from rekolabels.manifest.limits import IMAGE_ASPECT, IMAGE_BYTES, IMAGE_SIDE

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rekolabels.manifest._line_rules import LineCheck

__all__ = ["ImageInspector", "ImageOpener", "probe"]

ImageOpener: TypeAlias = Callable[[str], "bytes | IO[bytes]"]
"""Gives the content of an image: called with its source, from several threads at once."""

_THREADS: Final = 16
_ROTATED: Final = {5, 6, 7, 8}
"""EXIF orientations by which width and height change places."""
_ORIENTATION: Final = 0x0112


@attrs.frozen
class Probe:
    """What a look into an image file showed."""

    problem: str | None
    """Why the service would refuse it, in words; None when it would not."""
    size: ImageSize | None = None
    """Its size as it is seen, turned by its EXIF orientation; None when it cannot be read."""
    found: bool = True
    """Whether there was a file at all."""


def probe(content: bytes) -> Probe:
    """Look into an image file: its format, size, dimensions and whether it can be decoded to its end.

    The dimensions are looked at before anything is decoded, so that a small file cannot fill the memory.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtra("local", "Looking into images") from error
    if len(content) > IMAGE_BYTES:
        return Probe(f"it has more than {IMAGE_BYTES // 2**20} MB")
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _ROTATED
            size = ImageSize(height, width) if turned else ImageSize(width, height)
            problem = _dimension_problem(width, height)
            if problem is None:
                image.load()
            return Probe(problem, size)
    except UnidentifiedImageError:
        return Probe("it is neither JPEG nor PNG")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Probe(f"it has far more than {IMAGE_SIDE[1]} pixels a side")
    except Exception as error:  # noqa: BLE001 - decoders fail in many ways on broken files
        return Probe(f"it cannot be decoded ({error})")


def _dimension_problem(width: int, height: int) -> str | None:
    low, high = IMAGE_SIDE
    if not (low <= width <= high and low <= height <= high):
        return f"it is {width} x {height} pixels; {low} to {high} a side are allowed"
    if max(width, height) > IMAGE_ASPECT * min(width, height):
        return f"it is {width} x {height} pixels; at most {IMAGE_ASPECT:.0f}:1 is allowed"
    return None


class ImageInspector:
    """Looks into the images of lines, several at once. A context manager.

    Attributes:
        found: How many image files were there.
        missing: How many were not.
    """

    def __init__(self, open_image: ImageOpener | None) -> None:
        self.found = 0
        self.missing = 0
        self._open = open_image
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="rekolabels-images")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def inspect(self, checks: list[LineCheck]) -> list[LineCheck]:
        """The same lines, with what their images add."""
        sources = [check.image.source for check in checks if check.image is not None]
        probes = self._threads.map(self._probe, sources)
        return [check if check.image is None else self._judge(check, next(probes)) for check in checks]

    def size_of(self, source: str) -> ImageSize | None:
        """The true size of an image, None when it cannot be read."""
        return self._probe(source).size

    def _probe(self, source: str) -> Probe:
        try:
            content = self._content(source)
        except (InvalidInput, MissingExtra):
            raise
        except Exception as error:  # noqa: BLE001 - whatever the opener raises, there is no image
            return Probe(f"it cannot be read ({type(error).__name__}: {error})", found=False)
        return probe(content)

    def _content(self, source: str) -> bytes:
        if self._open is not None:
            given = self._open(source)
            if isinstance(given, bytes):
                return given
            with given:
                return given.read(IMAGE_BYTES + 1)
        if source.lower().startswith("s3://"):
            raise InvalidInput(
                "To look into images in S3, give open_image=..., a function that gives for an s3:// URI the "
                "bytes of the image, or an open file."
            )
        with Path(source).open("rb") as file:
            return file.read(IMAGE_BYTES + 1)

    def _judge(self, check: LineCheck, seen: Probe) -> LineCheck:
        self.found += seen.found
        self.missing += not seen.found
        if seen.problem is not None:
            return check.failed("ERROR_INVALID_IMAGE", f"{short_repr(check.source)}: {seen.problem}.")
        stated = None if check.image is None else check.image.size
        if stated is None or seen.size is None:
            return check
        told, true = f"{stated.width} x {stated.height}", f"{seen.size.width} x {seen.size.height}"
        if told == true:
            return check
        detail = f"{told} is stated, {true} is true."
        return attrs.evolve(check, findings=(*check.findings, Finding("IMAGE_SIZE_DIFFERS", detail=detail)))
