"""Reader for the JSON Lines files that a training writes; errors name the file, line and field."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, Union, cast

from rekolabels._arguments import check_file, invalid
from rekolabels._files import printable_name
from rekolabels.errors import InvalidEvaluation, InvalidInput
from rekolabels.manifest._given_images import check_unused, is_collection
from rekolabels.manifest._json import short_repr

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "LineSource",
    "Lines",
    "as_lines",
    "as_list",
    "as_object",
    "finite",
    "line_stream",
    "number_in",
    "object_in",
    "read_objects",
    "text_in",
    "to_utf8",
    "unreadable",
]

Lines: TypeAlias = Union[str, "os.PathLike[str]", bytes, Iterable[str], Iterable[bytes]]
"""A path, the content of a file as bytes, an open file, or the lines of a file."""
LineSource: TypeAlias = Callable[[], Iterable[str] | Iterable[bytes]]
"""Returns the lines from the beginning each time it is called."""


_EXPECTED = "the path of a JSON Lines file, its content as bytes, an open file, or its lines"


def as_lines(lines: Lines, name: str) -> LineSource:
    """Return a source of lines that can be read repeatedly; iterators are kept in memory.

    Args:
        lines: The lines, or where they are.
        name: Name of the argument, for messages.
    """
    if isinstance(lines, (str, os.PathLike)):
        path = _path(lines, name)
        return lambda: _lines_of(path)
    kept: tuple[Any, ...] = tuple(line_stream(lines, name))
    return lambda: kept


def line_stream(lines: Lines, name: str) -> Iterable[str] | Iterable[bytes]:
    """Return the lines as a stream; arguments as for :func:`as_lines`."""
    if isinstance(lines, (bytes, bytearray)):
        return bytes(lines).split(b"\n")
    if isinstance(lines, (str, os.PathLike)):
        return _lines_of(_path(lines, name))
    stream: Any = lines
    if not is_collection(stream):
        raise invalid(name, lines, _EXPECTED)
    check_unused(stream, name)
    # The body of an object in S3 iterates over chunks, not over lines.
    by_lines: Any = getattr(lines, "iter_lines", None)
    return lines if by_lines is None else by_lines()


def _path(path: str | os.PathLike[str], name: str) -> Path:
    if isinstance(path, str) and path.lstrip().startswith("{"):
        raise InvalidEvaluation(
            "A str is treated as a path, but this one contains JSON. Pass bytes or lines instead: "
            "`text.encode()` or `text.splitlines()`."
        )
    try:
        return check_file(name, path, _EXPECTED)
    except InvalidInput as error:
        raise InvalidEvaluation(str(error)) from error


def _lines_of(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except (OSError, ValueError) as error:  # ValueError: not a valid name
        raise unreadable(printable_name(path), getattr(error, "strerror", None) or str(error)) from error


def unreadable(where: str, problem: str) -> InvalidEvaluation:
    """Make the error for a part of an evaluation file, such as a field of a line."""
    return InvalidEvaluation(f"Cannot read {where}: {problem}.")


def read_objects(
    lines: Iterable[str] | Iterable[bytes], name: str
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield the number, the place (for messages) and the content of each line that is not blank.

    Raises:
        InvalidEvaluation: A line is not a JSON object, such as the last line of a truncated file.
    """
    for number, raw in enumerate(cast("Iterable[str | bytes]", lines), start=1):
        where = f"line {number} of {name}"
        if not isinstance(raw, (str, bytes)):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without types
            raise unreadable(where, f"expected text, found {_type_name(raw)}")
        if not raw.strip():
            continue
        try:
            content: Any = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise InvalidEvaluation(
                f"Cannot read {where}: expected one JSON object per line ({error}). If the file ends in the "
                "middle of a line, it is truncated: download it again."
            ) from error
        yield number, where, as_object(content, where)


def to_utf8(text: str) -> bytes:
    r"""Encode text that may have halves of surrogate pairs; they become escapes, as JSON has them.

    Examples:
        >>> to_utf8('{"label": "\ud800"}')
        b'{"label": "\\ud800"}'
    """
    return text.encode("utf-8", "backslashreplace")


def as_list(value: object) -> list[Any] | None:
    """Return the value if it is a list."""
    if not isinstance(value, list):
        return None
    listed: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - JSON
    return listed


def as_object(value: Any, where: str) -> dict[str, Any]:
    """Return the value, which must be a JSON object."""
    if not isinstance(value, dict):
        raise unreadable(where, f"expected an object, found {_type_name(value)}")
    return cast("dict[str, Any]", value)


def object_in(fields: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """Return the field, which must be a JSON object."""
    return as_object(fields.get(name), f"{where}: {name}")


def text_in(fields: Mapping[str, Any], name: str, where: str) -> str:
    """Return the field, which must be a string."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise unreadable(f"{where}: {name}", f"expected a string, found {_type_name(value)}")
    return value


def number_in(fields: Mapping[str, Any], name: str, where: str) -> float:
    """Return the field, which must be a finite number."""
    number = finite(fields.get(name))
    if number is None:
        raise unreadable(f"{where}: {name}", f"expected a number, found {short_repr(fields.get(name))}")
    return number


def finite(value: object) -> float | None:
    """Return a finite number; None for anything else, such as NaN, or an integer of hundreds of digits."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _type_name(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
