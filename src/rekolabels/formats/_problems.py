"""One way for every reader to say what was wrong with what it read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal, NoReturn, TypeAlias

import attrs

from rekolabels.errors import InvalidInput

__all__ = ["OnProblem", "Problem", "Report", "log_problem", "raise_problem", "shown"]

_logger = logging.getLogger("rekolabels.formats")
_LONGEST_QUOTE = 200


@attrs.frozen
class Problem:
    """A flaw that a reader met, and what became of it. ``str()`` makes one readable line of it."""

    file: str
    """The file, as it was reached from what the reader was given."""
    message: str
    """What is wrong, and what was expected."""
    fix: str = ""
    """How to mend it; empty where nothing needs to be done."""
    line: int | None = None
    """The number of the line, from 1; None where the format has no lines, or the whole file is meant."""
    lost: Literal["nothing", "box", "label", "image", "file"] = "nothing"
    """What is missing from the result because of it; ``"file"`` is everything from here to its end."""

    def __str__(self) -> str:
        place = shown(self.file) + ("" if self.line is None else f":{self.line}")
        effect = "" if self.lost == "nothing" else f" ({self.lost} left out)"
        fix = f" {self.fix}" if self.fix else ""
        return f"{place}: {self.message}{effect}.{fix}"


OnProblem: TypeAlias = Callable[[Problem], object]
"""What a reader calls for each flaw: ``problems.append``, :func:`raise_problem`, or a function of yours."""


def log_problem(problem: Problem) -> None:
    """Write the problem as a warning to the logger ``rekolabels.formats``: what readers do by default.

    Python prints such warnings on standard error when logging is not configured.
    """
    _logger.warning("%s", problem)


def raise_problem(problem: Problem) -> NoReturn:
    """Stop at the first problem: pass it as ``on_problem`` where flawed data must not go on.

    Raises:
        InvalidInput: Always; its message is the problem.
    """
    raise InvalidInput(str(problem))


def shown(text: object) -> str:
    """Text of unknown origin as one printable line of bearable length."""
    text = str(text)
    if text.isprintable() and len(text) <= _LONGEST_QUOTE:
        return text
    line = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text
    )
    return line if len(line) <= _LONGEST_QUOTE else line[: _LONGEST_QUOTE - 1] + "…"


@attrs.frozen
class Report:
    """The reader's side of ``on_problem``: builds the problem of one file and passes it on."""

    file: str
    on_problem: OnProblem

    def __call__(
        self,
        message: str,
        *,
        fix: str = "",
        line: int | None = None,
        lost: Literal["nothing", "box", "label", "image", "file"] = "nothing",
    ) -> None:
        self.on_problem(Problem(file=self.file, message=message, fix=fix, line=line, lost=lost))
