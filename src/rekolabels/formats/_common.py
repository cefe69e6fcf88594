"""What all formats share: where an image lies, and whether numbers make a box."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rekolabels.errors import InvalidInput
from rekolabels.formats._files import reading
from rekolabels.formats._problems import Report, shown
from rekolabels.images import BoundingBox, ImageSize

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Place",
    "as_dict",
    "as_list",
    "is_s3",
    "make_box",
    "make_size",
    "number",
    "place_in",
    "read_text",
    "relative_name",
]

Place = str | os.PathLike[str]
"""A local folder, or an ``s3://bucket/prefix``."""

_ROUNDING = 1e-6  # pixels: what adding up parts of a pixel may cost


def is_s3(place: Place) -> bool:
    """Whether a place is in S3."""
    return os.fspath(place)[:5].lower() == "s3://"


def place_in(folder: Place, name: object, report: Report, *, line: int | None = None) -> str | None:
    """Where an image lies that a file names.

    Names come from files that others wrote: one that leads out of the folder would take a foreign file along.

    Returns:
        The path or URI; None, and a report, where the name is none or leaves the folder.
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        report(f"expected the name of an image file, found {shown(repr(name))}", line=line, lost="image")
        return None
    if is_s3(name):
        return name
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or parts[0].endswith(":") or ".." in parts:
        report(
            f"the image {shown(repr(name))} is outside of {shown(os.fspath(folder))!r}",
            fix="Name images relative to their folder.",
            line=line,
            lost="image",
        )
        return None
    inside = [part for part in parts if part not in {"", "."}]
    if is_s3(folder):
        return "/".join([os.fspath(folder).rstrip("/"), *inside])
    return os.path.join(os.fspath(folder), *inside)  # noqa: PTH118 - the source is text, kept as it was given


def relative_name(source: str, folder: Place | None) -> str:
    """How a file names an image: relative to the folder, with ``/`` between the parts."""
    if folder is None:
        return source
    start = os.fspath(folder).replace("\\", "/").rstrip("/") + "/"
    name = source.replace("\\", "/")
    return name.removeprefix(start)


def number(value: object) -> float | None:
    """A finite number from JSON or text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            try:
                value = float(value)
            except ValueError:
                return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # an integer beyond what a float can hold
        return None


def make_size(width: object, height: object, depth: object = 3) -> ImageSize | None:
    """A size from numbers of any kind; None where they are no size."""
    columns, rows, channels = number(width), number(height), number(depth)
    if columns is None or rows is None or columns < 1 or rows < 1 or columns % 1 or rows % 1:
        return None
    return ImageSize(int(columns), int(rows), int(channels) if channels is not None and channels >= 1 else 3)


def make_box(
    label: object,
    values: Sequence[object],
    size: ImageSize | None,
    report: Report,
    *,
    what: str,
    line: int | None = None,
) -> BoundingBox | None:
    """Make a box from left, top, width and height in pixels; ``what`` names it in messages.

    Returns:
        The box, also where it leaves the frame (that is reported); None, and a report, where it is none.
    """
    if not isinstance(label, str) or not label:
        report(f"{what} has no label", fix="Give it one, or remove it.", line=line, lost="box")
        return None
    numbers = [found for found in map(number, values) if found is not None]
    if len(numbers) != 4 or len(values) != 4:  # noqa: PLR2004 - left, top, width, height
        report(
            f"{what} ({shown(label)}): expected four finite numbers, found {shown(list(values))}",
            fix="Mend or remove it.",
            line=line,
            lost="box",
        )
        return None
    left, top, width, height = numbers
    if width <= 0 or height <= 0:
        report(
            f"{what} ({shown(label)}) has no area: {width:g} x {height:g} pixels",
            fix="Remove it, or draw it anew.",
            line=line,
            lost="box",
        )
        return None
    if (
        left < 0
        or top < 0
        or (size and (left + width > size.width + _ROUNDING or top + height > size.height + _ROUNDING))
    ):
        frame = f" of {size.width} x {size.height}" if size else ""
        report(
            f"{what} ({shown(label)}) leaves the frame{frame}: left {left:g}, top {top:g}, "
            f"width {width:g}, height {height:g}",
            fix="Clip it: the service does not use such boxes.",
            line=line,
        )
    return BoundingBox(label, left, top, width, height)


def exists(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file or folder; no for names that the system does not take."""
    return os.path.exists(path)  # noqa: PTH110 - unlike Path.exists, it does not raise for names that are too long


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a file; no for names that the system does not take."""
    return os.path.isfile(path)  # noqa: PTH113 - as above


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether there is such a folder; no for names that the system does not take."""
    return os.path.isdir(path)  # noqa: PTH112 - as above


def is_within(path: Path, folder: Path) -> bool:
    """Whether a path is in a folder when all links and ``..`` are followed."""
    real, start = os.path.realpath(path), os.path.realpath(folder)
    return Path(real).is_relative_to(start)


def as_list(value: Any) -> list[Any] | None:
    """A list that came from outside; None for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else None  # type: ignore[redundant-cast]  # pyright


def as_dict(value: Any) -> dict[Any, Any] | None:
    """A mapping that came from outside; None for anything else."""
    return cast("dict[Any, Any]", value) if isinstance(value, dict) else None  # type: ignore[redundant-cast]  # pyright


def read_text(path: Place, what: str, *, most: int = 1 << 20) -> str:
    """Read a text file of bearable size.

    Raises:
        InvalidInput: It is not there, not readable, too large, or not UTF-8.
    """
    with reading(path, what) as name:
        with Path(path).open("rb") as file:
            content = file.read(most + 1)
        if len(content) > most:
            raise InvalidInput(f"{name}: larger than {most >> 20} MB; expected {what}")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{name}: not UTF-8 text at byte {error.start}; expected {what}") from error
