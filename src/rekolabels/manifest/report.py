"""Reports of manifest checks: issues, counts and the manifest summary."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, TypeAlias

import attrs

from rekolabels._display import as_html, counted
from rekolabels.errors import MissingExtra
from rekolabels.manifest._dataset_rules import Side, UseCase, check_side
from rekolabels.manifest._json import short_repr
from rekolabels.manifest._line_rules import LineCheck
from rekolabels.manifest._serialize import dataset_entry, validation_line
from rekolabels.manifest.codes import CODES, Level

__all__ = ["Issue", "ManifestCounts", "ManifestReport", "Stage"]

Stage: TypeAlias = Literal["training", "dataset"]
"""What a check is for: to start a training with the manifests, or to create datasets from them."""


@attrs.frozen
class Issue:
    """A mistake in a manifest, and how to fix it."""

    code: str
    """The service's code, or ours where it has none; see ``rekolabels.manifest.codes``."""
    message: str = attrs.field(repr=False)
    """The service's message."""
    level: Level
    """``FILE``, ``CONTENT``, ``LINE``, ``WARNING`` or ``ADVICE``; see ``rekolabels.manifest.codes.Level``."""
    path: str
    """The path of the manifest as it was passed, or ``the manifest``, or ``the images``."""
    side: Side | None = attrs.field(repr=False)
    """The dataset; None if the issue concerns both together."""
    line: int | None = None
    """The line number, from 1; None if the issue concerns the manifest as a whole."""
    pointer: str = ""
    """The location in the line, as a JSON pointer (RFC 6901); empty for the whole line."""
    column: int | None = attrs.field(default=None, repr=False)
    """The position in the line, from 1, if the line is not valid JSON."""
    detail: str = ""
    """What is wrong at this location, with the values found there."""
    image: str | None = attrs.field(default=None, repr=False)
    """The image that the line names; None if it names none, or the issue concerns the manifest as a whole."""

    @property
    def meaning(self) -> str:
        """The consequence for a training."""
        return CODES[self.code].meaning

    @property
    def fix(self) -> str:
        """How to fix it."""
        return CODES[self.code].fix

    @property
    def dropped(self) -> bool:
        """Whether a dataset leaves the line out without reporting it."""
        return CODES[self.code].dropped

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        place = place if self.column is None else f"{place}:{self.column}"
        at = f" at {self.pointer}" if self.pointer else ""
        text = f"{place}{at}: {self.code}: {self.message}{' ' if self.detail else ''}{self.detail}"
        image = "" if self.image is None else short_repr(self.image)
        return text if image in text else f"{text} (image {image})"


def _fatal_order(issue: Issue) -> tuple[bool, int]:
    """Sort key for fatal issues: the order in which a training finds them. It reports the first one."""
    sides: list[Side | None] = ["training", "testing", None]
    return issue.level != "FILE", sides.index(issue.side)


@attrs.frozen
class ManifestCounts:
    """The numbers of a dataset, counted as in the service's manifest summary."""

    total: int
    """Number of lines, blank and invalid ones included."""
    valid: int
    """Number of usable lines."""
    invalid: int
    """Number of lines that are not used because of errors."""
    ignored: int
    """Number of well-formed lines without labels or boxes, which are neither used nor invalid."""
    dropped: int
    """Number of lines that a dataset leaves out without reporting them. They are part of ``invalid``."""
    error_lines: Sequence[int] = attrs.field(repr=counted("lines"))
    """The numbers of lines with errors, from 1, including valid lines with one bad box of several."""
    label_images: Mapping[str, int] = attrs.field(repr=counted("labels"))
    """Number of valid lines for each image-level label."""
    box_images: Mapping[str, int] = attrs.field(repr=counted("labels"))
    """Number of valid lines for each label of boxes."""
    buckets: Mapping[str, int] = attrs.field(repr=counted("buckets"))
    """Number of images for each S3 bucket."""


