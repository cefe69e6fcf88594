"""Display of values: reprs, aligned tables, Pillow images as a viewer shows them, drawn detections."""

from __future__ import annotations

import unicodedata
from html import escape
from typing import TYPE_CHECKING, Any, Protocol

from rekolabels.errors import MissingExtra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence, Sized

__all__ = ["align", "as_html", "counted", "draw_detections", "text_width", "to_rgb", "upright"]

_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#008080", "#9a6324", "#808000")
_MIN_FONT_SIZE = 11
"""Pixels."""
_MAX_SHOWN = 1
"""Items that a repr shows; with more it has only their number."""


def counted(noun: str) -> Callable[[Sized | None], str]:
    """Return a function for ``attrs.field(repr=...)`` that replaces many items by their number.

    >>> [counted("boxes")(items) for items in ((), ("a",), ("a", "b"))]
    ['()', "('a',)", '<2 boxes>']
    """

    def show(items: Sized | None) -> str:
        return repr(items) if items is None or len(items) <= _MAX_SHOWN else f"<{len(items):,} {noun}>"

    return show


def as_html(value: object) -> str:
    """Return what ``print`` shows as HTML: the ``_repr_html_`` of values whose text is a table or report.

    >>> as_html("a < b")
    '<pre style="white-space: pre-wrap">a &lt; b</pre>'
    """
    return f'<pre style="white-space: pre-wrap">{escape(str(value), quote=False)}</pre>'


def align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Format rows as lines of aligned columns: the first column left, the others right."""
    widths = [max(text_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines: list[str] = []
    for first, *others in rows:
        cells = [first + " " * (widths[0] - text_width(first))]
        cells += [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def text_width(text: str) -> int:
    """Return the width in terminal columns: wide characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


# Protocols, because the values themselves (``descriptions``) import this module.
class _Box(Protocol):
    """The fields of a ``Box`` that are drawn."""

    @property
    def left(self) -> float: ...
    @property
    def top(self) -> float: ...
    @property
    def width(self) -> float: ...
    @property
    def height(self) -> float: ...


class _Detection(Protocol):
    """The fields of a ``Detection`` that are drawn."""

    @property
    def label(self) -> str: ...
    @property
    def confidence(self) -> float: ...
    @property
    def box(self) -> _Box | None: ...


def upright(image: Any) -> Any:
    """Apply the EXIF orientation of a Pillow image, because boxes are relative to the upright image."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - a damaged EXIF block, which fails in many ways, has no orientation
        return image


def to_rgb(image: Any) -> Any:
    """Return a Pillow image in RGB: transparent images on white, 16 bits scaled to 8."""
    from PIL.Image import alpha_composite, new

    if image.mode.startswith("I"):
        # convert() would clip 16-bit grey to 255 instead of scaling it.
        return image.convert("F").point(_upper_byte).convert("L").convert("RGB")
    if image.mode in {"RGBA", "LA", "PA"} or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = new("RGBA", rgba.size, (255, 255, 255, 255))
        return alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _upper_byte(value: Any) -> Any:
    return value * (1 / 256)


def draw_detections(image: Any, detections: Iterable[_Detection]) -> Any:
    """Draw boxes and labels into an upright copy of a Pillow image; image-level labels go to the top left.

    Args:
        image: A Pillow image; its EXIF orientation is applied to the copy.
        detections: What was found in the image.

    Returns:
        The copy, in RGB.

    Raises:
        MissingExtra: Pillow is not installed.
    """
    try:
        from PIL import ImageDraw, ImageFont
    except ImportError as error:
        raise MissingExtra("images", "Drawing") from error
    copy = upright(image).convert("RGB")
    if copy is image:
        copy = image.copy()
    pen = ImageDraw.Draw(copy)
    font = ImageFont.load_default(max(_MIN_FONT_SIZE, min(copy.size) // 32))
    colours: dict[str, str] = {}
    line = 2.0
    for found in detections:
        colour = colours.setdefault(found.label, _COLOURS[len(colours) % len(_COLOURS)])
        text = f"{found.label} {found.confidence:.0f} %"
        height = pen.textbbox((0, 0), text, font)[3] + 2
        if found.box is None:
            at = (4.0, line)
            line += height
        else:
            left, top = found.box.left * copy.width, found.box.top * copy.height
            right, bottom = left + found.box.width * copy.width, top + found.box.height * copy.height
            pen.rectangle((left, top, right, bottom), outline=colour, width=max(2, min(copy.size) // 200))
            at = (max(0.0, left) + 2, max(0.0, top - height))
        pen.rectangle(pen.textbbox(at, text, font), fill=colour)
        pen.text(at, text, fill="white", font=font)
    return copy
