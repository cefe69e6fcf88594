"""What a check of manifests found."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Literal, TypeAlias

import attrs

from rekolabels.errors import MissingExtra
from rekolabels.manifest._dataset_rules import Side, UseCase
from rekolabels.manifest._json import short_repr
from rekolabels.manifest._line_rules import LineCheck
from rekolabels.manifest._serialize import dataset_entry, validation_line
from rekolabels.manifest.codes import CODES, Level

__all__ = ["Counts", "Issue", "ManifestReport", "Stage"]

Stage: TypeAlias = Literal["training", "dataset"]
"""When the service looks: when a dataset is made from a manifest, or when a training starts."""


@attrs.frozen
class Issue:
    """One thing that is wrong, and what to do about it."""

    code: str
    """The service's code, or one of ours where it has none (see ``rekolabels.manifest.codes``)."""
    message: str
    """The service's message."""
    level: Level
    """``FILE``, ``CONTENT``, ``LINE``, ``WARNING`` or ``ADVICE``; see ``rekolabels.manifest.codes.Level``."""
    path: str
    """The manifest, as it was given; ``the images`` where images were."""
    side: Side | None
    """The dataset that it is in; None when both are meant together."""
    line: int | None = None
    """The number of the line, from 1; None when the manifest as a whole is meant."""
    pointer: str = ""
    """Where in the line, as a JSON pointer (RFC 6901); empty for the line as a whole."""
    column: int | None = None
    """The character of the line, from 1, where it is no JSON."""
    detail: str = ""
    """What is wrong in this very place."""
    image: str | None = None
    """The image, as the line names it; None when there is none or the manifest as a whole is meant."""

    @property
    def meaning(self) -> str:
        """What it means for a training."""
        return CODES[self.code].meaning

    @property
    def fix(self) -> str:
        """How to fix it."""
        return CODES[self.code].fix

    @property
    def dropped(self) -> bool:
        """Whether a dataset leaves the line out without a word."""
        return CODES[self.code].dropped

    def __str__(self) -> str:
        place = self.path if self.line is None else f"{self.path}:{self.line}"
        place = place if self.column is None else f"{place}:{self.column}"
        at = f" at {self.pointer}" if self.pointer else ""
        text = f"{place}{at}: {self.code}: {self.message}{' ' if self.detail else ''}{self.detail}"
        image = "" if self.image is None else short_repr(self.image)
        return text if image in text else f"{text} (image {image})"


def _turn(issue: Issue) -> tuple[bool, int]:
    """In which turn a training would meet a fatal issue; it ends with the message of the first."""
    sides: list[Side | None] = ["training", "testing", None]
    return issue.level != "FILE", sides.index(issue.side)


@attrs.frozen
class Counts:
    """A dataset in numbers, as the manifest summary of the service counts."""

    total: int
    """Lines, blank and invalid ones included."""
    valid: int
    """Usable lines."""
    invalid: int
    """Lines with errors that are not used."""
    ignored: int
    """Lines of the right form without labels or boxes; neither used nor invalid."""
    dropped: int
    """Lines that a dataset leaves out without a word; at a training they are among the invalid ones."""
    error_lines: Sequence[int]
    """The numbers of lines with errors, from 1; also of valid lines with one bad box of several."""
    label_images: Mapping[str, int]
    """For each image-level label the number of valid lines with it."""
    box_images: Mapping[str, int]
    """For each label of boxes the number of valid lines with it."""
    buckets: Mapping[str, int]
    """For each S3 bucket the number of images in it."""


