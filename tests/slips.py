"""Slips: calls as users write them by mistake, with the error that each must raise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from rekolabels.errors import InvalidInput, RekolabelsError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Slip:
    """A call with a mistake."""

    name: str
    """Name of the test."""
    call: Callable[[Path], Any]
    """Makes the call; the argument is a folder with files. An iterator that it returns is read."""
    words: tuple[str, ...]
    """What the message must contain: the value, and what to do. FOLDER stands for the folder."""
    error: type[RekolabelsError] = InvalidInput
    """Class of the error."""


def slip(
    name: str, call: Callable[[Path], Any], *words: str, error: type[RekolabelsError] = InvalidInput
) -> Any:
    """Return a row of a table of slips, for ``pytest.mark.parametrize``."""
    return pytest.param(Slip(name, call, words, error), id=name)


def _run(slip: Slip, folder: Path) -> None:
    found = slip.call(folder)
    if isinstance(found, Iterator):
        list(found)


def check(slip: Slip, folder: Path) -> None:
    """Check that a slip raises its error, which names the value, and that no file is left behind."""
    before = sorted(folder.rglob("*"))
    with pytest.raises(RekolabelsError) as caught:
        _run(slip, folder)
    message = str(caught.value).replace(str(folder), "FOLDER")
    assert [word for word in slip.words if word not in message] == [], message
    assert type(caught.value) is slip.error
    assert sorted(folder.rglob("*")) == before
