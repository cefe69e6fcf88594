"""What readers and writers check before they begin, and images that do not exist."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from rekolabels._arguments import check_callable, check_file, check_folder, check_path, invalid
from rekolabels.descriptions import S3Location
from rekolabels.errors import InvalidInput
from rekolabels.formats._common import Location, is_s3
from rekolabels.formats._files import is_file, is_folder
from rekolabels.formats._problems import printable, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rekolabels.formats._problems import Report
    from rekolabels.images import LabelledImage

__all__ = [
    "ExistingImages",
    "check_callback",
    "check_location",
    "check_prefix",
    "check_source",
    "not_empty",
]

_EXAMPLES = 3
"""Missing images that a message names."""
_FIX = "Pass images='<folder of the images>', or images='s3://<bucket>/<prefix>' if they are in S3."


def check_callback(on_problem: object) -> None:
    """Check the callback for problems."""
    check_callable(
        "on_problem", on_problem, "a function that is called with each problem, such as problems.append"
    )


def check_source(path: object, on_problem: object, expected: str, *, suffix: str) -> str:
    """Check the file and the callback of a reader.

    Args:
        path: The path of the file.
        on_problem: The callback.
        expected: What the path should be, such as ``"the path of a CSV file"``.
        suffix: Extension of such files, to name one if the path is that of a folder.

    Returns:
        The path as text, as it was given.
    """
    check_callback(on_problem)
    file = check_path("path", path, expected)
    if is_folder(file):
        inside = sorted(file.glob(f"*{suffix}"))
        example = f" Pass a file in it: {shown(str(inside[0]))}." if inside else ""
        raise invalid("path", str(file), expected, f"It is a folder.{example}")
    check_file("path", file, expected)
    return os.fspath(cast("Location", path))


def check_location(name: str, value: object) -> Location:
    """Check the folder or S3 prefix that holds images; a folder must exist."""
    if isinstance(value, str) and is_s3(value):
        S3Location.parse(value)
    else:
        check_folder(name, value, "the folder of the images, or s3://bucket/prefix")
    return cast("Location", value)


def check_prefix(name: str, value: object) -> Location | None:
    """Check the folder or S3 prefix that is removed from sources; it need not exist."""
    if value is None or (isinstance(value, str) and is_s3(value)):
        return value
    check_path(name, value, "a folder or s3://bucket/prefix")
    return cast("Location", value)


class ExistingImages:
    """Finds the images of label files that do not exist, and reports them together.

    Args:
        report: Receives the problem.

    Attributes:
        total: Number of images so far, those that do not exist included.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self.total = 0
        self._missing = 0
        self._examples: list[str] = []
        self._line: int | None = None

    def has(self, source: str, *, line: int | None = None) -> bool:
        """Return whether an image exists; images in S3 are assumed to."""
        self.total += 1
        if is_s3(source) or is_file(source):
            return True
        self.miss(source, line=line)
        return False

    def miss(self, source: str, *, line: int | None = None) -> None:
        """Count an image that does not exist."""
        self._missing += 1
        if len(self._examples) < _EXAMPLES:
            self._examples.append(printable(source))
        if self._line is None:
            self._line = line

    def report(self) -> None:
        """Report the missing images.

        Raises:
            InvalidInput: None of the images exists.
        """
        if not self._missing:
            return
        more = self._missing - len(self._examples)
        names = ", ".join(self._examples) + (f" and {more:,} more" if more else "")
        if self._missing == self.total:
            none = "None of its images exists" if self.total > 1 else "Its image does not exist"
            raise InvalidInput(f"{printable(self._report.file)}: {none}: {names}. {_FIX}")
        self._report(
            f"{self._missing:,} of {self.total:,} images do not exist: {names}",
            fix=_FIX,
            line=self._line,
            lost="image",
        )


def not_empty(images: Iterator[LabelledImage], file: str | Path, problem: str) -> Iterator[LabelledImage]:
    """Yield images; raise InvalidInput if there are none, because the reader was given the wrong input."""
    empty = True
    for image in images:
        empty = False
        yield image
    if empty:
        raise InvalidInput(f"{printable(file)}: {problem}")