@attrs.frozen
class ManifestReport:
    """What a check found: iterate over it for the issues, print it for a summary."""

    issues: tuple[Issue, ...]
    """What is wrong, by dataset and line; of each code the first thousand (see ``issue_counts``)."""
    issue_counts: Mapping[str, int]
    """How often each code was found, also beyond the issues that are kept."""
    counts: Counts
    """The training dataset in numbers."""
    testing_counts: Counts | None
    """The test dataset in numbers."""
    use_case: UseCase
    """What kind of model a training would make; ``NOT_DETERMINED`` when it would end before that."""
    stage: Stage
    """Whether the making of datasets or a training was asked about."""
    _checks: Callable[[Side], Iterator[LineCheck]] = attrs.field(alias="checks", repr=False, eq=False)

    @property
    def ok(self) -> bool:
        """Whether the training would start, or the dataset be made. Single lines may still be of no use."""
        return not any(issue.level in ("FILE", "CONTENT") for issue in self.issues)

    @property
    def verdict(self) -> str:
        """In one line: whether the training would start, or the dataset be made, and with what."""
        what = "The training" if self.stage == "training" else "The dataset"
        fatal = [issue for issue in self.issues if issue.level in ("FILE", "CONTENT")]
        if fatal:
            first = min(fatal, key=_turn)
            more = f" {first.detail}" if first.detail else ""
            would_not = "would not start" if self.stage == "training" else "would not be made"
            return f"{what} {would_not}: {first.message}{more}"
        would = "would start" if self.stage == "training" else "would be made"
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
                yield " and ".join([f"{counts.valid:,} usable {name} images", *unused])

    def __iter__(self) -> Iterator[Issue]:
        return iter(self.issues)

    def __len__(self) -> int:
        return len(self.issues)

    def __bool__(self) -> bool:
        """Always true, so that ``if report:`` does not mean that there are issues. Ask ``report.ok``."""
        return True

    def __str__(self) -> str:
        if not self.issue_counts:
            return self.verdict
        first: dict[str, Issue] = {}
        for issue in self.issues:
            first.setdefault(issue.code, issue)
        rows = [self.verdict, ""]
        for code, issue in first.items():
            rows.append(f"{self.issue_counts[code]:>9,}  {issue.level:<8} {code}")
            rows.append(f"{'':>11}first: {issue}")
            rows.append(f"{'':>11}to do: {issue.fix}")
        return "\n".join(rows)

    def summary(self) -> dict[str, Any]:
        """The report as the service's manifest summary, ``ManifestSummary-<project>-<version>.json``.

        The service writes none where a ``FILE`` error was found.
        """
        sides: dict[Side, Counts | None] = {"training": self.counts, "testing": self.testing_counts}
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
        """The lines of a manifest with its errors and warnings written into them.

        As in the service's ``TrainingManifestWithValidation-...`` and ``TestingManifestWithValidation-...``
        files: the same lines in the same order. The manifest is read once more, so it must not have been a
        stream.

        Raises:
            InvalidManifest: The manifest cannot be read a second time, or there is none for this side.
        """
        return map(validation_line, self._checks(side))

    def dataset_entries(self, side: Side = "training") -> Iterator[str]:
        """The entries of a dataset that is made from the manifest, as ListDatasetEntries gives them.

        Lines that the service leaves out are not among them. See ``validation_lines``.
        """
        return (entry for check in self._checks(side) if (entry := dataset_entry(check)) is not None)

    def to_json(self) -> str:
        """The report as JSON: verdict, counts, and every issue with its meaning and fix."""
        return json.dumps(
            {
                "ok": self.ok,
                "verdict": self.verdict,
                "stage": self.stage,
                "use_case": self.use_case,
                "summary": self.summary(),
                "issue_counts": dict(self.issue_counts),
                "issues": self._records(),
            },
            indent=1,
        )

    def to_pandas(self) -> Any:
        """The issues as a DataFrame, one row each.

        Raises:
            MissingExtra: pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError as error:
            raise MissingExtra("report", "A report as a DataFrame") from error
        columns = [field.name for field in attrs.fields(Issue)]
        return pandas.DataFrame(self._records(), columns=[*columns, "meaning", "fix", "dropped"])

    def _records(self) -> list[dict[str, Any]]:
        return [
            {**attrs.asdict(issue), "meaning": issue.meaning, "fix": issue.fix, "dropped": issue.dropped}
            for issue in self.issues
        ]
