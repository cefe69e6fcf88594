"""Repairing manifests: the repairs that cannot change what a line means, each of them recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING, Final

import attrs

from rekolabels.errors import InvalidManifest
from rekolabels.manifest._check import check_manifest
from rekolabels.manifest._dates import date_text
from rekolabels.manifest._image_files import ImageInspector
from rekolabels.manifest._repair_line import Repair, repair_line
from rekolabels.manifest._rules import check_line
from rekolabels.manifest._sources import BadLine, blocks
from rekolabels.manifest._writing import writing
from rekolabels.manifest.report import ManifestReport

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from rekolabels.images import ImageSize
    from rekolabels.manifest._image_files import ImageOpener
    from rekolabels.manifest._rules import LineCheck
    from rekolabels.manifest._sources import Source
    from rekolabels.manifest._writing import Target

__all__ = ["RepairReport", "repair_manifest"]

_KEPT: Final = 1000
"""Repairs of each kind that are kept one by one; others are only counted, for the sake of memory."""


@attrs.frozen
class RepairReport:
    """What was repaired, and what is left."""

    repairs: tuple[Repair, ...]
    """What was done, by line; the first thousand of each kind (see ``repair_counts``)."""
    repair_counts: Mapping[str, int]
    """How often each kind of repair was made."""
    left: ManifestReport
    """The check of the repaired manifest: what it still finds could not be repaired safely."""

    def __str__(self) -> str:
        done = [f"{count:>9,}  {what}" for what, count in self.repair_counts.items()] or [f"{'':>11}nothing"]
        return "\n".join(["Repaired:", *done, "Left:", str(self.left)])


def repair_manifest(
    source: Source,
    target: Target,
    *,
    created: datetime | str | None = None,
    open_images: bool = False,
    open_image: ImageOpener | None = None,
) -> RepairReport:
    """Write a manifest anew with the safe repairs made, and say what is left.

    * Boxes that leave the image by at most one pixel are clipped, boxes without any area dropped.
    * Missing ``creation-date``, ``human-annotated``, ``confidence``, ``depth``, and a ``type`` that follows
      from the rest are filled in; an ``image_size`` that is no list becomes one; with ``open_images``, a
      missing one is filled in.
    * Lines that say the same of an image as an earlier line are dropped; so are blank lines, a byte order
      mark, and lines that are no text or too long to be read.

    Everything else stays as it is; lines that need no repair are written byte for byte.

    Args:
        source: The manifest: a path (it may be the target's), its bytes, an open file, or lines.
        target: A path, or a file that is open for writing bytes.
        created: The date to fill in where ``creation-date`` is missing; see ``format_line``.
        open_images: Whether to look into the images whose size is missing. This needs the extra ``local``.
        open_image: See ``check_manifest``.

    Raises:
        InvalidManifest: The source is no text at all.
        MissingExtra: ``open_images=True`` without Pillow.

    >>> import io
    >>> from rekolabels.images import LabelledImage
    >>> from rekolabels.manifest import format_line
    >>> line = format_line(LabelledImage("s3://puppies/1.jpg", ["puppy"]))
    >>> line = line.replace('"human-annotated":"yes",', "")
    >>> repair_manifest([line, "", line], io.BytesIO()).repair_counts
    {'human-annotated filled in': 2, 'blank line dropped': 1, 'repeated line dropped': 1}
    """
    with ImageInspector(open_image) if open_images else nullcontext() as inspector, writing(target) as file:
        run = _RepairRun(source, date_text(created), inspector)
        lines = run.lines(file)
        left = check_manifest(lines)
        for _ in lines:  # the check stops reading when there are too many
            pass
        if run.failure is not None:
            raise run.failure
    return RepairReport(tuple(sorted(run.repairs, key=lambda repair: repair.line)), dict(run.counts), left)


class _RepairRun:
    """One run over a manifest."""

    def __init__(self, source: Source, created: str, inspector: ImageInspector | None) -> None:
        self.repairs: list[Repair] = []
        self.counts: Counter[str] = Counter()
        self.failure: InvalidManifest | None = None
        self._source = source
        self._created = created
        self._inspector = inspector
        self._seen: dict[int, tuple[int, int]] = {}

    def lines(self, file: IO[bytes]) -> Iterator[str]:
        """Write the repaired lines, and give them out to be checked."""
        try:
            yield from self._lines(file)
        except (
            InvalidManifest
        ) as error:  # the check, which reads these lines, would take it for a fault of theirs
            self.failure = error

    def _lines(self, file: IO[bytes]) -> Iterator[str]:
        marks: list[str] = []
        for block in blocks(self._source, marks=marks):
            if isinstance(block, BadLine):
                self._note(Repair(block.line, "", "unreadable line dropped"))
                continue
            for number, text in enumerate(block.text.split("\n"), start=block.line):
                repaired = self._repair(text, number)
                if repaired is not None:
                    file.write(repaired.encode("utf-8") + b"\n")
                    yield repaired
        if marks:
            self._note(Repair(1, "", "byte order mark dropped"))

    def _repair(self, text: str, number: int) -> str | None:
        if not text.strip():
            self._note(Repair(number, "", "blank line dropped"))
            return None
        check = check_line(text, line=number)
        if check.findings and check.members is not None:
            repaired, repairs = repair_line(
                check.members, number, created=self._created, size_of=self._size_of
            )
            if repairs:
                text, check = repaired, check_line(repaired, line=number)
                for repair in repairs:
                    self._note(repair)
        if check.source is not None and self._is_repeated(check, text):
            self._note(Repair(number, "", "repeated line dropped"))
            return None
        return text

    def _is_repeated(self, check: LineCheck, text: str) -> bool:
        """Whether an earlier line says the same of the image; one that says something else is left."""
        says = hash(text) if check.image is None else hash((check.image.labels, check.image.boxes))
        line, said = self._seen.setdefault(hash(check.source), (check.line, says))
        return line != check.line and said == says

    def _size_of(self, source: str) -> ImageSize | None:
        return None if self._inspector is None else self._inspector.size_of(source)

    def _note(self, repair: Repair) -> None:
        self.counts[repair.done] += 1
        if self.counts[repair.done] <= _KEPT:
            self.repairs.append(repair)
