"""The manifests with validation: the lines of a training with what the service found wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

import attrs

from rekolabels.evaluation._jsonl import as_list, read_objects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["ValidationIssue", "ValidationLine", "read_validation"]

_MARKS: dict[str, Literal["error", "warning"]] = {
    "errors": "error",
    "cl-errors": "error",
    "warnings": "warning",
}
_DEEPEST = 8


@attrs.frozen
class ValidationIssue:
    """Something that the service found wrong with a line, or a part of it."""

    code: str
    """Such as ``ERROR_INVALID_IMAGE``; see the manifest codes."""
    message: str
    """The service's text."""
    level: Literal["error", "warning"]
    """Errors count against the training; lines with warnings alone are just not used."""
    json_path: str = ""
    """The part that is meant, such as ``bounding-box.annotations[0]``; empty for the whole line."""


@attrs.frozen
class ValidationLine:
    """A line of a manifest with validation."""

    line: int
    """Its number, from 1; the same as in the manifest that was given."""
    source: str | None
    """The image; None where the line could not be read."""
    issues: tuple[ValidationIssue, ...]
    """What is wrong; empty for a good line."""
    content: dict[str, Any] = attrs.field(repr=False, hash=False)
    """The line as it is."""

    @property
    def codes(self) -> tuple[str, ...]:
        """The codes, each once."""
        return tuple(dict.fromkeys(issue.code for issue in self.issues))


def read_validation(
    lines: Iterable[str] | Iterable[bytes], name: str = "the manifest with validation"
) -> Iterator[ValidationLine]:
    """Read ``TrainingManifestWithValidation-…`` or ``TestingManifestWithValidation-…``.

    Args:
        lines: The lines of the file, or the open file.
        name: How messages call the file.

    Raises:
        InvalidEvaluation: A line is no JSON object.

    Examples:
        >>> text = '{"source-ref": "s3://b/a.png", "warnings": [{"code": "WARNING_UNANNOTATED_RECORD"}]}'
        >>> [line.codes for line in read_validation([text])]
        [('WARNING_UNANNOTATED_RECORD',)]
    """
    for number, _, fields in read_objects(lines, name):
        source = fields.get("source-ref")
        issues = tuple(_issues(fields, "", _DEEPEST))
        yield ValidationLine(number, source if isinstance(source, str) else None, issues, fields)


def _issues(value: object, place: str, depth: int) -> Iterator[ValidationIssue]:
    """The marks in a value and in everything within it: the service puts them where they belong."""
    if not depth:
        return
    for at, inner in enumerate(as_list(value) or ()):
        yield from _issues(inner, f"{place}[{at}]", depth - 1)
    if not isinstance(value, dict):
        return
    for name, inner in cast("dict[str, Any]", value).items():
        level = _MARKS.get(name)
        if level is None:
            yield from _issues(inner, f"{place}.{name}" if place else name, depth - 1)
            continue
        for one in as_list(inner) or ():
            if isinstance(one, dict):
                mark = cast("dict[str, Any]", one)
                code, message = str(mark.get("code", "")), str(mark.get("message", ""))
                yield ValidationIssue(code, message, level, place)
