"""What all formats share: the location of images, and boxes and sizes made of numbers from outside."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from rekolabels.formats._problems import printable, shown
from rekolabels.images import BoundingBox, ImageSize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rekolabels.formats._problems import Report
    from rekolabels.images import LabelledImage

__all__ = [
    "Location",
    "as_dict",
    "as_list",
    "file_name",
    "is_s3",
    "locate_image",
    "make_box",
    "make_size",
    "relative_name",
    "to_number",
    "writable_boxes",
]

Location: TypeAlias = str | os.PathLike[str]
"""A local folder or an ``s3://bucket/prefix``."""

_MAX_PIXELS = 2**53
"""Larger numbers are not pixels. Up to this number, floats represent integers exactly, and neither sums nor
products overflow."""
_ROUNDING = 1e-6
"""Pixels by which a box may leave the frame: the error of adding fractions."""


def is_s3(location: Location) -> bool:
    """Return whether a location is in S3."""
    return os.fspath(location)[:5].lower() == "s3://"


def locate_image(folder: Location, name: object, report: Report, *, line: int | None = None) -> str | None:
    """Return the path or URI of an image that a label file names.

    Label files come from elsewhere, so a name that leaves the folder is refused: it could pull in a foreign
    file.

    Args:
        folder: Where the images are.
        name: The name in the label file, relative to the folder, or an ``s3://`` URI.
        report: Receives the problem.
        line: Line of the name, for the problem.

    Returns:
        The path or URI; None, with a problem reported, when the name is not valid or leaves the folder.
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        report(f"Expected the name of an image file, found {shown(name)}", line=line, lost="image")
        return None
    if is_s3(name):
        return name
    parts = name.replace("\\", "/").split("/")
    if parts[0] == "" or parts[0].endswith(":") or ".." in parts:
        report(
            f"Image {shown(name)} is outside {printable(os.fspath(folder))!r}",
            fix="Name images relative to their folder.",
            line=line,
            lost="image",
        )
        return None
    inside = [part for part in parts if part not in {"", "."}]
    if is_s3(folder):
        return "/".join([os.fspath(folder).rstrip("/"), *inside])
    return os.path.join(os.fspath(folder), *inside)  # noqa: PTH118 - keeps the text as it was given


def relative_name(source: str, folder: Location | None) -> str:
    """Return the name of an image relative to a folder, with ``/`` between the parts."""
    if folder is None:
        return source
    start = os.fspath(folder).replace("\\", "/").rstrip("/") + "/"
    name = source.replace("\\", "/")
    return name.removeprefix(start)


def file_name(source: str) -> str:
    """Return the last part of a path or URI."""
    return source.replace("\\", "/").rsplit("/", 1)[-1]


def to_number(value: object) -> float | None:
    """Return a number from JSON or text that can be one of pixels; None for anything else."""
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
    return value if -_MAX_PIXELS <= value <= _MAX_PIXELS else None  # None for NaN, too


def make_size(width: object, height: object, depth: object = 3) -> ImageSize | None:
    """Return a size from values of any kind; None when they are not whole numbers of at least 1."""
    columns, rows, channels = to_number(width), to_number(height), to_number(depth)
    if columns is None or rows is None or columns < 1 or rows < 1 or columns % 1 or rows % 1:
        return None
    return ImageSize(int(columns), int(rows), int(channels) if channels is not None and channels >= 1 else 3)


def make_box(
    label: object,
    values: Sequence[object],
    size: ImageSize | None,
    report: Report,
    *,
    subject: str,
    line: int | None = None,
) -> BoundingBox | None:
    """Make a box from values of any kind, and report its flaws.

    Args:
        label: The label.
        values: Left, top, width and height in pixels.
        size: Size of the image; None when it is not known.
        report: Receives the problems.
        subject: What messages call the box; capital first.
        line: Line of the box, for the problem.

    Returns:
        The box, kept even when it leaves the frame; None when it cannot be used.
    """
    if not isinstance(label, str) or not label:
        report(f"{subject} has no label", fix="Label it or remove it.", line=line, lost="box")
        return None
    numbers = [found for found in map(to_number, values) if found is not None]
    if len(numbers) != 4 or len(values) != 4:  # noqa: PLR2004 - left, top, width, height
        report(
            f"{subject} ({printable(label)}): expected four finite numbers, found {printable(list(values))}",
            fix="Fix it or remove it.",
            line=line,
            lost="box",
        )
        return None
    left, top, width, height = numbers
    if width <= 0 or height <= 0:
        report(
            f"{subject} ({printable(label)}) has no area: {width:g} x {height:g} pixels",
            fix="Redraw it or remove it.",
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
            f"{subject} ({printable(label)}) leaves the frame{frame}: left {left:g}, top {top:g}, "
            f"width {width:g}, height {height:g}",
            fix="Clip it: the service ignores such boxes.",
            line=line,
        )
    return BoundingBox(label, left, top, width, height)


def writable_boxes(image: LabelledImage, report: Report) -> Iterator[BoundingBox]:
    """Yield the boxes of an image, except those that no format can hold; report them."""
    for box in image.boxes:
        try:
            good = all(
                -_MAX_PIXELS <= side <= _MAX_PIXELS for side in (box.left, box.top, box.width, box.height)
            )
        except TypeError:
            good = False
        if good:
            yield box
        else:
            report(
                f"The box ({printable(box.label)}) has sides that are not finite numbers",
                fix="Fix it or remove it.",
                lost="box",
            )


def as_list(value: Any) -> list[Any] | None:
    """Return a list that came from outside; None for anything else."""
    return cast("list[Any]", value) if isinstance(value, list) else None  # type: ignore[redundant-cast]  # pyright


def as_dict(value: Any) -> dict[Any, Any] | None:
    """Return a mapping that came from outside; None for anything else."""
    return cast("dict[Any, Any]", value) if isinstance(value, dict) else None  # type: ignore[redundant-cast]  # pyright
