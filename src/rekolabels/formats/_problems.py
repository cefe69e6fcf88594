"""Problems that readers and writers report instead of raising."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal, NoReturn, TypeAlias

import attrs

from rekolabels.errors import InvalidInput

__all__ = [
    "Lost",
    "OnProblem",
    "Problem",
    "Report",
    "Summary",
    "log_problem",
    "printable",
    "raise_problem",
    "shown",
]

_logger = logging.getLogger("rekolabels.formats")
_MAX_LENGTH = 200

Lost: TypeAlias = Literal["nothing", "box", "label", "image", "file"]


@attrs.frozen
class Problem:
    """A flaw that a reader or writer met, and what it left out. ``str()`` gives one line for a log."""

    file: str
    """The file, with the path that the reader was given; the image for writers."""
    message: str
    """What is wrong and what was expected, without a full stop."""
    fix: str = ""
    """What to do about it; empty when nothing needs to be done."""
    line: int | None = None
    """Number of the line, from 1; None when the format has no lines or the whole file is affected."""
    lost: Lost = "nothing"
    """What is missing from the result; ``"file"`` means the whole file."""

    def __str__(self) -> str:
        location = printable(self.file) + ("" if self.line is None else f":{self.line}")
        effect = "" if self.lost == "nothing" else f" ({self.lost} left out)"
        fix = f" {self.fix}" if self.fix else ""
        return f"{location}: {self.message}{effect}.{fix}"


OnProblem: TypeAlias = Callable[[Problem], object]
"""Called for each problem: ``problems.append``, :func:`raise_problem`, or a function of your own."""


def log_problem(problem: Problem) -> None:
    """Log the problem as a warning to the logger ``rekolabels.formats``. The default of ``on_problem``.

    Python prints such warnings to standard error when logging is not configured.
    """
    _logger.warning("%s", problem)


def raise_problem(problem: Problem) -> NoReturn:
    """Raise the problem as an error. Pass it as ``on_problem`` to stop at the first flaw.

    Raises:
        InvalidInput: Always; its message is the problem.
    """
    raise InvalidInput(str(problem))


def printable(text: object) -> str:
    """Return text from outside as one printable line of at most 200 characters."""
    text = _safely(str, text)
    if text.isprintable() and len(text) <= _MAX_LENGTH:
        return text
    line = "".join(
        c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text
    )
    return line if len(line) <= _MAX_LENGTH else line[: _MAX_LENGTH - 1] + "…"


def shown(value: object) -> str:
    """Return how messages show a value from outside: its ``repr`` as one line of at most 200 characters."""
    return printable(_safely(repr, value))


def _safely(convert: Callable[[object], str], value: object) -> str:
    try:
        return convert(value)
    except (ValueError, RecursionError):  # a number with more digits than Python writes, or deep nesting
        return f"<{type(value).__name__}>"


@attrs.frozen
class Report:
    """Passes the problems of one file to ``on_problem``."""

    file: str
    on_problem: OnProblem

    def __call__(
        self, message: str, *, fix: str = "", line: int | None = None, lost: Lost = "nothing"
    ) -> None:
        self.on_problem(Problem(file=self.file, message=message, fix=fix, line=line, lost=lost))

    def error(
        self, error: Exception, *, fix: str = "", line: int | None = None, lost: Lost = "nothing"
    ) -> None:
        """Report an error; its message loses the name of this file and the full stop."""
        message = str(error).removeprefix(f"{printable(self.file)}: ").removesuffix(".")
        self(message, fix=fix, line=line, lost=lost)


class Summary:
    """Problems that many images share: each is reported once, with the number of images.

    Args:
        report: Receives the problems, when all images are done.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._found: dict[tuple[str, str, Lost], tuple[int, str]] = {}

    def add(self, image: str, message: str, *, fix: str = "", lost: Lost = "nothing") -> None:
        """Count an image with a problem."""
        count, first = self._found.get((message, fix, lost), (0, image))
        self._found[message, fix, lost] = count + 1, first

    def report(self) -> None:
        """Report each problem with the number of its images."""
        for (message, fix, lost), (count, first) in self._found.items():
            images = printable(first) if count == 1 else f"{count:,} images, such as {printable(first)}"
            self._report(f"{message}: {images}", fix=fix, lost=lost)
