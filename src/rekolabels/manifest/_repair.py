"""Repairing manifests: the repairs that cannot change what a line means, each of them recorded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING, Any, Final

import attrs

from rekolabels.errors import InvalidManifest
from rekolabels.manifest._check import check_manifest
from rekolabels.manifest._image_files import ImageInspector
from rekolabels.manifest._json import is_list, is_object, pointer
from rekolabels.manifest._label_attributes import (
    CLASSIFICATION,
    DETECTION,
    METADATA_SUFFIX,
    label_attribute_keys,
    read_label_attribute,
)
from rekolabels.manifest._line_rules import check_line
from rekolabels.manifest._serialize import format_date
from rekolabels.manifest._sources import UnreadableLine, read_blocks
from rekolabels.manifest._write import open_target
from rekolabels.manifest.report import ManifestReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from rekolabels.images import ImageSize
    from rekolabels.manifest._image_files import ImageOpener
    from rekolabels.manifest._line_rules import LineCheck
    from rekolabels.manifest._sources import Source
    from rekolabels.manifest._write import Target

__all__ = ["Repair", "RepairReport", "repair_manifest"]

_MAX_OUTSIDE: Final = 1.0
"""How far a box may leave the image to be clipped, in pixels: as far as rounding takes it."""


@attrs.frozen
class Repair:
    """Something that was repaired."""

    line: int
    """The number of the line in the manifest as it was, from 1."""
    pointer: str
    """Where in the line, as a JSON pointer; empty for the line as a whole."""
    done: str
    """What was done."""


def repair_line(
    members: dict[str, Any], line: int, *, created: str, size_of: Callable[[str], ImageSize | None]
) -> tuple[str, list[Repair]]:
    """Make the safe repairs in a line.

    Args:
        members: The line.
        line: Its number.
        created: The date to fill in.
        size_of: Gives the true size of an image, or None where nobody knows.

    Returns:
        The line, and what was done; nothing, when no repair was safe.
    """
    repaired: dict[str, Any] = json.loads(json.dumps(members))
    repairs: list[Repair] = []
    for key in label_attribute_keys(repaired):
        metadata = repaired[key + METADATA_SUFFIX]
        if is_object(metadata):
            done = [*_fill_metadata(key, repaired[key], metadata, created)]
            if metadata.get("type") == DETECTION and is_object(repaired[key]):
                done += _fill_size(key, repaired[key], lambda: size_of(str(members.get("source-ref"))))
                done += _repair_boxes(key, repaired[key], metadata)
            repairs += [Repair(line, pointer(path), what) for path, what in done]
    return json.dumps(repaired, separators=(",", ":")), repairs


_Change = tuple[tuple[str | int, ...], str]


def _fill_metadata(key: str, value: object, metadata: dict[str, Any], created: str) -> Iterator[_Change]:
    at = key + METADATA_SUFFIX
    if "type" not in metadata:
        if isinstance(metadata.get("class-name"), str) and isinstance(value, int):
            metadata["type"] = CLASSIFICATION
            yield (at, "type"), f"type filled in: {CLASSIFICATION}"
        elif is_object(metadata.get("class-map")) and is_object(value):
            metadata["type"] = DETECTION
            yield (at, "type"), f"type filled in: {DETECTION}"
    if metadata.get("type") not in (CLASSIFICATION, DETECTION):
        return
    for name, default in (("human-annotated", "yes"), ("creation-date", created)):
        if name not in metadata:
            metadata[name] = default
            yield (at, name), f"{name} filled in"
    if metadata["type"] == CLASSIFICATION and "confidence" not in metadata:
        metadata["confidence"] = 1
        yield (at, "confidence"), "confidence filled in"


def _fill_size(
    key: str, value: dict[str, Any], true_size: Callable[[], ImageSize | None]
) -> Iterator[_Change]:
    stated = value.get("image_size")
    if is_object(stated):
        stated = value["image_size"] = [stated]
        yield (key, "image_size"), "image_size put into a list"
    if "image_size" not in value:
        size = true_size()
        if size is not None:
            stated = value["image_size"] = [{"width": size.width, "height": size.height, "depth": size.depth}]
            yield (key, "image_size"), "image_size filled in from the image"
    if is_list(stated) and len(stated) == 1 and is_object(stated[0]) and "depth" not in stated[0]:
        stated[0]["depth"] = 3
        yield (key, "image_size", 0, "depth"), "depth filled in"


def _repair_boxes(key: str, value: dict[str, Any], metadata: dict[str, Any]) -> Iterator[_Change]:
    annotations, objects = value.get("annotations"), metadata.setdefault("objects", [])
    if not is_list(annotations) or not is_list(objects):
        return
    while len(objects) < len(annotations):
        objects.append({})
    for index, entry in enumerate(objects):
        if is_object(entry) and "confidence" not in entry:
            entry["confidence"] = 1
            yield (key + METADATA_SUFFIX, "objects", index), "confidence filled in"
    size = read_label_attribute(key, value, metadata).size
    if size is None:
        return
    for index in range(len(annotations) - 1, -1, -1):
        box = annotations[index]
        if not _is_box(box):
            continue
        if box["width"] == 0 or box["height"] == 0:
            del annotations[index], objects[index]
            yield (key, "annotations", index), "box without any area dropped"
        elif _clip(box, "left", "width", size.width) | _clip(box, "top", "height", size.height):
            yield (key, "annotations", index), "box clipped to the image"


def _is_box(box: object) -> bool:
    """Whether the numbers of a box can be reckoned with."""
    if not is_object(box):
        return False
    numbers = [box.get(name) for name in ("left", "top", "width", "height")]
    return all(isinstance(number, (int, float)) and -(2**53) < number < 2**53 for number in numbers)


def _clip(box: dict[str, Any], start: str, length: str, most: int) -> bool:
    """Clip a box in one direction, if it leaves the image by a pixel at most and is not outside."""
    first, last = box[start], box[start] + box[length]
    inside = (max(first, 0), min(last, most))
    if (
        inside == (first, last)
        or first < -_MAX_OUTSIDE
        or last > most + _MAX_OUTSIDE
        or inside[0] >= inside[1]
    ):
        return False
    box[start], box[length] = inside[0], inside[1] - inside[0]
    return True


_MAX_KEPT: Final = 1000
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
    with (
        ImageInspector(open_image) if open_images else nullcontext() as inspector,
        open_target(target) as file,
    ):
        run = _RepairRun(source, format_date(created), inspector)
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
        for block in read_blocks(self._source, marks=marks):
            if isinstance(block, UnreadableLine):
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
        if self.counts[repair.done] <= _MAX_KEPT:
            self.repairs.append(repair)
