"""Slips: calls as users write them by mistake, with the error that each must raise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels import errors
from rekolabels.errors import InvalidInput, RekolabelsError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Slip:
    """A call with a mistake."""

    name: str
    """Name of the test."""
    call: Callable[[Any], Any]
    """Makes the call; the argument is a folder with files, or the names that a table refers to. An iterator
    that it returns is read."""
    words: tuple[str, ...]
    """What the message must contain: the value, and what to do. FOLDER stands for the folder."""
    error: type[RekolabelsError] = InvalidInput
    """Class of the error."""


def slip(
    name: str, call: Callable[[Any], Any], *words: str, error: type[RekolabelsError] = InvalidInput
) -> Any:
    """Return a row of a table of slips, for ``pytest.mark.parametrize``."""
    return pytest.param(Slip(name, call, words, error), id=name)


def read_slips(path: Path) -> list[Any]:
    """Read rows from a table: name, call, error and words, separated by bars; the words by semicolons."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ") for line in lines if line and not line.startswith("#")]
    assert len({row[0] for row in rows}) == len(rows)
    return [
        slip(name, partial(_evaluate, call), *words.split(" ; "), error=getattr(errors, error))
        for name, call, error, words in rows
    ]


def _evaluate(call: str, names: Mapping[str, Any]) -> object:
    return eval(call, dict(names))  # noqa: S307 -- written in this repository


def _run(slip: Slip, argument: Any) -> None:
    found = slip.call(argument)
    if isinstance(found, Iterator):
        list(found)


def check_error(slip: Slip, argument: Any, folder: Path | None = None) -> None:
    """Check the class of a slip's error, and its message, in which FOLDER stands for the folder."""
    with pytest.raises(RekolabelsError) as caught:
        _run(slip, argument)
    message = str(caught.value)
    if folder is not None:
        message = message.replace(str(folder), "FOLDER")
    assert type(caught.value) is slip.error, message
    assert [word for word in slip.words if word not in message] == [], message
    assert "Parameter validation failed" not in message


def check(slip: Slip, folder: Path) -> None:
    """Check that a slip raises its error, which names the value, and that no file is left behind."""
    before = sorted(folder.rglob("*"))
    check_error(slip, folder, folder)
    assert sorted(folder.rglob("*")) == before
