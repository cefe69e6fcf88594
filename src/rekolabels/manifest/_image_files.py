"""Check the image files of a manifest: whether they exist and whether the service accepts them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING, Final, TypeAlias

import attrs

from rekolabels.errors import InvalidInput, MissingExtra
from rekolabels.manifest._image_probe import Probe, probe, read_file
from rekolabels.manifest._json import short_repr
from rekolabels.manifest._line_rules import Finding
from rekolabels.manifest.limits import IMAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from rekolabels.images import ImageSize
    from rekolabels.manifest._line_rules import LineCheck

__all__ = ["ImageInspector", "ImageOpener"]

ImageOpener: TypeAlias = Callable[[str], "bytes | IO[bytes]"]
"""Returns the content of an image for its path or URI. Called from several threads at once."""

_THREADS: Final = 16


class ImageInspector:
    """Inspects the image files of lines in several threads. A context manager.

    Raises:
        MissingExtra: Pillow is not installed.

    Attributes:
        found: Number of image files that could be read.
        missing: Number of image files that could not.
    """

    def __init__(self, open_image: ImageOpener | None) -> None:
        if find_spec("PIL") is None:
            raise MissingExtra("images", "Opening images")
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

    def open(self, sources: Iterable[str]) -> Iterator[Probe]:
        """Inspect image files; yield the results in order."""
        return self._threads.map(self._probe, sources)

    def inspect(self, checks: list[LineCheck], known: Mapping[int, Probe]) -> list[LineCheck]:
        """Return the lines with the findings from their image files.

        Args:
            checks: The lines.
            known: The results for images that were inspected before, by line number.
        """
        probes = self.open(
            check.image.source for check in checks if check.image is not None and check.line not in known
        )
        return [
            check
            if check.image is None
            else self._add_findings(check, known[check.line] if check.line in known else next(probes))
            for check in checks
        ]

    def size_of(self, source: str) -> ImageSize | None:
        """Return the true size of an image, or None if it cannot be read."""
        return self._probe(source).size

    def _probe(self, source: str) -> Probe:
        try:
            content = self._content(source)
        except (InvalidInput, MissingExtra):
            raise
        except Exception as error:  # noqa: BLE001 - an opener may raise anything
            detail = f"the file cannot be read ({type(error).__name__}: {error})"
            return Probe(detail, "unreadable", found=False)
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
        return read_file(source)

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
