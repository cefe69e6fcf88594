"""Checks of arguments: a wrong type, scale or choice becomes an error that names the value and the fix.

Each check takes the name of the argument and its value, and returns the value, with its type known.
"""

from __future__ import annotations

import difflib
import inspect
import math
import numbers
import operator
import os
import re
import reprlib
import sys
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

from rekolabels.errors import InvalidInput

__all__ = [
    "check_callable",
    "check_choice",
    "check_file",
    "check_flag",
    "check_folder",
    "check_fraction",
    "check_instance",
    "check_integer",
    "check_items",
    "check_limit",
    "check_mapping",
    "check_number",
    "check_optional_text",
    "check_path",
    "check_percentage",
    "check_seconds",
    "check_seed",
    "check_text",
    "invalid",
    "is_url",
    "shown",
]

T = TypeVar("T")

_MAX_TEXT = 120
_MAX_BYTES = 20
_MAX_NAMES = 2_000
"""Names in a folder among which a missing one is searched."""
_MAX_PERCENTAGE = 100

_short = reprlib.Repr()
_short.maxstring = _short.maxother = _MAX_TEXT


def invalid(name: str, value: object, expected: str, fix: str = "") -> InvalidInput:
    """Return the error for an argument.

    Args:
        name: Name of the argument.
        value: The value that was given.
        expected: What was expected, as the end of "expected ...".
        fix: What to do, as a sentence.

    >>> print(invalid("seed", "7", "a whole number", "Remove the quotes: seed=7."))
    seed is '7'; expected a whole number. Remove the quotes: seed=7.
    """
    return InvalidInput(f"{name} is {shown(value)}; expected {expected}.{f' {fix}' if fix else ''}")


def shown(value: object) -> str:
    """Return a value as messages show it: one short line, or its type.

    >>> shown("cat"), shown(object()), shown(b"x" * 1000)
    ("'cat'", 'an object of type object', "b'xxxxxxxxxxxxxxxxxxxx'...")
    """
    if isinstance(value, (bytes, bytearray)):
        return f"{bytes(value[:_MAX_BYTES])!r}{'...' if len(value) > _MAX_BYTES else ''}"
    try:
        text = _short.repr(value)
    except Exception:  # noqa: BLE001 -- whatever the object's own __repr__ raises
        text = ""
    if text and text.isprintable() and " at 0x" not in text:
        return text
    return f"an object of type {type(value).__name__}"


def check_instance(
    name: str, value: object, kind: type[T] | tuple[type[T], ...], expected: str, fix: str = ""
) -> T:
    """Check the type of an argument."""
    if isinstance(value, kind):
        return value
    raise invalid(name, value, expected, fix)


def check_text(name: str, value: object, expected: str = "text", fix: str = "") -> str:
    """Check that an argument is a string and not empty."""
    if isinstance(value, str) and value:
        return value
    raise invalid(name, value, expected, fix)


def check_optional_text(name: str, value: object, expected: str = "text") -> str | None:
    """Check that an argument is a string that is not empty, or None."""
    return None if value is None else check_text(name, value, f"{expected}, or None")


def check_flag(name: str, value: object) -> bool:
    """Check that an argument is True or False."""
    if isinstance(value, bool):
        return value
    if type(value).__name__ in {"bool_", "bool"}:  # NumPy's
        return bool(value)
    raise invalid(name, value, "True or False")


def check_choice(
    name: str, value: object, choices: Collection[T], synonyms: Mapping[str, T] | None = None
) -> T:
    """Check that an argument is one of a few values; the error suggests the one that was probably meant.

    Args:
        name: Name of the argument.
        value: The value that was given.
        choices: The values that are allowed.
        synonyms: Other words for them that users may try.

    >>> check_choice("kind", "training", ["train", "test"])
    Traceback (most recent call last):
    rekolabels.errors.InvalidInput: kind is 'training'; expected 'train' or 'test'. Did you mean 'train'?
    """
    for choice in choices:
        if isinstance(value, type(choice)) and value == choice:
            return choice
    *most, last = (repr(choice) for choice in choices)
    expected = f"{', '.join(most)} or {last}" if most else last
    meant = _closest(value, choices, synonyms or {}) if isinstance(value, str) else None
    raise invalid(name, value, expected, f"Did you mean {meant!r}?" if meant is not None else "")


