"""Reader for the manifests with validation, in which the service notes the issues of each line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import attrs

from rekolabels._arguments import check_text
from rekolabels._display import counted
from rekolabels.evaluation._jsonl import Lines, as_list, line_stream, read_objects
from rekolabels.manifest._json import short_repr

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ValidationIssue", "ValidationLine", "read_validation"]

_LEVELS: dict[str, Literal["error", "warning"]] = {
    "errors": "error",
    "cl-errors": "error",
    "warnings": "warning",
}
_MAX_DEPTH = 8


@attrs.frozen
class ValidationIssue:
    """An issue that the service found in a line of a manifest, or in a part of it."""

    code: str
    """Code of the issue, such as ``ERROR_INVALID_IMAGE``; see :doc:`/manifest-codes`."""
    message: str
    """Message of the service."""
    level: Literal["error", "warning"]
    """Errors can make the training fail; a line that has only warnings is just not used."""
    json_path: str = ""
    """Part of the line with the issue, such as ``bounding-box.annotations[0]``; empty for the whole line."""


@attrs.frozen
class ValidationLine:
    """A line of a manifest with validation."""

    line: int
    """Line number, from 1; the same as in the original manifest."""
    source: str | None
    """URI of the image; None if the service could not read the line."""
    issues: tuple[ValidationIssue, ...] = attrs.field(repr=counted("issues"))
    """Issues of the line; empty for a valid line."""
    content: dict[str, Any] = attrs.field(repr=False, hash=False)
    """The line as a JSON object."""

    @property
    def codes(self) -> tuple[str, ...]:
        """Distinct codes of the issues, in the order of the issues."""
        return tuple(dict.fromkeys(issue.code for issue in self.issues))


def read_validation(lines: Lines, name: str = "the manifest with validation") -> Iterator[ValidationLine]:
    """Read ``TrainingManifestWithValidation-…`` or ``TestingManifestWithValidation-…``.

    Args:
        lines: A path, the content of the file as bytes, an open file, or its lines.
        name: Name of the file, for error messages.

    Raises:
        InvalidEvaluation: A line is not a JSON object.

    Examples:
        >>> text = '{"source-ref": "s3://b/a.png", "warnings": [{"code": "WARNING_UNANNOTATED_RECORD"}]}'
        >>> [line.codes for line in read_validation([text])]
        [('WARNING_UNANNOTATED_RECORD',)]
    """
    check_text("name", name, "the name of the file, for messages")
    return _read(line_stream(lines, "lines"), name)


def _read(lines: Iterable[str] | Iterable[bytes], name: str) -> Iterator[ValidationLine]:
    for number, _, fields in read_objects(lines, name):
        source = fields.get("source-ref")
        issues = tuple(_issues(fields, "", _MAX_DEPTH))
        yield ValidationLine(number, source if isinstance(source, str) else None, issues, fields)


def _issues(value: object, path: str, depth: int) -> Iterator[ValidationIssue]:
    """Yield the issues in a value and in everything nested in it."""
    if not depth:
        return
    for at, inner in enumerate(as_list(value) or ()):
        yield from _issues(inner, f"{path}[{at}]", depth - 1)
    if not isinstance(value, dict):
        return
    for name, inner in cast("dict[str, Any]", value).items():
        level = _LEVELS.get(name)
        if level is None:
            yield from _issues(inner, f"{path}.{name}" if path else name, depth - 1)
            continue
        for item in as_list(inner) or ():
            if isinstance(item, dict):
                issue = cast("dict[str, Any]", item)
                yield ValidationIssue(_text(issue, "code"), _text(issue, "message"), level, path)


def _text(issue: dict[str, Any], name: str) -> str:
    value = issue.get(name, "")
    return value if isinstance(value, str) else short_repr(value)