@attrs.frozen
class ManifestReport:
    """The result of a check. Iterate over it for the issues; print it for a summary."""

    issues: tuple[Issue, ...] = attrs.field(repr=counted("issues"))
    """The issues, by dataset and line: the first thousand of each code (see ``issue_counts``)."""
    issue_counts: Mapping[str, int] = attrs.field(repr=False)
    """The number of issues of each code, including those that ``issues`` does not keep."""
    counts: ManifestCounts = attrs.field(repr=False)
    """The numbers of the training dataset."""
    testing_counts: ManifestCounts | None = attrs.field(repr=False)
    """The numbers of the test dataset; None without one."""
    use_case: UseCase
    """The kind of model that would be trained; ``NOT_DETERMINED`` if the training would end before."""
    stage: Stage
    """The ``stage`` of the check: ``training`` or ``dataset``."""
    _checks: Callable[[Side], Iterator[LineCheck]] = attrs.field(alias="checks", repr=False, eq=False)

    @property
    def ok(self) -> bool:
        """Whether the training would start, or the dataset be created.

        Single lines of a manifest may still be unusable. Local images must all be usable, because
        ``create_datasets`` accepts no others.
        """
        return not any(issue.level in ("FILE", "CONTENT") for issue in self.issues)

    def headline(self) -> str:
        """Return in one line whether the training would start or the dataset be created, and image counts."""
        what = "Training" if self.stage == "training" else "The dataset"
        fatal = [issue for issue in self.issues if issue.level in ("FILE", "CONTENT")]
        if fatal:
            first = min(fatal, key=_fatal_order)
            more = f" {first.detail}" if first.detail else ""
            would_not = "would not start" if self.stage == "training" else "would not be created"
            return f"{what} {would_not}: {first.message}{more}"
        would = "would start" if self.stage == "training" else "would be created"
        return f"{what} {would}: {', '.join(self._numbers())}."

    def _numbers(self) -> Iterator[str]:
        if self.stage == "training":
            labels, kind = self.counts.label_images, "classification"
            if self.use_case == "OBJECT_LOCALIZATION":
                labels, kind = self.counts.box_images or labels, "detection"
            yield f"{kind}, {len(labels):,} label{'s' * (len(labels) != 1)}"
        for name, counts in (("training", self.counts), ("test", self.testing_counts)):
            if counts is not None:
                unused = [f"{counts.invalid:,} invalid"] * bool(counts.invalid)
                unused += [f"{counts.ignored:,} without labels"] * bool(counts.ignored)
                skipped = f" (skipped: {', '.join(unused)})" if unused else ""
                yield f"{counts.valid:,} usable {name} image{'s' * (counts.valid != 1)}{skipped}"

    def __iter__(self) -> Iterator[Issue]:
        return iter(self.issues)

    def __len__(self) -> int:
        return len(self.issues)

    def __bool__(self) -> bool:
        """Return True, so that ``if report:`` does not depend on issues. Use ``report.ok``."""
        return True

    def __str__(self) -> str:
        if not self.issue_counts:
            return self.headline()
        first: dict[str, Issue] = {}
        for issue in self.issues:
            first.setdefault(issue.code, issue)
        rows = [self.headline(), ""]
        for code, issue in first.items():
            rows.append(f"{self.issue_counts[code]:>9,}  {issue.level:<8} {code}")
            rows.append(f"{'':>11}first: {issue}")
            rows.append(f"{'':>11}fix: {issue.fix}")
        return "\n".join(rows)

    _repr_html_ = as_html

    def summary(self) -> dict[str, Any]:
        """Return the service's manifest summary, as in ``ManifestSummary-<project>-<version>.json``.

        The service does not write one after a ``FILE`` error.
        """
        sides: dict[Side, ManifestCounts | None] = {"training": self.counts, "testing": self.testing_counts}
        statistics = {
            side: {
                "use_case": self.use_case,
                "total_json_lines": counts.total,
                "valid_json_lines": counts.valid,
                "invalid_json_lines": counts.invalid,
                "ignored_json_lines": counts.ignored,
                "errors": self._content_errors(side),
                "error_json_line_indices": list(counts.error_lines),
            }
            for side, counts in sides.items()
            if counts is not None
        }
        return {"errors": self._content_errors(None), "statistics": statistics}

    def _content_errors(self, side: Side | None) -> list[dict[str, str]]:
        return [
            {"code": issue.code, "message": issue.message}
            for issue in self.issues
            if issue.level == "CONTENT" and issue.side == side
        ]

    def validation_lines(self, side: Side = "training") -> Iterator[str]:
        """Yield the lines of a manifest with their errors and warnings written into them.

        The lines are the same, in the same order, as in the service's ``TrainingManifestWithValidation-...``
        and ``TestingManifestWithValidation-...`` files. The manifest is read again, so it must not be a
        stream.

        Raises:
            InvalidManifest: The manifest is a stream, or there is none for this side.
        """
        return map(validation_line, self._checks(check_side(side)))

    def dataset_entries(self, side: Side = "training") -> Iterator[str]:
        """Yield the entries of a dataset created from the manifest, as ListDatasetEntries returns them.

        Lines that the service leaves out are missing. The manifest is read again; see ``validation_lines``.
        """
        check_side(side)
        return (entry for check in self._checks(side) if (entry := dataset_entry(check)) is not None)

    def to_json(self) -> str:
        """Return the report as JSON: headline, counts, and every issue with its meaning and fix."""
        return json.dumps(
            {
                "ok": self.ok,
                "headline": self.headline(),
                "stage": self.stage,
                "use_case": self.use_case,
                "summary": self.summary(),
                "issue_counts": dict(self.issue_counts),
                "issues": self._records(),
            },
            indent=1,
        )

    def to_pandas(self) -> Any:
        """Return the issues as a pandas DataFrame, one row each.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise MissingExtra("report", "ManifestReport.to_pandas") from error
        columns = [field.name for field in attrs.fields(Issue)]
        return pandas.DataFrame(self._records(), columns=[*columns, "meaning", "fix", "dropped"])

    def _records(self) -> list[dict[str, Any]]:
        return [
            {**attrs.asdict(issue), "meaning": issue.meaning, "fix": issue.fix, "dropped": issue.dropped}
            for issue in self.issues
        ]
