"""Strict JSON parsing, type guards for JSON values, and how messages show JSON values."""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn, TypeGuard

__all__ = ["InvalidJson", "is_list", "is_object", "json_pointer", "load_object", "short_repr"]

_MAX_DEPTH: Final = 200
"""Levels of nesting. Real lines have four. Python's own limit depends on the depth of the caller's stack."""

_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.?)*"?', re.DOTALL)
"""Strings, also one that is cut off: the pattern never tries a quote twice, so its work is linear."""


class InvalidJson(ValueError):
    """The text is not a single valid JSON object.

    Attributes:
        detail: The reason, as a sentence without capital letter and full stop.
        column: The position in the text, from 1; None if the reason concerns the text as a whole.
    """

    def __init__(self, detail: str, column: int | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.column = column


class _RepeatedKey(Exception):
    """An object contains a key twice."""


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a value is a JSON object."""
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Return whether a value is a JSON list."""
    return isinstance(value, list)


def load_object(text: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Parse a JSON object strictly, as RFC 8259 defines it.

    If a key occurs twice in an object, the last value wins, as in most parsers.

    Returns:
        The object, and the keys that occur more than once in one object.

    Raises:
        InvalidJson: The text is not JSON, is not an object, is nested too deeply, or contains an invalid
            number (``NaN``, ``Infinity``, 1e999, or one with thousands of digits).
    """
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidJson("it contains half of a surrogate pair", error.start + 1) from error
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        _check_depth(text)
    repeated: tuple[str, ...] = ()
    try:
        try:
            found = _decode_once(text)
        except _RepeatedKey:
            found, repeated = _decode_repeated(text)
    except json.JSONDecodeError as error:
        raise InvalidJson(_explain(text, error), error.pos + 1) from error
    except InvalidJson:  # raised by _finite or _reject_constant
        raise
    except RecursionError as error:
        raise InvalidJson("it is nested too deeply") from error
    except ValueError as error:  # Python refuses to convert integers of more than 4,300 digits
        raise InvalidJson("it contains a number with thousands of digits") from error
    if not is_object(found):
        raise InvalidJson("it is JSON, but not an object in braces", 1)
    return found, repeated


def _check_depth(text: str) -> None:
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRINGS.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > _MAX_DEPTH:
            raise InvalidJson(f"it is nested more than {_MAX_DEPTH} levels deep")


def _reject_constant(name: str) -> NoReturn:
    raise InvalidJson(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise InvalidJson(f"the number {digits[:20]} is too large")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedKey
    return found


_decode_once = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=_reject_constant, parse_float=_finite
).decode


def _decode_repeated(text: str) -> tuple[Any, tuple[str, ...]]:
    repeated: dict[str, None] = {}

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                repeated[key] = None
            found[key] = value
        return found

    decoder = json.JSONDecoder(
        object_pairs_hook=collect, parse_constant=_reject_constant, parse_float=_finite
    )
    return decoder.decode(text), tuple(repeated)


def _explain(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return "it is blank"
    if error.pos >= len(text.rstrip()):
        return "it is cut off"
    message = error.msg.removesuffix(" at").removesuffix(" starting")
    return f"{message[0].lower()}{message[1:]}"


def short_repr(value: object, *, limit: int = 120) -> str:
    """Return a short representation of a JSON value for messages: one line, safe for a terminal.

    Args:
        value: The value. Control characters in a string are escaped.
        limit: Number of characters of a string that are shown.
    """
    if isinstance(value, str):
        return repr(value) if len(value) <= limit else f"{value[:limit]!r}... ({len(value):,} characters)"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "a very large number"
    return repr(value)


def json_pointer(path: tuple[str | int, ...]) -> str:
    """Return the JSON pointer (RFC 6901) for a path; empty for the whole document.

    >>> json_pointer(("a/b", "annotations", 0))
    '/a~1b/annotations/0'
    """
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)