def _closest(value: str, choices: Iterable[T], synonyms: Mapping[str, T]) -> T | None:
    word = value.strip().casefold()
    if word in synonyms:
        return synonyms[word]
    words = {str(choice).casefold(): choice for choice in choices}
    for known, choice in words.items():
        if word and (word.startswith(known) or known.startswith(word)):
            return choice
    found = difflib.get_close_matches(word, words, 1)
    return words[found[0]] if found else None


def check_number(
    name: str,
    value: object,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    kind: str = "a number",
    optional: bool = False,
) -> float:
    """Check that an argument is a number in a range.

    NaN is not a number; infinity is one, unless ``at_most`` is given.

    Args:
        name: Name of the argument.
        value: The value that was given.
        at_least: Smallest value.
        above: Value that it must exceed.
        at_most: Largest value.
        kind: What it is, for the message, such as "a number of seconds".
        optional: Whether the message mentions that None is allowed too; the caller handles None.
    """
    number = _real(value)
    if (
        number is None
        or math.isnan(number)
        or (at_least is not None and number < at_least)
        or (above is not None and number <= above)
        or (at_most is not None and number > at_most)
    ):
        expected = _range(kind, at_least, above, at_most, optional=optional)
        raise invalid(name, value, expected, _without_quotes(name, value))
    return number


def check_integer(
    name: str,
    value: object,
    *,
    at_least: int | None = None,
    at_most: int | None = None,
    kind: str = "a whole number",
    optional: bool = False,
) -> int:
    """Check that an argument is a whole number in a range; arguments as for :func:`check_number`."""
    try:
        number = None if isinstance(value, bool) else operator.index(cast("int", value))
    except TypeError:
        number = None
    if (
        number is None
        or (at_least is not None and number < at_least)
        or (at_most is not None and number > at_most)
    ):
        expected = _range(kind, at_least, None, at_most, optional=optional)
        raise invalid(name, value, expected, _without_quotes(name, value))
    return number


def check_fraction(name: str, value: object) -> float:
    """Check that an argument is a fraction, 0 to 1."""
    number = _real(value)
    if number is not None and 1 < number <= _MAX_PERCENTAGE:
        fix = f"For {number:g} %, use {name}={number / _MAX_PERCENTAGE:g}."
        raise invalid(name, value, "a fraction from 0 to 1", fix)
    return check_number(name, value, at_least=0, at_most=1, kind="a fraction")


def check_percentage(name: str, value: object) -> float:
    """Check that an argument is a percentage, 0 to 100; warn if it looks like a fraction."""
    number = check_number(name, value, at_least=0, at_most=_MAX_PERCENTAGE, kind="a percentage")
    if 0 < number < 1:
        warnings.warn(
            f"{name} is {number:g}, which means {number:g} %. For {number * _MAX_PERCENTAGE:g} %, use "
            f"{name}={number * _MAX_PERCENTAGE:g}.",
            stacklevel=_callers_level(),
        )
    return number


def check_seconds(name: str, value: object) -> float | None:
    """Check that an argument is a number of seconds, 0 or more, or None."""
    if value is None:
        return None
    if hasattr(value, "total_seconds"):
        raise invalid(name, value, "a number of seconds", f"Use {name}=value.total_seconds().")
    return check_number(name, value, at_least=0, kind="a number of seconds", optional=True)


def check_seed(name: str, value: object) -> int:
    """Check that an argument is a seed, in the range that NumPy and scikit-learn accept."""
    return check_integer(name, value, at_least=0, at_most=2**32 - 1)


def check_limit(name: str, value: object) -> int | None:
    """Check that an argument is a largest number of results, 0 or more, or None for all."""
    # itertools.islice accepts no larger number.
    return None if value is None else min(sys.maxsize, check_integer(name, value, at_least=0, optional=True))


def check_callable(name: str, value: object, expected: str) -> Callable[..., Any]:
    """Check that an argument can be called."""
    if callable(value):
        return value
    raise invalid(name, value, expected)


def check_items(
    name: str, value: object, kind: type[T] | tuple[type[T], ...], expected: str, fix: str = ""
) -> list[T]:
    """Check that an argument is an iterable of values of a type, and return them.

    Strings, bytes, paths and mappings are refused: their elements are hardly what was meant.

    Args:
        name: Name of the argument.
        value: The value that was given.
        kind: Type of each element.
        expected: What was expected, such as "a list of labels".
        fix: What to do; by default to write a list, if the value would be a valid element.
    """
    given = value
    if isinstance(value, (str, bytes, bytearray, os.PathLike, Mapping)) or not isinstance(value, Iterable):
        if not fix and given is not None and isinstance(given, kind):
            fix = f"Use {name}=[{shown(given)}]."
        raise invalid(name, given, expected, fix)
    items: list[object] = list(cast("Iterable[object]", given))
    for position, item in enumerate(items):
        if not isinstance(item, kind):
            raise invalid(f"{name}[{position}]", item, expected, fix)
    return cast("list[T]", items)


