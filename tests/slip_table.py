"""Tables of slips: calls that users get wrong, the error that each raises, and what its message says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest

from rekolabels import errors

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Slip", "check_slip", "read_slips"]


@attrs.frozen
class Slip:
    """A line of a table."""

    name: str
    """What is wrong; the id of the test."""
    call: str
    """The call, as a user writes it."""
    error: type[errors.RekolabelsError]
    """The class of the error; subclasses do not count."""
    words: tuple[str, ...]
    """What the message contains: the value, and the fix."""


def read_slips(path: Path) -> list[Slip]:
    """Read a table: name, call, error and words, separated by bars; the words by semicolons."""
    slips: list[Slip] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, call, error, words = line.split(" | ")
            slips.append(Slip(name, call, getattr(errors, error), tuple(words.split(" ; "))))
    assert len({slip.name for slip in slips}) == len(slips)
    return slips


def check_slip(slip: Slip, names: Mapping[str, Any]) -> None:
    """Make a call, and compare its error with the expected one.

    Args:
        slip: The call.
        names: What the call refers to.
    """
    with pytest.raises(errors.RekolabelsError) as raised:
        eval(slip.call, dict(names))  # noqa: S307 -- written in this repository
    message = str(raised.value)
    assert slip.error is type(raised.value), message
    assert [] == [word for word in slip.words if word not in message], message
    assert "Parameter validation failed" not in message
