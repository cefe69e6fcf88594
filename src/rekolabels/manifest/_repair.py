"""Repair manifests: make and record the repairs that cannot change the meaning of a line."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from typing import IO, TYPE_CHECKING, Any, Final

import attrs

from rekolabels._arguments import check_callable, check_flag
from rekolabels._display import as_html, counted
from rekolabels.errors import InvalidManifest
from rekolabels.manifest._check import check_manifest
from rekolabels.manifest._image_files import ImageInspector
from rekolabels.manifest._json import is_list, is_object, json_pointer
from rekolabels.manifest._label_attributes import (
    CLASSIFICATION,
    DETECTION,
    METADATA_SUFFIX,
    is_integer_text,
    label_attribute_keys,
    read_label_attribute,
)
from rekolabels.manifest._line_rules import check_line
from rekolabels.manifest._serialize import format_date
from rekolabels.manifest._sources import UnreadableLine, check_source, read_blocks
from rekolabels.manifest._write import check_target, open_target
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
"""Distance in pixels that a box may be outside the image to be clipped: the error that rounding causes."""


@attrs.frozen
class Repair:
    """A repair of a line."""

    line: int
    """The line number in the original manifest, from 1."""
    pointer: str
    """The location in the line, as a JSON pointer (RFC 6901); empty for the whole line."""
    description: str
    """The description of the repair, for example ``box clipped to the image``."""


def repair_line(
    members: dict[str, Any], line: int, *, created: str, size_of: Callable[[str], ImageSize | None]
) -> tuple[str, list[Repair]]:
    """Make the safe repairs in a line.

    Args:
        members: The parsed line.
        line: The line number.
        created: The ``creation-date`` to fill in.
        size_of: Returns the true size of an image, or None if it is not known.

    Returns:
        The repaired line, and the repairs; an empty list if there were none.
    """
    repaired: dict[str, Any] = json.loads(json.dumps(members))
    repairs: list[Repair] = []
    for key in label_attribute_keys(repaired):
        metadata = repaired[key + METADATA_SUFFIX]
        if is_object(metadata):
            changes = [*_fill_metadata(key, repaired[key], metadata, created)]
            if metadata.get("type") == CLASSIFICATION and is_integer_text(repaired[key]):
                repaired[key] = int(repaired[key])
                changes.append(((key,), "value made an integer"))
            if metadata.get("type") == DETECTION and is_object(repaired[key]):
                changes += _fill_size(key, repaired[key], lambda: size_of(str(members.get("source-ref"))))
                changes += _repair_boxes(key, repaired[key], metadata)
            repairs += [Repair(line, json_pointer(path), what) for path, what in changes]
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
        yield (key, "image_size"), "image_size wrapped in a list"
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
            yield (key, "annotations", index), "box without area removed"
        elif _clip(box, "left", "width", size.width) | _clip(box, "top", "height", size.height):
            yield (key, "annotations", index), "box clipped to the image"


def _is_box(box: object) -> bool:
    """Return whether a value is a box with usable numbers."""
    if not is_object(box):
        return False
    numbers = [box.get(name) for name in ("left", "top", "width", "height")]
    return all(isinstance(number, (int, float)) and -(2**53) < number < 2**53 for number in numbers)


def _clip(box: dict[str, Any], start: str, length: str, limit: int) -> bool:
    """Clip a box along one axis, if it is at most a pixel outside the image and overlaps it."""
    first, last = box[start], box[start] + box[length]
    clipped_first, clipped_last = max(first, 0), min(last, limit)
    if (clipped_first, clipped_last) == (first, last) or clipped_first >= clipped_last:
        return False
    if first < -_MAX_OUTSIDE or last > limit + _MAX_OUTSIDE:
        return False
    box[start], box[length] = clipped_first, clipped_last - clipped_first
    return True


_MAX_KEPT: Final = 1000
"""Repairs that are kept for each kind; the others are only counted, to bound memory."""


@attrs.frozen
class RepairReport:
    """The repairs of a manifest, and the issues that remain."""

    repairs: tuple[Repair, ...] = attrs.field(repr=counted("repairs"))
    """The repairs, by line: the first thousand of each kind (see ``repair_counts``)."""
    repair_counts: Mapping[str, int] = attrs.field(repr=False)
    """The number of repairs of each kind."""
    remaining: ManifestReport
    """The check of the repaired manifest. Its issues could not be repaired safely."""

    def __str__(self) -> str:
        rows = [f"{count:>9,}  {what}" for what, count in self.repair_counts.items()] or [f"{'':>11}none"]
        return "\n".join(["Repairs:", *rows, "Remaining issues:", str(self.remaining)])

    _repr_html_ = as_html


def repair_manifest(
    source: Source,
    target: Target,
    *,
    created: datetime | str | None = None,
    open_images: bool = False,
    open_image: ImageOpener | None = None,
) -> RepairReport:
    """Repair a manifest where that cannot change its meaning, and report the remaining issues.

    * Boxes that are at most one pixel outside the image are clipped; boxes without area are removed.
    * Missing ``creation-date``, ``human-annotated``, ``confidence`` and ``depth`` are filled in, and a
      missing ``type`` if the line determines it. An ``image_size`` that is not a list becomes one; with
      ``open_images``, a missing one is read from the image.
    * Lines that repeat an earlier line's labels and boxes for the same image are removed; so are blank lines,
      a byte order mark, and lines that are not UTF-8 text or too long to read.

    Lines without repairs are written byte for byte.

    Args:
        source: The manifest: a path (it may be the target), its bytes, an open file, or lines.
        target: A path, or a file that is open for writing bytes.
        created: The ``creation-date`` to fill in; see ``format_line``.
        open_images: Whether to open the images whose size is missing. Requires the extra ``local``.
        open_image: Returns the content of an image; see ``check_manifest``.

    Raises:
        InvalidManifest: The source cannot be read, or is not UTF-8 text.
        MissingExtra: ``open_images=True`` without Pillow.

    >>> import io
    >>> from rekolabels.images import LabelledImage
    >>> from rekolabels.manifest import format_line
    >>> line = format_line(LabelledImage("s3://puppies/1.jpg", ["puppy"]))
    >>> line = line.replace('"human-annotated":"yes",', "")
    >>> repair_manifest([line, "", line], io.BytesIO()).repair_counts
    {'human-annotated filled in': 2, 'blank line removed': 1, 'repeated line removed': 1}
    """
    check_source(source)
    check_target(target)
    open_images = check_flag("open_images", open_images)
    if open_image is not None:
        check_callable("open_image", open_image, "a function that returns the content of an image")
    with (
        ImageInspector(open_image) if open_images else nullcontext() as inspector,
        open_target(target) as file,
    ):
        run = _RepairRun(source, format_date(created), inspector)
        lines = run.lines(file)
        remaining = check_manifest(lines)
        for _ in lines:  # write the rest: the check stops reading at its limits
            pass
        if run.failure is not None:
            raise run.failure
    return RepairReport(
        tuple(sorted(run.repairs, key=lambda repair: repair.line)), dict(run.counts), remaining
    )


class _RepairRun:
    """One pass over a manifest."""

    def __init__(self, source: Source, created: str, inspector: ImageInspector | None) -> None:
        self.repairs: list[Repair] = []
        self.counts: Counter[str] = Counter()
        self.failure: InvalidManifest | None = None
        self._source = source
        self._created = created
        self._inspector = inspector
        self._has_byte_order_mark = False
        # Line number and content of the first line of each image, as hashes to save memory.
        self._seen: dict[int, tuple[int, int]] = {}

    def lines(self, file: IO[bytes]) -> Iterator[str]:
        """Write the repaired lines, and yield them to be checked."""
        try:
            yield from self._lines(file)
        except InvalidManifest as error:
            # Kept for the caller: the check that iterates over these lines would report it as an issue.
            self.failure = error

    def _lines(self, file: IO[bytes]) -> Iterator[str]:
        for block in read_blocks(self._source, on_byte_order_mark=self._note_byte_order_mark):
            if isinstance(block, UnreadableLine):
                self._add(Repair(block.line, "", "unreadable line removed"))
                continue
            for number, text in enumerate(block.text.split("\n"), start=block.line):
                repaired = self._repair(text, number)
                if repaired is not None:
                    file.write(repaired.encode("utf-8") + b"\n")
                    yield repaired
        if self._has_byte_order_mark:
            self._add(Repair(1, "", "byte order mark removed"))

    def _note_byte_order_mark(self) -> None:
        self._has_byte_order_mark = True

    def _repair(self, text: str, number: int) -> str | None:
        if not text.strip():
            self._add(Repair(number, "", "blank line removed"))
            return None
        check = check_line(text, line=number)
        if check.findings and check.members is not None:
            repaired, repairs = repair_line(
                check.members, number, created=self._created, size_of=self._size_of
            )
            if repairs:
                text, check = repaired, check_line(repaired, line=number)
                for repair in repairs:
                    self._add(repair)
        if check.source is not None and self._is_repeated(check, text):
            self._add(Repair(number, "", "repeated line removed"))
            return None
        return text

    def _is_repeated(self, check: LineCheck, text: str) -> bool:
        """Return whether an earlier line has the same image with the same labels and boxes."""
        content = hash(text) if check.image is None else hash((check.image.labels, check.image.boxes))
        line, seen = self._seen.setdefault(hash(check.source), (check.line, content))
        return line != check.line and seen == content

    def _size_of(self, source: str) -> ImageSize | None:
        return None if self._inspector is None else self._inspector.size_of(source)

    def _add(self, repair: Repair) -> None:
        self.counts[repair.description] += 1
        if self.counts[repair.description] <= _MAX_KEPT:
            self.repairs.append(repair)
