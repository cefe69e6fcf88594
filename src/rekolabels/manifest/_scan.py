"""Scan of one manifest: check every line, count it, and collect the issues."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rekolabels.errors import InvalidManifest
from rekolabels.manifest._dataset_rules import DatasetStatistics
from rekolabels.manifest._fast_path import FastPath
from rekolabels.manifest._image_stream import GivenImages
from rekolabels.manifest._json import json_pointer, short_repr
from rekolabels.manifest._line_rules import Finding, LineCheck, check_line
from rekolabels.manifest._sources import (
    Block,
    CheckSource,
    ImageStream,
    Piece,
    RepeatedImage,
    UnreadableLine,
    UnwritableImage,
    image_blocks,
    read_blocks,
    resolve_source,
    source_name,
)
from rekolabels.manifest.codes import CODES
from rekolabels.manifest.limits import LINE_LENGTH, MANIFEST_BYTES
from rekolabels.manifest.report import Issue, ManifestCounts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from rekolabels.images import LabelledImage
    from rekolabels.manifest._collection import Collection
    from rekolabels.manifest._dataset_rules import ContentFinding, Side
    from rekolabels.manifest._image_files import ImageInspector

__all__ = ["Scan"]

_MAX_KEPT: Final = 1000
"""Issues that are kept for each code; the others are only counted, to bound memory."""


class Scan:
    """A single pass over a manifest, or over labelled images.

    Args:
        source: The manifest or the images.
        side: The dataset that they are for.
        max_lines: Maximum number of lines.
        allow_empty: Whether a manifest without lines is valid.
        inspector: Opens the images; None to check without them.

    Attributes:
        side: The dataset that the manifest is for.
        path: The name of the manifest in messages.
        statistics: The statistics of the lines so far.
        issue_counts: The number of issues for each code.
        aborted: Whether a ``FILE`` error ended the scan.
    """

    def __init__(
        self,
        source: CheckSource,
        side: Side,
        *,
        max_lines: int,
        allow_empty: bool,
        inspector: ImageInspector | None = None,
    ) -> None:
        self.side: Side = side
        self.path = source_name(source)
        self.statistics = DatasetStatistics()
        self.issue_counts: Counter[str] = Counter()
        self.aborted = False
        self._source = source
        self._max_lines = max_lines
        self._allow_empty = allow_empty
        self._inspector = inspector
        self._given: GivenImages | None = None  # None for a manifest
        self._has_byte_order_mark = False
        self._issues: list[Issue] = []

    def images(self) -> Iterator[LabelledImage]:
        """Read the manifest to its end, and yield the usable images."""
        fast_path = FastPath() if self._inspector is None else None
        for block in self._blocks():
            clean = fast_path.read(block) if fast_path and isinstance(block, Block) else None
            if clean is not None and self.statistics.add_block(clean, block.line):
                if self._given is not None:
                    self._given.count_all(clean.images)
                yield from clean.images
                continue
            for check in self._checks(block):
                if check.image is not None:
                    yield check.image

    def checks(self) -> Iterator[LineCheck]:
        """Read the manifest to its end, and yield the check of each line."""
        for block in self._blocks():
            yield from self._checks(block)

    def issues(self) -> list[Issue]:
        """Return the issues, by line."""
        return sorted(self._issues, key=lambda issue: issue.line or 0)

    def counts(self) -> ManifestCounts:
        """Return the statistics."""
        found = self.statistics
        return ManifestCounts(
            total=found.total,
            valid=found.valid,
            invalid=found.invalid,
            ignored=found.ignored,
            dropped=found.dropped,
            error_lines=tuple(found.error_lines),
            label_images=dict(found.label_images),
            box_images=dict(found.box_images),
            buckets=dict(found.buckets),
        )

    @property
    def collection(self) -> Collection | None:
        """The images as they were given; None for a manifest."""
        return None if self._given is None else self._given.collection

    def report(self, finding: ContentFinding) -> None:
        """Add a finding that concerns the manifest as a whole."""
        self._add_issue(
            Issue(
                finding.code,
                finding.message,
                CODES[finding.code].level,
                self.path,
                finding.side,
                detail=finding.detail,
            )
        )

    def _open(self) -> Iterator[Piece]:
        source = resolve_source(self._source)
        if not isinstance(source, ImageStream):
            return read_blocks(source, on_byte_order_mark=self._note_byte_order_mark)
        self.path, self._given = "the images", GivenImages(self._inspector)
        size_of = None if self._inspector is None else self._inspector.size_of
        return image_blocks(self._given.read(source.images), size_of)

    def _note_byte_order_mark(self) -> None:
        self._has_byte_order_mark = True

    def _blocks(self) -> Iterator[Piece]:
        found = self.statistics
        try:
            for block in self._open():
                found.size += block.size if isinstance(block, (Block, UnreadableLine)) else 0
                last = block.line + (block.count - 1 if isinstance(block, Block) else 0)
                if found.size > MANIFEST_BYTES:
                    detail = f"The manifest has more than {MANIFEST_BYTES:,} bytes."
                    self._abort("ERROR_MANIFEST_SIZE_TOO_LARGE", detail)
                    break
                if last > self._max_lines:
                    detail = f"The manifest has more than {self._max_lines:,} lines."
                    self._abort("ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM", detail)
                    break
                yield block
        except InvalidManifest as error:
            code = CODES.get(error.code or "")
            if code is None or code.level != "FILE":  # raised by the arguments or by the iterable of images
                raise
            self._abort(code.name, str(error))
        if self._has_byte_order_mark:
            code = CODES["BYTE_ORDER_MARK"]
            self._add_issue(
                Issue(code.name, code.message, code.level, self.path, self.side, line=1, column=1)
            )
        if not found.total and not self._allow_empty and not self.aborted:
            self._abort("ERROR_EMPTY_MANIFEST", "")

    def _checks(self, block: Piece) -> Iterator[LineCheck]:
        if isinstance(block, RepeatedImage):
            self._add_repeated(block)
            return
        if not isinstance(block, Block):
            checks: Iterable[LineCheck] = [_check_unreadable(block)]
        else:
            local = self._given is not None
            texts = enumerate(block.text.split("\n"), start=block.line)
            checks = [check_line(text, line=number, allow_local=local) for number, text in texts]
        if self._inspector is not None:
            checks = self._inspector.inspect(list(checks), {} if self._given is None else self._given.probes)
        for check in checks:
            counted = self.statistics.add(check)
            if self._given is not None:
                self._given.count(counted)
            for finding in counted.findings:
                self._add_finding(counted, finding)
            yield counted

    def _add_finding(self, check: LineCheck, finding: Finding) -> None:
        self._add_issue(
            Issue(
                finding.code,
                finding.message,
                CODES[finding.code].level,
                self.path,
                self.side,
                check.line,
                json_pointer(finding.path or finding.container),
                finding.column,
                finding.detail,
                check.source_ref,
            )
        )

    def _add_repeated(self, image: RepeatedImage) -> None:
        detail = f"{short_repr(image.source)} is the same as {short_repr(image.earlier)}."
        check = LineCheck(image.line, {"source-ref": image.source}, None, "ignored")
        self._add_finding(check, Finding("REPEATED_IMAGE", detail=detail))

    def _abort(self, code: str, detail: str) -> None:
        self.aborted = True
        self._add_issue(Issue(code, CODES[code].message, "FILE", self.path, self.side, detail=detail))

    def _add_issue(self, issue: Issue) -> None:
        self.issue_counts[issue.code] += 1
        if self.issue_counts[issue.code] <= _MAX_KEPT:
            self._issues.append(issue)


def _check_unreadable(bad: UnreadableLine | UnwritableImage) -> LineCheck:
    if isinstance(bad, UnwritableImage):
        return LineCheck(
            bad.line, {"source-ref": bad.source}, None, "invalid", (Finding(bad.code, detail=bad.detail),)
        )
    if bad.too_long:
        detail = f"The line has {bad.size:,} bytes; at most {LINE_LENGTH:,} characters are allowed."
        finding = Finding("LINE_TOO_LONG", detail=detail)
    else:
        finding = Finding("ERROR_INVALID_JSON_LINE", detail="The line is not UTF-8 text.", column=bad.column)
    return LineCheck(bad.line, None, None, "invalid", (finding,))
