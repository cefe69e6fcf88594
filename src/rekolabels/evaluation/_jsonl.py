"""JSON Lines of a training's result files, one object at a time, with messages that name file and line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias, Union, cast

from rekolabels.errors import InvalidEvaluation

__all__ = [
    "LineSource",
    "Lines",
    "as_lines",
    "as_list",
    "as_object",
    "number_in",
    "object_in",
    "read_objects",
    "text_in",
]

Lines: TypeAlias = Union[str, "os.PathLike[str]", bytes, Iterable[str], Iterable[bytes]]
"""A path, the bytes of a file, an open file, or its lines."""
LineSource: TypeAlias = Callable[[], Iterable[str] | Iterable[bytes]]
"""Gives the lines from the beginning, each time that it is called."""


def as_lines(lines: Lines) -> LineSource:
    """Make a source of lines that can be read again; what can be read only once is kept in memory."""
    if isinstance(lines, bytes):
        kept: tuple[Any, ...] = tuple(lines.split(b"\n"))
        return lambda: kept
    if isinstance(lines, str) and lines.lstrip().startswith("{"):
        raise InvalidEvaluation("a str is taken for a path: give the content of a file as bytes or lines")
    if isinstance(lines, (str, os.PathLike)):
        path = Path(lines)
        return lambda: _lines_of(path)
    kept = tuple(lines)
    return lambda: kept


def _lines_of(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except OSError as error:
        raise InvalidEvaluation(f"{path} cannot be read: {error.strerror or error}") from error


def read_objects(
    lines: Iterable[str] | Iterable[bytes], name: str
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Yield number, place (for messages) and content of each line; blank lines are left out.

    Raises:
        InvalidEvaluation: A line is no JSON object, such as the last one of a file that was cut off.
    """
    for number, raw in enumerate(cast("Iterable[str | bytes]", lines), start=1):
        if not raw.strip():
            continue
        where = f"{name}, line {number}"
        try:
            found: Any = json.loads(raw)
        except (ValueError, RecursionError) as error:
            raise InvalidEvaluation(
                f"{where}: this is no JSON ({error}); expected one object a line. A file that ends in the "
                "middle of a line was cut off: fetch it again."
            ) from error
        yield number, where, as_object(found, where)


def as_list(value: object) -> list[Any] | None:
    """The value, if it is a list."""
    if not isinstance(value, list):
        return None
    listed: list[Any] = value  # pyright: ignore[reportUnknownVariableType] - JSON
    return listed


def as_object(value: Any, where: str) -> dict[str, Any]:
    """The value, which must be an object."""
    if not isinstance(value, dict):
        raise InvalidEvaluation(f"{where}: expected an object, found {_kind(value)}")
    return cast("dict[str, Any]", value)


def object_in(fields: Mapping[str, Any], name: str, where: str) -> dict[str, Any]:
    """Take an object out of the fields of a line."""
    return as_object(fields.get(name), f"{where}: {name}")


def text_in(fields: Mapping[str, Any], name: str, where: str) -> str:
    """Take a text out of the fields of a line."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise InvalidEvaluation(f"{where}: {name}: expected a text, found {_kind(value)}")
    return value


def number_in(fields: Mapping[str, Any], name: str, where: str) -> float:
    """Take a finite number out of the fields of a line."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidEvaluation(f"{where}: {name}: expected a number, found {value!r:.60}")
    return float(value)


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
