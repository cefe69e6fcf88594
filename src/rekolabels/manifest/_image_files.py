"""Check the image files of a manifest: whether they exist and whether the service accepts them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, TypeAlias

import attrs

from rekolabels._image_header import EncodedImage
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
"""Returns the content of an image for its path or URI. Called from several threads at once."""

_THREADS: Final = 16
_ROTATED: Final = {5, 6, 7, 8}
"""EXIF orientations that swap width and height."""
_ORIENTATION: Final = 0x0112


@attrs.frozen
class Probe:
    """The result of inspecting an image file."""

    problem: str | None
    """The reason why the service would reject it; None if it would accept it."""
    size: ImageSize | None = None
    """The size after applying the EXIF orientation; None if it cannot be read."""
    found: bool = True
    """Whether the file could be read."""


def probe(content: bytes) -> Probe:
    """Inspect an image file: format, file size, dimensions, and whether it can be decoded to its end.

    Checks the dimensions before decoding, so that a small file cannot exhaust the memory, and bounds the work
    on hostile files.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise MissingExtra("local", "Opening images") from error
    if len(content) > IMAGE_BYTES:
        return Probe(f"the file is larger than {IMAGE_BYTES // 2**20} MB")
    try:
        with Image.open(EncodedImage(content), formats=("JPEG", "PNG")) as image:
            width, height = image.size
            turned = image.getexif().get(_ORIENTATION) in _ROTATED
            size = ImageSize(height, width) if turned else ImageSize(width, height)
            problem = _dimension_problem(width, height)
            if problem is None:
                image.load()
            return Probe(problem, size)
    except UnidentifiedImageError:
        return Probe("the file is neither JPEG nor PNG")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Probe(f"the image has far more than {IMAGE_SIDE[1]} pixels a side")
    except Exception as error:  # noqa: BLE001 - decoders fail in many ways on broken files
        return Probe(f"the image cannot be decoded ({error})")


def _dimension_problem(width: int, height: int) -> str | None:
    low, high = IMAGE_SIDE
    if not (low <= width <= high and low <= height <= high):
        return f"the image has {width} x {height} pixels; {low} to {high} a side are allowed"
    if max(width, height) > IMAGE_ASPECT * min(width, height):
        allowed = f"an aspect ratio of at most {IMAGE_ASPECT:.0f}:1 is allowed"
        return f"the image has {width} x {height} pixels; {allowed}"
    return None


class ImageInspector:
    """Inspects the image files of lines in several threads. A context manager.

    Attributes:
        found: Number of image files that could be read.
        missing: Number of image files that could not.
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
        """Return the lines with the findings from their image files."""
        sources = [check.image.source for check in checks if check.image is not None]
        probes = self._threads.map(self._probe, sources)
        return [check if check.image is None else self._add_findings(check, next(probes)) for check in checks]

    def size_of(self, source: str) -> ImageSize | None:
        """Return the true size of an image, or None if it cannot be read."""
        return self._probe(source).size

    def _probe(self, source: str) -> Probe:
        try:
            content = self._content(source)
        except (InvalidInput, MissingExtra):
            raise
        except Exception as error:  # noqa: BLE001 - an opener may raise anything
            return Probe(f"the file cannot be read ({type(error).__name__}: {error})", found=False)
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
                f"Cannot open {short_repr(source)}: this check does not access S3. Pass open_image=..., a "
                "function that returns the bytes of an image, or an open binary file, for its URI."
            )
        with Path(source).open("rb") as file:
            return file.read(IMAGE_BYTES + 1)

    def _add_findings(self, check: LineCheck, found: Probe) -> LineCheck:
        self.found += found.found
        self.missing += not found.found
        if found.problem is not None:
            return check.with_error("ERROR_INVALID_IMAGE", f"{short_repr(check.source)}: {found.problem}.")
        stated = None if check.image is None else check.image.size
        if stated is None or found.size is None:
            return check
        stated_size = f"{stated.width} x {stated.height}"
        true_size = f"{found.size.width} x {found.size.height}"
        if stated_size == true_size:
            return check
        detail = f"The line states {stated_size} pixels, but the image has {true_size}."
        return attrs.evolve(check, findings=(*check.findings, Finding("IMAGE_SIZE_DIFFERS", detail=detail)))