def check_mapping(name: str, value: object, expected: str) -> dict[str, str]:
    """Check that an argument is a mapping from strings to strings, such as tags."""
    if isinstance(value, Mapping):
        pairs = dict(cast("Mapping[object, object]", value))
        for pair in pairs.items():
            if not all(isinstance(part, str) for part in pair):
                raise invalid(name, pairs, expected)
        return cast("dict[str, str]", pairs)
    raise invalid(name, value, expected)


def is_url(value: object) -> bool:
    """Return whether a value is a URL, such as ``https://...`` or ``s3://...``, and not a local path."""
    scheme, separator, _ = value.partition("://") if isinstance(value, str) else ("", "", "")
    return bool(separator) and len(scheme) > 1 and scheme.isalnum()


def check_path(name: str, value: object, expected: str = "the path of a file") -> Path:
    """Check that an argument can be a local path; the file need not exist."""
    if is_url(value):
        raise invalid(name, value, f"{expected} on this machine", "Download it first.")
    given = value
    if isinstance(value, (str, os.PathLike)):
        path = cast("object", os.fspath(cast("os.PathLike[str]", given)))
        if isinstance(path, str) and re.match(r"~[\\/]|~$", path):  # only shells replace it
            raise invalid(name, path, expected, f"Use Path({path!r}).expanduser().")
        if isinstance(path, str) and path and "\0" not in path and _can_encode(path):
            return Path(path)
    raise invalid(name, given, expected)


def _can_encode(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def check_folder(name: str, value: object, expected: str = "the path of a folder") -> Path:
    """Check that an argument is the path of a folder that exists."""
    path = check_path(name, value, expected)
    if _test(path, Path.is_dir):
        return path
    if _test(path, Path.exists):
        raise invalid(name, str(path), expected, "It is a file.")
    raise _missing(name, path, expected)


def check_file(name: str, value: object, expected: str = "the path of a file") -> Path:
    """Check that an argument is the path of a file that exists."""
    path = check_path(name, value, expected)
    if _test(path, Path.is_dir):
        raise invalid(name, str(path), expected, "It is a folder.")
    if _test(path, Path.exists):
        return path
    raise _missing(name, path, expected)


def _test(path: Path, test: Callable[[Path], bool]) -> bool:
    try:
        return test(path)
    except OSError:  # a name that is too long, or a folder that may not be entered
        return False


def _missing(name: str, path: Path, expected: str) -> InvalidInput:
    """Return the error for a path that does not exist, with the name beside it that was probably meant."""
    message = f"{name} is {shown(str(path))}, which does not exist; expected {expected}."
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in islice(entries, _MAX_NAMES)]
    except OSError:
        return InvalidInput(f"{message} The folder {shown(str(path.parent))} does not exist either.")
    found = difflib.get_close_matches(path.name, names, 1)
    if found:
        return InvalidInput(f"{message} Did you mean {str(path.with_name(found[0]))!r}?")
    return InvalidInput(message if path.is_absolute() else f"{message} The current folder is {Path.cwd()}.")


def _real(value: object) -> float | None:
    """Return a number as the int or float that boto3 requires; None for what is not a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float, numbers.Real, Decimal)):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    return value if type(value) is int else number  # NumPy's float64 is a float, but writes its name


def _range(
    kind: str, at_least: float | None, above: float | None, at_most: float | None, *, optional: bool
) -> str:
    words = kind
    if at_least is not None and at_most is not None:
        words += f" from {at_least:,} to {at_most:,}"
    elif at_least is not None:
        words += f", {at_least:,} or more"
    elif above is not None:
        words += f", more than {above:,}" + (f" and at most {at_most:,}" if at_most is not None else "")
    elif at_most is not None:
        words += f", {at_most:,} or less"
    return f"{words}, or None" if optional else words


def _without_quotes(name: str, value: object) -> str:
    """Suggest to remove the quotes around a number."""
    if not isinstance(value, str):
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    return f"Remove the quotes: {name}={value.strip()}."


def _callers_level() -> int:
    """Return the stack level, as seen by the caller, of the first frame outside rekolabels."""
    level, frame = 0, inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "rekolabels":
        level, frame = level + 1, frame.f_back
    return level
