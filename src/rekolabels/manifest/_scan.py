"""One reading of one manifest: every line checked, counted, and what is wrong collected."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from rekolabels.errors import InvalidManifest
from rekolabels.manifest._dataset_rules import DatasetStatistics
from rekolabels.manifest._fast_path import FastPath
from rekolabels.manifest._json import pointer
from rekolabels.manifest._line_rules import Finding, LineCheck, check_line
from rekolabels.manifest._sources import (
    Block,
    CheckSource,
    ImageStream,
    UnreadableLine,
    UnwritableImage,
    image_blocks,
    read_blocks,
    resolve_source,
    source_name,
)
from rekolabels.manifest.codes import CODES
from rekolabels.manifest.limits import LINE_LENGTH, MANIFEST_BYTES
from rekolabels.manifest.report import Counts, Issue

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from rekolabels.images import ImageSize, LabelledImage
    from rekolabels.manifest._dataset_rules import ContentFinding, Side

__all__ = ["Scan"]

_MAX_KEPT: Final = 1000
"""Issues that are kept of each code; others are only counted, for the sake of memory."""


class Scan:
    """A manifest as it is read, or images as they are written.

    Attributes:
        side: Which dataset it is for.
        path: How messages call it.
        statistics: What was counted.
        issue_counts: How often each code was found.
        ended: Whether a ``FILE`` error ended the reading.
    """

    def __init__(
        self,
        source: CheckSource,
        side: Side,
        *,
        max_lines: int,
        allow_empty: bool,
        inspect: Callable[[list[LineCheck]], Iterable[LineCheck]] | None = None,
        size_of: Callable[[str], ImageSize | None] | None = None,
    ) -> None:
        self.side: Side = side
        self.path = source_name(source)
        self.statistics = DatasetStatistics()
        self.issue_counts: Counter[str] = Counter()
        self.aborted = False
        self._source = source
        self._max_lines = max_lines
        self._allow_empty = allow_empty
        self._inspect = inspect
        self._size_of = size_of
        self._local = False  # images may lie on this machine
        self._issues: list[Issue] = []

    def images(self) -> Iterator[LabelledImage]:
        """Read the manifest to its end, giving out the usable images."""
        fast_path = FastPath() if self._inspect is None else None
        for block in self._blocks():
            clean = fast_path.read(block) if fast_path and isinstance(block, Block) else None
            if clean is not None and self.statistics.add_block(clean, block.line):
                yield from clean.images
                continue
            for check in self._checks(block):
                if check.image is not None:
                    yield check.image

    def checks(self) -> Iterator[LineCheck]:
        """Read the manifest to its end, line by line, giving out what is to be said about each."""
        for block in self._blocks():
            yield from self._checks(block)

    def issues(self) -> list[Issue]:
        """What was found, by line."""
        return sorted(self._issues, key=lambda issue: issue.line or 0)

    def counts(self) -> Counts:
        """What was counted."""
        found = self.statistics
        return Counts(
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

    def report(self, finding: ContentFinding) -> None:
        """Take note of something that concerns the manifest as a whole."""
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

    def _given(self, marks: list[str]) -> Iterator[Block | UnreadableLine | UnwritableImage]:
        source = resolve_source(self._source)
        if not isinstance(source, ImageStream):
            return read_blocks(source, marks=marks)
        self.path, self._local = "the images", True
        return image_blocks(source.images, self._size_of)

    def _blocks(self) -> Iterator[Block | UnreadableLine | UnwritableImage]:
        marks: list[str] = []
        found = self.statistics
        try:
            for block in self._given(marks):
                found.size += 0 if isinstance(block, UnwritableImage) else block.size
                last = block.line + (block.count - 1 if isinstance(block, Block) else 0)
                if found.size > MANIFEST_BYTES:
                    self._abort(
                        "ERROR_MANIFEST_SIZE_TOO_LARGE", f"It has more than {MANIFEST_BYTES:,} bytes."
                    )
                    break
                if last > self._max_lines:
                    self._abort(
                        "ERROR_MANIFEST_ROWS_EXCEEDS_MAXIMUM", f"It has more than {self._max_lines:,} lines."
                    )
                    break
                yield block
        except InvalidManifest as error:
            code = CODES.get(error.code or "")
            if code is None or code.level != "FILE":  # a fault of the call, or of what gives us the images
                raise
            self._abort(code.name, str(error))
        if marks:
            code = CODES["BYTE_ORDER_MARK"]
            self._add_issue(
                Issue(code.name, code.message, code.level, self.path, self.side, line=1, column=1)
            )
        if not found.total and not self._allow_empty and not self.aborted:
            self._abort("ERROR_EMPTY_MANIFEST", "")

    def _checks(self, block: Block | UnreadableLine | UnwritableImage) -> Iterator[LineCheck]:
        if not isinstance(block, Block):
            checks: Iterable[LineCheck] = [_check_unreadable(block)]
        else:
            texts = enumerate(block.text.split("\n"), start=block.line)
            checks = [check_line(text, line=number, local=self._local) for number, text in texts]
        if self._inspect is not None:
            checks = self._inspect(list(checks))
        for check in checks:
            counted = self.statistics.add(check)
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
                pointer(finding.path or finding.place),
                finding.column,
                finding.detail,
                check.source_ref,
            )
        )

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
        detail = f"It has {bad.size:,} bytes; {LINE_LENGTH:,} characters are allowed."
        finding = Finding("LINE_TOO_LONG", detail=detail)
    else:
        finding = Finding("ERROR_INVALID_JSON_LINE", detail="It is not UTF-8 text.", column=bad.column)
    return LineCheck(bad.line, None, None, "invalid", (finding,))
